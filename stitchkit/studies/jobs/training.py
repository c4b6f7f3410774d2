"""Jobs of a training study: arms of one recipe at several shares of its pairs, judged by retrieval among new pairs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from msgspec import structs

from stitchkit.core.items import Items
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder
from stitchkit.evaluation.leakage import audit
from stitchkit.metrics.average_precision import average_precision, chance_average_precision
from stitchkit.metrics.ranks import chance_both_ways, pair_ranks, pair_ranks_back
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs.study_jobs import CellResult, Job, TableAxes
from stitchkit.studies.judges import RankingJudge, places
from stitchkit.studies.plans import TrainingPlan
from stitchkit.studies.study_data import EncoderLoader
from stitchkit.training.checkpoints import RUN
from stitchkit.training.loop import train
from stitchkit.training.objectives.clip import ClipSettings
from stitchkit.training.outcomes import TrainedRun
from stitchkit.training.pairs import ChosenPairs, choose_pairs, modality_names, number_captions
from stitchkit.training.recipes import Recipe

KIND = "ranking"  # the kind of a cell's values
ENCODERS = "encoders"  # below the study's folder: those of its runs, where they are kept


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPairs:
    """Pairs that runs are judged on: items and captions, with a number for each distinct caption and its first row."""

    cohort: Cohort
    texts: Items
    same: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, cohort: Cohort) -> JudgedPairs:
        """The pairs of a cohort with texts."""
        texts = cohort.anchors().target_items
        same = number_captions([str(value) for value in texts.values])
        return cls(cohort, texts, same, np.unique(same, return_index=True)[1])

    @property
    def people(self) -> int:
        """Number of patients; of pairs where patients are not known."""
        groups = self.cohort.labels.groups
        return patients_or_rows(groups, len(self.same))

    def rankings(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Place and average precision (n, 2, 4) of each item's caption and each caption's items; NaN is skipped."""
        captions = right[self.first]
        values = np.full((len(left), 2, 4), np.nan)
        there = pair_ranks(left, captions, self.same)
        values[:, 0] = np.column_stack([places(there), there.reciprocal])
        values[self.first, 1, :3] = places(pair_ranks_back(left, captions, self.same))
        for caption, row in enumerate(self.first):
            values[row, 1, 3] = average_precision(left @ captions[caption], self.same == caption)
        return values

    def record(self, left: np.ndarray, right: np.ndarray) -> dict[str, Any]:
        """Number of distinct captions, and the main measure of shuffled pairs, both ways."""
        there, _ = chance_both_ways(left, right[self.first], self.same)
        back = chance_average_precision(len(self.same), np.bincount(self.same))
        return {"gallery": len(self.first), "shuffled_chance": [float(there.mean()), float(back.mean())]}


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run: an arm of the recipe with a share of the pairs and a seed.

    ``fingerprints`` are those of the encoders that training begins with, by their names.
    """

    name: str
    recipe: Recipe
    pairs: int
    sides: tuple[str, str]
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}, {counted(self.pairs, 'pair')}, seed {self.recipe.seed}"

    @property
    def cell(self) -> Cell:
        """Its line in the study's log."""
        return Cell(*self.sides, self.name, self.pairs, self.recipe.seed)

    def circumstances(self, pairs: str) -> dict[str, Any]:
        """All that decides a run; the pairs by their digest, not by where they lie.

        Keys of kept runs are made of them: another name or type of one loses every kept run.
        """
        from stitchkit import __version__

        plain = self.recipe.to_dict()
        del plain["pairs"]["root"]
        if "towers" in plain:  # by what they are, not by where they lie
            plain["towers"]["encoders"] = [self.fingerprints[name] for name in plain["towers"]["encoders"]]
        objective = self.recipe.objective
        if type(objective) is ClipSettings and objective.temperature == ClipSettings().temperature:
            # as recipes stated it before they named a loss, so that runs of then are found
            del plain["objective"]
            plain["equal_captions"] = objective.equal_captions
        return {"version": __version__, "recipe": plain, "pairs": pairs}


class TrainingJobs:
    """Runs of a training study, few pairs first, arms side by side."""

    unit: ClassVar[str] = "run"

    def __init__(
        self,
        plan: TrainingPlan,
        judged: JudgedPairs,
        runs: Sequence[ArmRun],
        *,
        pairs: str,
        device: str,
        remarks: Sequence[str] = (),
    ) -> None:
        self.plan, self.judged, self.runs = plan, judged, tuple(runs)
        self.pairs, self.device, self.remarks = pairs, device, tuple(remarks)

    @classmethod
    def of(cls, plan: TrainingPlan, loader: EncoderLoader, *, allow_leakage: bool = False) -> TrainingJobs:
        """The runs of a plan, its data read.

        Raises
        ------
        DataError
            For a recipe, data or a split that does not fit.
        LeakageError
            If a patient is trained on and judged, and ``allow_leakage`` is not set.
        """
        data = plan.data
        cohort = read_cohort(data.layout, data.root, **data.reader)
        judged = cohort.part(plan.judge.split)
        chosen = choose_pairs(next(iter(plan.recipes.values())).pairs, plan.seed)
        notes = audit(
            chosen.whole.images.ids,
            judged.images.ids,
            chosen.whole.labels.groups,
            judged.labels.groups,
            allow=allow_leakage,
            sides=("pairs of the training", "judged pairs"),
        )
        fingerprints = {name: str(loader.encoder(name).space.fingerprint) for name in plan.model_names}
        runs = list(_runs(plan, chosen, fingerprints))
        return cls(plan, JudgedPairs.of(judged), runs, pairs=_digest(cohort), device=loader.device, remarks=notes)

    @property
    def count(self) -> int:
        """Number of runs."""
        return len(self.runs)

    @property
    def axes(self) -> TableAxes:
        """Arms, and numbers of pairs; the page is about the second arm, since all are compared with the first."""
        counts = sorted({run.pairs for run in self.runs})
        source, target = self.runs[0].sides
        return TableAxes(
            sources=(source,),
            targets=(target,),
            methods=tuple(self.plan.arms),
            counts=tuple(counts),
            draws=self.plan.grid.seeds,
            main=list(self.plan.arms)[1],
            unit="training pairs",
        )

    @property
    def extent(self) -> str:
        """Numbers of runs, judged pairs and captions, in words."""
        return (
            f"{counted(self.count, 'run')}, judged on {counted(len(self.judged.same), 'pair')} with "
            f"{counted(len(self.judged.first), 'distinct caption')}"
        )

    @property
    def available(self) -> int:
        """The largest number of training pairs."""
        return max(run.pairs for run in self.runs)

    @property
    def test(self) -> Labels:
        """The judged pairs, without classes."""
        return self.judged.cohort.labels.of_classes(())

    @property
    def items(self) -> Items:
        """The judged items."""
        return self.judged.cohort.images

    @property
    def folds(self) -> np.ndarray | None:
        """None: there is one split."""
        return None

    def judge(self) -> RankingJudge:
        """Average precision of captions and items."""
        return RankingJudge(self.judged.people, gallery=len(self.judged.first))

    def jobs(self) -> Iterator[Job]:
        """Every run."""
        for run in self.runs:
            around = {**run.circumstances(self.pairs), **self.judging()}
            yield Job(run.cell, around, partial(self._trained, run), name=str(run))

    def judging(self) -> dict[str, Any]:
        """All that decides a cell's values beside its run and the pairs."""
        return {}

    def notes(self, cells: Sequence[tuple[Cell, str]], log: CellLog) -> list[str]:
        """Notes on the data, and each other arm minus the first, run by run."""
        return [*self.remarks, *_differences_over_runs(tuple(self.plan.arms), cells, log, self.judge())]

    def _trained(self, run: ArmRun, folder: Path) -> CellResult:
        """Train in ``folder``, where a run that was stopped goes on, and judge."""
        start = time.monotonic()
        outcome = train(
            run.recipe, folder, device=self.device, progress=False, trust_python=self.plan.model_names
        )  # fmt: skip
        seconds = round(time.monotonic() - start, 1)
        items = (self.items, self.judged.texts)
        left, right = (_unit_vectors(self.encoder(name), one) for name, one in zip(outcome.names, items, strict=True))
        further, facts = self.further(outcome, left, right)
        if self.plan.grid.keep:
            _keep(folder, folder.parents[1] / ENCODERS / f"{run.name}-{run.pairs}-{run.recipe.seed}")
        record = {
            **self.judged.record(left, right),
            **facts,
            "steps": outcome.steps,
            "kept": outcome.best.step,
            "validation": outcome.best.to_dict(),
            "seed": run.recipe.seed,
            "fraction": run.recipe.pairs.fraction,
            "train_seconds": seconds,
        }
        values = np.concatenate([self.judged.rankings(left, right), further], axis=2)
        return CellResult(values, KIND, record)

    def encoder(self, name: str) -> Encoder:
        """A trained encoder by its name; Python code that the plan names has had its consent."""
        return load_encoder(name, device=self.device, trust_python=self.plan.model_names)

    def further(self, outcome: TrainedRun, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Values (n, 2, k) of the judged pairs beside their rankings, and facts for the record of a run's cell."""
        return np.empty((len(self.judged.same), 2, 0)), {}


def _keep(folder: Path, target: Path) -> None:
    """Put the encoder of a finished run, without the run's state, into ``target``, which is replaced as a whole."""
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(folder, draft, ignore=shutil.ignore_patterns(RUN))
    shutil.rmtree(target, ignore_errors=True)
    draft.replace(target)


def _runs(plan: TrainingPlan, chosen: ChosenPairs, fingerprints: Mapping[str, str]) -> Iterator[ArmRun]:
    """Every run, few pairs first, arms side by side."""
    sides = modality_names(next(iter(plan.recipes.values())).pairs, chosen.whole)
    for fraction in plan.grid.fractions:
        for seed in range(plan.seed, plan.seed + plan.grid.seeds):
            for name, recipe in plan.recipes.items():
                pairs = structs.replace(recipe.pairs, fraction=fraction * recipe.pairs.fraction)
                changed = structs.replace(recipe, pairs=pairs, seed=seed)
                yield ArmRun(name, changed, round(fraction * len(chosen.train)), sides, fingerprints)


def _unit_vectors(encoder: Encoder, items: Items) -> np.ndarray:
    """Unit vectors (n, d) of items by a trained encoder."""
    embeddings = embed(encoder, items, store=None, progress=False)
    vectors: np.ndarray = np.asarray(embeddings.vectors, dtype=np.float64)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _digest(cohort: Cohort) -> str:
    """Digest of ids, captions, patients and splits; where items are texts, of the items too."""
    sides = [cohort.anchors().target_items, *([cohort.images] if cohort.images.modality == "text" else [])]
    columns = [cohort.images.ids, *(np.asarray([str(value) for value in side.values]) for side in sides)]
    columns += [one for one in (cohort.labels.groups, cohort.split) if one is not None]
    return hashlib.sha256(json.dumps([column.tolist() for column in columns]).encode()).hexdigest()


def _differences_over_runs(
    arms: tuple[str, ...], cells: Sequence[tuple[Cell, str]], log: CellLog, judge: RankingJudge
) -> list[str]:  # fmt: skip
    """In words, each other arm minus the first, run by run: the seeds are repeated, not only the patients."""
    from scipy.stats import wilcoxon

    value: dict[tuple[str, int | None, int], float] = {
        (cell.method, cell.anchors, cell.draw): _value(judge, log.scores(key)) for cell, key in cells
    }
    notes = []
    for other in arms[1:]:
        apart = [
            value[other, number, seed] - value[name, number, seed]
            for name, number, seed in value
            if name == arms[0] and (other, number, seed) in value
        ]
        if len(apart) > 1:
            p = wilcoxon(apart).pvalue if np.any(apart) else 1.0
            notes.append(
                f"{other} minus {arms[0]} over {len(apart)} pairs of runs of one number and seed: mean "
                f"{np.mean(apart):+.3f}, above 0 in {np.sum(np.asarray(apart) > 0)}; signed ranks, p = {p:.3g} if runs "
                f"were independent, which those of one seed at several numbers are not quite"
            )
    return notes


def _value(judge: RankingJudge, scores: np.ndarray) -> float:
    """The main measure of one run, mean of both ways."""
    return float(judge.measure(scores, np.ones((1, len(scores))))[judge.main].mean())
