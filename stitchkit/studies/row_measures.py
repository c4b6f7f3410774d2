"""Every row of a study with its uncertainty: by patient, or in kept resamples where training runs are drawn too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from stitchkit.core.patients import patient_of_each
from stitchkit.core.scores import Labels
from stitchkit.evaluation.scores.class_patients import precision_has_ends, where_carried, where_enough, without_ends
from stitchkit.evaluation.scores.multiclass_measures import ACCURACY, BALANCED, F1, macro_f1_interval
from stitchkit.evaluation.scores.results import PRECISION
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.average_precision_intervals import PrecisionPulls, macro_precision_interval
from stitchkit.metrics.bootstrap import STREAM, Interval, patient_counts, percentile_interval
from stitchkit.metrics.class_means import ClassMeans
from stitchkit.metrics.multiplicity import resampled_p
from stitchkit.metrics.proportions import by_patient, exact_interval, mean_difference, mean_interval
from stitchkit.metrics.rankings import share
from stitchkit.metrics.seeded_means import SeededMean, seeded_mean
from stitchkit.metrics.share_tests import mean_difference_p
from stitchkit.runtime.progress import Progress
from stitchkit.studies.cells import Cell
from stitchkit.studies.judges import Judge, ObjectiveJudge, RankingJudge, Share
from stitchkit.studies.plans import ObjectivesPlan, TrainingPlan
from stitchkit.studies.results import Gap
from stitchkit.studies.running import StudyRun

Group = tuple[str, str, str, int | None]  # source, target, method, anchors


@dataclass(frozen=True, slots=True, eq=False)
class RowMeasures:
    """Measures of every row.

    Parameters
    ----------
    values
        Row -> resampled measure -> (1 + b, columns), the sample itself first: the mean over draws of anchors; over
        training runs, which are resampled too.
    pulls
        Row -> AUROC of its classes, the mean over draws of anchors; empty where the main measure is another.
    means
        Row -> further measures that are means over classes, the mean over draws of anchors.
    shares
        Row -> measures that are shares, the items of each patient (k, columns) added up and the mean over draws of
        anchors; empty where training runs are resampled as well as patients.
    draws
        Row -> the main measure of each draw of anchors, mean over columns.
    candidates
        Items that are judged: nothing is ranked among more.
    complete : (b,)
        Resamples in which everything can be measured; empty where nothing is resampled.
    seeds
        Row -> seed -> measure, mean over columns; of studies of objectives alone, whose intervals are over patients and
        seeds by :func:`stitchkit.metrics.seeded_means.seeded_mean`.
    """

    judge: Judge
    values: Mapping[Group, Mapping[str, np.ndarray]]
    pulls: Mapping[Group, AurocPulls]
    means: Mapping[Group, Mapping[str, PrecisionPulls | ClassMeans]]
    shares: Mapping[Group, Mapping[str, Share]]
    draws: Mapping[Group, tuple[float, ...]]
    complete: np.ndarray
    candidates: int
    seeds: Mapping[Group, Mapping[int, Mapping[str, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: StudyRun, bar: Progress) -> RowMeasures:
        """Measures of every row of a study that ran; resamples that an earlier run has kept are read."""
        judge, groups = run.judge, rows_of_cells(run.cells)
        known = (
            _resampled_measures(run, judge, groups, bar)
            if isinstance(judge, RankingJudge)
            else {group: {} for group in groups}
        )
        draws = {group: tuple(kept.pop(DRAWS, np.empty(0)).tolist()) for group, kept in known.items()}
        pulls, means, shares = {}, {}, {}
        for group, keys in groups.items():
            means[group] = _means_of([judge.means(run.log.scores(key)) for key in keys])
            shares[group] = {} if isinstance(judge, RankingJudge) else _shares_of(run, keys)
            each = [one for key in keys if (one := judge.pulls(run.log.scores(key))) is not None]
            if each:
                pulls[group] = AurocPulls.mean_of(each)
                draws[group] = tuple(float(one.value.mean()) for one in each)
            elif not isinstance(judge, RankingJudge):
                draws[group] = _draws_of(run, keys)
        first = next(iter(known.values()))
        complete = ~np.isnan(first[judge.main][1:]).any(axis=1) if judge.main in first else np.empty(0, dtype=bool)
        seeds = _seeds_of(run, judge) if isinstance(judge, ObjectiveJudge) else {}
        return cls(judge, known, pulls, means, shares, draws, complete, len(run.test), seeds)

    def interval(self, group: Group, measure: str = "") -> Interval:
        """The mean over columns with its interval over patients; of the main measure if none is named.

        A mean that too few patients carry has no ends.
        """
        named = measure or self.judge.main
        return where_carried(self._mean(group, named), self.judge.carriers(named))

    def _mean(self, group: Group, measure: str) -> Interval:
        if measure == self.judge.main and group in self.pulls:
            return macro_auroc_interval(self.pulls[group])
        if self.is_whole(measure):
            return Interval(1.0, float("nan"), float("nan"))
        if (mean := self.means[group].get(measure)) is not None:
            return self._mean_interval(measure, mean)
        if (one := self.shares[group].get(measure)) is not None:
            return mean_interval(one.won, one.of)
        if group in self.seeds:
            return self._seeded(group, measure).interval(0.0, 1.0)
        return self._resampled_interval(*self._macro(group, measure))

    def _seeded(self, group: Group, measure: str) -> SeededMean:
        """The mean over seeds of a measure."""
        each = np.asarray([one[measure] for one in self.seeds[group].values()])
        return seeded_mean(each, self._macro(group, measure)[1], self.judge.carriers(measure))

    def seeded_gap(self, group: Group, other: Group) -> SeededMean | None:
        """``group - other`` of the main measure, seed by seed; None where they were not run from the same seeds."""
        main, own, base = self.judge.main, self.seeds[group], self.seeds[other]
        if own.keys() != base.keys():
            return None
        each = np.asarray([own[seed][main] - base[seed][main] for seed in own])
        resamples = self._macro(group, main)[1] - self._macro(other, main)[1]
        return seeded_mean(each, resamples, self.judge.carriers(main))

    def _resampled_interval(self, value: float, draws: np.ndarray) -> Interval:
        return cast(RankingJudge, self.judge).interval(value, draws)  # no other judge resamples

    def _mean_interval(self, measure: str, mean: PrecisionPulls | ClassMeans) -> Interval:
        if isinstance(mean, PrecisionPulls):
            interval = macro_precision_interval(mean)
            return interval if precision_has_ends(self.judge.patients, self.judge.columns) else without_ends(interval)
        return macro_f1_interval(mean) if measure == F1 else mean.interval()

    def is_whole(self, measure: str) -> bool:
        """True for recall at as many places as there are items, which is 1 by construction."""
        name, _, k = measure.partition("@")
        return name == "recall" and int(k) >= self.candidates

    def columns(self, group: Group) -> dict[str, Interval]:
        """The main measure of each column, with its interval over patients."""
        if group in self.pulls:
            intervals = auroc_intervals(self.pulls[group])
            return where_enough(dict(zip(self.judge.columns, intervals, strict=True)), self.judge.patients)
        return {label: where_carried(one, self.judge.carriers(self.judge.main)) for label, one in self._each(group)}

    def _each(self, group: Group) -> Iterator[tuple[str, Interval]]:
        """The main measure of each column where it is no AUROC."""
        share, named = self.shares[group].get(self.judge.main), self.judge.main
        for c, label in enumerate(self.judge.columns):
            if share is not None:
                yield label, exact_interval(share.won[:, c], share.of[:, c])
            else:
                numbers = self.values[group][named]
                yield label, self._resampled_interval(float(numbers[0, c]), numbers[1:, c])

    def gap(self, group: Group, other: Group) -> Gap:
        """``group - other`` of the mean over columns, on the same patients; no ends and p where too few carry it."""
        gap = self._gap(group, other)
        value = where_carried(gap.value, self.judge.carriers(self.judge.main))
        return Gap(value, gap.p if value.has_ends else float("nan"))

    def _gap(self, group: Group, other: Group) -> Gap:
        if group in self.pulls:
            difference = macro_auroc_difference(self.pulls[group], self.pulls[other])
            return Gap(difference.interval, difference.p)
        if group in self.seeds:
            apart_by_seed = self.seeded_gap(group, other)
            if apart_by_seed is None:
                value = self._macro(group, self.judge.main)[0] - self._macro(other, self.judge.main)[0]
                return Gap(Interval(value, float("nan"), float("nan")), float("nan"))
            return Gap(apart_by_seed.interval(-1.0, 1.0), apart_by_seed.p)
        own, base = (self.shares[one].get(self.judge.main) for one in (group, other))
        if own is not None and base is not None:
            sums = own.won, base.won, own.of
            return Gap(mean_difference(*sums), mean_difference_p(*sums))
        (value, draws), (level, against) = (self._macro(one, self.judge.main) for one in (group, other))
        apart = draws - against
        return Gap(percentile_interval(value - level, apart), resampled_p(apart))

    def class_gaps(self, group: Group, other: Group) -> dict[str, Gap]:
        """``group - other`` of each class's AUROC; without ends and p where a class has too few patients."""
        each = auroc_differences(self.pulls[group], self.pulls[other])
        named = dict(zip(self.judge.columns, each, strict=True))
        gaps = where_enough({label: one.interval for label, one in named.items()}, self.judge.patients)
        return {label: Gap(gap, named[label].p if gap.has_ends else float("nan")) for label, gap in gaps.items()}

    def beside(self, group: Group) -> list[str]:
        """The measures of a row that are not the main one."""
        every = dict.fromkeys((*self.means[group], *self.shares[group], *self.values[group]))
        return [name for name in MEASURES if name in every] + [
            name for name in every if name not in (*MEASURES, self.judge.main)
        ]

    def _macro(self, group: Group, measure: str) -> tuple[float, np.ndarray]:
        """Mean over columns, of the sample and of the complete resamples."""
        whole = self.values[group][measure].mean(axis=1)
        return float(whole[0]), whole[1:][self.complete]


def _resampled_measures(
    run: StudyRun, judge: RankingJudge, groups: Mapping[Group, list[str]], bar: Progress
) -> dict[Group, dict[str, np.ndarray]]:
    """Resampled measures of each row of training runs and the main measure of each run, read where they were kept."""
    plan = cast(TrainingPlan, run.plan)  # only training runs are ranked and resampled
    replicates = plan.judge.replicates
    arrays = {group: run.log.read_arrays(_digest(run, plan, keys), (judge.main,)) for group, keys in groups.items()}
    missing = [group for group, kept in arrays.items() if kept is None]
    bar.begin("resampling patients, rows of the table", len(missing) * (replicates + 1))
    blocks: dict[Group, list[dict[str, np.ndarray]]] = {group: [] for group in missing}
    for at, counts in enumerate(_counts(run.test, replicates, plan.seed) if missing else ()):
        for group in missing:
            each = [judge.measure(run.log.scores(key), counts) for key in groups[group]]
            shares = _shares(plan, len(each), len(counts), at)
            block = {name: _mean([one[name] for one in each], shares) for name in each[0]}
            if at == 0:  # of the sample, which is first
                block[DRAWS] = np.asarray([one[judge.main][0].mean() for one in each])
            blocks[group].append(block)
            bar.step(len(counts))
    for group in missing:
        names = blocks[group][-1]
        whole = {name: np.concatenate([block[name] for block in blocks[group]]) for name in names}
        whole[DRAWS] = blocks[group][0][DRAWS]
        run.log.keep(_digest(run, plan, groups[group]), whole)
        arrays[group] = whole
    return {group: dict(kept) for group, kept in arrays.items() if kept is not None}


def _seeds_of(run: StudyRun, judge: ObjectiveJudge) -> dict[Group, dict[int, dict[str, float]]]:
    """Every measure of each seed of each row, mean over columns."""
    seeds: dict[Group, dict[int, dict[str, float]]] = {}
    for cell, key in run.cells:
        scores = run.log.scores(key)
        measures = judge.measure(scores, np.ones((1, len(scores))))
        each = {name: float(value[0].mean()) for name, value in measures.items()}
        seeds.setdefault((cell.source, cell.target, cell.method, cell.anchors), {})[cell.draw] = each
    return seeds


def _shares_of(run: StudyRun, keys: Sequence[str]) -> dict[str, Share]:
    """Shares of a row, the items of each patient added up: the mean over draws of anchors, which ask the same items."""
    people = patient_of_each(run.test.groups, len(run.test))
    each = [run.judge.shares(run.log.scores(key)) for key in keys]

    def sums(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([by_patient(column, people) for column in np.mean(parts, axis=0).T], axis=1)

    return {
        name: Share(sums([one[name].won for one in each]), sums([one[name].of for one in each])) for name in each[0]
    }


def _draws_of(run: StudyRun, keys: Sequence[str]) -> tuple[float, ...]:
    """The main measure of each draw of a row, where it is a share: mean over columns."""
    each = [run.judge.shares(run.log.scores(key))[run.judge.main] for key in keys]
    return tuple(float(share(one.won.sum(axis=0), one.of.sum(axis=0)).mean()) for one in each)


def _means_of(
    each: Sequence[Mapping[str, PrecisionPulls | ClassMeans]],
) -> dict[str, PrecisionPulls | ClassMeans]:
    """Measures of a row, the mean over its draws."""
    means: dict[str, PrecisionPulls | ClassMeans] = {}
    for name in each[0]:
        drawn = [one[name] for one in each]
        precise = [one for one in drawn if isinstance(one, PrecisionPulls)]
        rates = [one for one in drawn if isinstance(one, ClassMeans)]
        means[name] = PrecisionPulls.mean_of(precise) if precise else ClassMeans.mean_of(rates)
    return means


MEASURES = (PRECISION, ACCURACY, BALANCED, F1)  # in the order of the table
DRAWS = "draws"


def _shares(plan: TrainingPlan, draws: int, resamples: int, at: int) -> np.ndarray:
    """Weights (b, draws) of each draw in each resample of block ``at``; equal in the sample, which is first.

    Runs of a training differ by chance more than patients do, and another seed would be as good: they are drawn anew.
    In studies of objectives patients alone are, and the seeds' own variance is added to theirs.
    """
    if at == 0 or isinstance(plan, ObjectivesPlan):
        return np.full((resamples, draws), 1 / draws)
    rng = np.random.default_rng([plan.seed, 6, at])
    return rng.multinomial(draws, np.full(draws, 1 / draws), size=resamples) / draws


def _mean(each: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """The mean over draws of a measure, each (b, columns)."""
    means: np.ndarray = np.einsum("bd,dbc->bc", shares, np.stack(each))
    return means


def rows_of_cells(cells: Sequence[tuple[Cell, str]]) -> dict[Group, list[str]]:
    """Each row of the table with the keys of its draws, in the study's order."""
    rows: dict[Group, list[str]] = {}
    for cell, key in cells:
        rows.setdefault((cell.source, cell.target, cell.method, cell.anchors), []).append(key)
    return rows


def _digest(run: StudyRun, plan: TrainingPlan, keys: Sequence[str]) -> str:
    """Digest of all that decides the resamples of a row; a cell's key stands for its items, labels and patients."""
    multiclass, is_training = False, True  # constants by now, which stay, so that kept resamples are found
    settings: tuple[object, ...] = (
        keys, run.judge.main, list(run.judge.columns), multiclass, run.folds is not None, is_training, STREAM
    )  # fmt: skip
    if isinstance(plan, ObjectivesPlan):
        settings = (*settings, "patients alone")
    return hashlib.sha256(repr((settings, plan.judge.replicates, plan.seed)).encode()).hexdigest()[:24]


def _counts(test: Labels, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """The sample itself, then its resamples by patient, in blocks (b, n)."""
    yield np.ones((1, len(test)))
    yield from patient_counts(patient_of_each(test.groups, len(test)), replicates, seed)
