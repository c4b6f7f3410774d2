"""The report of one stitched model: cross-fitted on its own anchors, beside all it must be compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import Items
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.core.prompts import PromptSet
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.datasets.cohorts import Cohort
from stitchkit.evaluation.diagnosis.diagnose import diagnose
from stitchkit.evaluation.retrieval.held_pairs import LEAST
from stitchkit.reports.diagnosis_page import page
from stitchkit.reports.study_page import PAGE
from stitchkit.solvers.presets import PRESETS
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.toml_files import Texts
from stitchkit.studies.jobs.stitching import StitchingJobs
from stitchkit.studies.jobs.study_jobs import StudyJobs
from stitchkit.studies.jobs.zero_shot import ZeroShotJobs
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.plans import (
    PAPER,
    ClassJudgePlan,
    DataPlan,
    Grid,
    StitchingPlan,
    ZeroShotDataPlan,
    ZeroShotGrid,
    ZeroShotPlan,
)
from stitchkit.studies.results import StudySummary, short
from stitchkit.studies.running import Say, run_jobs
from stitchkit.studies.study_data import EncoderLoader, Fold, StudyData, cross_fit_folds
from stitchkit.studies.study_pages import write_page

FOLDS = 5
FAMILIES = ("procrustes", "ridge")


@dataclass(frozen=True, slots=True, eq=False)
class Stitch:
    """Parts of a stitched model: both encoders, the anchors' vectors in their spaces, and the head or the prompts.

    Parameters
    ----------
    items
        Items that the source encoder read, by the anchors' ids.
    solver
        Solver as the caller named it.
    head
        Over the target's vectors; or
    prompts
        that name the classes.
    loader
        Loader of the prompts' vectors.
    """

    source: Encoder
    target: Encoder
    x: Embeddings
    y: Embeddings
    items: Items
    solver: str
    head: LinearHead | None = None
    prompts: PromptSet | None = None
    loader: EncoderLoader = field(default_factory=NamedEncoders)


def write_diagnosis_page(
    alignment: Alignment,
    x: Embeddings,
    y: Embeddings,
    folder: str | Path,
    *,
    prompts: Any = None,
    groups: Any = None,
    seed: int = 0,
) -> Path | None:
    """Write a diagnosis of the map of a stitched model as ``report.html`` into its folder; None for too few pairs.

    Parameters
    ----------
    x, y
        Vectors of the anchors in both spaces.
    prompts
        Prompts by class, as :func:`stitchkit.diagnose` takes them, or None.
    groups : (n,), optional
        Patients of the anchors.
    """
    if len(x) < LEAST:
        return None
    diagnosis = diagnose(alignment, x, y, prompts=prompts, groups=groups, seed=seed)
    path = Path(folder) / PAGE
    replace_file(path, page(diagnosis, numbers="").encode())
    return path


def labels_of_anchors(labels: Labels, ids: np.ndarray) -> Labels:
    """The labels of those anchors ``ids`` (n,) that have some.

    Raises
    ------
    DataError
        If they are too few to be judged by, cross-fitted.
    """
    known = labels.take(np.flatnonzero(np.isin(labels.ids, ids)))
    if len(known) < 2 * FOLDS:
        raise DataError(f"{len(known)} anchors have labels, too few to judge by. Give more, or leave the labels out.")
    return known


def write_stitch(
    stitch: Stitch,
    labels: Labels,
    folder: str | Path,
    *,
    metadata: tuple[str, ...] = (),
    multiclass: bool = False,
    min_positives: int = MIN_POSITIVES,
    images: int = 0,
    replicates: int = REPLICATES,
    seed: int = 0,
    say: Say = lambda _: None,
    progress: bool | None = None,
    command: str = "",
    notes: Sequence[str] = (),
) -> StudySummary:
    """Judge the stitch on its own anchors, cross-fitted by patient, and write the page into ``folder``.

    Parameters
    ----------
    labels
        Labels of anchors; those without are left out of the comparison. ``groups`` are patients.
    min_positives
        Classes with fewer positive or negative patients are listed, not judged.
    images
        Number of the best and worst images of each class that the page shows, default 0.
    folder
        ``report.html``, ``results.json`` and ``table.md`` are written there.

    Raises
    ------
    DataError
        If no class of the head (or prompts) has enough labelled anchors.
    """
    known = labels_of_anchors(labels, stitch.x.ids)
    names = (stitch.source.name, stitch.target.name)
    about: dict[str, Any] = {
        "name": f"{short(names[0])} stitched to {short(names[1])}",
        "seed": seed,
        "judge": ClassJudgePlan(
            multiclass=multiclass, min_positives=min_positives, images=images, replicates=replicates
        ),
    }
    data: dict[str, Any] = {
        "layout": "anchors", "root": Path(folder), "folds": FOLDS, "metadata": Texts(metadata)
    }  # fmt: skip
    grid: dict[str, Any] = {
        "sources": Texts(names[:1]),
        "targets": Texts(names[1:]),
        "solvers": Texts(dict.fromkeys((stitch.solver, *FAMILIES, *(PAPER + name for name in PRESETS)))),
    }
    inputs = _data(stitch, known, seed, metadata, tuple(notes))
    study: StudyJobs
    if stitch.head is not None:
        plan = StitchingPlan(**about, data=DataPlan(**data), grid=Grid(**grid))
        study = StitchingJobs(plan, inputs, {names[1]: stitch.head})
    else:
        by_text = ZeroShotPlan(**about, data=ZeroShotDataPlan(**data), grid=ZeroShotGrid(**grid), prompts="")
        study = ZeroShotJobs(by_text, inputs, stitch.prompts)
    with tempfile.TemporaryDirectory() as cells:
        return write_page(
            run_jobs(study, cells, say=say, progress=progress), folder, command=command, progress=progress
        )


def _data(stitch: Stitch, known: Labels, seed: int, metadata: tuple[str, ...], notes: tuple[str, ...]) -> StudyData:
    """The labelled anchors in folds, with their vectors."""
    places = {one: i for i, one in enumerate(stitch.items.ids.tolist())}
    items = stitch.items.take(np.asarray([places[one] for one in known.ids.tolist()]))
    sides, note = cross_fit_folds(known, FOLDS, seed, scope=f" on the {len(known)} anchors with labels")
    source, target = stitch.source.name, stitch.target.name
    cache: dict[tuple[str, str], Any] = {
        ("encoder", source): stitch.source,
        ("encoder", target): stitch.target,
        ("source", source): stitch.x,
        ("target", target): stitch.y,
    }
    return StudyData(
        cohort=Cohort(items, known),
        folds=tuple(Fold(rest, held, {(None, 0): rest}) for rest, held in sides),
        loader=stitch.loader,
        notes=(note, *notes),
        metadata=metadata,
        cache=cache,
    )
