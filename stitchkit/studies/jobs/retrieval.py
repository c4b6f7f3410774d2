"""Jobs of a study of retrieval: of each judged item the partner in the other space is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from stitchkit.core.patients import patients_or_rows
from stitchkit.evaluation.retrieval.evaluate_retrieval import partner_ranks
from stitchkit.studies.cells import Cell
from stitchkit.studies.jobs.study_jobs import CellResult, Job, MapJobs
from stitchkit.studies.judges import PairJudge, places
from stitchkit.studies.methods import fit_map, map_record
from stitchkit.studies.plans import RetrievalPlan
from stitchkit.studies.study_data import Draw

RANKS = "rank"  # the kind of a cell's values


class RetrievalJobs(MapJobs[RetrievalPlan]):
    """Source and target vectors of the same items, matched through a map; no labels are looked at."""

    @property
    def count(self) -> int:
        """Number of jobs, known without loading an encoder."""
        grid = self.plan.grid
        return len(grid.targets) * len(grid.sources) * len(grid.solvers) * len(self.draws())

    def judge(self) -> PairJudge:
        """Recall of the true partner, both ways."""
        test = self.test
        return PairJudge(patients_or_rows(test.groups, len(test)))

    def jobs(self) -> Iterator[Job]:
        """Every solver; an encoder is loaded when its turn comes."""
        for target in self.plan.grid.targets:
            for source in self.plan.grid.sources:
                for method in self.plan.grid.solvers:
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target)
                        work = partial(self._ranks, source, target, method, draw)
                        yield Job(Cell(source, target, method, *draw), around, work)

    def _ranks(self, source: str, target: str, method: str, draw: Draw, _: Path) -> CellResult:
        values, records = [], []
        for fold in self.fold_data(draw, x=source, y=target):
            fitted = fit_map(fold, method)
            ranks = partner_ranks(fitted, *fold.judged, ks=(1,))
            back = np.full((len(fold.test), 3), np.nan)  # a target that several items share is one query
            back[ranks.first] = places(ranks.back)
            values.append(np.stack([places(ranks.there), back], axis=1))
            chance = {"shuffled_chance": ranks.chance[:, 1].tolist()}  # "chance" was that of a random ranking
            records.append({**map_record(fitted, spectrum=fold.first), "gallery": len(ranks.first), **chance})
        return CellResult.of_folds(values, RANKS, records[0])
