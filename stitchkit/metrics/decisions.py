"""What yes or no decisions are worth, and the best of several classes, under many resamples at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stitchkit.metrics.rankings import Ranking, share

Counts = np.ndarray  # (b,) of one cell of the table of decision by truth
Measure = Callable[[Counts, Counts, Counts, Counts], np.ndarray]


DECISIONS: dict[str, Measure] = {  # of true positives, false positives, false negatives, true negatives
    "sensitivity": lambda tp, fp, fn, tn: share(tp, tp + fn),
    "specificity": lambda tp, fp, fn, tn: share(tn, tn + fp),
    "ppv": lambda tp, fp, fn, tn: share(tp, tp + fp),
    "npv": lambda tp, fp, fn, tn: share(tn, tn + fn),
    "accuracy": lambda tp, fp, fn, tn: share(tp + tn, tp + fp + fn + tn),
    "balanced_accuracy": lambda tp, fp, fn, tn: (share(tp, tp + fn) + share(tn, tn + fp)) / 2,
    "f1": lambda tp, fp, fn, tn: share(2 * tp, 2 * tp + fp + fn),
}


def decision_measures(decided: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Every measure of :data:`DECISIONS` in each resample.

    Parameters
    ----------
    decided : (n,) bool
        What was called present.
    labels : (n,) of 0 and 1
    counts : (b, n)
        How often each row stands in each resample.

    Returns
    -------
    dict of (b,)
        In [0, 1]; NaN where a resample has nothing to divide by.

    Examples
    --------
    >>> found = decision_measures(np.array([True, True, False, False]), np.array([1, 0, 0, 1]), np.ones((1, 4)))
    >>> {name: float(values[0]) for name, values in found.items() if name in ("sensitivity", "f1")}
    {'sensitivity': 0.5, 'f1': 0.5}
    """
    present = labels > 0
    cells = np.stack([decided & present, decided & ~present, ~decided & present, ~decided & ~present], axis=1)
    tp, fp, fn, tn = (counts @ cells.astype(np.float64)).T
    return {name: measure(tp, fp, fn, tn) for name, measure in DECISIONS.items()}


def multiclass_measures(best: np.ndarray, truth: np.ndarray, classes: int, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy (mean recall) and macro F1 of one class an item, in each resample.

    Parameters
    ----------
    best : (n,) int
        The class called.
    truth : (n,) int
        The class it is.
    classes
        Number of classes; those that are never true do not count in the two means.
    counts : (b, n)
        How often each row stands in each resample.

    Returns
    -------
    dict of (b,)
        NaN in the means where a resample lacks a class that the whole has.
    """
    known = np.bincount(truth, minlength=classes) > 0
    right = np.flatnonzero(best == truth)
    hit = _of_each_class(best[right], right, classes, counts)
    said, true = (_of_each_class(one, np.arange(len(one)), classes, counts) for one in (best, truth))
    recall, f1 = share(hit, true), np.where(true > 0, share(2 * hit, said + true), np.nan)
    return {
        "accuracy": share(hit.sum(axis=1), true.sum(axis=1)),
        "balanced_accuracy": recall[:, known].mean(axis=1),
        "f1": f1[:, known].mean(axis=1),
    }


def _of_each_class(of: np.ndarray, rows: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Sums (b, c) of ``counts`` (b, n) over those ``rows`` (k,) that are of each class, by ``of`` (k,)."""
    from scipy.sparse import csr_array

    return (csr_array((np.ones(len(rows)), (of, rows)), shape=(classes, counts.shape[1])) @ counts.T).T


def resampled_thresholds(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray, at: float | None = None
) -> np.ndarray:
    """The threshold of each resample: the largest sensitivity + specificity, or the one that finds enough positives.

    Parameters
    ----------
    scores : (n,)
    labels : (n,) of 0 and 1
    counts : (b, n)
        How often each row stands in each resample.
    at
        None for Youden's; or the share of positives, in (0, 1], that the highest such threshold finds.

    Returns
    -------
    (b,)
        NaN where a resample lacks a positive or a negative, or, by Youden, no threshold is better than none.
    """
    levels, places = np.unique(scores), np.unique(scores[labels > 0])[::-1]  # the best is a score of a positive
    if not len(places):
        return np.full(len(counts), np.nan)
    ranking = Ranking.of(scores, labels, counts)
    hits, false = ranking.from_above(len(places))
    positives, negatives = hits[-1], ranking.below[-1, -1]
    empty = (positives == 0) | (negatives == 0)
    if at is None:
        gain = np.divide(hits, np.maximum(positives, 1), dtype=np.float64)
        gain -= np.divide(false, np.maximum(negatives, 1), dtype=np.float64)
        best = places[gain.argmax(axis=0)]
        empty |= gain.max(axis=0) <= 0
        below = levels[np.maximum(np.searchsorted(levels, best) - 1, 0)]
        middle = below + (best - below) / 2  # between this score and the next: neither stands on the edge
        chosen = np.where(middle > below, middle, best)
    else:
        chosen = places[(hits >= at * positives.astype(np.float64) - 1e-9).argmax(axis=0)]
    return np.where(empty, np.nan, chosen)
