"""Heads: functions from vectors of one space to scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, float64, like, namespace, to_numpy, working_float
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.maps import Map, unit
from stitchkit.core.scores import KINDS, RANK_ONLY, Scores, check_classes
from stitchkit.core.space import Space

ENTRIES = 4_194_304  # of vectors read together: 16 MB in float32


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """``x @ weight + bias``: a checkpoint's own classifier, or a probe.

    Parameters
    ----------
    space
        The space whose vectors it reads.
    classes
        c class names.
    weight : (d, c), bias : (c,)
    kind
        Kind of the scores, default ``"logit"``.
    multiclass
        True if exactly one class applies, as for a checkpoint trained with softmax.
    """

    space: Space
    classes: tuple[str, ...]
    weight: Array
    bias: Array
    kind: str = "logit"
    multiclass: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError.of("kind of score", self.kind, KINDS)
        if self.kind in RANK_ONLY:
            raise InputError(
                f"a head gives scores that can be calibrated; those of kind {self.kind!r} come beside their rivals, "
                f"from stitchkit.fit_associations. Name another kind."
            )
        check_classes(self.classes)
        shape = (self.space.dim, len(self.classes))
        if tuple(self.weight.shape) != shape or tuple(self.bias.shape) != shape[1:]:
            raise InputError(
                f"a head over {self.space.name!r} with {len(self.classes)} classes needs weight {shape} and bias "
                f"{shape[1:]}; got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}."
            )

    def scores(self, embeddings: Any) -> Scores:
        """Scores (n, c) of vectors (n, d) of the head's space; refuses those of another encoder."""
        inputs = as_embeddings(embeddings, "the head's input")
        self.space.require(inputs.space, "the head")

        def of(part: Embeddings) -> Array:
            x = working_float(part.vectors)
            return x @ like(self.weight, x, dtype=x.dtype) + like(self.bias, x, dtype=x.dtype)

        values = _in_parts(inputs, of, len(self.classes), self.space.dim)
        return Scores.of_vectors(values, self.kind, inputs.ids, self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotHead:
    """Classes named by text, read from another encoder's vectors.

    The score of a class is ``cos(m(x), c+) - cos(m(x), c-)`` with m the map into the common space and c+, c- the
    class's embeddings there (kind ``"margin"``), or ``cos(m(x), c+)`` where there are no negatives (``"cosine"``).
    Where the anchors show one direction only, a cosine is a sign, so that every score would be one of two numbers;
    there the score is the projection ``m(x) . (c+ - c-)`` itself (``"logit"``).

    Parameters
    ----------
    to_common
        Map from the head's space into the common space of width k.
    classes
        c class names.
    positive : (c, k)
        Unit class embeddings; with one direction of any length.
    negative : (c, k) or None
    weights : (k,) or None
        The alignment's weights.
    multiclass
        True if exactly one class applies.
    """

    to_common: Map
    classes: tuple[str, ...]
    positive: Array
    negative: Array | None = None
    weights: Array | None = None
    multiclass: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        shape = (len(self.classes), self.to_common.target.dim)
        for side, array in (("positive", self.positive), ("negative", self.negative)):
            if array is not None and tuple(array.shape) != shape:
                raise InputError(
                    f"{shape[0]} classes need {side} embeddings of shape {shape}; got {tuple(array.shape)}."
                )

    @property
    def space(self) -> Space:
        """The space whose vectors it reads."""
        return self.to_common.source

    @property
    def kind(self) -> str:
        """Kind of its scores."""
        one = one_direction(self.to_common)
        return "logit" if one else "cosine" if self.negative is None else "margin"

    def scores(self, embeddings: Any) -> Scores:
        """Scores (n, c) of vectors (n, d) of the head's space; refuses those of another encoder."""
        inputs = as_embeddings(embeddings, "the zero-shot head's input")
        one, width = one_direction(self.to_common), max(self.space.dim, self.to_common.target.dim)
        values = _in_parts(inputs, self._projections if one else self._cosines, len(self.classes), width)
        return Scores.of_vectors(values, self.kind, inputs.ids, self.classes)

    def _projections(self, part: Embeddings) -> Array:
        """Projections (m, c) of some items, in float64."""
        rows = float64(self.to_common(part).vectors)
        toward = self.positive if self.negative is None else self.positive - self.negative
        return rows @ namespace(rows).matrix_transpose(like(toward, rows, dtype=rows.dtype))

    def _cosines(self, part: Embeddings) -> Array:
        """Cosines or margins (m, c) of some items; factors equal for all items are folded into the class embeddings."""
        rows = unit(self.to_common(part).vectors)
        toward = unit(like(self.positive, rows))
        if self.negative is not None:
            toward = toward - unit(like(self.negative, rows))  # a difference of cosines of one row
        if self.weights is not None:
            toward = toward * like(self.weights, toward, dtype=toward.dtype)
        return rows @ namespace(rows).matrix_transpose(like(toward, rows, dtype=rows.dtype))

    def predict(self, embeddings: Any) -> tuple[str, ...]:
        """The best class of each item; only for a multi-class set, where one class applies."""
        if not self.multiclass:
            raise InputError(
                "these prompts allow several classes at once, so there is no single best one. Use scores()."
            )
        best = self.scores(embeddings).values.argmax(axis=1)
        return tuple(self.classes[int(i)] for i in best)


def _in_parts(inputs: Embeddings, score: Callable[[Embeddings], Array], classes: int, width: int) -> np.ndarray:
    """Scores (n, c) float64 of ``inputs``, some rows at a time, so that nothing as large as the vectors is held.

    Parameters
    ----------
    score
        Scores (m, c) of m of the items.
    width
        Width of the widest row on the way.
    """
    n, rows = len(inputs), max(1, ENTRIES // width)
    values = np.empty((n, classes))
    for first in range(0, max(n, 1), rows):  # no items go through the checks of the map all the same
        some = slice(first, min(first + rows, n))
        part = Embeddings.without_checks(inputs.vectors[some, :], inputs.ids[some], inputs.space)
        values[some] = to_numpy(score(part))
    return values


def one_direction(to_common: Map) -> bool:
    """True if a map's anchors showed one direction only, so that the angle of a vector is its sign."""
    return getattr(to_common, "rank", None) == 1
