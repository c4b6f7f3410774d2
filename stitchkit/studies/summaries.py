"""Cells to tables: draws averaged for every patient or inside each resample of patients, the same for every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.patients import count_patients
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.class_patients import note_on_carriers, note_on_precision, notes_on_patients
from stitchkit.evaluation.scores.evaluate import METADATA, PROBE
from stitchkit.evaluation.scores.metadata_shortcuts import MetadataAlone
from stitchkit.evaluation.scores.multiclass_measures import notes_on_multiclass
from stitchkit.evaluation.scores.results import is_above_chance, measure_name
from stitchkit.metrics.multiplicity import holm
from stitchkit.runtime.progress import Progress
from stitchkit.studies.jobs.study_jobs import TableAxes
from stitchkit.studies.judges import RECALL, ObjectiveJudge
from stitchkit.studies.methods import CLIP, OWN
from stitchkit.studies.plans import FUSION, OBJECTIVES, RANKED, AnyPlan, ClassJudgePlan, PairJudgePlan
from stitchkit.studies.results import Finding, StudyRow, StudySummary, distinct_names
from stitchkit.studies.row_measures import Group, RowMeasures
from stitchkit.studies.running import StudyRun


def summarise(run: StudyRun, *, progress: bool | None = None) -> StudySummary:
    """The tables of a study; ``progress`` as in :func:`stitchkit.study`."""
    with Progress(progress) as bar:
        measures = RowMeasures.of(run, bar)
    judging = run.plan.judge
    by_class = judging if isinstance(judging, ClassJudgePlan) else None
    replicates = None if isinstance(judging, PairJudgePlan) else judging.replicates
    table = _Table(run.plan, run.axes, measures)
    rows = table.rows()
    names = distinct_names((*run.axes.sources, *run.axes.targets))
    notes = [*run.notes, *_shortcuts(table, rows, names), *_galleries(run, names)]
    if run.judge.patients:
        notes += note_on_precision(run.judge.patients, run.judge.columns) if run.folds is None else []
        notes += notes_on_patients(run.judge.patients, run.judge.columns)
    notes += note_on_carriers(run.judge.carriers(run.judge.main), "means and their differences")
    notes += notes_on_multiclass(run.test) if by_class is not None and by_class.multiclass else []
    if dropped := int((~measures.complete).sum()):
        notes.append(f"{dropped} of {replicates} resamples lacked every query of some direction and were dropped")
    if run.folds is not None and run.plan.kind not in RANKED:
        notes.append("no average precision: scores of several folds' maps have no common scale")
    beside = dict.fromkeys(name for group in measures.shares for name in measures.beside(group))
    if whole := ", ".join(name for name in beside if measures.is_whole(name)):
        notes.append(f"{whole}: 1 by construction among so few items, and without an interval")
    if run.test.groups is None:
        notes.append("patients are not known: intervals take every item for a patient of its own")
    return StudySummary(
        name=run.plan.name,
        kind=run.plan.kind,
        n=len(run.test),
        patients=count_patients(run.test.groups),
        rows=rows,
        findings=table.objectives() if run.plan.kind == OBJECTIVES else table.findings(run.judge.positives),
        not_judged=dict(run.judge.not_judged),
        failed=run.failed,
        notes=tuple(notes),
        settings={
            **({} if replicates is None else {"replicates": replicates}),
            "draws": run.axes.draws,
            "seed": run.plan.seed,
            "level": 0.95,
            "all_anchors": run.available,
            "min_positives": MIN_POSITIVES if by_class is None else by_class.min_positives,
        },
        names=names,
        measure=run.judge.main,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Rows and findings from the measures of rows."""

    plan: AnyPlan
    axes: TableAxes
    measures: RowMeasures

    def rows(self) -> tuple[StudyRow, ...]:
        """Every row with what it is compared with."""
        return tuple(self._row(group) for group in self.measures.values)

    def _row(self, group: Group) -> StudyRow:
        source, target, method, anchors = group
        measures = self.measures
        gaps = {other[2]: measures.gap(group, other) for other in self._baselines(group)}
        return StudyRow(
            source=source,
            target=target,
            method=method,
            anchors=anchors,
            draws=measures.draws[group],
            macro=measures.interval(group),
            classes=measures.columns(group),
            measures={name: measures.interval(group, name) for name in measures.beside(group)},
            gaps=gaps,
        )

    def _baselines(self, group: Group) -> list[Group]:
        """Rows that this one is compared with: what uses no map, at as many anchors, or the first solver or arm."""
        source, target, method, anchors = group
        axes = self.axes
        wanted: list[Group] = []
        if method.startswith(CLIP):
            wanted = [("", "", METADATA, axes.counts[-1])]
        elif self.plan.kind in (*RANKED, FUSION):
            wanted = [(source, target, axes.methods[0], anchors)] if method != axes.methods[0] else []
        elif source and target:
            wanted = [("", target, OWN, 0), (source, "", PROBE, anchors), ("", "", METADATA, anchors)]
            wanted += [one for one in self.measures.values if one[2].startswith(CLIP)]
        return [one for one in wanted if one in self.measures.values]

    def objectives(self) -> tuple[Finding, ...]:
        """Each objective beside the first, with all training pairs, where both were run from the same seeds."""
        axes, measures = self.axes, self.measures
        rows = {group[2]: group for group in measures.values if group[3] == axes.counts[-1]}
        if (first := rows.pop(axes.methods[0], None)) is None:
            return ()
        apart = {name: gap for name, group in rows.items() if (gap := measures.seeded_gap(group, first)) is not None}
        tested = [name for name, gap in apart.items() if gap.p == gap.p]
        adjusted = dict(zip(tested, holm(np.asarray([apart[name].p for name in tested])).tolist(), strict=True))
        return tuple(
            Finding(
                label=name,
                positives=measures.candidates,
                value=measures.interval(rows[name]),
                baseline=axes.methods[0],
                gap=gap.interval(-1.0, 1.0),
                p=adjusted.get(name, float("nan")),
                detectable=gap.detectable(len(tested)) if name in tested else None,
            )
            for name, gap in apart.items()
        )

    def findings(self, positives: Mapping[str, int]) -> tuple[Finding, ...]:
        """Class by class: the first solver of the first pair at the most anchors, beside the probe or the own head."""
        measures, axes = self.measures, self.axes
        first = next((g for g in measures.values if g[0] and g[1] and g[2] == axes.methods[0]), None)
        if first is None:
            return ()
        group = (*first[:3], axes.counts[-1])
        against = next((one for name in (PROBE, OWN) for one in self._baselines(group) if one[2] == name), None)
        if group not in measures.values or against is None:
            return ()
        values, gaps = measures.columns(group), measures.class_gaps(group, against)
        tested = [label for label, gap in gaps.items() if gap.value.has_ends]
        adjusted = dict(zip(tested, holm(np.asarray([gaps[label].p for label in tested])).tolist(), strict=True))
        patients = measures.judge.patients
        return tuple(
            Finding(
                label=label,
                positives=positives[label],
                value=values[label],
                baseline=against[2],
                gap=gap.value,
                p=adjusted.get(label, float("nan")),
                patients=patients[label].patients[0] if patients[label].known else None,
            )
            for label, gap in gaps.items()
        )


def _galleries(run: StudyRun, names: Mapping[str, str]) -> list[str]:
    """Notes on the size of each gallery that is ranked, and on the chance of the cell where it is highest.

    Records of before hold the chance of a random ranking instead, as ``"chance"``: the two are never mixed.
    """
    records = [(cell.target, run.log[key]["record"]) for cell, key in run.cells]
    ranked = [(target, one) for target, one in records if "gallery" in one]
    shuffled, of_random = (_highest(ranked, key) for key in ("shuffled_chance", "chance"))
    fold = " in the first fold" if run.plan.data.folds else ""
    measure, notes = measure_name(run.judge.main), []
    if isinstance(run.judge, ObjectiveJudge) and run.judge.main == RECALL:
        shuffled, of_random = _highest(ranked, "recall_chance"), {}  # the others are of mean average precision
    for name, size in dict.fromkeys((target, one["gallery"]) for target, one in ranked):
        note = f"gallery of {counted(size, 'distinct target')} of {names.get(name, name)}{fold}"
        for values, words in ((shuffled, "by chance"), (of_random, "by a random ranking")):
            if (name, size) in values:
                there, back = values[name, size]
                note += f"; {words} {measure} is {there:.3f} there and {back:.3f} back"
                break
        notes.append(note)
    if old := sum("shuffled_chance" not in one for _, one in ranked):
        notes.append(
            f"{old} of {len(ranked)} cells were kept from a version that did not count the chance of shuffled pairs, "
            f"which may be higher than that of a random ranking. Run the study into an empty folder to have it of all"
        )
    return notes


def _highest(ranked: list[tuple[str, Mapping[str, Any]]], key: str) -> dict[tuple[str, int], np.ndarray]:
    """The highest value of ``key``, there and back, of each target and size of gallery, in records that have it."""
    highest: dict[tuple[str, int], np.ndarray] = {}
    for target, record in ranked:
        if key in record:
            which, value = (target, record["gallery"]), np.asarray(record[key])
            highest[which] = np.maximum(highest.get(which, value), value)
    return highest


def _shortcuts(table: _Table, rows: tuple[StudyRow, ...], names: Mapping[str, str]) -> list[str]:
    """In words, which maps at the most anchors are not clearly above metadata alone; one finding a pair of encoders."""
    alone = [one for one in rows if one.method == METADATA]
    if not alone:
        return []
    most = alone[-1]
    pulls = table.measures.pulls[most.source, most.target, METADATA, most.anchors]
    metadata = MetadataAlone.of(pulls, most.classes, most.macro)
    if not metadata.above and not metadata.macro_above:
        return []
    hit: dict[tuple[str, str], list[str]] = {}
    low: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        gap = row.gaps.get(METADATA)
        if row.anchors != most.anchors or gap is None:
            continue
        if row.macro.has_ends and not is_above_chance(row.macro):
            if metadata.explain_macro(row.macro):
                low.setdefault((row.source, row.target), []).append(f"{row.method} {row.macro}")
            continue
        single = [label for label in metadata.explained(row.classes) if is_above_chance(row.classes[label])]
        if gap.value.low <= 0 or single:
            of = "" if gap.value.low <= 0 else f" for {', '.join(single)}"
            hit.setdefault((row.source, row.target), []).append(f"{row.method} {row.macro.value:.3f}{of}")
    columns = ", ".join(("image files", *table.plan.data.metadata))
    alone_reach = f"metadata alone ({columns}) reaches a macro AUROC of {most.macro}"
    warning = "These scores may be explained by metadata and must not be read as a diagnosis"
    shortcuts = [
        f"SHORTCUT: {alone_reach}. From {names[source]} to {names[target]} these maps are not clearly above it: "
        f"{', '.join(methods)}. {warning}"
        for (source, target), methods in hit.items()
    ]
    return shortcuts + [
        f"not above chance: from {names[source]} to {names[target]}, {', '.join(methods)}; {alone_reach}"
        for (source, target), methods in low.items()
    ]
