"""A training set of the search in its principal axes, with its held-out pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stitchkit.core.arrays import Array, namespace, take


class Extent(NamedTuple):
    """Size of the smallest training set of a search: its pairs, and the widths of the two spaces."""

    pairs: int
    shape: tuple[int, int]

    @property
    def widest(self) -> int:
        """Directions that both sides can show."""
        return min(*self.shape, self.pairs - 1)


@dataclass(frozen=True, eq=False)
class Axes:
    """Centred scatters of training pairs on the principal axes of each side, and held-out rows on the same axes.

    Parameters
    ----------
    scale, pca
        Sides divided by their standard deviations, and principal directions kept, as in a solver's settings.
    count
        Training pairs.
    widths
        Widths of the two spaces, (d_s, d_t).
    source_values : (r_s,), target_values : (r_t,)
        Eigenvalues of the scatters, falling, all above rounding; one that is 0 where a side does not vary.
    cross : (r_s, r_t)
        Cross scatter.
    queries : (m, r_s), gallery : (g, r_t)
        Held-out source rows and distinct held-out targets, about the training means.
    truth : (m,)
        Gallery row of each query.
    outside : (g,)
        Squared length of each gallery row, in the scaled target space, outside these axes.
    target_scale : (d_t,) or None
        Factor of each raw target feature.
    lower
        Function that computes the rows (r_t, d_t) that turn target coordinates into raw target rows, and the mean
        (d_t,) to add.
    """

    scale: str
    pca: int | None
    count: int
    widths: tuple[int, int]
    source_values: Array
    target_values: Array
    cross: Array
    queries: Array
    gallery: Array
    truth: np.ndarray
    outside: Array
    target_scale: Array | None
    lower: Callable[[], tuple[Array, Array]]

    def cut(self, pca: int) -> Axes:
        """The first ``pca`` axes of each side."""
        lost = self.gallery[:, pca:]
        return replace(
            self,
            pca=pca,
            source_values=self.source_values[:pca],
            target_values=self.target_values[:pca],
            cross=self.cross[:pca, :pca],
            queries=self.queries[:, :pca],
            gallery=self.gallery[:, :pca],
            outside=self.outside + namespace(lost).sum(lost * lost, axis=1),
            lower=lambda: (self.lower()[0][:pca, :], self.lower()[1]),
        )

    @property
    def rank(self) -> int:
        """Number of directions of the side that shows fewer."""
        return min(int(self.source_values.shape[0]), int(self.target_values.shape[0]))

    @property
    def targets(self) -> Array:
        """True target (m, r_t) of each query."""
        return take(self.gallery, self.truth)

    @property
    def source_unit(self) -> float:
        """Mean eigenvalue of the source scatter, counted over its raw width; 1 where it does not vary."""
        return float(namespace(self.source_values).sum(self.source_values)) / self.widths[0] or 1.0

    @property
    def target_spread(self) -> float:
        """Sum of squares of the queries' true targets about the training mean, in the scaled target space."""
        xp, inside = namespace(self.gallery), self.targets
        return float(xp.sum(inside * inside)) + float(xp.sum(take(self.outside, self.truth)))
