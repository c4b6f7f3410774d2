"""Rows of scores to a table of measures, every row on the same patients; those of probabilities are resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.least_patients import CALIBRATED, SEVERAL_CALIBRATED
from stitchkit.core.patients import patient_of_each
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.scores.class_patients import (
    ClassPatients,
    carriers,
    count_class_patients,
    precision_has_ends,
    where_carried,
    where_enough,
    without_ends,
)
from stitchkit.evaluation.scores.multiclass_measures import multiclass_rows
from stitchkit.evaluation.scores.results import AUROC, BRIER, ECE, PRECISION, MeasureValues, Method
from stitchkit.evaluation.scores.truth import Truth, in_order
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.average_precision_intervals import (
    PrecisionPulls,
    macro_precision_difference,
    macro_precision_interval,
    precision_intervals,
)
from stitchkit.metrics.bootstrap import Interval, patient_counts, percentile_interval
from stitchkit.metrics.probability_intervals import brier_interval, calibration_error_interval
from stitchkit.metrics.reliability import Misses
from stitchkit.runtime.progress import Progress

Measures = dict[str, np.ndarray]  # each (b, classes)


def _resampled_measures(misses: Sequence[Misses], counts: np.ndarray) -> Measures:
    """Brier scores and calibration errors in resamples (b, n); nothing without probabilities."""
    if not misses:
        return {}
    exact = counts.astype(np.float64, copy=False)
    brier, error = ([one.brier(exact) for one in misses], [one.calibration_error(exact) for one in misses])
    return {BRIER: np.stack(brier, axis=1), ECE: np.stack(error, axis=1)}


def interval_of(measure: str) -> Callable[[float, np.ndarray], Interval]:
    """The function that makes a measure's interval from its resamples."""
    return {BRIER: brier_interval, ECE: calibration_error_interval}.get(measure, percentile_interval)


def table_of(
    rows: Mapping[str, Scores],
    test: Labels,
    judged: list[str],
    *,
    multiclass: bool,
    replicates: int,
    seed: int,
    not_calibrated: Sequence[str] = (),
    bar: Progress | None = None,
) -> tuple[Method, ...]:
    """Every row's measures on the same patients.

    AUROC has the intervals of :mod:`stitchkit.metrics.auroc_intervals`, average precision those of
    :mod:`stitchkit.metrics.average_precision_intervals`, the best-scored class those of
    :mod:`stitchkit.metrics.proportions` and :mod:`stitchkit.metrics.class_means`, probabilities those of resamples.
    Classes with too few patients have no intervals. Measures of probabilities leave out the classes ``not_calibrated``.
    """
    truth = Truth.of(test, judged, multiclass, None, not_calibrated)
    values = {name: in_order(scores, test, truth.columns, name) for name, scores in rows.items()}
    misses = {name: truth.misses(values[name], scores.kind) for name, scores in rows.items()}
    resampled = _resampled_rows(misses, truth, replicates, seed, bar or Progress(show=False))
    pulls = {name: truth.pulls(one) for name, one in values.items()}
    ranked = auroc_rows(pulls, test, judged)
    precise = precision_rows({name: truth.precision(values[name], one) for name, one in pulls.items()}, test, judged)
    of_classes = multiclass_rows({name: truth.multiclass(one) for name, one in values.items()}, truth.people)
    return tuple(
        Method(name, {AUROC: ranked[name], PRECISION: precise[name], **resampled[name], **of_classes[name]})
        for name in rows
    )


def auroc_rows(
    pulls: Mapping[str, AurocPulls], test: Labels, judged: Sequence[str], parts: np.ndarray | None = None
) -> dict[str, MeasureValues]:
    """AUROC of the judged classes, their mean, and its difference from the first row, of each row."""
    numbers = count_class_patients(test.of_classes(tuple(judged)), parts)
    people = carriers(test, judged, parts)
    main, *others = pulls
    rows = {}
    for name, one in pulls.items():
        classes = where_enough(dict(zip(judged, auroc_intervals(one), strict=True)), numbers)
        apart = [macro_auroc_difference(pulls[main], one).interval] if name in others else []
        macro, *difference = (where_carried(mean, people) for mean in (macro_auroc_interval(one), *apart))
        rows[name] = MeasureValues(macro, classes, *difference)
    return rows


def precision_rows(
    pulls: Mapping[str, PrecisionPulls], test: Labels, judged: Sequence[str]
) -> dict[str, MeasureValues]:
    """Average precision of the judged classes, their mean, and its difference from the first row, of each row."""
    numbers = count_class_patients(test.of_classes(tuple(judged)))
    main, *others = pulls
    people = carriers(test, judged) if precision_has_ends(numbers, judged) else 0
    rows = {}
    for name, one in pulls.items():
        classes = where_enough(dict(zip(judged, precision_intervals(one), strict=True)), numbers)
        apart = [macro_precision_difference(pulls[main], one)] if name in others else []
        macro, *difference = (where_carried(mean, people) for mean in (macro_precision_interval(one), *apart))
        rows[name] = MeasureValues(macro, classes, *difference)
    return rows


def _resampled_rows(
    misses: Mapping[str, Sequence[Misses]], truth: Truth, replicates: int, seed: int, bar: Progress
) -> dict[str, dict[str, MeasureValues]]:
    """Brier score and calibration error of the rows that have probabilities, with differences from the first."""
    probable = {name: one for name, one in misses.items() if one}
    drawn: dict[str, dict[str, list[np.ndarray]]] = {name: {BRIER: [], ECE: []} for name in probable}
    if probable:
        bar.begin("resampling patients, rows of the table", len(probable) * replicates)
    for counts in _resamples(truth.test, replicates, seed) if probable else ():
        for name, row in probable.items():
            for one, numbers in _resampled_measures(row, counts).items():
                drawn[name][one].append(numbers)
            bar.step(len(counts))
    once = np.ones((1, len(truth.test)))
    measures = {
        name: {
            one: _Draws(numbers[0], np.concatenate(drawn[name][one]))
            for one, numbers in _resampled_measures(row, once).items()
        }
        for name, row in probable.items()
    }
    main = measures.get(next(iter(misses)), {})
    patients = count_class_patients(truth.test.of_classes(tuple(truth.judged)))
    return {
        name: {
            one: _with_interval(one, own, None if row is main else main.get(one), truth, patients)
            for one, own in row.items()
        }
        for name, row in ((name, measures.get(name, {})) for name in misses)
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """One measure of one row, of the sample (columns,) and in its resamples (b, columns)."""

    value: np.ndarray
    draws: np.ndarray


def _with_interval(
    measure: str, own: _Draws, main: _Draws | None, truth: Truth, numbers: Mapping[str, ClassPatients]
) -> MeasureValues:
    """A measure of probabilities with its intervals, and with its difference from that of the main row."""
    around = interval_of(measure)
    classes = {label: around(float(own.value[c]), own.draws[:, c]) for c, label in enumerate(truth.calibrated)}
    macro, difference = around(float(own.value.mean()), own.draws.mean(axis=1)), None
    if main is not None and measure != ECE:  # resamples make both errors larger, and not alike
        apart = (main.draws - own.draws).mean(axis=1)
        difference = where_carried(percentile_interval(float((main.value - own.value).mean()), apart), truth.people)
    macro = where_carried(macro, truth.people)
    if measure == ECE:
        people = truth.people
        macro = macro if people >= (CALIBRATED if len(classes) == 1 else SEVERAL_CALIBRATED) else without_ends(macro)
        classes = classes if people >= CALIBRATED else {label: without_ends(one) for label, one in classes.items()}
    return MeasureValues(macro, where_enough(classes, numbers), difference)


def _resamples(test: Labels, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Counts (b, n) in float32: rankings are several times faster by these."""
    groups = patient_of_each(test.groups, len(test))
    return patient_counts(groups, replicates, seed, np.float32)
