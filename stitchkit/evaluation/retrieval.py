"""Retrieval between two spaces: recall@k both ways, with the gallery's size and chance beside every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import take, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import checked_groups, rows_of
from stitchkit.core.moments import check_paired
from stitchkit.metrics.bootstrap import Interval, patient_counts, percentile_interval
from stitchkit.metrics.ranks import TILE, distinct_rows, recall_at, tiled_ranks


@dataclass(frozen=True, slots=True)
class Direction:
    """Recall of one direction: ``recall[k]`` among ``gallery`` distinct candidates; ``queries`` were asked."""

    name: str
    recall: dict[int, Interval]
    queries: int
    gallery: int

    def chance(self, k: int) -> float:
        """Recall@k of a random ranking."""
        return min(k / self.gallery, 1.0)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Recall@k from source to target and back."""

    forward: Direction
    backward: Direction

    def __str__(self) -> str:
        lines = []
        for one in (self.forward, self.backward):
            lines.append(f"{one.name}: {one.queries} queries, gallery of {one.gallery}")
            lines += [f"  R@{k:<3} {value}  (chance {one.chance(k):.3f})" for k, value in one.recall.items()]
        return "\n".join(lines)


def evaluate_retrieval(
    alignment: Alignment,
    source: Any,
    target: Any,
    *,
    ks: Sequence[int] = (1, 5, 10),
    groups: Any = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Retrieval:
    """Recall@k both ways on pairs that the alignment was not fitted on.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Embeddings paired by id, or arrays paired by row. Equal target vectors are one target: going forward the
        gallery holds it once, going back any of its sources is right.
    ks
        Places counted, at least 1 each.
    groups : (n,), optional
        Patients; queries are resampled by patient, the gallery stays fixed.

    Returns
    -------
    Retrieval
        With percentile intervals at 95 %; print it.

    Raises
    ------
    InputError
        If the rows do not match or a k is below 1.
    DataError
        If an id of the source is missing among the targets.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"recall@k needs k of at least 1; got {list(ks)}.")
    x, y = as_embeddings(source, "source"), as_embeddings(target, "target")
    if isinstance(source, Embeddings) and isinstance(target, Embeddings):
        y = y.take(rows_of(x.ids, y.ids, "the target embeddings"))
    check_paired(len(x), len(y))
    patients = np.arange(len(x)) if groups is None else checked_groups(groups, len(x))
    _, first, of_row = np.unique(distinct_rows(to_numpy(y.vectors)), return_index=True, return_inverse=True)
    gallery = take(y.vectors, first)
    there = tiled_ranks(lambda a, b: alignment.similarity(x.vectors[a:b, :], gallery), of_row.reshape(-1))
    back = _best_ranks(alignment, x.vectors, gallery, of_row.reshape(-1))

    def direction(name: str, ranks: np.ndarray, of_query: np.ndarray, size: int) -> Direction:
        recall = {k: _interval(ranks, k, of_query, replicates, seed) for k in ks}
        return Direction(name, recall, len(ranks), size)

    return Retrieval(
        direction(f"{alignment.source.name} to {alignment.target.name}", there, patients, len(first)),
        direction(f"{alignment.target.name} to {alignment.source.name}", back, patients[first], len(x)),
    )


def _best_ranks(alignment: Alignment, sources: Any, gallery: Any, of_row: np.ndarray) -> np.ndarray:
    """Rank of the best true source of each distinct target (g,) among all sources; ties with rivals count half."""
    ranks = []
    for start in range(0, int(gallery.shape[0]), TILE):
        tile = gallery[start : min(start + TILE, int(gallery.shape[0])), :]
        similarity = to_numpy(alignment.similarity(sources, tile))  # (n, t)
        true = of_row[:, None] == np.arange(start, start + similarity.shape[1])[None, :]
        best = np.where(true, similarity, -np.inf).max(axis=0)
        rivals = np.where(true, -np.inf, similarity)
        ranks.append(1 + (rivals > best).sum(axis=0) + (rivals == best).sum(axis=0) / 2)
    return np.concatenate(ranks)


def _interval(ranks: np.ndarray, k: int, patients: np.ndarray, replicates: int, seed: int) -> Interval:
    hit = (ranks <= k).astype(np.float64)
    drawn = [counts @ hit / counts.sum(axis=1) for counts in patient_counts(patients, replicates, seed)]
    return percentile_interval(recall_at(ranks, k), np.concatenate(drawn))
