"""Running a study cell by cell; finished cells stay finished."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, StitchError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.encoders.consent import TrustPython
from stitchkit.runtime.progress import Progress
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs.retrieval import RetrievalJobs
from stitchkit.studies.jobs.stitching import StitchingJobs
from stitchkit.studies.jobs.study_jobs import Job, StudyJobs, TableAxes
from stitchkit.studies.jobs.zero_shot import ZeroShotJobs
from stitchkit.studies.judges import Judge
from stitchkit.studies.plan_consent import check_plan_names
from stitchkit.studies.plans import AnyPlan, FusionPlan, ObjectivesPlan, RetrievalPlan, StitchingPlan, TrainingPlan
from stitchkit.studies.study_data import EncoderLoader, StudyData

Say = Callable[[str], None]
SCRATCH = "runs"  # below the study's folder: files of jobs that are not finished


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StudyRun:
    """A study that ran.

    Parameters
    ----------
    plan, axes
        The plan, and the axes of its table.
    test, items
        The judged items' labels, and their images (or texts).
    judge
        Measures of the cells.
    folds : (n,)
        The fold of each judged item; None where there is one.
    cells
        Finished cells with their keys, in the study's order.
    log
        Values and records of the cells, by key.
    failed
        Cells that could not be computed, with the reason.
    notes
        Notes on the data and on the cells.
    available
        Number of anchors there are (of the smallest fold), or of training pairs.
    done_before
        Number of cells that were finished before.
    """

    plan: AnyPlan
    axes: TableAxes
    test: Labels
    items: Items
    judge: Judge
    folds: np.ndarray | None
    cells: tuple[tuple[Cell, str], ...]
    log: CellLog
    failed: dict[str, str]
    notes: tuple[str, ...]
    available: int
    done_before: int


def run_study(
    plan: AnyPlan,
    out: str | Path,
    *,
    loader: EncoderLoader,
    say: Say = lambda _: None,
    progress: bool | None = None,
    allow_leakage: bool = False,
    trust_python: TrustPython = False,
) -> StudyRun:
    """Run every cell of a study that is not yet in ``out``.

    Parameters
    ----------
    loader
        Loader of encoders and vectors.
    say
        Function that is called with a line when a step begins; default none.
    progress, allow_leakage
        As in :func:`stitchkit.study`.
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
    say("reading the data")
    return run_jobs(_jobs_of(plan, loader, allow_leakage), out, say=say, progress=progress)


def run_jobs(study: StudyJobs, out: str | Path, *, say: Say, progress: bool | None = None) -> StudyRun:
    """Run every job of ``study`` whose cell is not yet in ``out``."""
    judge = study.judge()
    say(study.extent)
    log, cells, failed, before = CellLog(out), [], {}, 0
    with Progress(progress) as bar:
        bar.begin(f"{study.unit}s of the study", study.count)
        for job in study.jobs():
            key = job.cell.key(job.circumstances)
            before += key in log
            if key not in log:
                try:
                    _finish(log, key, job)
                except StitchError as error:  # a method that these anchors do not suit; the others go on
                    failed[str(job)] = error.message
            if key in log:
                cells.append((job.cell, key))
            bar.step(1)
    if not cells:
        reason = next(iter(failed.values()), "")
        raise DataError(f"no {study.unit} of the study could be worked out. {reason}")
    return StudyRun(
        plan=study.plan,
        axes=study.axes,
        test=study.test,
        items=study.items,
        judge=judge,
        folds=study.folds,
        cells=tuple(cells),
        log=log,
        failed=failed,
        notes=tuple(study.notes(cells, log)),
        available=study.available,
        done_before=before,
    )


def _jobs_of(plan: AnyPlan, loader: EncoderLoader, allow_leakage: bool) -> StudyJobs:
    if isinstance(plan, ObjectivesPlan):
        from stitchkit.studies.jobs.objectives import ObjectivesJobs  # it imports torch

        return ObjectivesJobs.of(plan, loader, allow_leakage=allow_leakage)
    if isinstance(plan, TrainingPlan):
        from stitchkit.studies.jobs.training import TrainingJobs  # it imports torch

        return TrainingJobs.of(plan, loader, allow_leakage=allow_leakage)
    data = StudyData.of(plan, loader, allow_leakage=allow_leakage)
    if isinstance(plan, FusionPlan):
        from stitchkit.studies.jobs.fusion import FusionJobs  # it imports torch

        return FusionJobs(plan, data, allow_leakage=allow_leakage)
    if isinstance(plan, StitchingPlan):
        return StitchingJobs(plan, data)
    return RetrievalJobs(plan, data) if isinstance(plan, RetrievalPlan) else ZeroShotJobs(plan, data)


def _finish(log: CellLog, key: str, job: Job) -> None:
    """Compute a cell and keep it; its scratch folder, where a job that was stopped goes on, is deleted then."""
    start, scratch = time.monotonic(), log.folder / SCRATCH / key
    result = job.work(scratch)
    facts = {
        "kind": result.kind,
        "record": result.record,
        **({} if result.folds is None else {"parts": result.folds}),
        "seconds": round(time.monotonic() - start, 3),
    }
    log.add(key, job.cell, result.values, facts)
    if scratch.exists():
        shutil.rmtree(scratch)
