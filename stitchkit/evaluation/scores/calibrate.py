"""The verb ``calibrate``: scores to probabilities, on patients that are neither anchors nor test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.calibrations import (
    Calibration,
    FittedOn,
    IsotonicCalibration,
    LogisticCalibration,
    SoftmaxCalibration,
)
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import checked_ids
from stitchkit.core.least_patients import FEW_POSITIVES
from stitchkit.core.patients import count_patients, patient_of_each
from stitchkit.core.scores import Labels, Scores, check_decidable, check_scores_and_labels
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.leakage import audit, spelled_notes
from stitchkit.evaluation.scores.item_matching import labels_of_items
from stitchkit.evaluation.scores.logistic import likeliest_curve

METHODS = ("platt", "temperature", "isotonic")
AGAINST = "higher scores do not go with the class"
SIDES = ("anchors", "calibration items")

Anchors = AnchorSet | Sequence[str] | np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationItems:
    """Items that probabilities, thresholds and conformal sets are fitted on: neither anchors nor test.

    Parameters
    ----------
    values : (n, c)
        Scores.
    truth : (n, c)
        Labels: 1, 0, or NaN where one is not known.
    groups : (n,)
        Patients; a number of its own for each item where they are not known.
    fitted_on
        Ids and known patients, for the record.
    notes
        Findings of the audit, in words.
    """

    values: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    fitted_on: FittedOn
    notes: list[str]

    @classmethod
    def of(cls, scores: Scores, labels: Labels, groups: Any, anchors: Anchors, allow: bool) -> CalibrationItems:
        check_scores_and_labels(scores, labels)
        check_decidable(scores)
        if groups is not None:
            labels = labels.with_groups(groups)
        ids = anchors.ids if isinstance(anchors, AnchorSet) else checked_ids([] if anchors is None else anchors)
        judged = labels.of_classes(scores.classes)
        matched = labels_of_items(judged, scores.ids, ids.tolist(), allow=allow, sides=SIDES)
        known, notes = matched.labels.of_ids(scores.ids), matched.notes
        if anchors is not None:
            patients = anchors.groups if isinstance(anchors, AnchorSet) else None
            named = labels.take(np.flatnonzero(np.isin(labels.ids, ids)))
            if patients is None and len(named) == len(ids):  # one unknown patient leaves the audit open
                patients = named.groups
            notes += audit(ids, scores.ids, patients, known.groups, allow=allow, sides=SIDES)
        notes += spelled_notes(known.groups)
        if known.groups is None:
            notes.append("patients are not known: every calibration item counts as a patient of its own")
        fitted_on = FittedOn(scores.ids, known.groups)
        people = patient_of_each(known.groups, len(known))
        return cls(values=scores.values, truth=known.values, groups=people, fitted_on=fitted_on, notes=notes)

    def of_class(self, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores, truth and patients of the items whose label of class ``c`` is known."""
        known = ~np.isnan(self.truth[:, c])
        return self.values[known, c], self.truth[known, c], self.groups[known]


def calibrate(
    scores: Scores,
    labels: Labels,
    *,
    method: str = "platt",
    multiclass: bool = False,
    groups: Any = None,
    anchors: Anchors = None,
    allow_leakage: bool = False,
) -> Calibration:
    """A calibration of scores as probabilities, fitted on items that are neither anchors nor test.

    Parameters
    ----------
    scores : (n, c)
        Scores of the calibration items.
    labels
        Labels of these items at least; joined by id, unknown ones left out class by class.
    method
        ``"platt"``: slope and intercept for each class, so that the prevalence is learnt too. ``"temperature"``: one
        slope for all classes; a margin or logit of 0 stays at one half. ``"isotonic"``: any non-decreasing curve for
        each class; wants hundreds of items.
    multiclass
        Exactly one class applies: ``"temperature"`` is then that of a softmax.
    groups : (len(labels),), optional
        Patient of each labelled row; ``labels.groups`` if not given.
    anchors
        The anchor set (or its ids): none of its items or patients may be used.
    allow_leakage
        Go on when one is, with a note.

    Returns
    -------
    Calibration
        Call it on scores of the same kind and classes; ``sk.evaluate(..., calibration=it)`` uses it and refuses to
        judge it on its own patients.

    Raises
    ------
    InputError
        For ``multiclass`` with labels that do not name one class an item, fewer than two items, or scores by
        association.
    DataError
        For a class without a positive or without a negative.
    LeakageError
        If an item or a patient is an anchor's.
    UnknownNameError
        For a method that does not exist.

    References
    ----------
    Platt, Advances in Large Margin Classifiers (1999); Guo et al., ICML 2017; Zadrozny and Elkan, KDD 2002.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random((400, 1)) < 0.3).astype(float)
    >>> ids = [f"scan{i}" for i in range(400)]
    >>> scores = Scores(truth + rng.normal(size=(400, 1)), "logit", ids, ("Edema",))
    >>> to_probability = calibrate(scores, Labels(truth, ids, ("Edema",)))
    >>> round(float(to_probability(scores).values.mean()), 2), round(float(truth.mean()), 2)
    (0.26, 0.26)
    """
    if method not in METHODS:
        raise UnknownNameError.of("method of calibration", method, METHODS)
    if method == "temperature" and not multiclass and scores.kind in ("probability", "cosine"):
        raise InputError(
            f"a temperature keeps a score of 0 at one half, which is not what scores of kind {scores.kind!r} mean. Use "
            f"'platt'."
        )
    items = CalibrationItems.of(scores, labels, groups, anchors, allow_leakage)
    if multiclass and method == "temperature":
        return SoftmaxCalibration(
            method=method,
            kind=scores.kind,
            classes=scores.classes,
            temperature=_softmax_temperature(items),
            fitted_on=items.fitted_on,
            notes=tuple(items.notes),
        )
    for c, label in enumerate(scores.classes):
        _, truth, people = items.of_class(c)
        sides = _sides(truth)
        if not min(sides):
            raise DataError(
                f"{label!r} has {_too_few(*sides)}; both are needed. Give more items, or calibrate without this class: "
                f"scores.of_classes(...) takes the others, and evaluate marks it as not calibrated."
            )
        few = min(count_patients(people[truth == side]) for side in (0, 1))
        if few < FEW_POSITIVES:
            items.notes.append(
                f"{label}: {counted(few, 'patient')} with or without it {'is' if few == 1 else 'are'} few to "
                f"calibrate by"
            )
    if method == "isotonic":
        curves = tuple(_isotonic(*items.of_class(c)[:2]) for c in range(len(scores.classes)))
        return IsotonicCalibration(
            method=method,
            kind=scores.kind,
            classes=scores.classes,
            knots=curves,
            fitted_on=items.fitted_on,
            notes=tuple(items.notes),
        )
    slope, intercept = _platt(items, scores.classes) if method == "platt" else _one_slope(items)
    return LogisticCalibration(
        method=method,
        kind=scores.kind,
        classes=scores.classes,
        slope=slope,
        intercept=intercept,
        fitted_on=items.fitted_on,
        notes=tuple(items.notes),
    )


def calibratable(scores: Scores, labels: Labels) -> tuple[tuple[str, ...], dict[str, str]]:
    """Classes of ``scores`` with both positives and negatives among the items, and the reason for each other one.

    Parameters
    ----------
    scores : (n, c)
        Scores of the calibration items.
    labels
        Labels of these items at least, matched by id, else by file name.

    Examples
    --------
    >>> scores = Scores(np.zeros((2, 2)), "logit", ["a", "b"], ("Edema", "Mass"))
    >>> calibratable(scores, Labels(np.array([[0, 0], [1, 0]]), ["a", "b"], ("Edema", "Mass")))
    (('Edema',), {'Mass': '0 positives and 2 negatives among the calibration items'})
    """
    known = labels_of_items(labels.of_classes(scores.classes), scores.ids).labels.of_ids(scores.ids)
    counts = {label: _sides(known.values[:, c]) for c, label in enumerate(scores.classes)}
    reasons = {label: _too_few(*sides) for label, sides in counts.items() if not min(sides)}
    return tuple(label for label in scores.classes if label not in reasons), reasons


def usual_method(*, multiclass: bool = False) -> str:
    """Method of calibration where none is named.

    Of several classes that exclude each other, a curve for each would change which one is the best.

    Examples
    --------
    >>> usual_method(), usual_method(multiclass=True)
    ('platt', 'temperature')
    """
    return "temperature" if multiclass else "platt"


def calibrate_possible_classes(
    scores: Scores,
    labels: Labels,
    *,
    method: str | None = None,
    multiclass: bool = False,
    groups: Any = None,
    anchors: Anchors = None,
    allow_leakage: bool = False,
) -> Calibration | None:
    """A calibration of the classes with both positives and negatives, with notes on the others.

    Classes of which exactly one applies (``multiclass``) are calibrated together, or not at all.

    Parameters
    ----------
    scores : (n, c), labels, groups, anchors, allow_leakage
        As in :func:`stitchkit.calibrate`.
    method
        Method of calibration; the usual one by default.
    multiclass
        Exactly one class applies.

    Returns
    -------
    Calibration or None
        None for scores that are probabilities already, unless a method is named.

    Raises
    ------
    DataError
        If no class can be calibrated.

    Examples
    --------
    >>> scores = Scores(np.arange(8.0).reshape(4, 2), "logit", ["a", "b", "c", "d"], ("Edema", "Mass"))
    >>> labels = Labels(np.array([[0, 0], [1, 0], [0, 0], [1, 0]]), ["a", "b", "c", "d"], ("Edema", "Mass"))
    >>> fitted = calibrate_possible_classes(scores, labels)
    >>> fitted.classes, fitted.notes[0][:33]
    (('Edema',), 'Mass: 0 positives and 4 negatives')
    """
    if scores.kind == "probability" and method is None:
        return None
    lacking: list[str] = []
    if not multiclass:
        classes, reasons = calibratable(scores, labels)
        if not classes:
            raise DataError(_none_calibratable(reasons))
        lacking = [f"{label}: {why}, so it has no calibration and no threshold" for label, why in reasons.items()]
        scores = scores.of_classes(classes)
    calibration = calibrate(
        scores,
        labels,
        method=method or usual_method(multiclass=multiclass),
        multiclass=multiclass,
        groups=groups,
        anchors=anchors,
        allow_leakage=allow_leakage,
    )
    return replace(calibration, notes=(*lacking, *calibration.notes))


def _none_calibratable(reasons: Mapping[str, str]) -> str:
    """The error of scores of which no class can be calibrated."""
    first = "; ".join(f"{label}: {why}" for label, why in list(reasons.items())[:5])
    return (
        f"no class can be calibrated, since both positives and negatives are needed. {first}. Give "
        + setting("calibrate", text="the")
        + " scores of more items, or pass "
        + setting("calibration", None)
        + "."
    )


def audit_calibration_items(
    labels: Labels, ids: Any, test_ids: np.ndarray, test_groups: np.ndarray | None, *, allow_leakage: bool = False
) -> list[str]:
    """Notes on calibration items, or their patients, that are test items' as well.

    :func:`stitchkit.evaluate` checks the same; this needs no scores of the test, so it comes before the work.

    Parameters
    ----------
    labels
        Labels of the calibration items at least, matched by id, else by file name.
    ids : (m,)
        Calibration items.
    test_ids : (n,), test_groups : (n,) or None
        Test items and their patients.
    allow_leakage
        Report leakage instead of refusing it.

    Raises
    ------
    DataError
        If a calibration item has no label.
    LeakageError
        If an item or a patient is on both sides and ``allow_leakage`` is not set.
    """
    wanted = checked_ids(ids)
    matched = labels_of_items(
        labels, wanted, test_ids.tolist(), allow=allow_leakage, sides=("test items", "calibration items")
    )
    patients = matched.labels.of_ids(wanted).groups
    sides = ("calibration items", "test items")
    return matched.notes + audit(wanted, test_ids, patients, test_groups, allow=allow_leakage, sides=sides)


def _sides(truth: np.ndarray) -> tuple[int, int]:
    """The number of positives and of negatives in labels (n,)."""
    return int((truth == 1).sum()), int((truth == 0).sum())


def _too_few(positives: int, negatives: int) -> str:
    return f"{counted(positives, 'positive')} and {counted(negatives, 'negative')} among the calibration items"


def _platt(items: CalibrationItems, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Slope (c,) and intercept (c,); a class whose scores run against its labels keeps its prevalence alone."""
    slope, intercept = np.zeros(len(classes)), np.zeros(len(classes))
    for c, label in enumerate(classes):
        values, truth, _ = items.of_class(c)
        centre, spread = values.mean(), values.std()
        varies = np.ptp(values) > 1e-12 * np.abs(values).max()  # else what is left is rounding
        a, b = _logistic((values - centre) / spread, truth) if varies else (0.0, 0.0)
        spread = spread if varies else 1.0
        if a <= 0:
            items.notes.append(f"{label}: {AGAINST}; every item gets its prevalence")
            positives = truth.sum()
            a, b = 0.0, float(np.log((positives + 1) / (len(truth) - positives + 1)))
        slope[c], intercept[c] = a / spread, b - a * centre / spread
    return slope, intercept


def _logistic(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the most likely logistic curve to Platt's softened targets, which keep it finite."""
    positives = truth.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2)
    return likeliest_curve(values, np.where(truth == 1, high, low))


def _one_slope(items: CalibrationItems) -> tuple[np.ndarray, np.ndarray]:
    """The slope of greatest likelihood over all classes' items, for each class (c,); intercepts are 0."""
    from scipy.optimize import minimize_scalar

    known = ~np.isnan(items.truth)
    signed = np.where(items.truth[known] == 1, 1.0, -1.0) * items.values[known]
    unit = float(np.abs(signed).mean()) or 1.0
    minimum = minimize_scalar(
        lambda log: np.logaddexp(0, -np.exp(log) * signed / unit).mean(), bounds=(-10, 10), method="bounded"
    )
    c = items.values.shape[1]
    if not minimum.x > -9.9:
        items.notes.append("the scores' signs do not go with the labels: probabilities are nearly one half")
    return np.full(c, float(np.exp(minimum.x)) / unit), np.zeros(c)


def _softmax_temperature(items: CalibrationItems) -> float:
    from scipy.optimize import minimize_scalar

    if not (np.nansum(items.truth, axis=1) == 1).all():
        raise InputError("a softmax needs labels that name exactly one class an item. Leave multiclass out.")
    at = np.nanargmax(items.truth, axis=1)
    values = items.values - items.values.max(axis=1, keepdims=True)
    unit = float(values.std()) or 1.0

    def loss(log: float) -> float:
        scaled = values / (unit * np.exp(log))
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(at)), at]).mean())

    return unit * float(np.exp(minimize_scalar(loss, bounds=(-10, 10), method="bounded").x))


def _isotonic(values: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(values, truth)
    return np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_)
