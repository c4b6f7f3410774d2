"""Anchors cut into folds that never split a group, with the moments of each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stitchkit.core.arrays import take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments, moments_by
from stitchkit.core.moments.row_moments import RowMoments, together
from stitchkit.core.patients import patients_or_rows
from stitchkit.metrics.ranks import distinct_rows

JUDGED = 5000  # rows ranked at most, for ranks take memory and time by their square
FOLDS = 5
SMALL = 20  # rows of a fold below which it is ranked against the targets of all anchors


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Anchors of one fold, and the queries among them with their true column among distinct targets.

    The first three are positions among the anchors.
    """

    rows: np.ndarray  # (m,)
    queries: np.ndarray  # (q,)
    gallery: np.ndarray  # (g,) of anchors with distinct targets
    truth: np.ndarray  # (q,) gallery column of each query's target
    target: np.ndarray  # (q,) number of each query's target, the same in all folds
    groups: np.ndarray  # (q,) group of each query


@dataclass(frozen=True, eq=False)
class Folds:
    """All folds of one assignment; their moments are computed on first use."""

    parts: tuple[Fold, ...]
    source: Embeddings
    target: Embeddings
    known: Sequence[Moments | RowMoments] | None = None  # the moments of each fold, where they exist already

    @classmethod
    def of(
        cls,
        source: Embeddings,
        target: Embeddings,
        members: Sequence[np.ndarray],
        groups: np.ndarray | None = None,
        *,
        distinct: np.ndarray | None = None,
        few: bool = False,
    ) -> Folds:
        """Folds whose rows are ``members``; small ones, or those of ``few`` targets, are ranked against all of them.

        ``distinct`` (n,) are numbers that equal targets share; None computes them.
        """
        n, some = len(source), max(JUDGED // len(members), 1)
        rng = np.random.default_rng(0)  # rows are drawn and not the first ones: tables are sorted by site or date
        judged_rows = [np.sort(rng.permutation(rows)[:some]) for rows in members]
        if distinct is None:
            compared = np.arange(n) if min(map(len, members)) < SMALL else np.concatenate(judged_rows)
            distinct = np.empty(n, dtype=np.int64)
            distinct[compared] = distinct_rows(to_numpy(take(target.vectors, compared)))
        parts: list[Fold] = []
        for rows, judged in zip(members, judged_rows, strict=True):
            pool = judged if len(rows) >= SMALL and not few else np.arange(n)
            _, first = np.unique(distinct[pool], return_index=True)
            gallery = pool[np.sort(first)]
            column = {label: i for i, label in enumerate(distinct[gallery])}
            truth = np.asarray([column[label] for label in distinct[judged]])
            owners = judged if groups is None else groups[judged]
            parts.append(Fold(rows, judged, gallery, truth, distinct[judged], owners))
        return cls(tuple(parts), source, target)

    @cached_property
    def moments(self) -> Sequence[Moments | RowMoments]:
        """The moments of each fold; where all anchors are fewer than dimensions, as rows."""
        return self.known or _moments_of(self.source, self.target, [part.rows for part in self.parts])

    def join(self, a: int, b: int) -> Folds:
        """The folds ``a`` and ``b`` as one, which comes first; its queries' own targets are its gallery."""
        both, others = (self.parts[a], self.parts[b]), [i for i in range(len(self.parts)) if i not in (a, b)]
        rows, queries, target, groups = (
            np.concatenate([getattr(one, name) for one in both]) for name in ("rows", "queries", "target", "groups")
        )
        first = Fold(rows, queries, queries, np.arange(len(queries)), target, groups)
        moments = [together([self.moments[a], self.moments[b]]), *(self.moments[i] for i in others)]
        return Folds((first, *(self.parts[i] for i in others)), self.source, self.target, moments)

    @property
    def targets(self) -> np.ndarray:
        """Number (q,) of the target of every judged anchor."""
        return np.concatenate([part.target for part in self.parts])

    def without(self, held: int) -> Moments | RowMoments:
        """The moments of everything but one fold, by adding the others."""
        return together([one for i, one in enumerate(self.moments) if i != held])

    def evidence(self, without: frozenset[int] = frozenset()) -> Evidence:
        """Everything but some folds, by adding the others; rows only where they are fewer than dimensions."""
        kept = [i for i in range(len(self.parts)) if i not in without]
        parts = [self.moments[i] for i in kept]
        return _evidence(self.source, self.target, parts, [self.parts[i].rows for i in kept])


def evidence_of(source: Embeddings, target: Embeddings, members: Sequence[np.ndarray]) -> Evidence:
    """The evidence of anchors in parts of positions ``members``; rows only where they are fewer than dimensions."""
    return _evidence(source, target, _moments_of(source, target, members), members)


def _evidence(
    source: Embeddings,
    target: Embeddings,
    parts: Sequence[Moments | RowMoments],
    members: Sequence[np.ndarray],
) -> Evidence:
    moments, rows = together(parts), None
    if moments.count - 1 < max(moments.shape):
        picked = np.concatenate(members)
        both = (take(source.vectors, picked), take(target.vectors, picked))
        rows = moments.rows if isinstance(moments, RowMoments) else both
    return Evidence(moments, parts, rows)


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


def in_order(labels: np.ndarray) -> np.ndarray:
    """Numbers (n,) of labels by their first appearance, so that other names for them change nothing."""
    _, first, of_row = np.unique(labels, return_index=True, return_inverse=True)
    numbers: np.ndarray = np.argsort(np.argsort(first))[of_row.reshape(-1)]
    return numbers


def assign_by_target(target: np.ndarray, groups: np.ndarray | None, *, seed: int, k: int = FOLDS) -> list[np.ndarray]:
    """:func:`assign`, with equal targets, which share a number in ``target`` (n,), spread over all folds."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    n = len(target)
    k = min(k, patients_or_rows(groups, n))
    if np.unique(target, return_counts=True)[1].max() < k:  # no target is in every fold
        return assign(n, groups, seed=seed, k=k)
    with warnings.catch_warnings():
        # a rare target is spread over as many folds as it has anchors, which is all that is wanted here
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        if groups is None:
            parts = StratifiedKFold(k, shuffle=True, random_state=seed).split(np.zeros(n), target)
        else:
            split = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split
            parts = split(np.zeros(n), target, in_order(groups))
        members = [held for _, held in parts]
    return members if all(len(rows) for rows in members) else assign(n, groups, seed=seed, k=k)


def assign(n: int, groups: np.ndarray | None, *, seed: int, k: int = FOLDS) -> list[np.ndarray]:
    """Positions (m,) of at most ``k`` folds of similar size; a group is never split, a fold never empty.

    Parameters
    ----------
    n
        Number of anchors.
    groups : (n,) or None
        Group of each anchor; None where each is its own.
    seed
        Seed of the order in which groups of equal size are assigned.
    k
        Number of folds. Default: 5
    """
    of_row = in_order(np.arange(n) if groups is None else np.asarray(groups))
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
