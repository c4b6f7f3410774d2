"""Cells to tables: draws averaged inside each resample of patients, the same resamples for every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stitchkit.core.scores import Labels
from stitchkit.evaluation.judging import CLOSE
from stitchkit.evaluation.tables import resampled_aurocs
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval
from stitchkit.metrics.decisions import multiclass_measures
from stitchkit.metrics.multiplicity import holm, resampled_p
from stitchkit.progress import Progress
from stitchkit.studies.cells import Cell
from stitchkit.studies.methods import METADATA, OWN, PROBE
from stitchkit.studies.plans import StudyPlan
from stitchkit.studies.results import Finding, Gap, StudyRow, StudySummary, distinct_names
from stitchkit.studies.running import Ran, check_judged


def summarise(ran: Ran, *, progress: bool | None = None) -> StudySummary:
    """The tables of a study; ``progress`` as in :func:`stitchkit.study`.

    Raises
    ------
    DataError
        If no class has enough positives and negatives to be judged.
    """
    judged, left_out, positives = check_judged(ran.test, ran.plan.min_positives)
    with Progress(progress) as bar:
        resampled = _Resampled.of(ran, judged, bar)
    rows = resampled.rows()
    names = distinct_names((*ran.plan.sources, *ran.plan.targets))
    notes = [*ran.notes, *_shortcuts(rows, ran.plan, names)]
    if dropped := int((~resampled.complete).sum()):
        lacking = "lacked a positive or a negative of some class and were dropped"
        notes.append(f"{dropped} of {ran.plan.replicates} resamples {lacking}")
    if ran.test.groups is None:
        notes.append("patients are not known: intervals take every item for a patient of its own")
    return StudySummary(
        ran.plan.name,
        ran.plan.kind,
        len(ran.test),
        None if ran.test.groups is None else len(np.unique(ran.test.groups)),
        rows,
        resampled.findings(positives),
        left_out,
        ran.failed,
        tuple(notes),
        {
            "replicates": ran.plan.replicates,
            "draws": ran.plan.draws,
            "seed": ran.plan.seed,
            "level": 0.95,
            "all_anchors": ran.available,
            "min_positives": ran.plan.min_positives,
        },
        names,
    )


Group = tuple[str, str, str, int | None]  # source, target, method, anchors


@dataclass(frozen=True, slots=True, eq=False)
class _Resampled:
    """AUROC of every row in every resample; the first resample is the sample itself."""

    ran: Ran
    judged: list[str]
    means: Mapping[Group, np.ndarray]  # (1 + b, classes), averaged over draws
    draws: Mapping[Group, tuple[float, ...]]
    balanced: Mapping[Group, np.ndarray]  # (1 + b,)
    complete: np.ndarray  # (b,) resamples with every class

    @classmethod
    def of(cls, ran: Ran, judged: list[str], bar: Progress) -> _Resampled:
        groups = _groups(ran)
        parts: dict[Group, list[np.ndarray]] = {group: [] for group in groups}
        best: dict[Group, list[np.ndarray]] = {group: [] for group in groups if ran.plan.multiclass}
        draws: dict[Group, tuple[float, ...]] = {}
        bar.begin("resampling patients, rows of the table", len(groups) * (ran.plan.replicates + 1))
        for counts in _counts(ran.test, ran.plan.replicates, ran.plan.seed):
            for group, keys in groups.items():
                bar.step(len(counts))
                scored = [ran.log.scores(key) for key in keys]
                found = np.stack([resampled_aurocs(values, ran.test, judged, counts) for values in scored])
                draws.setdefault(group, tuple(found[:, 0, :].mean(axis=1).tolist()))  # of the sample, which is first
                parts[group].append(found.mean(axis=0))
                if ran.plan.multiclass:
                    best[group].append(np.mean([_balanced(values, ran.test, counts) for values in scored], axis=0))
        means = {group: np.concatenate(blocks) for group, blocks in parts.items()}
        balanced = {group: np.concatenate(blocks) for group, blocks in best.items()}
        complete = ~np.isnan(next(iter(means.values()))[1:]).any(axis=1)
        return cls(ran, judged, means, draws, balanced, complete)

    def macro(self, group: Group) -> tuple[float, np.ndarray]:
        """Mean over classes, of the sample and of the complete resamples."""
        whole = self.means[group].mean(axis=1)
        return float(whole[0]), whole[1:][self.complete]

    def rows(self) -> tuple[StudyRow, ...]:
        """Every row with what it is compared with."""
        return tuple(self._row(group) for group in self.means)

    def _row(self, group: Group) -> StudyRow:
        source, target, method, anchors = group
        value, draws = self.macro(group)
        numbers = self.means[group]
        classes = {
            label: percentile_interval(float(numbers[0, c]), numbers[1:, c]) for c, label in enumerate(self.judged)
        }
        found = self.balanced.get(group)
        gaps = {}
        for other in self._baselines(group):
            level, against = self.macro(other)
            apart = draws - against
            gaps[other[2]] = Gap(percentile_interval(value - level, apart), resampled_p(apart))
        return StudyRow(
            source, target, method, anchors, self.draws[group], percentile_interval(value, draws), classes,
            None if found is None else percentile_interval(float(found[0]), found[1:]), gaps,
        )  # fmt: skip

    def _baselines(self, group: Group) -> list[Group]:
        """Rows that this one is compared with: the target's own head, and probe and metadata at as many anchors."""
        source, target, _, anchors = group
        if not (source and target):
            return []
        wanted = [("", target, OWN, 0), (source, "", PROBE, anchors), ("", "", METADATA, anchors)]
        return [one for one in wanted if one in self.means]

    def findings(self, positives: Mapping[str, int]) -> tuple[Finding, ...]:
        """Class by class: the first solver of the first pair at the most anchors, beside the probe or the own head."""
        first = next((g for g in self.means if g[0] and g[1] and g[2] == self.ran.plan.solvers[0]), None)
        if first is None:
            return ()
        group = (*first[:3], self.ran.plan.anchors[-1])
        against = next((one for name in (PROBE, OWN) for one in self._baselines(group) if one[2] == name), None)
        if group not in self.means or against is None:
            return ()
        numbers, other = self.means[group], self.means[against]
        apart = numbers - other
        adjusted = holm(np.asarray([resampled_p(apart[1:, c]) for c in range(len(self.judged))]))
        return tuple(
            Finding(
                label,
                positives[label],
                percentile_interval(float(numbers[0, c]), numbers[1:, c]),
                against[2],
                percentile_interval(float(apart[0, c]), apart[1:, c]),
                float(adjusted[c]),
            )
            for c, label in enumerate(self.judged)
        )


def _groups(ran: Ran) -> dict[Group, list[str]]:
    """The keys of each row's draws."""
    found: dict[Group, list[str]] = {}
    for cell, key in ran.cells:
        found.setdefault(_group(cell), []).append(key)
    return found


def _group(cell: Cell) -> Group:
    return cell.source, cell.target, cell.method, cell.anchors


def _counts(test: Labels, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """The sample itself, then its resamples by patient, in blocks (b, n)."""
    yield np.ones((1, len(test)))
    yield from patient_counts(np.arange(len(test)) if test.groups is None else test.groups, replicates, seed)


def _balanced(values: np.ndarray, test: Labels, counts: np.ndarray) -> np.ndarray:
    only = test.values.argmax(axis=1)
    return multiclass_measures(values.argmax(axis=1), only, values.shape[1], counts)["balanced_accuracy"]


def _shortcuts(rows: tuple[StudyRow, ...], plan: StudyPlan, names: Mapping[str, str]) -> list[str]:
    """In words, which maps at the most anchors are not clearly above metadata alone; one finding a pair of encoders."""
    alone = [one for one in rows if one.method == METADATA]
    if not alone or not max(one.low for one in (alone[-1].macro, *alone[-1].classes.values())) > 0.5:
        return []
    most = alone[-1]
    hit: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        gap = row.gaps.get(METADATA)
        if row.anchors != most.anchors or gap is None:
            continue
        single = [label for label, one in most.classes.items() if one.low > max(row.classes[label].value - CLOSE, 0.5)]
        if gap.value.low <= 0 or single:
            of = "" if gap.value.low <= 0 else f" for {', '.join(single)}"
            hit.setdefault((row.source, row.target), []).append(f"{row.method} {row.macro.value:.3f}{of}")
    columns = ", ".join(("image files", *plan.data.metadata))
    told = "Such a score may be explained by metadata and must not be read as a diagnosis"
    return [
        f"SHORTCUT: metadata alone ({columns}) reach {most.macro}; of {names[source]} to {names[target]}, not clearly "
        f"above it are {', '.join(found)}. {told}"
        for (source, target), found in hit.items()
    ]
