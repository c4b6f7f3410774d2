"""Scores of findings that anchors mention: ridge from their vectors onto 0/1 mentions, and its worth held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.scores import Labels
from stitchkit.evaluation.scores.class_patients import count_class_patients, where_enough
from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals
from stitchkit.metrics.bootstrap import Interval
from stitchkit.runtime.threads import is_small, one_blas_thread

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the penalty, in mean eigenvalues of the anchors' scatter


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """``p = (x - center) @ weight + bias``.

    Parameters
    ----------
    center : (d,), weight : (d, g), bias : (g,)
        In float64.
    """

    center: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scores (n, g) of vectors (n, d)."""
        return np.asarray((x - self.center) @ self.weight + self.bias)


def ridge_fits(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> list[RidgeFit]:
    """Ridge from ``x`` (n, d) onto ``y`` (n, g) with an unpenalised intercept, once for each strength.

    The penalty is the strength times the mean eigenvalue of the centred scatter over the directions that n vectors can
    show, so that a scaled or rotated source changes no score.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> weak, strong = ridge_fits(x, 3 * x + 1, (1e-9, 1.0))
    >>> weak(x).round(6).ravel().tolist(), strong(x).ravel().tolist()
    ([1.0, 4.0, 7.0], [2.5, 4.0, 5.5])
    """
    center, bias = x.mean(axis=0), y.mean(axis=0)
    rows, targets = x - center, y - bias
    wide = len(rows) < rows.shape[1]
    small = rows @ rows.T if wide else rows.T @ rows
    values, axes = np.linalg.eigh(small)
    values = np.clip(values, 0.0, None)
    mean = values.sum() / max(min(len(rows) - 1, rows.shape[1]), 1)
    if mean == 0:  # vectors that are all the same show nothing
        return [RidgeFit(center, np.zeros((x.shape[1], y.shape[1])), bias) for _ in strengths]
    inner = axes.T @ (targets if wide else rows.T @ targets)
    fits = []
    for strength in strengths:
        weight = axes @ (inner / (values + strength * mean)[:, None])
        fits.append(RidgeFit(center, rows.T @ weight if wide else weight, bias))
    return fits


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPartners:
    """A ridge of all anchors, and scores of each anchor by a ridge that has not seen its patient.

    Parameters
    ----------
    fit
        The ridge of all anchors.
    strength
        Strength of the penalty: the one with the least squared error held out.
    scores : (n, g)
        Held out.
    fold : (n,)
        The fold of each anchor; scores of two folds are of two fits.
    """

    fit: RidgeFit
    strength: float
    scores: np.ndarray
    fold: np.ndarray


def held_out_partners(x: np.ndarray, y: np.ndarray, people: np.ndarray, *, folds: int, seed: int) -> HeldOutPartners:
    """Ridge from ``x`` (n, d) onto mentions ``y`` (n, g), its strength chosen on folds that keep ``people`` whole."""
    members = assign(len(x), people, seed=seed, k=folds)
    held, fold = np.empty((len(STRENGTHS), *y.shape)), np.empty(len(x), dtype=np.int64)
    with one_blas_thread(is_small(*x.shape)):
        for number, rows in enumerate(members):
            rest = np.setdiff1d(np.arange(len(x)), rows)
            fold[rows] = number
            held[:, rows] = [fit(x[rows]) for fit in ridge_fits(x[rest], y[rest], STRENGTHS)]
        errors = ((held - y) ** 2).mean(axis=(1, 2))
        best = int(np.argmin(errors))
        fit = ridge_fits(x, y, [STRENGTHS[best]])[0]
    return HeldOutPartners(fit, STRENGTHS[best], held[best], fold)


def partner_aurocs(held: HeldOutPartners, y: np.ndarray, people: np.ndarray) -> list[Interval | None]:
    """AUROC of each column of ``y`` (n, g), held out, with its 95 % interval over ``people``; None without a pair.

    Only anchors of one fold are compared with each other. With few patients on a side the value has no ends.
    """
    columns = tuple(str(g) for g in range(y.shape[1]))
    truth = Labels(y, np.arange(len(y)).astype(str), columns, people.astype(str))
    intervals = auroc_intervals(AurocPulls.of(held.scores, y, people, held.fold))
    named = where_enough(dict(zip(columns, intervals, strict=True)), count_class_patients(truth, held.fold))
    return [None if np.isnan(one.value) else one for one in named.values()]
