"""Anchors cut into folds that never split a group, with the moments of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.arrays import Array, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.moments import Evidence, Moments, moments_by
from stitchkit.core.row_moments import RowMoments, together
from stitchkit.metrics.ranks import distinct_rows

JUDGED = 5000  # rows kept for judging by rank
FOLDS = 5
SMALL = 20  # rows of a fold below which it is ranked against the targets of all anchors


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One fold's moments, and the rows it is judged by: each query's true column among distinct targets."""

    rows: np.ndarray  # (m,) positions among the anchors
    evidence: Evidence
    queries: Array  # (q, d_s)
    gallery: Array  # (g, d_t), distinct
    truth: np.ndarray  # (q,) column of each query's target
    groups: np.ndarray  # (q,) group of each query


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """All folds of one assignment."""

    parts: tuple[Fold, ...]
    x: Array
    y: Array

    @classmethod
    def of(
        cls, source: Embeddings, target: Embeddings, members: Sequence[np.ndarray], groups: np.ndarray | None = None
    ) -> Folds:
        """Folds whose rows are ``members``; small ones are ranked against every distinct target."""
        n, some = len(source), max(JUDGED // len(members), 1)
        rng = np.random.default_rng(0)  # judged rows are drawn, for tables are sorted by site or date
        picked = [np.sort(rng.permutation(rows)[:some]) for rows in members]
        seen = np.arange(n) if min(map(len, members)) < SMALL else np.concatenate(picked)
        distinct = np.empty(n, dtype=np.int64)
        distinct[seen] = distinct_rows(to_numpy(take(target.vectors, seen)))
        few = n < 4 * max(source.space.dim, target.space.dim)  # then solvers may work in the span of the rows
        parts: list[Fold] = []
        for rows, judged, moments in zip(members, picked, _moments_of(source, target, members), strict=True):
            pool = judged if len(rows) >= SMALL else np.arange(n)
            _, first = np.unique(distinct[pool], return_index=True)
            gallery = pool[np.sort(first)]
            column = {label: i for i, label in enumerate(distinct[gallery])}
            parts.append(
                Fold(
                    rows,
                    Evidence(moments, None, (take(source.vectors, rows), take(target.vectors, rows)) if few else None),
                    take(source.vectors, judged),
                    take(target.vectors, gallery),
                    np.asarray([column[label] for label in distinct[judged]]),
                    judged if groups is None else groups[judged],
                )
            )
        return cls(tuple(parts), source.vectors, target.vectors)

    def evidence(self, without: frozenset[int] = frozenset()) -> Evidence:
        """Everything but some folds, by adding the others; rows only where they are fewer than dimensions."""
        kept = [part for i, part in enumerate(self.parts) if i not in without]
        moments = together([part.evidence.moments for part in kept])
        rows = None
        if moments.count - 1 < max(moments.shape):
            picked = np.concatenate([part.rows for part in kept])
            rows = moments.rows if isinstance(moments, RowMoments) else (take(self.x, picked), take(self.y, picked))
        return Evidence(moments, [part.evidence.moments for part in kept], rows)


def _moments_of(
    source: Embeddings, target: Embeddings, members: Sequence[np.ndarray]
) -> Sequence[Moments | RowMoments]:
    """The moments of each fold; where all anchors are fewer than dimensions, as rows."""
    n = len(source)
    if n - 1 < max(source.space.dim, target.space.dim):
        return [
            RowMoments(take(source.vectors, rows), take(target.vectors, rows), source.space, target.space)
            for rows in members
        ]
    fold_of = np.empty(n, dtype=np.int64)
    for k, rows in enumerate(members):
        fold_of[rows] = k
    return moments_by(source, target, fold_of)


def assign(n: int, groups: np.ndarray | None, *, seed: int, k: int = FOLDS) -> list[np.ndarray]:
    """Positions (m,) of at most ``k`` folds of similar size; a group is never split, a fold never empty.

    Parameters
    ----------
    groups : (n,) or None
        None: each row is its own group.
    """
    _, of_row = np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)
    sizes = np.bincount(of_row)
    k = min(k, len(sizes))
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(k, dtype=np.int64)
    for group in largest_first:
        emptiest = int(np.argmin(filled))
        fold_of[group] = emptiest
        filled[emptiest] += sizes[group]
    return [np.flatnonzero(fold_of[of_row] == fold) for fold in range(k)]
