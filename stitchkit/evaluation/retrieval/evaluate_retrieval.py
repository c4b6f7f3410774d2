"""Retrieval between two spaces: recall@k both ways, with the gallery's size and chance beside every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import given_ids
from stitchkit.core.arrays import take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.fitted_pairs import audit_pairs
from stitchkit.evaluation.retrieval.corrected_scores import PLAIN, correct_rows, scoring_in_words
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import by_patient, exact_interval
from stitchkit.metrics.ranks import (
    chance_both_ways,
    chance_queries,
    distinct_rows,
    pair_ranks,
    pair_ranks_back,
)
from stitchkit.metrics.tied_ranks import Ranks
from stitchkit.runtime.threads import FEW_PAIRS, one_blas_thread


@dataclass(frozen=True, slots=True)
class Direction:
    """Recall of one direction.

    Parameters
    ----------
    name
        The two sides, ``"a to b"``.
    recall
        k -> recall@k among ``gallery`` candidates.
    queries, gallery
        Number of queries and of candidates.
    by_chance
        k -> recall@k that the same rankings have where the pairs are shuffled.
    """

    name: str
    recall: dict[int, Interval]
    queries: int
    gallery: int
    by_chance: dict[int, float]

    def chance(self, k: int) -> float:
        """Recall@k of shuffled pairs, mean over queries: higher than k / gallery where frequent targets are first.

        Raises
        ------
        InputError
            If recall was not measured at ``k``: the chance of shuffled pairs is counted with it.
        """
        if k not in self.by_chance:
            measured = ", ".join(str(one) for one in self.by_chance)
            raise InputError(
                f"chance is known where recall was measured, at k = {measured}; got k = {k}. "
                f"Measure it there too: " + setting("ks", [*self.by_chance, k]) + "."
            )
        return self.by_chance[k]


@dataclass(frozen=True, slots=True)
class Retrieval(NotebookText):
    """Recall@k from source to target and back.

    Parameters
    ----------
    forward, backward
        Each way.
    scored
        Similarity by which the candidates were ordered.
    patients
        Number of patients; None where they are not known.
    notes
        A chance that is an estimate; pairs that the alignment was fitted on, where that is allowed; and what could
        not be checked.
    """

    forward: Direction
    backward: Direction
    scored: str = PLAIN
    patients: int | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [] if self.scored == PLAIN else [self.scored]
        for one in (self.forward, self.backward):
            lines.append(f"{one.name}: {counted(one.queries, 'query', 'queries')}, gallery of {one.gallery}")
            lines += [f"  R@{k:<3} {value}  (chance {one.chance(k):.3f})" for k, value in one.recall.items()]
        known = (
            f"over {counted(self.patients, 'patient')}"
            if self.patients is not None
            else "over pairs; patients are not known"
        )
        return "\n".join([*lines, f"intervals are {known}", *(f"note: {note}" for note in self.notes)])


def evaluate_retrieval(
    alignment: Alignment,
    source: Any,
    target: Any,
    *,
    ks: Sequence[int] = (1, 5, 10),
    groups: Any = None,
    csls: Any = None,
    pool: Any = None,
    allow_leakage: bool = False,
) -> Retrieval:
    """Recall@k both ways on pairs that the alignment was not fitted on.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Embeddings paired by id, or arrays paired by row. Equal target vectors are one target: going forward the
        gallery holds it once, going back any of its sources is right.
    ks
        Places counted, at least 1 each.
    groups : (n,) or mapping id -> group, optional
        Patients; intervals are over the patients of the queries, the gallery stays fixed.
    csls : (source_pool (m_s, d_s), target_pool (m_t, d_t)) or "gallery", optional
        Score by ``2 s - r_x - r_y``, r the mean similarity to the ten nearest of the other side's pool: what is near
        to everything counts less. ``"gallery"`` takes r from the pairs that are judged; the result says so, for
        in deployment one query has no others beside it.
    pool : (source_pool (m_s, d_s), target_pool (m_t, d_t)), optional
        Score by the inverted softmax over the pools at temperature .1: ``s - .1 log mean exp(s' / .1)`` with the
        candidate's similarities s' to the pool of the query's side. Instead of ``csls``.
    allow_leakage
        Report pairs that the alignment was fitted on in the notes instead of refusing them.

    Returns
    -------
    Retrieval
        With intervals at 95 % by :func:`stitchkit.metrics.proportions.exact_interval`; print it.

    Raises
    ------
    InputError
        If the rows do not match, a k is below 1, one side's vectors are all the same, or there are fewer than ten
        rows to take neighbourhoods from.
    SpaceMismatchError
        If the vectors or a pool belong to another encoder.
    DataError
        If an id of the source is missing among the targets.
    LeakageError
        If one of the pairs, or a patient, is among the anchors whose hashes the alignment keeps in its record.

    References
    ----------
    CSLS: Conneau et al., "Word translation without parallel data", ICLR 2018. Inverted softmax: Smith et al.,
    "Offline bilingual word vectors, orthogonal transformations and the inverted softmax", ICLR 2017.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"recall@k needs k of at least 1; got {list(ks)}.")
    x, y = paired_sides(source, target)
    alignment.source.require(x.space, "retrieval with this alignment (source side)")
    alignment.target.require(y.space, "retrieval with this alignment (target side)")
    patients = anchor_groups(groups, x)
    notes = audit_pairs(alignment, (x, y), patients, given_ids(source, target), allow=allow_leakage)
    measured = measure_retrieval(alignment, x, y, patients, ks=ks, csls=csls, pool=pool)
    return replace(measured, notes=(*measured.notes, *notes))


def measure_retrieval(
    alignment: Alignment,
    x: Embeddings,
    y: Embeddings,
    patients: np.ndarray | None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    csls: Any = None,
    pool: Any = None,
) -> Retrieval:
    """Recall@k both ways of paired rows, without the check of :func:`evaluate_retrieval` for fitted pairs.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Row i of both is one pair. Equal rows of ``y`` are one target.
    patients : (n,) or None
        Patient of each pair; None: each pair is its own patient.
    ks
        Places counted, at least 1 each.
    csls, pool
        As in :func:`evaluate_retrieval`.

    Returns
    -------
    Retrieval
        With a note where chance is an estimate.

    Raises
    ------
    InputError
        If ``csls`` or ``pool`` is no pair of pools, or there are fewer than ten rows to take neighbourhoods from.
    UnknownNameError
        If ``csls`` is a word other than ``"gallery"``.
    SpaceMismatchError
        If a pool belongs to another encoder.
    """
    of_query = patient_of_each(patients, len(x))
    with one_blas_thread(len(x) <= FEW_PAIRS):
        ranks = partner_ranks(alignment, x, y, csls=csls, pool=pool, ks=ks)
        recalls = _recalls(ranks, of_query, ks)

    def direction(name: str, places: Ranks, way: int, gallery: int) -> Direction:
        by_chance = dict(zip(ks, ranks.chance[way][1:].tolist(), strict=True))
        return Direction(
            name=name, recall=recalls[way], queries=len(places), gallery=gallery, by_chance=by_chance
        )  # fmt: skip

    here, other = names_of(alignment)
    return Retrieval(
        forward=direction(f"{here} to {other}", ranks.there, 0, len(ranks.first)),
        backward=direction(f"{other} to {here}", ranks.back, 1, len(x)),
        scored=scoring_in_words(csls, pool),
        patients=count_patients(patients),
        notes=(*_estimate_notes(ranks), *_whole_notes(ks, (len(ranks.first), len(x)))),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PartnerRanks:
    """Ranks of the true partners: of n items among m distinct targets, and back.

    Parameters
    ----------
    there : (n,)
        Rank of each item's target among the distinct ones.
    back : (m,)
        Rank of the best of each distinct target's own items among all items.
    first : (m,)
        The first item of each distinct target.
    truth : (n,)
        The distinct target of each item.
    chance : (2, 1 + len(ks))
        Mean reciprocal rank and recall at each k of shuffled pairs, there and back; ``ks`` are those given to
        :func:`partner_ranks`.
    """

    there: Ranks
    back: Ranks
    first: np.ndarray
    truth: np.ndarray
    chance: np.ndarray


def partner_ranks(
    alignment: Alignment, x: Embeddings, y: Embeddings, *, csls: Any = None, pool: Any = None, ks: Sequence[int] = ()
) -> PartnerRanks:
    """Ranks of the true partners of paired rows, both ways, and their chance.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Row i of both is one pair. Equal rows of ``y`` are one target.
    csls, pool
        As in :func:`evaluate_retrieval`.
    ks
        Places k whose recall by chance is counted, a column of ``chance`` each; by default none, so that ``chance``
        is (2, 1) and holds mean reciprocal ranks only.

    Returns
    -------
    PartnerRanks
        Ranks of n items and m distinct targets.

    Raises
    ------
    InputError
        If ``csls`` or ``pool`` is no pair of pools, or there are fewer than ten rows to take neighbourhoods from.
    UnknownNameError
        If ``csls`` is a word other than ``"gallery"``.
    SpaceMismatchError
        If a pool belongs to another encoder.
    """
    _, first, truth = np.unique(distinct_rows(to_numpy(y.vectors)), return_index=True, return_inverse=True)
    truth = truth.reshape(-1)
    sides = x.vectors, take(y.vectors, first)
    queries, gallery = correct_rows(alignment, sides, csls=csls, pool=pool)  # mapped once, ranked in tiles
    return PartnerRanks(
        there=pair_ranks(queries, gallery, truth),
        back=pair_ranks_back(queries, gallery, truth),
        first=first,
        truth=truth,
        chance=np.asarray(
            [[fsum(one) / len(one) for one in way.T] for way in chance_both_ways(queries, gallery, truth, ks)]
        ),
    )


def _estimate_notes(ranks: PartnerRanks) -> tuple[str, ...]:
    """A note where not all queries were ranked for the chance going there."""
    n, ranked = len(ranks.truth), chance_queries(ranks.truth, len(ranks.first))
    return (
        () if ranked == n else (f"chance going there is estimated from {ranked:,} of {n:,} queries, drawn at random",)
    )


def _whole_notes(ks: Sequence[int], galleries: tuple[int, int]) -> tuple[str, ...]:
    """A note where a k is no less than the candidates that are ranked there or back."""
    whole = ", ".join(f"recall@{k}" for k in ks if k >= min(galleries))
    return (
        (f"{whole}: 1 by construction where a gallery has no more candidates, and without an interval",)
        if whole
        else ()
    )


def names_of(alignment: Alignment) -> tuple[str, str]:
    """Names of the two sides that tell them apart: arrays have one name for both."""
    both = alignment.source.name, alignment.target.name
    return both if both[0] != both[1] else ("source", "target")


def _recalls(ranks: PartnerRanks, patients: np.ndarray, ks: Sequence[int]) -> list[dict[int, Interval]]:
    """Recall at each k with its interval, there and back; of k candidates or fewer it is 1 and has none."""

    def recall(way: Ranks, of: np.ndarray, gallery: int, k: int) -> Interval:
        if k >= gallery:
            return Interval(1.0, float("nan"), float("nan"))
        return exact_interval(by_patient(way.recall(k), of), by_patient(np.ones(len(way)), of))

    ways = (ranks.there, patients, len(ranks.first)), (ranks.back, patients[ranks.first], len(ranks.truth))
    return [{k: recall(way, of, gallery, k) for k in ks} for way, of, gallery in ways]
