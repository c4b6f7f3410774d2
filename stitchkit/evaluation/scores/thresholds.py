"""The verbs ``choose_thresholds`` and ``conformal_sets``: what a score decides, and when it should not."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.calibrations import ConformalSets, Thresholds
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.least_patients import FEW_POSITIVES, LEAST_PATIENTS, MIN_POSITIVES
from stitchkit.core.patients import count_patients
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.scores.calibrate import AGAINST, Anchors, CalibrationItems
from stitchkit.metrics.bootstrap import patient_counts
from stitchkit.metrics.decisions import resampled_thresholds
from stitchkit.metrics.threshold_intervals import (
    effective_patients,
    patients_for_sensitivity,
    threshold_interval,
    unseen_range,
)
from stitchkit.runtime.progress import Progress

RULES = ("youden", "sensitivity")


def choose_thresholds(
    scores: Scores,
    labels: Labels,
    *,
    rule: str = "youden",
    at: float | None = None,
    min_positives: int = MIN_POSITIVES,
    groups: Any = None,
    anchors: Anchors = None,
    replicates: int = 1000,
    seed: int = 0,
    allow_leakage: bool = False,
    progress: bool | None = None,
) -> Thresholds:
    """From which score on each class is called present, chosen on items that are neither anchors nor test.

    Parameters
    ----------
    scores : (n, c), labels, groups, anchors, allow_leakage
        As in :func:`stitchkit.calibrate`. Scores may be of any kind but ``"association"``; the thresholds are
        for that kind.
    rule
        ``"youden"``: the largest sensitivity + specificity. ``"sensitivity"``: the highest threshold that finds a
        share ``at`` of the positives.
    at
        In (0, 1], for ``"sensitivity"``.
    min_positives
        Classes with fewer positive or negative patients get no threshold, and a note; every item counts as a patient
        where patients are not known.
    replicates, seed
        Resamples of patients for the intervals.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    Thresholds
        Print it. ``sk.evaluate(..., thresholds=it)`` tables sensitivity, specificity, predictive values and F1. A
        threshold for a sensitivity has no interval, and a note, where too few patients are positive to bound it, or few
        of them have most positives.

    Raises
    ------
    InputError
        For a rule and ``at`` that do not fit, and for scores by association.
    DataError
        If no class has enough items.
    LeakageError
        If an item or a patient is an anchor's.

    References
    ----------
    Youden, Cancer 3 (1950).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random((400, 1)) < 0.3).astype(float)
    >>> ids = [f"scan{i}" for i in range(400)]
    >>> scores = Scores(truth + rng.normal(size=(400, 1)), "logit", ids, ("Edema",))
    >>> found = choose_thresholds(scores, Labels(truth, ids, ("Edema",)), rule="sensitivity", at=0.9, replicates=50)
    >>> bool(0.9 <= found.decide(scores)[truth[:, 0] == 1].mean() < 0.92)
    True
    """
    check_seed(seed)
    check_rule(rule, at)
    if replicates < 1:
        raise InputError("thresholds need at least 1 resample; got " + setting("replicates", replicates) + ".")
    items = CalibrationItems.of(scores, labels, groups, anchors, allow_leakage)
    values, least = np.full((3, len(scores.classes)), np.nan), max(min_positives, 1)
    with Progress(progress) as bar:
        bar.begin("choosing thresholds, classes", len(scores.classes))
        for c, label in enumerate(scores.classes):
            values[:, c] = _threshold(items, c, label, at, least, replicates, seed)
            bar.step(1)
    if np.isnan(values).all():
        raise DataError(
            f"no class has {min_positives} positive and negative patients to choose by. Lower min_positives."
        )
    return Thresholds(
        kind=scores.kind,
        classes=scores.classes,
        values=values[0],
        low=values[1],
        high=values[2],
        rule=rule,
        at=at,
        fitted_on=items.fitted_on,
        notes=tuple(items.notes),
    )


def _threshold(
    items: CalibrationItems, c: int, label: str, at: float | None, least: int, replicates: int, seed: int
) -> tuple[float, float, float]:
    """The threshold of one class with its interval, and notes beside it; NaN where there is none."""
    values, truth, people = items.of_class(c)
    few, none = min(count_patients(people[truth == side]) for side in (0, 1)), (np.nan, np.nan, np.nan)
    if few < least:
        items.notes.append(
            f"{label}: {counted(few, 'patient')} with or without it, fewer than {least}: no threshold chosen"
        )
        return none
    whole = resampled_thresholds(values, truth, np.ones((1, len(values))), at)[0]
    if np.isnan(whole):
        items.notes.append(f"{label}: {AGAINST}: no threshold chosen")
        return none
    if few < FEW_POSITIVES:
        items.notes.append(
            f"{label}: {counted(few, 'patient')} with or without it {'is' if few == 1 else 'are'} few to choose "
            f"a threshold by"
        )
    if why := _not_bounded(people[truth == 1], few, at):
        items.notes.append(f"{label}: no interval: {why}")
        return float(whole), np.nan, np.nan
    blocks = patient_counts(people, replicates, seed, np.float32)
    draws = np.concatenate([resampled_thresholds(values, truth, counts, at) for counts in blocks])
    unseen = unseen_range(float(whole), values, truth, people) if at is None else None
    return threshold_interval(float(whole), draws, values, unseen)


def _not_bounded(positives: np.ndarray, few: int, at: float | None) -> str:
    """The reason for which the patients of ``positives`` (n,) do not bound a threshold; empty where they do."""
    positive, effective = count_patients(positives), effective_patients(positives)
    if few < LEAST_PATIENTS:
        return f"fewer than {LEAST_PATIENTS} patients with or without it"
    if at == 1:
        return "no number of patients bounds the lowest score of all positive patients"
    for share, side in ((at, "above"), (None if at is None else 1 - at, "below")):
        least = patients_for_sensitivity(share)
        if least is not None and positive < least:
            return (
                f"{counted(positive, 'positive patient')} may all score {side} the threshold that finds {at:g} "
                f"of such patients, "
                f"and {least} rarely do"
            )
        if least is not None and effective < least / 2:
            return (
                f"few of {counted(positive, 'positive patient')} have most positives, so that they count as "
                f"{effective:.1f}, and {least / 2:g} at least bound the threshold that finds {at:g} of positives; keep "
                f"fewer items of those with most"
            )
    return ""


def check_rule(rule: str, at: float | None) -> None:
    """Raise for an unknown rule, and for a share ``at`` of positives that does not fit it."""
    if rule not in RULES:
        raise UnknownNameError.of("rule for thresholds", rule, RULES)
    if (rule == "sensitivity") != (at is not None) or (at is not None and not 0 < at <= 1):
        raise InputError(
            "rule 'sensitivity' takes " + setting("at", otherwise="a share") + " in (0, 1], rule 'youden' takes none; "
            f"got {rule!r} and {at!r}."
        )


def conformal_sets(
    scores: Scores,
    labels: Labels,
    *,
    alpha: float = 0.1,
    groups: Any = None,
    anchors: Anchors = None,
    seed: int = 0,
    allow_leakage: bool = False,
) -> ConformalSets:
    """Conformal sets: which answers cannot be ruled out for an item, with a stated share of errors.

    Parameters
    ----------
    scores : (n, c), labels, groups, anchors, allow_leakage
        As in :func:`stitchkit.calibrate`.
    alpha
        The share of sets that may miss the truth, of one image drawn of each patient with a class, and of one drawn of
        each patient without it; in (0, 1).
    seed
        Seed of the one item that is drawn of each patient, default 0: items of one patient are not exchangeable.

    Returns
    -------
    ConformalSets
        Call it on scores of the same kind and classes.

    Raises
    ------
    InputError
        For ``alpha`` outside (0, 1), and for scores by association.
    LeakageError
        If an item or a patient is an anchor's.

    References
    ----------
    Class-conditional split conformal prediction: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
    World (2005); Vovk, ACML 2012.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random((400, 1)) < 0.3).astype(float)
    >>> ids = [f"scan{i}" for i in range(400)]
    >>> scores = Scores(truth + rng.normal(size=(400, 1)), "logit", ids, ("Edema",))
    >>> sets = conformal_sets(scores, Labels(truth, ids, ("Edema",)))(scores)
    >>> sorted(set(sets[:, 0].tolist()))
    ['absent', 'either', 'present']
    """
    check_seed(seed)
    if not 0 < alpha < 1:
        raise InputError(f"alpha is a share of errors in (0, 1); got {alpha}.")
    items = CalibrationItems.of(scores, labels, groups, anchors, allow_leakage)
    ends = np.empty((2, len(scores.classes)))
    for c, label in enumerate(scores.classes):
        values, truth, people = items.of_class(c)
        positive, negative = (_one_each(values[truth == side], people[truth == side], seed) for side in (1, 0))
        for of, who in ((positive, "with"), (negative, "without")):
            if int(alpha * (len(of) + 1)) < 1:
                items.notes.append(
                    f"{label}: {counted(len(of), 'patient')} {who} it {'is' if len(of) == 1 else 'are'} too few "
                    f"for alpha {alpha:g}: no limit"
                )
        ends[:, c] = _lowest(positive, alpha), -_lowest(-negative, alpha)
    return ConformalSets(
        kind=scores.kind,
        classes=scores.classes,
        alpha=alpha,
        present_from=ends[0],
        absent_to=ends[1],
        fitted_on=items.fitted_on,
        notes=tuple(items.notes),
    )


def _one_each(values: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """One value of each patient, drawn."""
    order = np.random.default_rng(seed).permutation(len(values))
    _, first = np.unique(people[order], return_index=True)
    return np.asarray(values[order[first]])


def _lowest(values: np.ndarray, alpha: float) -> float:
    """The score below which a new one like ``values`` lies with a chance of at most ``alpha``."""
    k = int(alpha * (len(values) + 1))
    return float(np.sort(values)[k - 1]) if k >= 1 else -np.inf
