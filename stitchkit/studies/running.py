"""Runs a study cell by cell; what is finished stays finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, StitchError
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.tables import check_exclusive, judged_classes
from stitchkit.progress import Progress
from stitchkit.studies.benches import Loads, StudyBench
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs import Job, Naming, Stitching
from stitchkit.studies.plans import StudyPlan

Say = Callable[[str], None]
RECORDED = ("solver", "settings", "rank", "r2", "notes")


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """A study that ran: its plan, what was judged, and where each cell's scores lie.

    ``cells`` are in the study's order; ``failed`` are those that could not be worked out, with the reason;
    ``available`` is the number of anchors there are (of the smallest fold).
    """

    plan: StudyPlan
    test: Labels
    cells: tuple[tuple[Cell, str], ...]
    log: CellLog
    failed: dict[str, str]
    notes: tuple[str, ...]
    available: int
    done_before: int


def run_study(
    plan: StudyPlan,
    out: str | Path,
    *,
    loads: Loads,
    say: Say = lambda _: None,
    progress: bool | None = None,
    allow_leakage: bool = False,
) -> Ran:
    """Every cell of a study that is not yet in ``out``.

    Parameters
    ----------
    loads
        How encoders and vectors are come by.
    say
        Called with a line when a step begins.

    Raises
    ------
    DataError
        For data, splits or classes that do not fit the plan.
    LeakageError
        If a patient is on both sides and ``allow_leakage`` is not set.
    """
    say("reading the data")
    bench = StudyBench.of(plan, loads, allow_leakage=allow_leakage)
    study = Stitching(plan, bench) if plan.kind == "stitching" else Naming(plan, bench)
    return run_cells(study, out, say=say, progress=progress)


def run_cells(study: Stitching | Naming, out: str | Path, *, say: Say, progress: bool | None = None) -> Ran:
    """Every cell of ``study`` that is not yet in ``out``."""
    plan, bench = study.plan, study.bench
    test = bench.test.of_classes(study.classes)
    check_judged(test, plan.min_positives)
    if plan.multiclass:
        check_exclusive(test)
    say(f"{len(test)} items to judge on {len(study.classes)} classes")
    log, cells, failed, before = CellLog(out), [], {}, 0
    with Progress(progress) as bar:
        bar.begin("cells of the study", study.count)
        for job in study.jobs():
            key = job.cell.key(job.circumstances)
            before += key in log
            if key not in log:
                try:
                    _finish(log, key, job, study.classes, plan.rename)
                except StitchError as error:  # a method that these anchors do not suit; the others go on
                    failed[str(job.cell)] = str(error)
            if key in log:
                cells.append((job.cell, key))
            bar.step(1)
    if not cells:
        raise DataError(f"no cell of the study could be worked out. {next(iter(failed.values()), '')}")
    available = min(len(part.anchors) for part in bench.parts)
    return Ran(plan, test, tuple(cells), log, failed, (*bench.notes, *study.notes), available, before)


def check_judged(test: Labels, least: int) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """The classes that can be judged, the others with the reason, and everybody's positives; none is an error."""
    judged, left_out, positives = judged_classes(test, least)
    if not judged:
        raise DataError(f"no class has {least} positives and negatives. Lower min_positives in [judge].")
    return judged, left_out, positives


def _finish(log: CellLog, key: str, job: Job, classes: Sequence[str], rename: Mapping[str, str]) -> None:
    start = time.monotonic()
    done = job.work()
    values = np.concatenate([_in_order(scores, classes, rename) for scores, _ in done])
    record = {name: done[0][1][name] for name in RECORDED if name in done[0][1]}
    facts = {"kind": done[0][0].kind, "record": record, "parts": len(done)}
    log.add(key, job.cell, values, {**facts, "seconds": round(time.monotonic() - start, 3)})


def _in_order(scores: Scores, classes: Sequence[str], rename: Mapping[str, str]) -> np.ndarray:
    known = replace(scores, classes=tuple(rename.get(label, label) for label in scores.classes))
    return np.stack([known.column(label) for label in classes], axis=1)
