"""Rows of scores to a table of measures, every row on the same patients: AUROC by placements, the rest by resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stitchkit.core.calibrations import Thresholds
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import rows_of
from stitchkit.core.least_patients import CALIBRATED, SEVERAL_CALIBRATED
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.class_patients import (
    ClassPatients,
    carriers,
    patients_of,
    where_carried,
    where_enough,
    without_ends,
)
from stitchkit.evaluation.results import AUROC, BRIER, ECE, PRECISION, Decisions, Measured, Method
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.bootstrap import Interval, centred_interval, patient_counts, percentile_interval
from stitchkit.metrics.decisions import (
    decision_intervals,
    multiclass_differences,
    multiclass_intervals,
    resampled_macro_f1,
)
from stitchkit.metrics.probability_intervals import brier_interval, calibration_error_interval
from stitchkit.metrics.rankings import Places
from stitchkit.metrics.reliability import Bin, Misses, reliability_curve
from stitchkit.progress import Progress

RANKED = (AUROC, PRECISION)
OF_PROBABILITIES = (BRIER, ECE)


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
        return len(self.test) if self.test.groups is None else len(np.unique(self.test.groups))

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

    def prepared(self, values: np.ndarray, kind: str) -> Prepared:
        """Scores (n, columns) sorted and binned, for the measures that are resampled: all but AUROC.

        With parts there is no average precision: that of a part's few items is too high, and scores of several maps
        have no common scale for one of all.
        """
        sides = {label: self._side(values, label) for label in self.judged}
        ranked = [Places.of(*side) for side in sides.values()] if self.parts is None else []
        calibrated = self.calibrated if kind == "probability" else []
        missed = [Misses.of(*sides[label]) for label in calibrated]
        best = None if self.only is None else _of_the_best(values, self.only)
        return Prepared(ranked, missed, best)

    def _side(self, values: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels (n,) of one class, NaN where the label is not known."""
        return values[:, self.columns.index(label)], self.test.values[:, self.test.classes.index(label)]


Measures = dict[str, np.ndarray]  # each (b,), or (b, columns)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One row's scores, sorted and binned once, to be measured in any number of resamples.

    Parameters
    ----------
    ranked
        Of each judged class.
    missed
        Of each calibrated class, where the scores are probabilities.
    best
        With one class an item: the measures of the best-scored class in resamples (b, n).
    """

    ranked: Sequence[Places]
    missed: Sequence[Misses]
    best: Callable[[np.ndarray], Measures] | None

    def measured(self, counts: np.ndarray) -> Measures:
        """Each measure in resamples (b, n): (b, judged classes), or (b, 1) of all at once."""
        result = {}
        if self.ranked:
            result[PRECISION] = np.stack([_average_precision(places, counts) for places in self.ranked], axis=1)
        exact = counts.astype(np.float64, copy=False) if self.missed or self.best else counts
        if self.missed:
            result[BRIER] = np.stack([one.brier(exact) for one in self.missed], axis=1)
            result[ECE] = np.stack([one.calibration_error(exact) for one in self.missed], axis=1)
        if self.best is not None:
            result |= {name: numbers[:, None] for name, numbers in self.best(exact).items()}
        return result


def _average_precision(places: Places, counts: np.ndarray) -> np.ndarray:
    """Average precision (b,) in resamples (b, n); NaN without a positive, or without a negative to be above."""
    ranking = places.ranking(counts)
    return np.where(ranking.below[-1, -1] > 0, ranking.average_precision(), np.nan)


def _of_the_best(values: np.ndarray, only: np.ndarray) -> Callable[[np.ndarray], Measures]:
    """Macro F1 of the best-scored class, where ``only`` (n,) is the one that applies; shares need no resamples."""
    best = values.argmax(axis=1)
    return lambda counts: {"f1": resampled_macro_f1(best, only, values.shape[1], counts)}


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
    made = {PRECISION: centred_interval, BRIER: brier_interval, ECE: calibration_error_interval}
    return made.get(measure, percentile_interval)


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
) -> tuple[tuple[Method, ...], int]:
    """Every row's measures on the same patients, and how many resamples were dropped.

    AUROC and its differences have the intervals of :mod:`stitchkit.metrics.auroc_intervals`, measures of the
    best-scored class those of :mod:`stitchkit.metrics.proportions`, the others those of resamples. A resample that
    lacks a positive or a negative of some class is dropped for all. Classes with too few patients have no intervals.
    Measures of probabilities leave out the classes ``not_calibrated``.
    """
    truth = Truth.of(test, judged, multiclass, None, not_calibrated)
    values = {name: in_order(scores, test, truth.columns, name) for name, scores in rows.items()}
    prepared = {name: truth.prepared(values[name], scores.kind) for name, scores in rows.items()}
    resampled, dropped = _resampled_rows(prepared, truth, replicates, seed, bar or Progress(show=False))
    ranked = auroc_rows({name: truth.pulls(one) for name, one in values.items()}, test, judged)
    if truth.only is not None:
        resampled = _with_shares(resampled, {name: one.argmax(axis=1) for name, one in values.items()}, truth)
    return tuple(Method(name, {AUROC: ranked[name], **resampled[name]}) for name in rows), dropped


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


def _resampled_rows(
    prepared: Mapping[str, Prepared], truth: Truth, replicates: int, seed: int, bar: Progress
) -> tuple[dict[str, dict[str, Measured]], int]:
    """Measures of each row that are resampled, with their differences from the first, and the resamples dropped."""
    point = {name: row.measured(np.ones((1, len(truth.test)))) for name, row in prepared.items()}
    drawn: dict[str, dict[str, list[np.ndarray]]] = {name: {one: [] for one in point[name]} for name in prepared}
    bar.begin("resampling patients, rows of the table", len(prepared) * replicates)
    for counts in _resamples(truth.test, replicates, seed):
        for name, row in prepared.items():
            for one, numbers in row.measured(counts).items():
                drawn[name][one].append(numbers)
            bar.step(len(counts))
    measures = {
        name: {one: _Drawn(point[name][one][0], np.concatenate(parts)) for one, parts in blocks.items()}
        for name, blocks in drawn.items()
    }
    main = next(iter(prepared))
    complete = ~np.isnan(measures[main][PRECISION].draws).any(axis=1)
    patients = patients_of(truth.test.of_classes(tuple(truth.judged)))
    alone = min(one.fewest for one in patients.values()) < 2  # of one patient resamples know nothing
    people = 0 if alone else carriers(truth.test, truth.judged)
    rows = {
        name: {
            one: _measured(
                one, own, None if name == main else measures[main].get(one), truth, patients, people, complete
            )
            for one, own in row.items()
        }
        for name, row in measures.items()
    }
    return rows, int((~complete).sum())


def _with_shares(
    found: Mapping[str, dict[str, Measured]], best: Mapping[str, np.ndarray], truth: Truth
) -> dict[str, dict[str, Measured]]:
    """Measures of the best-scored class ``best`` (n,) of each row, by the rule of proportions.

    The difference of two macro F1 stays that of resamples: two methods' F1 are not shares of the same items.
    """
    main, only = next(iter(best)), truth.only
    if only is None:
        return dict(found)
    rest = only, len(truth.columns), np.arange(len(truth.test)) if truth.test.groups is None else truth.test.groups
    rows = {}
    for name, called in best.items():
        apart = {} if name == main else multiclass_differences(best[main], called, *rest)
        shares = {}
        for one, interval in multiclass_intervals(called, *rest).items():
            difference = found[name][one].difference if one == "f1" else apart.get(one)
            carried = None if difference is None else where_carried(difference, truth.people)
            shares[one] = Measured(where_carried(interval, truth.people), {}, carried)
        rows[name] = {**found[name], **shares}
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One measure of one row, of the sample (columns,) and in its resamples (b, columns)."""

    value: np.ndarray
    draws: np.ndarray


def _measured(
    measure: str,
    own: _Drawn,
    main: _Drawn | None,
    truth: Truth,
    numbers: Mapping[str, ClassPatients],
    people: int,
    complete: np.ndarray,
) -> Measured:
    """A measure with its intervals, and with its difference from that of the main row.

    ``people`` carry a mean of average precisions.
    """
    around = interval_of(measure)
    labels = truth.judged if measure in RANKED else truth.calibrated if measure in OF_PROBABILITIES else []
    classes = {label: around(float(own.value[c]), own.draws[:, c]) for c, label in enumerate(labels)}
    macro, difference = around(float(own.value.mean()), own.draws[complete].mean(axis=1)), None
    if main is not None and measure != ECE:  # resamples make both errors larger, and not alike
        apart = (main.draws - own.draws)[complete].mean(axis=1)
        difference = percentile_interval(float((main.value - own.value).mean()), apart)
    if measure in RANKED:
        macro = where_carried(macro, people)
        difference = None if difference is None else where_carried(difference, people)
    if measure == ECE:
        least = CALIBRATED if len(labels) == 1 else SEVERAL_CALIBRATED
        macro = macro if truth.people >= least else without_ends(macro)
        classes = (
            classes if truth.people >= CALIBRATED else {label: without_ends(one) for label, one in classes.items()}
        )
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
    people, found = np.arange(len(test)) if test.groups is None else test.groups, {}
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
    groups = np.arange(len(test)) if test.groups is None else test.groups
    return patient_counts(groups, replicates, seed, np.float32)


def _of(thresholds: Thresholds, label: str) -> float:
    return float(thresholds.values[thresholds.classes.index(label)])
