"""Protocols of encoders, heads and solvers, by which rooms know each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array
from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.scores import Scores
from stitchkit.core.space import Space

if TYPE_CHECKING:
    from stitchkit.core.evidence import Evidence

Batch = Any  # private to an encoder: returned by its prepare(), read by its encode()


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One batch of an encoder's output: ``pooled`` (b, d); ``tokens`` (b, t, d) and ``mask`` (b, t) or None."""

    pooled: Array
    tokens: Array | None = None
    mask: Array | None = None


@runtime_checkable
class Encoder(Protocol):
    """A frozen function from items to vectors.

    ``name`` is what a user types to load it again; ``modality`` is ``"image"`` (items are PIL images or
    (h, w[, 3]) arrays, already decoded) or ``"text"`` (items are strings).
    """

    name: str
    modality: str

    @property
    def space(self) -> Space: ...

    def prepare(self, items: Sequence[Any]) -> Batch: ...

    def encode(self, batch: Batch) -> Encoded: ...


@runtime_checkable
class HasClassifier(Protocol):
    """An encoder whose checkpoint also carries a classifier over its vectors."""

    def classifier(self) -> LinearHead: ...


@runtime_checkable
class HasVocabulary(Protocol):
    """A text encoder that detects texts without a known token, which would all get equal vectors."""

    def knows(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text with at least one token that is known and not special, (n,)."""
        ...


@runtime_checkable
class HasContext(Protocol):
    """A text encoder that reads the beginning of a text only, up to a number of tokens."""

    def cuts(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text whose end is cut off, (n,)."""
        ...


@runtime_checkable
class HasDetails(Protocol):
    """An encoder that tells how items are prepared, how its output is pooled, and how large it is."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Names and plain values, for a screen."""
        ...


class Head(Protocol):
    """A function from vectors of one space to scores."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def space(self) -> Space: ...

    def scores(self, embeddings: Any) -> Scores: ...


def check_text(encoder: Encoder) -> None:
    """Raise unless ``encoder`` can read prompts."""
    if encoder.modality != "text":
        raise InputError(f"{encoder.name!r} is an {encoder.modality} encoder; prompts need the text encoder.")


class Solver(Protocol):
    """Settings of a fit from evidence to an alignment; ``needs`` names the parts of the evidence it reads."""

    needs: frozenset[str]

    def fit(self, evidence: Evidence) -> Alignment: ...
