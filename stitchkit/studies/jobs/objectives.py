"""Jobs of a study of objectives: training runs under one setup, judged by retrieval and by where sentences point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.wording import counted
from stitchkit.datasets.phrase_regions import PhraseRegions, read_phrase_regions
from stitchkit.evaluation.regions.pointing import RULES, as_picture, point
from stitchkit.metrics.ranks import chance_both_ways
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs.study_jobs import TableAxes
from stitchkit.studies.jobs.training import ArmRun, JudgedPairs, TrainingJobs
from stitchkit.studies.judges import ObjectiveJudge
from stitchkit.studies.plans import ObjectivesPlan
from stitchkit.training.outcomes import TrainedRun


class ObjectivesJobs(TrainingJobs):
    """Runs of every objective, all compared with the first."""

    plan: ObjectivesPlan

    def __init__(self, plan: ObjectivesPlan, judged: JudgedPairs, runs: Sequence[ArmRun], **settings: Any) -> None:
        super().__init__(plan, judged, runs, **settings)
        path = plan.judge.regions
        self.regions = None if path is None else _regions_of(self.items, path)

    @property
    def axes(self) -> TableAxes:
        """Arms, and numbers of pairs; the page is about the first arm, which all others are compared with."""
        return replace(super().axes, main=next(iter(self.plan.arms)))

    def judge(self) -> ObjectiveJudge:
        """The measure that the plan states, beside all others."""
        return ObjectiveJudge(
            self.judged.people, gallery=len(self.judged.first), main=self.plan.judge.measure, pointed=self._pointed()
        )

    def _pointed(self) -> int:
        """Number of patients with a sentence about one of their judged items."""
        if self.regions is None:
            return 0
        labels = self.judged.cohort.labels
        rows = np.flatnonzero(np.isin(self.items.ids, self.regions.ids))
        return patients_or_rows(None if labels.groups is None else labels.groups[rows], len(rows))

    def judging(self) -> dict[str, Any]:
        """The regions, where pointing is judged."""
        return {} if self.regions is None else {"regions": self.regions.digest()}

    def further(
        self, outcome: TrainedRun, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
        """Hits of sentences, summed over those of each item; their means and the chance of R@1 for the record."""
        judged = self.judged
        ways = chance_both_ways(left, right[judged.first], judged.same, (1,))
        facts: dict[str, Any] = {"recall_chance": [float(way[:, 1].mean()) for way in ways]}
        if self.regions is None:
            return np.empty((len(judged.same), 2, 0)), facts
        image, text = (self.encoder(name) for name in outcome.names)
        pointing, values = point(image, text, self.items, self.regions), np.zeros((len(judged.same), 2, 4))
        if pointing is None:
            return values, {**facts, "pointing": None}
        columns = [*(pointing.hits[rule] for rule in RULES), pointing.chance, np.ones(len(pointing.rows))]
        for at, column in enumerate(columns):
            np.add.at(values[..., at], pointing.rows, column[:, None])
        means = {rule: float(pointing.hits[rule].mean()) for rule in RULES}
        summary = {**means, "chance": float(pointing.chance.mean()), "sentences": len(pointing.rows)}
        return values, {**facts, "pointing": summary}

    def notes(self, cells: Sequence[tuple[Cell, str]], log: CellLog) -> list[str]:
        """Notes on the data and on the comparisons."""
        notes = [*self.remarks, *_unequal_seeds(cells)]
        if len({cell.draw for cell, _ in cells}) == 1:
            notes.append("one seed: how much runs of one objective differ is not known, so there are no intervals")
        regions = self.regions
        if regions is not None:
            notes.append(
                f"pointing: of {counted(len(regions), 'sentence')} about the judged images, the share of the best "
                f"patch's area that lies in the sentence's region; chance is that of a patch at random"
            )
        return notes


def _regions_of(items: Items, path: Path) -> PhraseRegions:
    """Sentences about the judged items, with their regions."""
    regions, known = read_phrase_regions(path), set(items.ids.tolist())
    if strange := [name for name in regions.ids.tolist() if name not in known]:
        raise DataError(
            f"{path} has a sentence about {strange[0]!r}, which is none of the judged items. Take such rows out, or "
            f"name the split that they are in."
        )
    row_of = {name: row for row, name in enumerate(items.ids.tolist())}
    for row, name in enumerate(regions.ids.tolist()):  # before the first run, which may take hours
        regions.mask_like(row, as_picture(items.values[row_of[name]]))
    return regions


def _unequal_seeds(cells: Sequence[tuple[Cell, str]]) -> list[str]:
    """A note on arms that were not run from every seed, as where a run failed: they are not compared."""
    seeds: dict[str, set[int]] = {}
    for cell, _ in cells:
        seeds.setdefault(cell.method, set()).add(cell.draw)
    every = set().union(*seeds.values())
    short = {name: sorted(every - some) for name, some in seeds.items() if some != every}
    return [
        f"{name} lacks {counted(len(lost), 'seed')} ({', '.join(map(str, lost))}), and is not compared with arms that "
        f"have them"
        for name, lost in short.items()
    ]
