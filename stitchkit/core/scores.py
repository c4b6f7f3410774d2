"""Scores with their kind and provenance, and the labels they are evaluated against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.escaping import escape, is_unsafe
from stitchkit.core.items import checked_groups, checked_ids, rows_of
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.core.anchors import AnchorSet

MOST_NAMED = 5  # classes that a short description names
KINDS = ("cosine", "margin", "logit", "llr", "probability", "association")
RANK_ONLY = frozenset({"association"})  # kinds that order items and stand for no threshold and no probability
RANGES = {"cosine": (-1, 1), "margin": (-2, 2), "probability": (0, 1)}
SLACK = 1e-4  # float16 arithmetic may step over the end of a range by this much


_TITLES = {
    "source": "Source encoder",
    "target": "Target encoder",
    "map": "Map",
    "head": "Head",
    "calibration": "Calibration",
    "prompts": "Prompts",
    "anchors": "Anchors",
    "version": "Scored with",
    "date": "Scored on",
    "command": "Scored by",
    "leakage": "Leakage",
}
_DIGESTS = {"prompts": "prompts_sha256", "anchors": "anchors_sha256"}  # fact -> the field with its digest


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise for a repeated class, and for a name that a terminal or a page would not show as it is."""
    for label in classes:
        if any(is_unsafe(one) for one in str(label)):
            raise InputError(
                f"the class name '{escape(str(label))}' holds control or invisible characters. Rename the class."
            )
    twice = [label for label in classes if classes.count(label) > 1]
    if twice:
        raise InputError(f"class {twice[0]!r} stands twice among the classes. Give each class once.")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of scores, for the page that judges them; a field that is not known is empty.

    Names of files stand without their folders, and nothing of a patient is in it.

    Parameters
    ----------
    source, target
        Names of the encoder that read the items, and of the one whose space the map enters.
    map
        Solver, settings and rank of the map.
    head
        Kind of the head, in words.
    calibration
        Method that made probabilities of the head's scores, and the number of items it was fitted on.
    prompts, prompts_sha256
        Name of the prompt set, and its digest.
    anchors, anchors_sha256
        Table and number of the anchors, and the digest of the table.
    version
        Package and version that made the scores.
    date
        Day on which they were written, ``YYYY-MM-DD``.
    command
        Command line that wrote them.
    leakage
        Overlap of the scored items with what the map or the calibration was fitted on.
    remark
        Reason why a record is not shown: it is of another table.

    Examples
    --------
    >>> origin = Provenance(source="demo:general", anchors="pairs.csv, 200 pairs", anchors_sha256="9f86d081884c7d65")
    >>> list(origin.facts())
    [('Source encoder', 'demo:general'), ('Anchors', 'pairs.csv, 200 pairs (SHA-256 9f86d081884c)')]
    """

    source: str = ""
    target: str = ""
    map: str = ""
    head: str = ""
    calibration: str = ""
    prompts: str = ""
    prompts_sha256: str = ""
    anchors: str = ""
    anchors_sha256: str = ""
    version: str = ""
    date: str = ""
    command: str = ""
    leakage: str = ""
    remark: str = ""

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self)):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"the provenance's {name} is a text; got {getattr(self, name)!r}.")

    def facts(self) -> Iterator[tuple[str, str]]:
        """Titles and values of the fields that are known, in the order of a page, safe to print."""
        for name, title in _TITLES.items():
            if value := getattr(self, name):
                digest = getattr(self, _DIGESTS[name]) if name in _DIGESTS else ""
                yield title, escape(value) + (f" (SHA-256 {escape(digest[:12])})" if digest else "")

    def to_dict(self) -> dict[str, str]:
        """The fields that are known, for JSON."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One float per item and class.

    Parameters
    ----------
    values : (n, c) float64
    kind
        ``"cosine"`` in [-1, 1]; ``"margin"`` a difference of two cosines, in [-2, 2]; ``"logit"`` or ``"llr"``
        any real; ``"probability"`` in [0, 1]; ``"association"`` any real, by the findings that accompany a class in
        texts (:func:`stitchkit.fit_associations`): for ranking alone, refused wherever a probability or a decision
        is made.
    ids : (n,) str
    classes
        c class names.
    provenance
        Encoders, map and anchors that made the scores; None where these are not recorded.
    """

    values: np.ndarray
    kind: str
    ids: np.ndarray
    classes: tuple[str, ...]
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        object.__setattr__(self, "ids", checked_ids(self.ids))
        object.__setattr__(self, "classes", tuple(self.classes))
        self._check()

    @classmethod
    def of_vectors(cls, values: np.ndarray, kind: str, ids: np.ndarray, classes: tuple[str, ...]) -> Scores:
        """Scores (n, c) float64 that a head gives vectors, whose ids have been checked with them."""
        scores = cls._of_fields(values, kind, ids, classes, None)
        scores._check()
        return scores

    @classmethod
    def _of_fields(cls, *fields: Any) -> Scores:
        """Scores of fields that are those of other scores, or are checked by the caller."""
        scores = object.__new__(cls)
        for name, value in zip(cls.__slots__, fields, strict=True):
            object.__setattr__(scores, name, value)
        return scores

    def _check(self) -> None:
        """Raise for an unknown kind, shapes that do not fit, values that are no scores of their kind."""
        if self.kind not in KINDS:
            raise UnknownNameError.of("kind of score", self.kind, KINDS)
        if self.values.shape != (len(self.ids), len(self.classes)):
            raise InputError(
                f"scores of shape {self.values.shape} came with {len(self.ids)} ids and {len(self.classes)} classes."
            )
        check_classes(self.classes)
        finite = np.isfinite(self.values)
        if not finite.all():
            odd = np.argwhere(~finite)
            row, column = odd[0]
            raise InputError(
                f"the score of item {str(self.ids[row])!r} for {self.classes[column]!r} is {self.values[row, column]}; "
                f"{len(odd)} scores are NaN or infinite. Find out why the head made them."
            )
        low, high = RANGES.get(self.kind, (-np.inf, np.inf))
        if self.values.size and not (self.values.min() >= low - SLACK and self.values.max() <= high + SLACK):
            raise InputError(
                f"scores of kind {self.kind!r} lie in [{low}, {high}]; got {self.values.min():g} to "
                f"{self.values.max():g}. Say what they are with another kind."
            )

    def __repr__(self) -> str:
        return f"Scores({plural(self.kind)} of {counted(len(self), 'item')}, {_in_short(self.classes)})"

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, label: str) -> np.ndarray:
        """The (n,) scores of one class."""
        if label not in self.classes:
            raise UnknownNameError.of("scored class", label, self.classes)
        return self.values[:, self.classes.index(label)]

    def of_classes(self, classes: tuple[str, ...]) -> Scores:
        """Only these classes, in this order; an unknown one is an error that lists the nearest."""
        for label in classes:
            self.column(label)
        picked = [self.classes.index(label) for label in classes]
        return Scores(self.values[:, picked], self.kind, self.ids, classes, self.provenance)

    def take(self, rows: np.ndarray) -> Scores:
        """The rows at positions ``rows`` (k,)."""
        return Scores(self.values[rows], self.kind, self.ids[rows], self.classes, self.provenance)

    def with_provenance(self, provenance: Provenance | None) -> Scores:
        """The same scores with the record of their origin."""
        return Scores._of_fields(self.values, self.kind, self.ids, self.classes, provenance)


def check_decidable(scores: Scores) -> None:
    """Raise for scores that rank items and allow no probability and no decision.

    Examples
    --------
    >>> check_decidable(Scores(np.zeros((1, 1)), "logit", ["a"], ("Edema",)))
    """
    if scores.kind in RANK_ONLY:
        shown = ", ".join(scores.classes[:3]) + (" and others" if len(scores.classes) > 3 else "")
        raise InputError(
            f"scores of kind {scores.kind!r} rank items by the findings that accompany {shown} in texts; no anchor "
            f"has shown the class itself. No probability, threshold, conformal set or decision can be made from them. "
            f"Add anchors whose texts mention {shown}, fit again, and use the scores of that fit."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """True classes of each item: 1 present, 0 absent, NaN not known.

    Parameters
    ----------
    values : (n, c) float64
        Each entry 0, 1 or NaN.
    ids : (n,) str
    classes
        c class names.
    groups : (n,) str or None
        The patient of each item.
    columns
        Further columns by name, each (n,): age, view, file size, ... for the metadata-only baseline.
    """

    values: np.ndarray
    ids: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        object.__setattr__(self, "ids", checked_ids(self.ids))
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.groups is not None:
            object.__setattr__(self, "groups", checked_groups(self.groups, len(self.ids)))
        object.__setattr__(self, "columns", {name: np.asarray(values) for name, values in self.columns.items()})
        check_classes(self.classes)
        if self.values.shape != (len(self.ids), len(self.classes)):
            raise InputError(
                f"labels of shape {self.values.shape} came with {len(self.ids)} ids and {len(self.classes)} classes."
            )
        odd = ~(np.isnan(self.values) | (self.values == 0) | (self.values == 1))
        if odd.any():
            row, column = (int(first) for first in np.argwhere(odd)[0])
            raise DataError(
                f"item {str(self.ids[row])!r} has label {self.values[row, column]:g} for {self.classes[column]!r}; "
                f"labels are 0, 1 or missing. State a policy for uncertain labels when reading the table."
            )
        for what, values in self.columns.items():
            if len(values) != len(self.ids):
                raise InputError(f"{len(values)} values of {what!r} came with {len(self.ids)} labelled items.")

    def __repr__(self) -> str:
        groups = "" if self.groups is None else f" of {counted(len(np.unique(self.groups)), 'patient')}"
        return f"Labels({counted(len(self), 'item')}{groups}, {_in_short(self.classes)})"

    def __len__(self) -> int:
        return len(self.ids)

    def of_ids(self, ids: Any) -> Labels:
        """The rows with these ids, in their order; a missing id is an error that names it."""
        return self.take(rows_of(np.asarray(ids, dtype=np.str_), self.ids, "the labels"))

    def take(self, rows: np.ndarray) -> Labels:
        """The rows at positions ``rows`` (k,)."""
        groups = None if self.groups is None else self.groups[rows]
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Labels(self.values[rows], self.ids[rows], self.classes, groups, columns)

    def of_classes(self, classes: tuple[str, ...]) -> Labels:
        """Only these classes, in this order; an unknown one is an error that lists the nearest."""
        for label in classes:
            if label not in self.classes:
                raise UnknownNameError.of(
                    "labelled class", label, self.classes, "Prompts and labels must use the same class names."
                )
        picked = [self.classes.index(label) for label in classes]
        return Labels(self.values[:, picked], self.ids, classes, self.groups, self.columns)

    def with_groups(self, groups: Any) -> Labels:
        """The labels with ``groups`` (n,) as the patients of their items."""
        return replace(self, groups=np.asarray(groups))

    def with_patients_of(self, anchors: AnchorSet) -> Labels:
        """The labels of the anchors with the anchors' own patients; as they are where either side settles that.

        Examples
        --------
        >>> from stitchkit.core.anchors import AnchorSet
        >>> from stitchkit.core.items import Items
        >>> texts = Items(["a", "b"], ["clear", "opacity"], "text")
        >>> anchors = AnchorSet(["a", "b"], texts, texts, groups=["p1", "p2"])
        >>> labels = Labels(np.eye(3)[:, :1], ["c", "b", "a"], ("Edema",))
        >>> labels.with_patients_of(anchors).groups.tolist()
        ['p2', 'p1']
        """
        if self.groups is not None or anchors.groups is None:
            return self
        patient = dict(zip(anchors.ids.tolist(), anchors.groups.tolist(), strict=True))
        some = self.take(np.flatnonzero(np.isin(self.ids, anchors.ids)))
        return some.with_groups([patient[one] for one in some.ids.tolist()])


def _in_short(classes: tuple[str, ...]) -> str:
    """Number of classes, with the names of the first."""
    named = ", ".join(classes[:MOST_NAMED]) + (", ..." if len(classes) > MOST_NAMED else "")
    return f"{counted(len(classes), 'class', 'classes')}: {named}"


def plural(kind: str) -> str:
    """Scores of a kind, in the plural: ``"margins"``, ``"probabilities"``, ``"by association"``."""
    return {"probability": "probabilities", "association": "by association"}.get(kind, f"{kind}s")


def check_scores_and_labels(scores: Any, labels: Any) -> None:
    """Raise an error that names the reader, where a table or an array stands for scores or labels."""
    if not isinstance(scores, Scores):
        raise InputError(
            f"scores must be Scores; got {type(scores).__name__}. stitchkit.read_scores reads a table of them, and "
            f"stitchkit.Scores(values, kind, ids, classes) makes them of an array (n, c)."
        )
    if not isinstance(labels, Labels):
        raise InputError(
            f"labels must be Labels; got {type(labels).__name__}. stitchkit.read_labels reads a table or a data frame."
        )
