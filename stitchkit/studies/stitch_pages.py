"""The report of one stitched model: cross-fitted on its own anchors, beside all it must be compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import Items
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.core.prompts import PromptSet
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.datasets.cohorts import Cohort
from stitchkit.solvers.presets import PRESETS
from stitchkit.studies.benches import Loads, Part, StudyBench
from stitchkit.studies.jobs.study_jobs import Naming, Stitching
from stitchkit.studies.plans import PAPER, DataPlan, StudyPlan
from stitchkit.studies.reporting import Loaded
from stitchkit.studies.results import StudySummary, short
from stitchkit.studies.running import Say, run_cells
from stitchkit.studies.study_pages import write_page

FOLDS = 5
FAMILIES = ("procrustes", "ridge")


@dataclass(frozen=True, slots=True, eq=False)
class Stitch:
    """Parts of a stitched model: both encoders, the anchors' vectors in their spaces, and the head or the prompts.

    Parameters
    ----------
    items
        What the source encoder read, by the anchors' ids.
    solver
        As it was asked for.
    head
        Over the target's vectors; or
    prompts
        that name the classes.
    loads
        How the prompts' vectors are come by.
    """

    source: Encoder
    target: Encoder
    x: Embeddings
    y: Embeddings
    items: Items
    solver: str
    head: LinearHead | None = None
    prompts: PromptSet | None = None
    loads: Loads = field(default_factory=Loaded)


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
        Of anchors; those without labels are left out of the comparison. ``groups`` are patients.
    min_positives
        Classes with fewer positive or negative patients are listed, not judged.
    images
        How many of the best and worst images of each class the page shows.
    folder
        ``report.html``, ``results.json`` and ``table.md`` are written there.

    Raises
    ------
    DataError
        If no class of the head (or prompts) has enough labelled anchors.
    """
    known = labels.take(np.flatnonzero(np.isin(labels.ids, stitch.x.ids)))
    if len(known) < 2 * FOLDS:
        raise DataError(f"{len(known)} anchors have labels, too few to judge by. Give more, or leave the labels out.")
    names = (stitch.source.name, stitch.target.name)
    plan = StudyPlan(
        kind="stitching" if stitch.head is not None else "zeroshot",
        name=f"{short(names[0])} stitched to {short(names[1])}",
        file=Path(folder),
        data=DataPlan("anchors", Path(folder), folds=FOLDS, metadata=metadata),
        sources=(names[0],),
        targets=(names[1],),
        solvers=tuple(dict.fromkeys((stitch.solver, *FAMILIES, *(PAPER + name for name in PRESETS)))),
        multiclass=multiclass,
        min_positives=min_positives,
        images=images,
        replicates=replicates,
        seed=seed,
    )
    bench = _bench(stitch, known, plan, tuple(notes))
    study: Stitching | Naming
    if stitch.head is not None:
        study = Stitching(plan, bench, {names[1]: stitch.head})
    else:
        study = Naming(plan, bench, stitch.prompts)
    with tempfile.TemporaryDirectory() as cells:
        return write_page(
            run_cells(study, cells, say=say, progress=progress), folder, command=command, progress=progress
        )


def _bench(stitch: Stitch, known: Labels, plan: StudyPlan, notes: tuple[str, ...]) -> StudyBench:
    """The labelled anchors in folds, their vectors already made."""
    rows = np.arange(len(known))
    places = {one: i for i, one in enumerate(stitch.items.ids.tolist())}
    items = stitch.items.take(np.asarray([places[one] for one in known.ids.tolist()]))
    parts = []
    for held in assign(len(known), known.groups, seed=plan.seed, k=FOLDS):
        rest = np.setdiff1d(rows, held)
        parts.append(Part(rest, held, {(None, 0): rest}))
    source, target = plan.sources[0], plan.targets[0]
    kept: dict[tuple[str, str], Any] = {
        ("encoder", source): stitch.source,
        ("encoder", target): stitch.target,
        ("source", source): stitch.x,
        ("target", target): stitch.y,
    }
    whose = "items; patients are not known" if known.groups is None else "patients"
    told = (
        f"cross-fitted on the {len(known)} anchors with labels: each is judged by a map without its fold's {whose}, "
        f"and ranked among its own fold's items"
    )
    return StudyBench(Cohort(items, known), tuple(parts), stitch.loads, (told, *notes), plan.data.metadata, kept=kept)
