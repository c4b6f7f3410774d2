"""Runs a study cell by cell; what is finished stays finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, StitchError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted
from stitchkit.encoders.consent import TrustPython
from stitchkit.runtime.progress import Progress
from stitchkit.studies.benches import Loads, StudyBench
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs.retrieval import Matching
from stitchkit.studies.jobs.study_jobs import Job, Naming, Stitching, StudyJobs
from stitchkit.studies.judges import Judge
from stitchkit.studies.plan_consent import check_plan_names
from stitchkit.studies.plans import StudyPlan

Say = Callable[[str], None]
KINDS = {"stitching": Stitching, "zeroshot": Naming, "retrieval": Matching}
RECORDED = ("solver", "settings", "rank", "r2", "notes", "spectrum", "gallery", "shuffled_chance")


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """A study that ran: its plan, what was judged and by what, and where each cell's values lie.

    ``items`` are the judged items' images (or texts), ``parts`` (n,) the part of each if there are several; ``cells``
    are in the study's order; ``failed`` are those that could not be worked out, with the reason; ``available`` is the
    number of anchors there are (of the smallest fold).
    """

    plan: StudyPlan
    test: Labels
    items: Items
    judge: Judge
    parts: np.ndarray | None
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
    trust_python: TrustPython = False,
) -> Ran:
    """Every cell of a study that is not yet in ``out``.

    Parameters
    ----------
    loads
        How encoders and vectors are come by.
    say
        Called with a line when a step begins.
    trust_python
        ``python:`` names of the study, outside its own folder, that may run; as in :func:`stitchkit.study`.

    Raises
    ------
    ModelUnavailableError
        If the study names Python code that may not run.
    DataError
        For data, splits or classes that do not fit the plan.
    LeakageError
        If a patient is on both sides and ``allow_leakage`` is not set.
    """
    check_plan_names(plan, trust_python)
    if plan.kind == "training":
        from stitchkit.studies.jobs.training import run_training

        device = getattr(loads, "device", "auto")
        return run_training(plan, out, device=device, say=say, progress=progress, allow_leakage=allow_leakage)
    say("reading the data")
    bench = StudyBench.of(plan, loads, allow_leakage=allow_leakage)
    study: StudyJobs = KINDS[plan.kind](plan, bench)
    return run_cells(study, out, say=say, progress=progress)


def run_cells(study: StudyJobs, out: str | Path, *, say: Say, progress: bool | None = None) -> Ran:
    """Every cell of ``study`` that is not yet in ``out``."""
    plan, bench = study.plan, study.bench
    test, judge = bench.test.of_classes(study.classes), study.judge()
    say(
        f"{counted(len(test), 'item')} to judge"
        + (f" on {counted(len(study.classes), 'class', 'classes')}" if study.classes else "")
    )
    log, cells, failed, before = CellLog(out), [], {}, 0
    with Progress(progress) as bar:
        bar.begin("cells of the study", study.count)
        for job in study.jobs():
            key = job.cell.key(job.circumstances)
            before += key in log
            if key not in log:
                try:
                    _finish(log, key, job)
                except StitchError as error:  # a method that these anchors do not suit; the others go on
                    failed[str(job.cell)] = str(error)
            if key in log:
                cells.append((job.cell, key))
            bar.step(1)
    if not cells:
        raise DataError(f"no cell of the study could be worked out. {next(iter(failed.values()), '')}")
    available = min(len(part.anchors) for part in bench.parts)
    shown = bench.cohort.images.take(np.concatenate([part.test for part in bench.parts]))
    return Ran(
        plan,
        test,
        shown,
        judge,
        bench.part_of_test,
        tuple(cells),
        log,
        failed,
        (*bench.notes, *study.notes),
        available,
        before,
    )


def _finish(log: CellLog, key: str, job: Job) -> None:
    start = time.monotonic()
    done = job.work()
    first = done[0]
    facts = {
        "kind": first.kind,
        "record": {name: first.record[name] for name in RECORDED if name in first.record},
        "parts": len(done),
        "seconds": round(time.monotonic() - start, 3),
    }
    log.add(key, job.cell, np.concatenate([one.values for one in done]), facts)
