"""Findings that texts mention, as a matrix: counted by words, or as a labeller of the user's own has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.items import Items, rows_of
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.anchors.text_mentions import mentions

NO_FINDING = "No Finding"
NO_POOL = (
    "no pool of unlinked texts was given, so nothing is known of the findings that accompany it. Give texts of the "
    "same kind of items, reports without their images for instance (stitchkit.fit_associations, "
    + setting("pool")
    + ")"
)


@dataclass(frozen=True, slots=True, eq=False)
class Mentions:
    """Findings that each of n texts mentions.

    Parameters
    ----------
    findings
        c names, without the one that stands for a normal item.
    matrix : (n, c) bool
        True where a text says a finding; one that it denies, or leaves open, is not mentioned.
    countable : (c,) bool
        False for a finding whose prompts have no word of their own.
    texts
        The n texts; None where a labeller's table was given instead.
    """

    findings: tuple[str, ...]
    matrix: np.ndarray
    countable: np.ndarray
    texts: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def normal(self) -> np.ndarray:
        """Texts (n,) that mention none of the findings."""
        return np.asarray(~self.matrix.any(axis=1))

    @property
    def counts(self) -> np.ndarray:
        """Texts (c,) that mention each finding."""
        return np.asarray(self.matrix.sum(axis=0))

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Mentions (n, k) of the named findings, in their order."""
        return self.matrix[:, [self.findings.index(name) for name in names]]

    def take(self, rows: np.ndarray) -> Mentions:
        """The texts at positions ``rows`` (k,)."""
        texts = None if self.texts is None else tuple(self.texts[i] for i in rows)
        return Mentions(self.findings, self.matrix[rows], self.countable, texts)


def normal_class(classes: Sequence[str], named: str | None = None) -> str | None:
    """The class that stands for a normal item: the one ``named``, else one spelled "No Finding"; None if there is none.

    Examples
    --------
    >>> normal_class(["Edema", "No_Finding"]), normal_class(["Edema"])
    ('No_Finding', None)
    """
    if named is not None:
        if named not in classes:
            raise UnknownNameError.of(
                "class", named, classes, setting("no_finding") + " names the class of a normal item."
            )
        return named
    return next((one for one in classes if "".join(filter(str.isalnum, one.casefold())) == "nofinding"), None)


def mentions_in(texts: Any, findings: tuple[str, ...], prompts: PromptSet | None, what: str) -> Mentions:
    """Mentions in texts, by the words of ``prompts``, or in a labeller's table.

    Parameters
    ----------
    given
        n texts (a sequence, text items, an anchor set with a text side), or labels of them: 1 is a mention, 0 and
        NaN are none.
    findings
        c classes of the prompts or labels, without the one of a normal item, whose words deny.
    prompts
        The prompt set that texts are searched by.
    what
        Role of the texts in errors: ``"the pool"``.

    Raises
    ------
    InputError
        For a single text, something else than texts, or texts without prompts.
    UnknownNameError
        For a finding that the labels lack.
    """
    if isinstance(texts, Labels):
        return Mentions(findings, texts.of_classes(findings).values == 1, np.ones(len(findings), dtype=bool), None)
    texts = texts_of(texts, what)
    if prompts is None:
        raise InputError(
            f"{what} holds texts, whose findings are counted by the words of prompts. Give " + setting("prompts") + "."
        )
    signs = mentions(texts, prompts)[:, [prompts.classes.index(name) for name in findings]]
    uncounted = np.isnan(mentions([""], prompts)[0, [prompts.classes.index(name) for name in findings]])
    return Mentions(findings, signs == 1, ~uncounted, texts)


def texts_of(texts: Any, what: str) -> tuple[str, ...]:
    """The texts of a sequence, of text items or of an anchor set's text side."""
    if isinstance(texts, AnchorSet):
        sides = [one for one in (texts.target_items, texts.source_items) if one.modality == "text"]
        if not sides:
            raise InputError(f"{what} has no side of texts. Give their texts, or labels of what they mention.")
        texts = sides[0]
    if isinstance(texts, Items):
        if texts.modality != "text":
            raise InputError(f"{what} holds {texts.modality}s; mentions are counted in texts.")
        texts = texts.values
    if isinstance(texts, str):
        raise InputError(f"{what} is a list of texts; got a single text.")
    texts = texts.tolist() if hasattr(texts, "tolist") else texts  # an array, or a column of a table
    if not isinstance(texts, Sequence):
        raise InputError(f"{what} takes texts, text items or labels; got {type(texts).__name__}.")
    texts = list(texts)
    odd = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if odd:
        raise InputError(
            f"row {odd[0]} of {what} is of type {type(texts[odd[0]]).__name__}, no text; "
            f"{counted(len(odd), 'row is', 'rows are')}. Give texts, or labels of what they mention."
        )
    return tuple(str(text) for text in texts)


def in_rows_of(texts: Any, ids: np.ndarray, by_id: bool) -> Any:
    """``given`` with its rows in the order of ``ids`` (n,), where both sides have ids; anything else by row."""
    if by_id and isinstance(texts, Labels | AnchorSet):
        rows = rows_of(ids, texts.ids, "the anchors' labels" if isinstance(texts, Labels) else "the anchor set")
        return texts.take(rows)
    if by_id and isinstance(texts, Items):
        return texts.take(rows_of(ids, texts.ids, "the anchors' texts"))
    return texts


def own_texts(pool: Mentions, anchors: Mentions) -> int | None:
    """Number of pool texts that are an anchor's as well, but for case and blanks; None where texts are not known."""
    if pool.texts is None or anchors.texts is None:
        return None
    known = {_plain(text) for text in anchors.texts}
    return sum(_plain(text) in known for text in pool.texts)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
