"""Pairs that a map was not fitted on, and measures of a map on them: ranks both ways and R2, added up by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_interval
from stitchkit.metrics.r2_intervals import r2_interval
from stitchkit.metrics.ranks import chance_both_ways, distinct_rows, pair_ranks, pair_ranks_back

LEAST = 10  # pairs below which nothing is compared


def check_enough(pairs: int, what: str = "this") -> None:
    """Raise for a number of held-out pairs by which nothing can be judged; ``what`` is what needs them."""
    if pairs < LEAST:
        raise InputError(
            f"{counted(pairs, 'pair is', 'pairs are')} too few to judge by; {what} needs at least {LEAST} pairs. Give "
            f"more pairs."
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeldPairs:
    """Paired vectors with the patient of each pair.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Row i of both is one pair.
    groups : (n,) or None
        None: each pair is its own patient.
    target : (n,) int
        Equal target rows share a label.
    """

    x: Embeddings
    y: Embeddings
    groups: np.ndarray | None
    target: np.ndarray

    @classmethod
    def of(cls, source: Any, target: Any, groups: Any = None) -> HeldPairs:
        """Pairs of embeddings (by id) or arrays (by row), checked."""
        x, y = paired_sides(source, target)
        check_enough(len(x))
        return cls(x, y, anchor_groups(groups, x), distinct_rows(to_numpy(y.vectors)))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> HeldPairs:
        """The pairs at positions ``rows`` (k,)."""
        groups = None if self.groups is None else self.groups[rows]
        return HeldPairs(self.x.take(rows), self.y.take(rows), groups, self.target[rows])

    @property
    def patient(self) -> np.ndarray:
        """A number (n,) for each pair's patient, from 0."""
        patients = patient_of_each(self.groups, len(self))
        return np.unique(patients, return_inverse=True)[1].reshape(-1)

    @property
    def patients(self) -> int | None:
        """Number of patients; None where they are not known."""
        return count_patients(self.groups)

    @property
    def people(self) -> int:
        """Number of patients; of pairs, where patients are not known."""
        return len(self) if self.patients is None else self.patients


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Sums by patient of which every measure is a ratio; tallies of the same patients add.

    Parameters
    ----------
    names
        Names of the m measures: ``"mrr"``, ``"recall@k"``, the same with ``" back"``, ``"r2"``.
    won, of : (patients, m)
        Numerator and denominator.
    """

    names: tuple[str, ...]
    won: np.ndarray
    of: np.ndarray

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.names, self.won + other.won, self.of + other.of)

    @property
    def values(self) -> np.ndarray:
        """Every measure (m,)."""
        return _ratio(self.won.sum(axis=0), self.of.sum(axis=0))

    def interval(self, name: str) -> Interval:
        """The measure ``name`` with its interval: a share or a mean of reciprocal ranks has that of proportions."""
        at = self.names.index(name)
        won, of = self.won[:, at], self.of[:, at]
        return r2_interval(of - won, of) if name == "r2" else exact_interval(won, of)

    @property
    def by_name(self) -> dict[str, float]:
        """Name -> measure."""
        return dict(zip(self.names, self.values.tolist(), strict=True))


def judge(
    alignment: Alignment,
    held: HeldPairs,
    patient: np.ndarray,
    patients: int,
    *,
    ks: Sequence[int],
    middle: np.ndarray | None = None,
) -> tuple[Tally, Tally]:
    """Measures of ``alignment`` on pairs it was not fitted on, and on shuffled pairs.

    Going forward the gallery holds every distinct target once; going back each distinct target is asked once and
    any of its sources is right.

    Parameters
    ----------
    patient : (n,) int
        Number of each pair's patient, below ``patients``.
    middle : (d_t,), optional
        The target vector that R2 is measured against; by default the mean of these pairs' targets.
    """
    _, first, truth = np.unique(held.target, return_index=True, return_inverse=True)
    truth = truth.reshape(-1)
    rows = alignment.unit_rows(held.x.vectors, take(held.y.vectors, first))  # mapped once, ranked in tiles
    there, back = pair_ranks(*rows, truth), pair_ranks_back(*rows, truth)
    columns: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    by_chance: list[np.ndarray] = []
    shuffled = chance_both_ways(*rows, truth, ks)
    for suffix, ranks, whose, values in (
        ("", there, patient, shuffled[0]),
        (" back", back, patient[first], shuffled[1]),
    ):
        one = np.ones(len(ranks))
        columns.append((f"mrr{suffix}", ranks.reciprocal, one, whose))
        columns += [(f"recall@{k}{suffix}", ranks.recall(k), one, whose) for k in ks]
        by_chance += list(values.T)
    if alignment.directed is not None:
        missed, spread = _squares(alignment, held, middle)
        columns.append(("r2", spread - missed, spread, patient))
        by_chance.append(np.zeros(len(held)))
    names = tuple(name for name, *_ in columns)
    of = np.stack([_by_patient(below, whose, patients) for _, _, below, whose in columns], axis=1)
    won = np.stack([_by_patient(above, whose, patients) for _, above, _, whose in columns], axis=1)
    guessed = np.stack(
        [_by_patient(value, whose, patients) for value, (*_, whose) in zip(by_chance, columns, strict=True)], axis=1
    )
    return Tally(names, won, of), Tally(names, guessed, of)


def _squares(alignment: Alignment, held: HeldPairs, middle: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance of each true target from the mapped source and from ``middle``, (n,) each."""
    wanted = to_numpy(float64(held.y.vectors))
    mapped = to_numpy(float64(alignment.to_target.apply(held.x.vectors)))
    centre = wanted.mean(axis=0) if middle is None else middle
    return np.sum((wanted - mapped) ** 2, axis=1), np.sum((wanted - centre) ** 2, axis=1)


def _by_patient(values: np.ndarray, patient: np.ndarray, patients: int) -> np.ndarray:
    return np.bincount(patient, weights=values, minlength=patients)


def _ratio(won: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.where(of > 0, won / np.where(of > 0, of, 1), np.nan)
