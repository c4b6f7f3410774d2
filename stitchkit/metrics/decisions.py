"""What yes or no decisions are worth, and the best of several classes, under many resamples at once."""

from __future__ import annotations

import numpy as np

from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import by_patient, exact_difference, exact_interval, mean_difference, mean_interval
from stitchkit.metrics.rankings import Ranking, share


def decision_intervals(decided: np.ndarray, labels: np.ndarray, patient: np.ndarray) -> dict[str, Interval]:
    """Each measure of yes or no decisions with its interval over patients, by the rule of proportions.

    Sensitivity is of the patients' positives, the positive predictive value of what is called present, and so on; F1 is
    the share of true positives where these count twice, once as found and once as called. Balanced accuracy is the mean
    of sensitivity and specificity.

    Parameters
    ----------
    decided : (n,) bool
        True for items called present.
    labels : (n,) of 0 and 1
    patient : (n,)
        Patient of each item.

    Returns
    -------
    dict of Interval
        NaN where there is nothing to divide by.

    Examples
    --------
    >>> found = decision_intervals(np.arange(40) < 10, (np.arange(40) < 12).astype(float), np.arange(40))
    >>> print(found["sensitivity"], found["specificity"])
    0.833 [0.516, 0.979] 1.000 [0.877, 1.000]
    """
    present = labels > 0
    tp, fp, fn, tn = (
        by_patient(one, patient)
        for one in (decided & present, decided & ~present, ~decided & present, ~decided & ~present)
    )
    found, kinds = np.stack([tp, tn], axis=1), np.stack([tp + fn, tn + fp], axis=1)
    both = kinds.any(axis=0).all()
    return {
        "sensitivity": exact_interval(tp, tp + fn),
        "specificity": exact_interval(tn, tn + fp),
        "ppv": exact_interval(tp, tp + fp),
        "npv": exact_interval(tn, tn + fn),
        "accuracy": exact_interval(tp + tn, tp + fp + fn + tn),
        "balanced_accuracy": mean_interval(found, kinds) if both else Interval(*3 * (float("nan"),)),
        "f1": exact_interval(2 * tp, 2 * tp + fp + fn),
    }


def multiclass_intervals(best: np.ndarray, truth: np.ndarray, classes: int, patient: np.ndarray) -> dict[str, Interval]:
    """Accuracy, balanced accuracy (mean recall) and macro F1 of one class an item, with intervals over patients.

    Parameters
    ----------
    best, truth : (n,) int
        The class called, and the class it is.
    classes
        Number of classes; those that are never true do not count in the two means.
    patient : (n,)
        Patient of each item.

    Examples
    --------
    >>> truth = np.arange(90) % 3
    >>> for name, one in multiclass_intervals(np.where(np.arange(90) < 6, 0, truth), truth, 3, np.arange(90)).items():
    ...     print(name, one)
    accuracy 0.956 [0.890, 0.988]
    balanced_accuracy 0.956 [0.886, 0.994]
    f1 0.956 [0.893, 0.988]
    """
    right, true, called = _sums_of_classes(best, truth, classes, patient)
    return {
        "accuracy": exact_interval(right.sum(axis=1), true.sum(axis=1)),
        "balanced_accuracy": mean_interval(right, true),
        "f1": mean_interval(2 * right, true + called),
    }


def multiclass_differences(
    best: np.ndarray, other: np.ndarray, truth: np.ndarray, classes: int, patient: np.ndarray
) -> dict[str, Interval]:
    """Paired differences, ``best`` minus ``other``, of accuracy and balanced accuracy, as :func:`multiclass_intervals`.

    F1 is not among them: two methods' F1 are not shares of the same items.
    """
    (right, true, _), (rights, *_) = (_sums_of_classes(one, truth, classes, patient) for one in (best, other))
    return {
        "accuracy": exact_difference(right.sum(axis=1), rights.sum(axis=1), true.sum(axis=1)),
        "balanced_accuracy": mean_difference(right, rights, true),
    }


def _sums_of_classes(
    best: np.ndarray, truth: np.ndarray, classes: int, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items of each patient and class (k, c) that are right, that are of the class, and that are called it.

    Of the classes that are true somewhere.
    """
    row = np.unique(patient, return_inverse=True)[1].reshape(-1)
    shape = int(row.max(initial=-1)) + 1, classes

    def sums(of: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.bincount(rows * classes + of, minlength=shape[0] * classes).reshape(shape).astype(np.float64)

    true = sums(truth, row)
    known = true.any(axis=0)
    right = best == truth
    return sums(truth[right], row[right])[:, known], true[:, known], sums(best, row)[:, known]


def resampled_macro_f1(best: np.ndarray, truth: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Macro F1 of one class an item, in each resample.

    Parameters
    ----------
    best : (n,) int
        The class called.
    truth : (n,) int
        The class it is.
    classes
        Number of classes; those that are never true do not count in the mean.
    counts : (b, n)
        Number of times each row stands in each resample.

    Returns
    -------
    (b,)
        NaN where a resample lacks a class that the whole has.
    """
    known = np.bincount(truth, minlength=classes) > 0
    right = np.flatnonzero(best == truth)
    hit = _of_each_class(best[right], right, classes, counts)
    called, true = (_of_each_class(one, np.arange(len(one)), classes, counts) for one in (best, truth))
    f1: np.ndarray = np.where(true > 0, share(2 * hit, called + true), np.nan)[:, known].mean(axis=1)
    return f1


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
        Number of times each row stands in each resample.
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
