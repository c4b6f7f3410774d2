"""A study of training: arms of one recipe at several shares of its pairs, judged by what is found among new pairs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec import structs

from stitchkit.core.errors import DataError, StitchError
from stitchkit.core.items import Items
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder
from stitchkit.evaluation.leakage import audit
from stitchkit.metrics.average_precision import average_precision, chance_average_precision
from stitchkit.metrics.ranks import chance_both_ways, pair_ranks, pair_ranks_back
from stitchkit.runtime.progress import Progress
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.judges import RankingJudge, places
from stitchkit.studies.plans import StudyPlan, TrainingPlan
from stitchkit.studies.running import Ran
from stitchkit.training.loop import train
from stitchkit.training.pairs import choose_pairs, modality_names, number_captions
from stitchkit.training.recipes import Recipe, read_recipe

RUNS = "runs"  # below the study's folder, while they last
KIND = "ranking"  # the kind of a cell's values


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The pairs that runs are judged on: items, captions, which captions are equal."""

    cohort: Cohort
    texts: Items
    same: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, cohort: Cohort) -> Asked:
        """Of a cohort with texts."""
        texts = cohort.anchors().target_items
        same = number_captions([str(value) for value in texts.values])
        return cls(cohort, texts, same, np.unique(same, return_index=True)[1])

    def found(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Place and average precision (n, 2, 4) of each item's caption and each caption's items; NaN asks nothing."""
        captions = right[self.first]
        values = np.full((len(left), 2, 4), np.nan)
        there = pair_ranks(left, captions, self.same)
        values[:, 0] = np.column_stack([places(there), there.reciprocal])
        values[self.first, 1, :3] = places(pair_ranks_back(left, captions, self.same))
        for caption, row in enumerate(self.first):
            values[row, 1, 3] = average_precision(left @ captions[caption], self.same == caption)
        return values

    @property
    def sides(self) -> tuple[Items, Items]:
        """Items and captions."""
        return self.cohort.images, self.texts

    def record(self, left: np.ndarray, right: np.ndarray) -> dict[str, Any]:
        """Number of distinct captions, and the main measure of shuffled pairs, both ways."""
        there, _ = chance_both_ways(left, right[self.first], self.same)
        back = chance_average_precision(len(self.same), np.bincount(self.same))
        return {"gallery": len(self.first), "shuffled_chance": [float(there.mean()), float(back.mean())]}


@dataclass(frozen=True, slots=True)
class Arm:
    """One run: an arm of the recipe with a share of the pairs and a seed."""

    name: str
    recipe: Recipe
    pairs: int
    sides: tuple[str, str]

    @property
    def cell(self) -> Cell:
        """Its line in the study's log."""
        return Cell(*self.sides, self.name, self.pairs, self.recipe.seed)


def run_training(
    plan: StudyPlan,
    out: str | Path,
    *,
    device: str,
    say: Callable[[str], None],
    progress: bool | None = None,
    allow_leakage: bool = False,
) -> Ran:
    """Every run of a study that is not yet in ``out``.

    Raises
    ------
    DataError
        For a recipe, data or a split that does not fit.
    LeakageError
        If a patient is trained on and judged, and ``allow_leakage`` is not set.
    """
    say("reading the data")
    judged, notes, mark = _judged(plan, allow_leakage)
    log, cells, failed, before = CellLog(out), [], {}, 0
    arms = list(_arms(plan))
    say(
        f"{counted(len(arms), 'run')}, judged on {counted(len(judged.same), 'pair')} with "
        f"{counted(len(judged.first), 'distinct caption')}"
    )
    with Progress(progress) as bar:
        bar.begin("runs of the study", len(arms))
        for arm in arms:
            key = arm.cell.key(_circumstances(arm.recipe, mark))
            before += key in log
            if key not in log:
                try:
                    _finish(log, key, arm, judged, Path(out) / RUNS / key, device)
                except StitchError as error:  # a recipe that so few pairs do not suit; the others go on
                    failed[f"{arm.name}, {counted(arm.pairs, 'pair')}, seed {arm.recipe.seed}"] = str(error)
            if key in log:
                cells.append((arm.cell, key))
            bar.step(1)
    if not cells:
        raise DataError(f"no run of the study could be made. {next(iter(failed.values()), '')}")
    numbers = sorted({arm.pairs for arm in arms})
    known = replace(plan, sources=(cells[0][0].source,), targets=(cells[0][0].target,), anchors=tuple(numbers))
    labels = judged.cohort.labels.of_classes(())
    people = len(labels) if labels.groups is None else len(np.unique(labels.groups))
    judge = RankingJudge(people, gallery=len(judged.first))
    notes += _over_runs(plan, cells, log, judge)
    return Ran(known, labels, judged.cohort.images, judge, None, tuple(cells), log, failed, tuple(notes), numbers[-1],
               before)  # fmt: skip


def _judged(plan: StudyPlan, allow_leakage: bool) -> tuple[Asked, list[str], str]:
    """The pairs that are judged, of which no patient is trained on, notes, and a mark of all pairs."""
    data = plan.data
    cohort = read_cohort(data.layout, data.root, **data.reader)
    judged = cohort.part(str(data.test))
    trained = choose_pairs(read_recipe(cast(TrainingPlan, plan.training).recipe).pairs, plan.seed).whole
    notes = audit(
        trained.images.ids,
        judged.images.ids,
        trained.labels.groups,
        judged.labels.groups,
        allow=allow_leakage,
        sides=("pairs of the training", "judged pairs"),
    )
    return Asked.of(judged), list(notes), _mark(cohort)


def _arms(plan: StudyPlan) -> Iterator[Arm]:
    """Every run, few pairs first, arms side by side."""
    training = cast(TrainingPlan, plan.training)
    recipes = {name: read_recipe(training.recipe, changes) for name, changes in training.arms.items()}
    first = next(iter(recipes.values()))
    chosen = choose_pairs(first.pairs, plan.seed)
    for fraction in training.fractions:
        for seed in range(plan.seed, plan.seed + plan.draws):
            for name, recipe in recipes.items():
                pairs = structs.replace(recipe.pairs, fraction=fraction * recipe.pairs.fraction)
                yield Arm(name, structs.replace(recipe, pairs=pairs, seed=seed), round(fraction * len(chosen.train)),
                          modality_names(first.pairs, chosen.whole))  # fmt: skip


def _finish(log: CellLog, key: str, arm: Arm, asked: Asked, folder: Path, device: str) -> None:
    """Train in ``folder``, where a run that was stopped goes on, and judge; the encoder is not kept."""
    start = time.monotonic()
    run = train(arm.recipe, folder, device=device, progress=False)
    trained = time.monotonic() - start
    left, right = (_vectors(name, items, device) for name, items in zip(run.names, asked.sides, strict=True))
    facts = {
        "kind": KIND,
        "record": {
            **asked.record(left, right), "steps": run.steps, "kept": run.best.step, "validation": run.best.to_dict(),
            "seed": arm.recipe.seed, "fraction": arm.recipe.pairs.fraction, "train_seconds": round(trained, 1),
        },
        "seconds": round(time.monotonic() - start, 3),
    }  # fmt: skip
    log.add(key, arm.cell, asked.found(left, right), facts)
    shutil.rmtree(folder)


def _vectors(name: str, items: Items, device: str) -> np.ndarray:
    """Unit vectors (n, d) of what the trained encoder makes of items."""
    found = embed(load_encoder(name, device=device), items, store=None, progress=False)
    vectors: np.ndarray = np.asarray(found.vectors, dtype=np.float64)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _circumstances(recipe: Recipe, mark: str) -> dict[str, Any]:
    """All that decides a run; the pairs by what they are, not by where they lie."""
    from stitchkit import __version__

    plain = recipe.to_dict()
    del plain["pairs"]["root"]
    return {"version": __version__, "recipe": plain, "pairs": mark}


def _mark(cohort: Cohort) -> str:
    """Ids, captions, patients and splits; of texts the items too."""
    sides = [cohort.anchors().target_items, *([cohort.images] if cohort.images.modality == "text" else [])]
    columns = [cohort.images.ids, *(np.asarray([str(value) for value in side.values]) for side in sides)]
    columns += [one for one in (cohort.labels.groups, cohort.split) if one is not None]
    return hashlib.sha256(json.dumps([column.tolist() for column in columns]).encode()).hexdigest()


def _over_runs(plan: StudyPlan, cells: list[tuple[Cell, str]], log: CellLog, judge: RankingJudge) -> list[str]:
    """In words, each other arm minus the first, run by run: the seeds are repeated, not only the patients."""
    from scipy.stats import wilcoxon

    value: dict[tuple[str, int | None, int], float] = {
        (cell.method, cell.anchors, cell.draw): _value(judge, log.scores(key)) for cell, key in cells
    }
    notes = []
    for other in plan.solvers[1:]:
        apart = [
            value[other, number, seed] - value[name, number, seed]
            for name, number, seed in value
            if name == plan.solvers[0] and (other, number, seed) in value
        ]
        if len(apart) > 1:
            p = wilcoxon(apart).pvalue if np.any(apart) else 1.0
            notes.append(
                f"{other} minus {plan.solvers[0]} over {len(apart)} pairs of runs of one number and seed: mean "
                f"{np.mean(apart):+.3f}, above 0 in {np.sum(np.asarray(apart) > 0)}; signed ranks, p = {p:.3g} if runs "
                f"were independent, which those of one seed at several numbers are not quite"
            )
    return notes


def _value(judge: RankingJudge, scores: np.ndarray) -> float:
    """The main measure of one run, mean of both ways."""
    return float(judge.measured(scores, np.ones((1, len(scores))))[judge.main].mean())
