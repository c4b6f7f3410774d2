"""Pairs in the common space: true against random similarities, hubs, and the pairs that fit worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.clusters import Clusters
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, like, namespace, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.maps import unit
from stitchkit.core.neighbours import nearest
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.neighbourhoods import Hubness, hubness
from stitchkit.metrics.ranks import distinct_rows

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
RANDOM = 20  # random pairs a true one, at most RANDOM_MOST in all
RANDOM_MOST = 20_000
BINS = 40
OUTLYING = 3.5  # robust z, Iglewicz and Hoaglin 1993
LISTED, AT_LEAST = 20, 5  # outliers kept at most, and worst pairs shown anyhow


@dataclass(frozen=True, slots=True)
class Cosines:
    """Similarity of true pairs against random ones in the common space.

    Parameters
    ----------
    true, random
        Quantiles at 5, 25, 50, 75 and 95 %.
    above
        Chance that a true pair scores above a random one, ties half: .5 is chance, 1 is perfect.
    edges, of_true, of_random
        Histograms as shares: ``len(edges) - 1`` bins.
    pairs
        Random pairs drawn; never of one item, of equal targets or, if groups are known, of one patient.
    """

    true: tuple[float, ...]
    random: tuple[float, ...]
    above: float
    edges: tuple[float, ...]
    of_true: tuple[float, ...]
    of_random: tuple[float, ...]
    pairs: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A pair that the alignment fits badly.

    Parameters
    ----------
    id
        Id of the item.
    similarity
        Similarity of the pair in the common space.
    z
        Robust z of its residual ``1 - similarity``: distance from the median over 1.4826 median absolute deviations.
    leverage
        Hat value of its source vector among the anchors', or None where it is no anchor.
    flagged
        True if z is above 3.5.
    """

    id: str
    similarity: float
    z: float
    leverage: float | None
    flagged: bool


@dataclass(frozen=True, slots=True, eq=False)
class AlignedPairs:
    """Both sides of the pairs in the common space, rows (n, k) each, in float64.

    ``kinds`` (n,) labels equal targets; ``patients`` (n,) or None; ``precision`` is that of the maps' output.
    """

    left: Array
    right: Array
    weights: Array | None
    kinds: np.ndarray
    patients: np.ndarray | None
    precision: Any

    @classmethod
    def of(cls, alignment: Alignment, x: Embeddings, y: Embeddings, patients: np.ndarray | None) -> AlignedPairs:
        """Both sides of the pairs, mapped by ``alignment``."""
        mapped = alignment.source_map(x).vectors
        left, right = float64(mapped), float64(alignment.target_map(y).vectors)
        weights = None if alignment.weights is None else float64(like(alignment.weights, left))
        return cls(
            left=left,
            right=like(right, left),
            weights=weights,
            kinds=distinct_rows(to_numpy(y.vectors)),
            patients=patients,
            precision=mapped.dtype,
        )

    @property
    def weighted_source(self) -> Array:
        """Unit rows of the source side with the weights in, so that similarity is an inner product."""
        rows = unit(self.left)
        return rows if self.weights is None else rows * self.weights

    def similarity(self, order: np.ndarray | None = None) -> np.ndarray:
        """Similarity (n,) of each source row to the target row of its own, or to that at place ``order``."""
        right = to_numpy(unit(self.right))
        inner: np.ndarray = (to_numpy(self.weighted_source) * (right if order is None else right[order])).sum(axis=1)
        return inner

    def cosines(self, seed: int) -> Cosines:
        """True against random pairs."""
        true, random = self.similarity(), self._random(seed)
        if not random.size:
            raise InputError(
                "no two pairs differ in target and patient, so true pairs cannot be told from random ones. Give more."
            )
        edges = np.linspace(min(true.min(), random.min()), max(true.max(), random.max()) + 1e-12, BINS + 1)
        scores, labels = np.concatenate([true, random]), np.repeat([1, 0], [len(true), len(random)])
        shares = [np.histogram(one, edges)[0] / len(one) for one in (true, random)]
        quantiles = [np.quantile(one, LEVELS).tolist() for one in (true, random)]
        return Cosines(
            true=tuple(quantiles[0]),
            random=tuple(quantiles[1]),
            above=auroc(scores, labels),
            edges=tuple(edges.tolist()),
            of_true=tuple(shares[0].tolist()),
            of_random=tuple(shares[1].tolist()),
            pairs=len(random),
        )

    def _random(self, seed: int) -> np.ndarray:
        """Similarities of pairs of two items that differ in target and patient."""
        rng, n, values = np.random.default_rng(seed), len(self.kinds), []
        for _ in range(max(min(RANDOM, RANDOM_MOST // n), 1)):
            order = rng.permutation(n)
            other = self.kinds != self.kinds[order]
            if self.patients is not None:
                other &= self.patients != self.patients[order]
            values.append(self.similarity(order)[other])
        return np.concatenate(values)

    def hubs(self, k: int) -> tuple[Hubness, Hubness]:
        """Hubness of the targets with sources as queries, and of the sources with targets as queries."""
        n, xp = len(self.kinds), namespace(self.left)
        # a product of more digits than the vectors have takes twice the time and tells nothing
        source, target = (xp.astype(side, self.precision) for side in (self.weighted_source, unit(self.right)))
        return hubness(nearest(source, target, k).rows, n), hubness(nearest(target, source, k).rows, n)


def outliers(aligned: AlignedPairs, x: Embeddings, leverages: np.ndarray | None) -> tuple[tuple[Outlier, ...], int]:
    """The worst pairs, and how many are flagged; a pair that stands several times is one."""
    similarity = aligned.similarity()
    residual = 1 - similarity
    away = residual - np.median(residual)
    scale = 1.4826 * float(np.median(np.abs(away)))
    # where half of the pairs fit alike the deviation is rounding; then nothing can be told apart by it
    z = away / scale if scale > 1e-9 else np.zeros_like(away)
    same = Clusters.of(x, None).labels  # a label for each source vector, or None where none repeats
    if same is None:
        first = np.arange(len(z))
    else:
        first = np.unique(np.stack([same, aligned.kinds]), axis=1, return_index=True)[1]
    order = first[np.lexsort((first, -z[first]))]
    flagged = int(np.sum(z[first] > OUTLYING))
    shown = order[: min(max(flagged, AT_LEAST), LISTED)]
    worst = tuple(
        Outlier(
            id=str(x.ids[i]),
            similarity=float(similarity[i]),
            z=float(z[i]),
            leverage=None if leverages is None else float(leverages[i]),
            flagged=bool(z[i] > OUTLYING),
        )
        for i in shown
    )
    return worst, flagged
