"""Prompt sets: the texts that name each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.wording import counted

EQUAL = 1e-7  # of their length: vectors nearer than this are the same


class _AlikeError(InputError):
    """Prompts that cannot distinguish items."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Texts for and against each class.

    Parameters
    ----------
    name
        Name of the set.
    positive
        Class name -> texts that say the class is present; at least one each.
    negative
        Class name -> texts that say it is absent. Classes without one are scored by cosine alone.
    multiclass
        True if exactly one class applies to an item, False if any number may.
    card
        Modality, source, licence, description.

    Raises
    ------
    DataError
        If there is no class, a class without a text, an empty text, or a negative for an unknown class.
    """

    name: str
    positive: Mapping[str, tuple[str, ...]]
    negative: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    multiclass: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.positive:
            raise DataError(f"prompt set {self.name!r} names no class. Add at least one class with a positive prompt.")
        if unknown := set(self.negative) - set(self.positive):
            raise DataError(
                f"prompt set {self.name!r} has negative prompts for {sorted(unknown)[0]!r}, which is not among "
                f"its classes: {', '.join(self.positive)}."
            )
        for side, texts in (("positive", self.positive), ("negative", self.negative)):
            for label, some in texts.items():
                if isinstance(some, str):
                    raise DataError(f"class {label!r} of prompt set {self.name!r} has a bare {side} text; give a list.")
                if not some or any(not text.strip() for text in some):
                    raise DataError(
                        f"class {label!r} of prompt set {self.name!r} has an empty {side} prompt list or text."
                    )
        if 0 < len(self.negative) < len(self.positive):
            bare = next(label for label in self.positive if label not in self.negative)
            raise DataError(
                f"class {bare!r} of prompt set {self.name!r} has no negative prompts while others have: their scores "
                f"would not be comparable. Give every class negatives, or none."
            )

    def __repr__(self) -> str:
        negatives = ", with negatives" if self.negative else ""
        return (
            f"PromptSet({self.name!r}, {counted(len(self.classes), 'class', 'classes')}, "
            f"{counted(len(self.texts), 'text')}{negatives})"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the file's order."""
        return tuple(self.positive)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every distinct prompt, positives first."""
        everything = [*self.positive.values(), *self.negative.values()]
        return tuple(dict.fromkeys(text for some in everything for text in some))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all that an artefact keeps, so that its numbers can be made again.

        Examples
        --------
        >>> PromptSet("mine", {"mass": ("A mass.",)}).to_dict()["positive"]
        {'mass': ['A mass.']}
        """
        return {
            "name": self.name,
            "sha256": self.card.get("sha256"),
            "multiclass": self.multiclass,
            "positive": {label: list(texts) for label, texts in self.positive.items()},
            "negative": {label: list(texts) for label, texts in self.negative.items()},
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PromptVectors:
    """A prompt set with the text encoder's vectors of its texts, to choose a map by.

    Parameters
    ----------
    prompts
        Classes with their texts.
    embeddings
        Vectors (m, d_t) with the prompt texts as ids. Rows of other ids are dropped, so that no item can come along.

    Raises
    ------
    DataError
        If a text has no vector.
    InputError
        If the prompts cannot distinguish items: one class without negatives, classes whose vectors are all equal, or
        positives equal to their negatives.

    Examples
    --------
    >>> prompts = PromptSet("mine", {"mass": ("A mass.",), "cyst": ("A cyst.",)}, multiclass=True)
    >>> from stitchkit.core.space import Space
    >>> vectors = Embeddings(np.eye(2), np.array(["A mass.", "A cyst."]), Space.of_array(2))
    >>> PromptVectors(prompts, vectors).embeddings.ids.tolist()
    ['A mass.', 'A cyst.']
    """

    prompts: PromptSet
    embeddings: Embeddings

    def __post_init__(self) -> None:
        name = self.prompts.name
        if not isinstance(self.embeddings, Embeddings):
            raise InputError(
                f"the vectors of prompt set {name!r} must be embeddings with its texts as ids; got "
                f"{type(self.embeddings).__name__}. Make them with stitchkit.embed_prompts."
            )
        object.__setattr__(self, "embeddings", self.embeddings.of_ids(self.prompts.texts))
        if len(self.prompts.classes) < 2 and not self.prompts.negative:
            raise _AlikeError(
                f"prompt set {name!r} has one class and no negatives, so that its prompts tell no items apart. Name "
                f"another class, or give it negatives."
            )
        if not self._are_apart():
            alike = (
                "positive and negative prompts of every class" if self.prompts.negative else "prompts of all classes"
            )
            raise _AlikeError(
                f"the {alike} of set {name!r} have the same vectors, so that they tell no items apart. Does the text "
                f"encoder know their words?"
            )

    def __repr__(self) -> str:
        many, dim = self.embeddings.vectors.shape
        return (
            f"PromptVectors({self.prompts.name!r}, {len(self.prompts.classes)} classes, {many} texts, "
            f"{self.embeddings.space.name!r} ({dim}))"
        )

    @classmethod
    def distinct_or_none(cls, prompts: PromptSet, embeddings: Embeddings) -> PromptVectors | None:
        """The prompt vectors, or None where they cannot distinguish items and so cannot choose a map."""
        try:
            return cls(prompts, embeddings)
        except _AlikeError:
            return None

    def _are_apart(self) -> bool:
        """True where the classes have different vectors."""
        rows = to_numpy(self.embeddings.vectors).astype(np.float64)
        toward = self.directions(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        if not self.prompts.negative:
            toward = toward - toward.mean(axis=0)
        return bool(np.abs(toward).max() > EQUAL)

    def directions(self, rows: np.ndarray, *, flat: bool = False) -> np.ndarray:
        """Class embeddings (c, k), minus those of the negatives, from the texts' rows (m, k) of about equal length.

        ``flat``: means of the rows as they are, where they show one direction.
        """
        place = {text: i for i, text in enumerate(self.prompts.texts)}
        toward = _means(rows, [[place[one] for one in texts] for texts in self.prompts.positive.values()], flat)
        if not self.prompts.negative:
            return toward
        return toward - _means(
            rows, [[place[one] for one in self.prompts.negative[c]] for c in self.prompts.classes], flat
        )


def _means(rows: np.ndarray, members: Sequence[Sequence[int]], flat: bool) -> np.ndarray:
    """The mean row of each class (c, k), at the mean length of its rows unless ``flat``."""
    means = np.stack([rows[some].mean(axis=0) for some in members])
    if flat:
        return means
    size, lengths = np.linalg.norm(means, axis=1), np.linalg.norm(rows, axis=1)
    wanted = np.asarray([lengths[some].mean() for some in members])
    scaled: np.ndarray = means * (wanted / np.where(size > 0, size, 1))[:, None]
    return scaled


def draw_prompts(prompts: PromptSet, k: int, seed: int) -> PromptSet:
    """The same classes with k texts a side, drawn without replacement: one draw of a study of wordings.

    A side with k texts or fewer keeps them all. Each class draws for itself, so that a draw does not change when
    other classes are left out or added. Where the file says ``others_are_negative``, the drawn positives of the other
    classes are a class's negatives, beside k of those that are written for it: the set is as though its file had
    held the drawn wordings only.

    Parameters
    ----------
    prompts
        Any prompt set.
    k
        Texts to draw for each class and side; at least 1.
    seed
        Seed of the draw, at least 0.

    Returns
    -------
    PromptSet
        Its texts in the order of ``prompts``; its card holds ``drawn`` (k) and ``seed`` as well.

    Raises
    ------
    InputError
        If ``k`` is no whole number of at least 1, or ``seed`` none of at least 0.

    Examples
    --------
    >>> edema = ("Pulmonary edema.", "Interstitial edema.", "Septal lines with edema.")
    >>> prompts = PromptSet("mine", {"Edema": edema}, {"Edema": ("No edema.",)})
    >>> drawn = draw_prompts(prompts, 2, seed=0)
    >>> len(drawn.positive["Edema"]), len(drawn.negative["Edema"]), drawn.card
    (2, 1, {'drawn': 2, 'seed': 0})
    """
    for name, value, least in (("k", k, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} of a draw of prompts must be a whole number of at least {least}; got {value!r}.")
    positive = {label: _draw(texts, k, [seed, 0, *label.encode()]) for label, texts in prompts.positive.items()}
    everyone = {text for texts in prompts.positive.values() for text in texts}
    others = bool(prompts.card.get("others_are_negative"))
    negative = {}
    for label, texts in prompts.negative.items():
        own = tuple(text for text in texts if not (others and text in everyone))
        rivals = [text for other, some in positive.items() if others and other != label for text in some]
        negative[label] = (*dict.fromkeys(rivals), *_draw(own, k, [seed, 1, *label.encode()]))
    card = {**prompts.card, "drawn": int(k), "seed": int(seed)}
    return PromptSet(prompts.name, positive, negative, prompts.multiclass, card)


def _draw(texts: tuple[str, ...], k: int, seed: list[int]) -> tuple[str, ...]:
    """k of the texts, in their order."""
    if len(texts) <= k:
        return texts
    return tuple(texts[i] for i in sorted(np.random.default_rng(seed).choice(len(texts), k, replace=False)))
