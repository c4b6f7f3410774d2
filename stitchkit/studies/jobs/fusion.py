"""Jobs of a fusion study: a fused head and its rivals on the same rows, with every input and with each alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.scores import Labels
from stitchkit.core.table_features import TableRows
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.column_audit import check_columns, notes_on_codes
from stitchkit.studies.cells import Cell
from stitchkit.studies.jobs.study_jobs import CellResult, Job, MapJobs, TableAxes
from stitchkit.studies.judges import ClassJudge
from stitchkit.studies.plans import FusionPlan
from stitchkit.studies.study_data import StudyData
from stitchkit.training.fusion.recipe import FusionRecipe, read_fusion_recipe
from stitchkit.training.fusion.rivals import ARMS, FUSED, fit_arms, with_holes

ITEMS, TABLE = "items", "table"  # the two inputs
SHOWN: dict[str, tuple[str, ...]] = {  # where a row of the study's table leads to -> inputs that are there
    "everything": (ITEMS, TABLE),
    "items alone": (ITEMS,),
    "table alone": (TABLE,),
}


class FusionJobs(MapJobs[FusionPlan]):
    """Jobs of a fusion study: each source with each seed is fitted once, and gives a cell an arm and what is shown."""

    unit: ClassVar[str] = "cell"

    def __init__(self, plan: FusionPlan, data: StudyData, *, allow_leakage: bool = False) -> None:
        super().__init__(plan, data)
        labels = data.cohort.labels
        self.classes = tuple(plan.judge.classes or labels.classes)
        for name in plan.grid.arms:
            if name not in ARMS:
                raise DataError(str(UnknownNameError.of("arm of a fusion study", name, ARMS)))
        self.arms = tuple(plan.grid.arms) or ARMS
        recipe = FusionRecipe() if plan.recipe is None else read_fusion_recipe(plan.recipe)
        self.recipe = recipe
        columns, categories = plan.grid.columns, plan.grid.categories
        for name in categories:
            if name not in columns:
                raise DataError(str(UnknownNameError.of("column of the grid", name, columns)))
        table = TableRows(labels.ids, {name: labels.columns[name] for name in columns})
        self.table = TableRows(labels.ids, {
            name: np.asarray(table.names(name)) if name in categories else values
            for name, values in table.columns.items()
        })  # fmt: skip
        # a label among the columns is named before anything is fitted
        self.remarks += check_columns(self.table, labels.of_classes(self.classes), allow=allow_leakage)
        self.remarks += notes_on_codes(self.table)
        if plan.grid.holes:
            self.remarks.append(f"in training {plan.grid.holes:.0%} of the rows of each input were taken out at random")
        self.remarks.append(
            "every arm chose its strength on held-out patients of its own training rows; rows 'alone' show one input "
            "of every judged item"
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Arms of the table, the fused head first."""
        single = (f"{ITEMS} alone", f"{TABLE} alone")
        return (FUSED, *(name for name in self.arms if name != FUSED), *single)

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.plan.grid.sources) * self.plan.grid.seeds * len(self.methods) * len(SHOWN)

    @property
    def axes(self) -> TableAxes:
        """Sources, what is shown, and arms."""
        grid = self.plan.grid
        return TableAxes(
            sources=grid.sources,
            targets=tuple(SHOWN),
            methods=self.methods,
            counts=(None,),
            draws=grid.seeds,
            main=FUSED,
            unit="training rows",
        )

    @property
    def extent(self) -> str:
        """Numbers of items and arms, in words."""
        return f"{counted(len(self.test), 'item')} to judge, {counted(len(self.methods), 'arm')}"

    def judge(self) -> ClassJudge:
        """Measures of scores of classes."""
        judge = self.plan.judge
        return self.class_judge(multiclass=judge.multiclass, min_positives=judge.min_positives)

    def jobs(self) -> Iterator[Job]:
        """Every cell; the arms of a source and a seed are fitted when the first of their cells is asked for."""
        grid = self.plan.grid
        for source in grid.sources:
            for seed in range(self.plan.seed, self.plan.seed + grid.seeds):
                recipe = self.recipe.with_settings(seed=seed)
                around = self.circumstances(
                    (None, 0), source, recipe=recipe.to_dict(), columns=list(grid.columns), holes=grid.holes,
                    arms=list(self.arms), table=[values.tolist() for values in self.table.columns.values()],
                )  # fmt: skip
                for shown in SHOWN:
                    for method in self.methods:
                        cell = Cell(source, shown, method, None, seed - self.plan.seed)
                        yield Job(cell, around, partial(self._scores, source, recipe, method, shown))

    def _scores(self, source: str, recipe: FusionRecipe, method: str, shown: str, _: Path) -> CellResult:
        fits = self.data.cached((f"arms {recipe.seed}", source), lambda: self._all(source, recipe))
        values, record = fits[method, shown]
        return CellResult(np.log(np.clip(values, 1e-12, 1.0)), "logit", record, len(self.data.folds))

    def _all(self, source: str, recipe: FusionRecipe) -> Mapping[tuple[str, str], tuple[np.ndarray, dict[str, Any]]]:
        """Probabilities (n, c) of the judged items by arm and what is shown, with records of the fits."""
        parts: dict[tuple[str, str], list[np.ndarray]] = {}
        records: dict[str, dict[str, Any]] = {}
        labels, vectors = self.data.cohort.labels.of_classes(self.classes), self.data.vectors("source", source)
        for fold in self.data.folds:
            train = self._inputs(labels.take(fold.anchors), vectors)
            holes = dict.fromkeys(train, self.plan.grid.holes)
            known = labels.take(fold.anchors)
            arms = fit_arms(
                with_holes(train, holes, recipe.seed), known, recipe, arms=(FUSED, *self.arms), progress=False
            )
            rows = arms.head.rows(self._inputs(labels.take(fold.test), vectors), labels.ids[fold.test])
            for name in self.methods:
                if name not in arms.scorers:
                    continue
                strength = arms.strengths.get(name)
                records.setdefault(name, {"notes": [] if strength is None else [f"weight decay, epochs: {strength}"]})
                for shown, there in SHOWN.items():
                    parts.setdefault((name, shown), []).append(arms.scorers[name](rows.only(there)))
        return {key: (np.concatenate(one), records[key[0]]) for key, one in parts.items()}

    def _inputs(self, labels: Labels, vectors: Embeddings) -> dict[str, Any]:
        """The two inputs of some items."""
        rows = np.flatnonzero(np.isin(self.table.ids, labels.ids))
        return {ITEMS: vectors.of_ids(labels.ids), TABLE: self.table.take(rows)}
