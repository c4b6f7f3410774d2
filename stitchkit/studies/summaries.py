"""Cells to tables: draws averaged for every patient or inside each resample of patients, the same for every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.patients import count_patients
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.class_answers import notes_on_answers
from stitchkit.evaluation.scores.class_patients import note_on_carriers, note_on_precision, notes_on_patients
from stitchkit.evaluation.scores.metadata_shortcuts import MetadataAlone
from stitchkit.evaluation.scores.results import is_above_chance, measure_name
from stitchkit.metrics.multiplicity import holm
from stitchkit.runtime.progress import Progress
from stitchkit.studies.jobs.study_jobs import CLIP
from stitchkit.studies.methods import METADATA, OWN, PROBE
from stitchkit.studies.plans import RANKED, StudyPlan
from stitchkit.studies.resampling import Group, Resampled
from stitchkit.studies.results import Finding, StudyRow, StudySummary, distinct_names
from stitchkit.studies.running import Ran


def summarise(ran: Ran, *, progress: bool | None = None) -> StudySummary:
    """The tables of a study; ``progress`` as in :func:`stitchkit.study`."""
    with Progress(progress) as bar:
        resampled = Resampled.of(ran, bar)
    table = _Table(ran.plan, resampled)
    rows = table.rows()
    names = distinct_names((*ran.plan.sources, *ran.plan.targets))
    notes = [*ran.notes, *_shortcuts(table, rows, names), *_galleries(ran, names)]
    if ran.judge.patients:
        notes += note_on_precision(ran.judge.patients, ran.judge.columns) if ran.parts is None else []
        notes += notes_on_patients(ran.judge.patients, ran.judge.columns)
    notes += note_on_carriers(ran.judge.carriers(ran.judge.main), "means and their differences")
    notes += notes_on_answers(ran.test) if ran.plan.multiclass else []
    if dropped := int((~resampled.complete).sum()):
        notes.append(f"{dropped} of {ran.plan.replicates} resamples lacked {ran.judge.lacking} and were dropped")
    if ran.parts is not None and ran.plan.kind not in RANKED:
        notes.append("no average precision: scores of several folds' maps have no common scale")
    beside = dict.fromkeys(name for group in resampled.shares for name in resampled.beside(group))
    if whole := ", ".join(name for name in beside if resampled.is_whole(name)):
        notes.append(f"{whole}: 1 by construction among so few items, and without an interval")
    if ran.test.groups is None:
        notes.append("patients are not known: intervals take every item for a patient of its own")
    return StudySummary(
        ran.plan.name,
        ran.plan.kind,
        len(ran.test),
        count_patients(ran.test.groups),
        rows,
        table.findings(ran.judge.positives),
        dict(ran.judge.left_out),
        ran.failed,
        tuple(notes),
        {
            **({} if ran.plan.kind == "retrieval" else {"replicates": ran.plan.replicates}),
            "draws": ran.plan.draws,
            "seed": ran.plan.seed,
            "level": 0.95,
            "all_anchors": ran.available,
            "min_positives": ran.plan.min_positives,
        },
        names,
        ran.judge.main,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Rows and findings from what was resampled."""

    plan: StudyPlan
    resampled: Resampled

    def rows(self) -> tuple[StudyRow, ...]:
        """Every row with what it is compared with."""
        return tuple(self._row(group) for group in self.resampled.found)

    def _row(self, group: Group) -> StudyRow:
        source, target, method, anchors = group
        found = self.resampled
        gaps = {other[2]: found.gap(group, other) for other in self._baselines(group)}
        return StudyRow(
            source, target, method, anchors, found.draws[group], found.interval(group), found.columns(group),
            {name: found.interval(group, name) for name in found.beside(group)}, gaps,
        )  # fmt: skip

    def _baselines(self, group: Group) -> list[Group]:
        """Rows that this one is compared with: what uses no map, at as many anchors, or the first solver or arm."""
        source, target, method, anchors = group
        plan = self.plan
        wanted: list[Group] = []
        if method.startswith(CLIP):
            wanted = [("", "", METADATA, plan.anchors[-1])]
        elif plan.kind in RANKED:
            wanted = [(source, target, plan.solvers[0], anchors)] if method != plan.solvers[0] else []
        elif source and target:
            wanted = [("", target, OWN, 0), (source, "", PROBE, anchors), ("", "", METADATA, anchors)]
            wanted += [("", "", f"{CLIP}: {checkpoint}", 0) for checkpoint in plan.clip]
        return [one for one in wanted if one in self.resampled.found]

    def findings(self, positives: Mapping[str, int]) -> tuple[Finding, ...]:
        """Class by class: the first solver of the first pair at the most anchors, beside the probe or the own head."""
        found, plan = self.resampled, self.plan
        first = next((g for g in found.found if g[0] and g[1] and g[2] == plan.solvers[0]), None)
        if first is None:
            return ()
        group = (*first[:3], plan.anchors[-1])
        against = next((one for name in (PROBE, OWN) for one in self._baselines(group) if one[2] == name), None)
        if group not in found.found or against is None:
            return ()
        values, gaps = found.columns(group), found.class_gaps(group, against)
        tested = [label for label, gap in gaps.items() if gap.value.has_ends]
        adjusted = dict(zip(tested, holm(np.asarray([gaps[label].p for label in tested])).tolist(), strict=True))
        patients = found.judge.patients
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


def _galleries(ran: Ran, names: Mapping[str, str]) -> list[str]:
    """Notes on the size of each gallery that is ranked, and on the chance of the cell where it is highest.

    Records of before hold the chance of a random ranking instead, as ``"chance"``: the two are never mixed.
    """
    records = [(cell.target, ran.log[key]["record"]) for cell, key in ran.cells]
    ranked = [(target, one) for target, one in records if "gallery" in one]
    shuffled, of_random = (_highest(ranked, key) for key in ("shuffled_chance", "chance"))
    fold = " in the first fold" if ran.plan.data.folds else ""
    measure, notes = measure_name(ran.judge.main), []
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
    pulls = table.resampled.pulls[most.source, most.target, METADATA, most.anchors]
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
    told = "These scores may be explained by metadata and must not be read as a diagnosis"
    shortcuts = [
        f"SHORTCUT: {alone_reach}. From {names[source]} to {names[target]} these maps are not clearly above it: "
        f"{', '.join(found)}. {told}"
        for (source, target), found in hit.items()
    ]
    return shortcuts + [
        f"not above chance: from {names[source]} to {names[target]}, {', '.join(found)}; {alone_reach}"
        for (source, target), found in low.items()
    ]
