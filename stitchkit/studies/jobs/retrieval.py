"""A study of retrieval: of each judged item the partner in the other space is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from stitchkit.core.patients import patients_or_rows
from stitchkit.evaluation.retrieval.evaluate_retrieval import partner_ranks
from stitchkit.studies.benches import Draw
from stitchkit.studies.cells import Cell
from stitchkit.studies.jobs.study_jobs import Job, StudyJobs, Worked
from stitchkit.studies.judges import PairJudge, places
from stitchkit.studies.methods import map_of, told_of

RANKS = "rank"  # the kind of a cell's values


class Matching(StudyJobs):
    """Source and target vectors of the same items, matched through a map; no labels are looked at."""

    @property
    def count(self) -> int:
        """How many jobs there are; known without loading an encoder."""
        pairs = len(self.plan.targets) * len(self.plan.sources)
        return pairs * len(self.plan.solvers) * len(self.draws())

    def judge(self) -> PairJudge:
        """Recall of the true partner, both ways."""
        test = self.bench.test
        return PairJudge(patients_or_rows(test.groups, len(test)))

    def jobs(self) -> Iterator[Job]:
        """Every solver; an encoder is loaded when its turn comes."""
        for target in self.plan.targets:
            for source in self.plan.sources:
                for method in self.plan.solvers:
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target)
                        work = partial(self._matched, source, target, method, draw)
                        yield Job(Cell(source, target, method, *draw), around, work)

    def _matched(self, source: str, target: str, method: str, draw: Draw) -> list[Worked]:
        found = []
        for turn in self.turns(draw, x=source, y=target):
            fitted = map_of(turn, method)
            ranks = partner_ranks(fitted, *turn.judged, ks=(1,))
            back = np.full((len(turn.test), 3), np.nan)  # a target that several items share is asked once
            back[ranks.first] = places(ranks.back)
            chance = {"shuffled_chance": ranks.chance[:, 1].tolist()}  # "chance" was that of a random ranking
            record = {**told_of(fitted, spectrum=turn.first), "gallery": len(ranks.first), **chance}
            found.append(Worked(np.stack([places(ranks.there), back], axis=1), RANKS, record))
        return found
