"""No pairs at all: clusters of both pools are matched by their geometry alone, and the match is refined.

Works in numpy: clustering and the assignment problem are scikit-learn's and scipy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stitchkit.core.arrays import svd
from stitchkit.core.errors import InputError
from stitchkit.core.maps import unit
from stitchkit.core.neighbours import nearest
from stitchkit.solvers.pools.hard_matching import mutual_pairs

RUNS = 6  # whole attempts, each with its own clusterings
BEST = 2  # of them are compared with each other
CLUSTERINGS = 6  # of each attempt
ASSIGNMENTS = 20  # starts of each assignment problem
CLOSE = 10  # neighbours among which two attempts agree


class Rotations(NamedTuple):
    """Rotations of both clouds to common directions, ``x @ source`` and ``y @ target``, and their closeness there."""

    source: np.ndarray  # (d_s, r)
    target: np.ndarray  # (d_t, r)
    closeness: float


@dataclass(frozen=True, slots=True, eq=False)
class PairFree:
    """Match of two clouds by their geometry alone.

    Parameters
    ----------
    rotations
        The best attempt.
    agreement
        Share of rows, 0 to 1, whose partner under one of the best attempts is among the ten nearest under another.
    mixing
        Share of rows whose nearest neighbour, in both clouds laid over each other, is of the other cloud: about 0.5
        for two samples of one distribution, up to 1 for the same items, near 0 where the clouds do not fit.
    mutual_share
        Share of the smaller cloud that has a mutual nearest neighbour.
    """

    rotations: Rotations
    agreement: float
    mixing: float
    mutual_share: float


def match_clouds(x: np.ndarray, y: np.ndarray, *, clusters: int = 20, seed: int = 0) -> PairFree:
    """Rotate two unpaired clouds ``x`` (m_s, d_s) and ``y`` (m_t, d_t), centred rows at unit length, onto each other.

    Each attempt clusters both sides several times, matches the centroids by the quadratic assignment of their Gram
    matrices, and describes every row by its cosines to the matched centroids. The nearest rows by that description are
    pseudo-targets for a first orthogonal map, which rounds of nearest neighbours refine.

    References
    ----------
    The pipeline is our own writing of mini-vec2vec (Dar, 2025), a linear form of vec2vec (Jha et al., 2025).
    """
    if min(len(x), len(y)) < 5 * clusters:
        raise InputError(
            f"pools of {len(x)} and {len(y)} rows are too small for {clusters} clusters; "
            f"matching without pairs needs at least {5 * clusters} rows a side, and rather thousands."
        )
    attempts = [_attempt(x, y, clusters, np.random.default_rng([seed, run])) for run in range(RUNS)]
    best = sorted(attempts, key=lambda one: -one.closeness)[:BEST]
    pairs = [(best[i], best[j]) for i in range(BEST) for j in range(BEST) if i != j]
    agreement = float(np.mean([_agreement(x, y, one, other) for one, other in pairs]))
    a, b = _rotate(x, y, best[0])
    share = len(mutual_pairs(a, b).source) / min(len(x), len(y))
    return PairFree(best[0], agreement, _mixing(a, b), share)


def _attempt(x: np.ndarray, y: np.ndarray, clusters: int, rng: np.random.Generator) -> Rotations:
    described_x, described_y = [], []
    for _ in range(CLUSTERINGS):
        left, right = (_centroids(side, clusters, rng) for side in (x, y))
        order = _assign(left @ left.T, right @ right.T, rng)
        described_x.append(_standard(x @ left.T))
        described_y.append(_standard(y @ right[order].T))
    a, b = (unit(np.concatenate(parts, axis=1)) for parts in (described_x, described_y))
    rotation = _orthogonal(x, _mean_target(a, b, y))
    for _ in range(10):  # broad neighbourhoods first, since they are robust to a bad start
        rotation = _orthogonal(x, _mean_target(*_rotate(x, y, rotation), y))
    for share in (*np.linspace(0.4, 1.0, 10), *[1.0] * 10):
        pairs = mutual_pairs(*_rotate(x, y, rotation)).best(float(share))
        rotation = _orthogonal(x[pairs.source], y[pairs.target])
    a, b = _rotate(x, y, rotation)
    near = nearest(a, b, 1).scores.mean() + nearest(b, a, 1).scores.mean()
    return rotation._replace(closeness=float(near) / 2)


def _centroids(rows: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import KMeans

    clustering = KMeans(clusters, n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(rows)
    return np.asarray(unit(np.asarray(clustering.cluster_centers_, dtype=np.float64)))


def _assign(left: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The order of ``right`` (c, c) that fits ``left`` (c, c) best: many starts, each polished by exchanges."""
    from scipy.optimize import quadratic_assignment

    best, order = -np.inf, np.arange(len(left))
    for _ in range(ASSIGNMENTS):
        options = {"maximize": True, "P0": "randomized", "rng": np.random.default_rng(int(rng.integers(2**31)))}
        fit, candidate = exchange(left, right, np.asarray(quadratic_assignment(left, right, options=options).col_ind))
        if fit > best:
            best, order = fit, candidate
    return order


def exchange(left: np.ndarray, right: np.ndarray, order: np.ndarray) -> tuple[float, np.ndarray]:
    """Exchange the two entries of ``order`` that raise ``sum(left * right[order, order])`` most, while any do.

    ``left`` and ``right`` are symmetric. Gives the sum and the order reached.
    """
    order = order.copy()
    own = np.diagonal(left)
    for _ in range(len(left) ** 2):
        moved = right[np.ix_(order, order)]
        cross, there = left @ moved, np.diagonal(moved)
        within = cross + cross.T - np.diagonal(cross)[:, None] - np.diagonal(cross)[None, :]
        # the two exchanged entries enter that sum by other terms
        at_r = (own[:, None] - left) * (moved - there[:, None])
        at_s = (left - own[None, :]) * (there[None, :] - moved)
        gain = 2 * (within - at_r - at_s) + (own[:, None] - own[None, :]) * (there[None, :] - there[:, None])
        r, s = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if gain[r, s] <= 1e-12 * np.abs(left).sum():
            break
        order[[r, s]] = order[[s, r]]
    return float(np.sum(left * right[np.ix_(order, order)])), order


def _standard(described: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and spread 1, since the cosines of the two sides can differ in size."""
    centred = described - described.mean(axis=0)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 0, spread, 1.0)


def _mean_target(a: np.ndarray, b: np.ndarray, y: np.ndarray, k: int = CLOSE) -> np.ndarray:
    """Mean of ``y`` over the ``k`` nearest of ``b`` for each row of ``a``."""
    return np.asarray(y[nearest(a, b, k).rows].mean(axis=1))


def _orthogonal(x: np.ndarray, y: np.ndarray) -> Rotations:
    u, _, vh = svd(x.T @ y)
    return Rotations(u, vh.T, 0.0)


def _rotate(x: np.ndarray, y: np.ndarray, rotation: Rotations) -> tuple[np.ndarray, np.ndarray]:
    return unit(x @ rotation.source), unit(y @ rotation.target)


def _agreement(x: np.ndarray, y: np.ndarray, one: Rotations, other: Rotations) -> float:
    mine, theirs = (nearest(*_rotate(x, y, rotation), k).rows for rotation, k in ((one, 1), (other, CLOSE)))
    return float((theirs == mine).any(axis=1).mean())


def _mixing(a: np.ndarray, b: np.ndarray) -> float:
    """Both clouds cut to one size, for the larger one would be nearer by number alone."""
    m = min(len(a), len(b))
    rng = np.random.default_rng(0)
    a, b = a[rng.permutation(len(a))[:m]], b[rng.permutation(len(b))[:m]]
    across = nearest(a, b, 1).scores, nearest(b, a, 1).scores
    within = nearest(a, a, 1, skip_self=True).scores, nearest(b, b, 1, skip_self=True).scores
    return float(np.mean([np.mean(out > own) for out, own in zip(across, within, strict=True)]))
