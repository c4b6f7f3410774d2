"""Rows of scores to a table of measures: every row on the same resamples of patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stitchkit.core.calibrations import Thresholds
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import rows_of
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.results import AUROC, BRIER, ECE, PRECISION, Decisions, Measured, Method
from stitchkit.metrics.auroc import resampled_auroc, resampled_auroc_within
from stitchkit.metrics.bootstrap import Interval, centred_interval, patient_counts, percentile_interval
from stitchkit.metrics.decisions import decision_intervals, multiclass_measures
from stitchkit.metrics.rankings import Places
from stitchkit.metrics.reliability import Bin, Misses, reliability_curve
from stitchkit.progress import Progress

RANKED = (AUROC, PRECISION)
OF_PROBABILITIES = (BRIER, ECE)
OF_EACH_CLASS = (*RANKED, *OF_PROBABILITIES)


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

    def measured(self, values: np.ndarray, kind: str, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Each measure of scores (n, columns) in resamples (b, n): (b, judged classes), or (b, 1) of all at once."""
        return self.prepared(values, kind).measured(counts)

    def prepared(self, values: np.ndarray, kind: str) -> Prepared:
        """Scores (n, columns) sorted and binned, to be measured in many resamples.

        With parts the pairs are of one part, and there is no average precision: that of a part's few items is too
        high, and scores of several maps have no common scale for one of all.
        """
        sides = {label: self._side(values, label) for label in self.judged}
        if self.parts is None:
            ranked = [_by_rank(Places.of(*side)) for side in sides.values()]
        else:
            ranked = [_within(*side, self.parts) for side in sides.values()]
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
        Of each judged class: its measures of the ranking in resamples (b, n).
    missed
        Of each calibrated class, where the scores are probabilities.
    best
        With one class an item: the measures of the best-scored class in resamples (b, n).
    """

    ranked: Sequence[Callable[[np.ndarray], Measures]]
    missed: Sequence[Misses]
    best: Callable[[np.ndarray], Measures] | None

    def measured(self, counts: np.ndarray) -> Measures:
        """Each measure in resamples (b, n): (b, judged classes), or (b, 1) of all at once."""
        each = [measures(counts) for measures in self.ranked]
        result = {name: np.stack([one[name] for one in each], axis=1) for name in each[0]}
        exact = counts.astype(np.float64, copy=False) if self.missed or self.best else counts
        if self.missed:
            result[BRIER] = np.stack([one.brier(exact) for one in self.missed], axis=1)
            result[ECE] = np.stack([one.calibration_error(exact) for one in self.missed], axis=1)
        if self.best is not None:
            result |= {name: numbers[:, None] for name, numbers in self.best(exact).items()}
        return result


def _by_rank(places: Places) -> Callable[[np.ndarray], Measures]:
    """AUROC and average precision of one class."""

    def measures(counts: np.ndarray) -> Measures:
        ranking = places.ranking(counts)
        return {AUROC: ranking.auroc(), PRECISION: ranking.average_precision()}

    return measures


def _within(scores: np.ndarray, labels: np.ndarray, parts: np.ndarray) -> Callable[[np.ndarray], Measures]:
    """AUROC of one class over pairs of one part."""
    return lambda counts: {AUROC: resampled_auroc_within(scores, labels, parts, counts)}


def _of_the_best(values: np.ndarray, only: np.ndarray) -> Callable[[np.ndarray], Measures]:
    """Measures of the best-scored class, where ``only`` (n,) is the one that applies."""
    best = values.argmax(axis=1)
    return lambda counts: multiclass_measures(best, only, values.shape[1], counts)


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


def judged_classes(
    test: Labels, least: int, parts: np.ndarray | None = None
) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """Classes that can be judged, the others with the reason, and the positives of all.

    With ``parts`` (n,) an item counts only where its part has both kinds: elsewhere it is in no pair.
    """
    judged, left_out, positives = [], {}, {}
    for c, label in enumerate(test.classes):
        present, absent = int((test.values[:, c] == 1).sum()), int((test.values[:, c] == 0).sum())
        positives[label] = present
        within = ""
        if parts is not None:
            sides = [test.values[:, c] == side for side in (1, 0)]
            both = np.intersect1d(parts[sides[0]], parts[sides[1]])
            present, absent = (int((side & np.isin(parts, both)).sum()) for side in sides)
            within = " in folds that have both"
        if _one_patient(test, c):
            left_out[label] = "all positives, or all negatives, are of one patient"
        elif min(present, absent) >= max(least, 1):
            judged.append(label)
        else:
            left_out[label] = f"{present} positives and {absent} negatives{within}, fewer than {max(least, 1)}"
    return judged, left_out, positives


def _one_patient(test: Labels, c: int) -> bool:
    """Whether several positives, or several negatives, of class ``c`` are of one patient: no interval can be had."""
    if test.groups is None:
        return False
    sides = [test.groups[test.values[:, c] == side] for side in (0, 1)]
    return any(len(side) > 1 and len(np.unique(side)) == 1 for side in sides)


def interval_of(measure: str) -> Callable[[float, np.ndarray], Interval]:
    """How a measure's interval is made: where resamples are larger than the sample itself it is moved back."""
    return centred_interval if measure in (ECE, PRECISION) else percentile_interval


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
    """Every row's measures on the same resamples, and how many resamples were dropped.

    A resample that lacks a positive or a negative of some class is dropped for all. Measures of probabilities leave
    out the classes ``not_calibrated``.
    """
    truth = Truth.of(test, judged, multiclass, None, not_calibrated)
    matched = {
        name: truth.prepared(in_order(scores, test, truth.columns, name), scores.kind) for name, scores in rows.items()
    }
    once = np.ones((1, len(test)))
    point = {name: row.measured(once) for name, row in matched.items()}
    drawn: dict[str, dict[str, list[np.ndarray]]] = {name: {one: [] for one in point[name]} for name in rows}
    bar = bar or Progress(show=False)
    bar.begin("resampling patients, rows of the table", len(rows) * replicates)
    for counts in _resamples(test, replicates, seed):
        for name, row in matched.items():
            for one, numbers in row.measured(counts).items():
                drawn[name][one].append(numbers)
            bar.step(len(counts))
    resampled = {name: {one: np.concatenate(parts) for one, parts in found.items()} for name, found in drawn.items()}
    main = next(iter(rows))
    complete = ~np.isnan(resampled[main][AUROC]).any(axis=1)
    methods = []
    for name in rows:
        measures = {}
        for one, at in point[name].items():
            draws, against = resampled[name][one], resampled[main].get(one)
            difference = None
            if name != main and against is not None:
                apart = (against - draws)[complete].mean(axis=1)
                difference = percentile_interval(float((point[main][one] - at).mean()), apart)
            classes = judged if one in RANKED else truth.calibrated if one in OF_PROBABILITIES else []
            around = interval_of(one)
            measures[one] = Measured(
                around(float(at.mean()), draws[complete].mean(axis=1)),
                {label: around(float(at[0, c]), draws[:, c]) for c, label in enumerate(classes)},
                difference,
            )
        methods.append(Method(name, measures))
    return tuple(methods), int((~complete).sum())


def resampled_aurocs(values: np.ndarray, test: Labels, judged: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """AUROC (b, classes) of scores (n, all classes) in the test's order, in each resample (b, n)."""
    at = [test.classes.index(label) for label in judged]
    return np.stack([resampled_auroc(values[:, c], test.values[:, c], counts) for c in at], axis=1)


def decided(
    thresholds: Thresholds,
    given: Scores,
    calibrated: Scores,
    test: Labels,
    judged: list[str],
    bar: Progress | None = None,
) -> dict[str, Decisions]:
    """What the thresholds decide of each judged class that has one; they read the scores of their own kind."""
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
    """What calling ``called`` (n, c) present is worth for each class; items whose label is not known do not count."""
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
