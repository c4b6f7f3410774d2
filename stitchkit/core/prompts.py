"""Prompt sets: the texts that name each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stitchkit.core.errors import DataError


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Texts for and against each class.

    Parameters
    ----------
    name
        What the set is called.
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

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the file's order."""
        return tuple(self.positive)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every distinct prompt, positives first."""
        everything = [*self.positive.values(), *self.negative.values()]
        return tuple(dict.fromkeys(text for some in everything for text in some))
