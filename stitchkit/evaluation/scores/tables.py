"""Rows of scores to a table of measures, every row on the same patients; those of probabilities are resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stitchkit.core.calibrations import Thresholds
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import rows_of
from stitchkit.core.least_patients import CALIBRATED, SEVERAL_CALIBRATED
from stitchkit.core.patients import patient_of_each, patients_or_rows
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.scores.class_answers import Answers, answer_rows
from stitchkit.evaluation.scores.class_patients import (
    ClassPatients,
    carriers,
    patients_of,
    precision_has_ends,
    where_carried,
    where_enough,
    without_ends,
)
from stitchkit.evaluation.scores.results import AUROC, BRIER, ECE, PRECISION, Decisions, Measured, Method
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
from stitchkit.metrics.decisions import decision_intervals
from stitchkit.metrics.probability_intervals import brier_interval, calibration_error_interval
from stitchkit.metrics.reliability import Bin, Misses, reliability_curve
from stitchkit.runtime.progress import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the rows are judged by: the judged classes' labels, and with ``multiclass`` the one class of each item."""

    test: Labels
    judged: list[str]
    only: np.ndarray | None  # (n,) position of the item's class among all
    parts: np.ndarray | None = None  # (n,) whose scores are comparable with whose; None: all with all
    not_calibrated: Sequence[str] = ()  # judged classes without probabilities

    @property
    def columns(self) -> Sequence[str]:
        """The classes whose scores are asked for: the judged ones, or all where the best of them counts."""
        return self.judged if self.only is None else self.test.classes

    @property
    def people(self) -> int:
        """Number of patients; of items where patients are not known."""
        return patients_or_rows(self.test.groups, len(self.test))

    @property
    def patients(self) -> np.ndarray:
        """Patient (n,) of each item; a number of its own where patients are not known."""
        return patient_of_each(self.test.groups, len(self.test))

    @property
    def calibrated(self) -> list[str]:
        """The judged classes whose scores may be probabilities."""
        return [label for label in self.judged if label not in self.not_calibrated]

    @classmethod
    def of(
        cls, test: Labels, judged: list[str], multiclass: bool, parts: np.ndarray | None = None,
        not_calibrated: Sequence[str] = (),
    ) -> Truth:  # fmt: skip
        if not multiclass:
            return cls(test, judged, None, parts, not_calibrated)
        check_exclusive(test)
        return cls(test, judged, test.values.argmax(axis=1), parts)

    def pulls(self, values: np.ndarray) -> AurocPulls:
        """AUROC of the judged classes by scores (n, columns), and how far each patient moves it.

        With parts the pairs are of one part.
        """
        sides = [self._side(values, label) for label in self.judged]
        scores, labels = (np.stack(side, axis=1) for side in zip(*sides, strict=True))
        return AurocPulls.of(scores, labels, self.test.groups, self.parts)

    def precision(self, values: np.ndarray, ranks: AurocPulls) -> PrecisionPulls:
        """Average precision of the judged classes, and how far each patient moves it; ``ranks`` are :meth:`pulls`."""
        sides = [self._side(values, label) for label in self.judged]
        scores, labels = (np.stack(side, axis=1) for side in zip(*sides, strict=True))
        return PrecisionPulls.of(scores, labels, self.test.groups, ranks)

    def answers(self, values: np.ndarray) -> Answers | None:
        """The best-scored class of each item, with one class an item; else None."""
        if self.only is None:
            return None
        return Answers.of(values.argmax(axis=1), self.only, len(self.columns), self.patients)

    def misses(self, values: np.ndarray, kind: str) -> list[Misses]:
        """Probabilities of the calibrated classes binned, for the measures that are resampled; none of other scores."""
        return [Misses.of(*self._side(values, label)) for label in (self.calibrated if kind == "probability" else [])]

    def _side(self, values: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels (n,) of one class, NaN where the label is not known."""
        return values[:, self.columns.index(label)], self.test.values[:, self.test.classes.index(label)]


Measures = dict[str, np.ndarray]  # each (b, classes)


def _measured(misses: Sequence[Misses], counts: np.ndarray) -> Measures:
    """Brier scores and calibration errors in resamples (b, n); nothing without probabilities."""
    if not misses:
        return {}
    exact = counts.astype(np.float64, copy=False)
    brier, error = ([one.brier(exact) for one in misses], [one.calibration_error(exact) for one in misses])
    return {BRIER: np.stack(brier, axis=1), ECE: np.stack(error, axis=1)}


def standardised(scores: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Scores (n, c) of several maps on one scale: each column to mean 0 and sd 1 within each part (n,)."""
    found = np.empty_like(scores)
    for part in np.unique(parts):
        rows = scores[parts == part]
        spread = rows.std(axis=0)
        varies = np.ptp(rows, axis=0) > 1e-12 * np.abs(rows).max(axis=0)  # else what is left is rounding
        found[parts == part] = np.where(varies, (rows - rows.mean(axis=0)) / np.where(varies, spread, 1), 0.0)
    return found


def check_exclusive(test: Labels) -> None:
    """Raise unless every item has exactly one class."""
    odd = np.flatnonzero(~(test.values.sum(axis=1) == 1))  # NaN is unequal too
    if len(odd):
        raise DataError(
            f"{len(odd)} of {len(test)} items do not have exactly one class, {str(test.ids[odd[0]])!r} among them. "
            f"Leave multiclass out, or correct the labels."
        )


def interval_of(measure: str) -> Callable[[float, np.ndarray], Interval]:
    """The function that makes a measure's interval from its resamples."""
    return {BRIER: brier_interval, ECE: calibration_error_interval}.get(measure, percentile_interval)


def by_chance(test: Labels) -> Scores:
    """Each class's share among the test items, the same for every item: what is known without looking."""
    known = ~np.isnan(test.values)
    share = np.nansum(test.values, axis=0) / np.maximum(known.sum(axis=0), 1)
    return Scores(np.tile(share, (len(test), 1)), "probability", test.ids, test.classes)


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
    answers = answer_rows({name: truth.answers(one) for name, one in values.items()}, truth.people)
    return tuple(
        Method(name, {AUROC: ranked[name], PRECISION: precise[name], **resampled[name], **answers[name]})
        for name in rows
    )


def auroc_rows(
    pulls: Mapping[str, AurocPulls], test: Labels, judged: Sequence[str], parts: np.ndarray | None = None
) -> dict[str, Measured]:
    """AUROC of the judged classes, their mean, and its difference from the first row, of each row."""
    numbers = patients_of(test.of_classes(tuple(judged)), parts)
    people = carriers(test, judged, parts)
    main, *others = pulls
    rows = {}
    for name, one in pulls.items():
        classes = where_enough(dict(zip(judged, auroc_intervals(one), strict=True)), numbers)
        apart = [macro_auroc_difference(pulls[main], one).interval] if name in others else []
        macro, *difference = (where_carried(mean, people) for mean in (macro_auroc_interval(one), *apart))
        rows[name] = Measured(macro, classes, *difference)
    return rows


def precision_rows(pulls: Mapping[str, PrecisionPulls], test: Labels, judged: Sequence[str]) -> dict[str, Measured]:
    """Average precision of the judged classes, their mean, and its difference from the first row, of each row."""
    numbers = patients_of(test.of_classes(tuple(judged)))
    main, *others = pulls
    people = carriers(test, judged) if precision_has_ends(numbers, judged) else 0
    rows = {}
    for name, one in pulls.items():
        classes = where_enough(dict(zip(judged, precision_intervals(one), strict=True)), numbers)
        apart = [macro_precision_difference(pulls[main], one)] if name in others else []
        macro, *difference = (where_carried(mean, people) for mean in (macro_precision_interval(one), *apart))
        rows[name] = Measured(macro, classes, *difference)
    return rows


def _resampled_rows(
    misses: Mapping[str, Sequence[Misses]], truth: Truth, replicates: int, seed: int, bar: Progress
) -> dict[str, dict[str, Measured]]:
    """Brier score and calibration error of the rows that have probabilities, with differences from the first."""
    probable = {name: one for name, one in misses.items() if one}
    drawn: dict[str, dict[str, list[np.ndarray]]] = {name: {BRIER: [], ECE: []} for name in probable}
    if probable:
        bar.begin("resampling patients, rows of the table", len(probable) * replicates)
    for counts in _resamples(truth.test, replicates, seed) if probable else ():
        for name, row in probable.items():
            for one, numbers in _measured(row, counts).items():
                drawn[name][one].append(numbers)
            bar.step(len(counts))
    once = np.ones((1, len(truth.test)))
    measures = {
        name: {
            one: _Drawn(numbers[0], np.concatenate(drawn[name][one])) for one, numbers in _measured(row, once).items()
        }
        for name, row in probable.items()
    }
    main = measures.get(next(iter(misses)), {})
    patients = patients_of(truth.test.of_classes(tuple(truth.judged)))
    return {
        name: {
            one: _with_interval(one, own, None if row is main else main.get(one), truth, patients)
            for one, own in row.items()
        }
        for name, row in ((name, measures.get(name, {})) for name in misses)
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One measure of one row, of the sample (columns,) and in its resamples (b, columns)."""

    value: np.ndarray
    draws: np.ndarray


def _with_interval(
    measure: str, own: _Drawn, main: _Drawn | None, truth: Truth, numbers: Mapping[str, ClassPatients]
) -> Measured:
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
    return Measured(macro, where_enough(classes, numbers), difference)


def decided(
    thresholds: Thresholds,
    given: Scores,
    calibrated: Scores,
    test: Labels,
    judged: list[str],
    bar: Progress | None = None,
) -> dict[str, Decisions]:
    """Decisions of the thresholds for each judged class that has one, on the scores of their own kind."""
    known = [one for one in (calibrated, given) if one.kind == thresholds.kind]
    if not known:
        raise InputError(
            f"the thresholds are for scores of kind {thresholds.kind!r}; these are {calibrated.kind!r}. Choose "
            f"thresholds on scores of the same kind."
        )
    wanted = [label for label in judged if label in thresholds.classes and not np.isnan(_of(thresholds, label))]
    levels = [_of(thresholds, label) for label in wanted]
    called = in_order(known[0], test, wanted, "thresholds") >= np.asarray(levels)
    decisions = decisions_of(called, levels, test, wanted, bar)
    return {label: replace(one, kind=thresholds.kind) for label, one in decisions.items()}


def decisions_of(
    called: np.ndarray, levels: Sequence[float], test: Labels, classes: Sequence[str], bar: Progress | None = None
) -> dict[str, Decisions]:
    """Measures of the decisions ``called`` (n, c) for each class; items whose label is not known do not count."""
    people, found = patient_of_each(test.groups, len(test)), {}
    bar = bar or Progress(show=False)
    bar.begin("intervals of decisions, classes", len(classes))
    for c, (label, level) in enumerate(zip(classes, levels, strict=True)):
        known, truth = known_labels(test, label)
        present = called[known, c]
        found[label] = Decisions(float(level), int(present.sum()), decision_intervals(present, truth, people[known]))
        bar.step(1)
    return found


def reliability_of(scores: Scores, test: Labels, judged: list[str]) -> dict[str, list[Bin]]:
    """What was said and what was seen of each judged class; nothing where the scores are no probabilities."""
    if scores.kind != "probability":
        return {}
    values, curves = in_order(scores, test, judged, "scores"), {}
    for c, label in enumerate(judged):
        rows, truth = known_labels(test, label)
        curves[label] = reliability_curve(values[rows, c], truth)
    return curves


def in_order(scores: Scores, test: Labels, classes: Sequence[str], name: str) -> np.ndarray:
    """The row's scores (n, c) of ``classes`` in the order of the test's items."""
    rows = rows_of(test.ids, scores.ids, f"the scores called {name!r}")
    return np.asarray(scores.of_classes(tuple(classes)).values[rows])


def known_labels(test: Labels, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Which items' labels of a class are known (n,), and those labels."""
    column = test.values[:, test.classes.index(label)]
    known = ~np.isnan(column)
    return known, column[known]


def _resamples(test: Labels, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Counts (b, n) in float32: rankings are several times faster by these."""
    groups = patient_of_each(test.groups, len(test))
    return patient_counts(groups, replicates, seed, np.float32)


def _of(thresholds: Thresholds, label: str) -> float:
    return float(thresholds.values[thresholds.classes.index(label)])
