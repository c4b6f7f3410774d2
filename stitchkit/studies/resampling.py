"""Every row of a study in every resample of patients: worked out once, kept beside the cells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.scores import Labels
from stitchkit.metrics.bootstrap import STREAM, Interval, patient_counts
from stitchkit.progress import Progress
from stitchkit.studies.cells import Cell
from stitchkit.studies.judges import Judge
from stitchkit.studies.plans import StudyPlan
from stitchkit.studies.running import Ran

Group = tuple[str, str, str, int | None]  # source, target, method, anchors


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Measures of every row; the first resample is the sample itself.

    Parameters
    ----------
    found
        Row -> measure -> (1 + b, columns): the mean over draws of anchors; over training runs, which are resampled too.
    draws
        Row -> the main measure of each draw, mean over columns.
    complete : (b,)
        Resamples in which everything can be measured.
    """

    judge: Judge
    found: Mapping[Group, Mapping[str, np.ndarray]]
    draws: Mapping[Group, tuple[float, ...]]
    complete: np.ndarray

    @classmethod
    def of(cls, ran: Ran, bar: Progress) -> Resampled:
        """Of every row of a study that ran; what an earlier run has worked out is read."""
        judge, groups = ran.judge, rows_of_cells(ran.cells)
        found = {group: ran.log.kept(_mark(ran, keys), (judge.main, DRAWS)) for group, keys in groups.items()}
        missing = [group for group, kept in found.items() if kept is None]
        bar.begin("resampling patients, rows of the table", len(missing) * (ran.plan.replicates + 1))
        blocks: dict[Group, list[dict[str, np.ndarray]]] = {group: [] for group in missing}
        for at, counts in enumerate(_counts(ran.test, ran.plan.replicates, ran.plan.seed) if missing else ()):
            for group in missing:
                each = [judge.measured(ran.log.scores(key), counts) for key in groups[group]]
                shares = _shares(ran.plan, len(each), len(counts), at)
                block = {name: _mean([one[name] for one in each], shares) for name in each[0]}
                if not blocks[group]:  # of the sample, which is first
                    block[DRAWS] = np.asarray([one[judge.main][0].mean() for one in each])
                blocks[group].append(block)
                bar.step(len(counts))
        for group in missing:
            names = blocks[group][-1]
            whole = {name: np.concatenate([block[name] for block in blocks[group]]) for name in names}
            whole[DRAWS] = blocks[group][0][DRAWS]
            ran.log.keep(_mark(ran, groups[group]), whole)
            found[group] = whole
        known = {group: dict(kept) for group, kept in found.items() if kept is not None}
        draws = {group: tuple(kept.pop(DRAWS).tolist()) for group, kept in known.items()}
        complete = ~np.isnan(next(iter(known.values()))[judge.main][1:]).any(axis=1)
        return cls(judge, known, draws, complete)

    def main(self, group: Group) -> np.ndarray:
        """The main measure (1 + b, columns) of a row."""
        return self.found[group][self.judge.main]

    def macro(self, group: Group, measure: str = "") -> tuple[float, np.ndarray]:
        """Mean over columns, of the sample and of the complete resamples; of the main measure if none is named."""
        whole = self.found[group][measure or self.judge.main].mean(axis=1)
        return float(whole[0]), whole[1:][self.complete]

    def interval(self, group: Group, measure: str = "") -> Interval:
        """The macro value with its interval over patients."""
        return self.judge.interval(measure or self.judge.main, *self.macro(group, measure))

    def beside(self, group: Group) -> list[str]:
        """The measures of a row that are not the main one."""
        return [name for name in self.found[group] if name != self.judge.main]


DRAWS = "draws"


def _shares(plan: StudyPlan, draws: int, resamples: int, at: int) -> np.ndarray:
    """Weights (b, draws) of each draw in each resample of block ``at``; equal in the sample, which is first.

    Runs of a training differ by chance more than patients do, and another seed would be as good: they are drawn anew.
    """
    if at == 0 or plan.training is None:
        return np.full((resamples, draws), 1 / draws)
    rng = np.random.default_rng([plan.seed, 6, at])
    return rng.multinomial(draws, np.full(draws, 1 / draws), size=resamples) / draws


def _mean(each: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """The mean over draws of a measure, each (b, columns)."""
    means: np.ndarray = np.einsum("bd,dbc->bc", shares, np.stack(each))
    return means


def rows_of_cells(cells: Sequence[tuple[Cell, str]]) -> dict[Group, list[str]]:
    """Each row of the table with the keys of its draws, in the study's order."""
    found: dict[Group, list[str]] = {}
    for cell, key in cells:
        found.setdefault((cell.source, cell.target, cell.method, cell.anchors), []).append(key)
    return found


def _mark(ran: Ran, keys: Sequence[str]) -> str:
    """Digest of all that decides the resamples of a row; a cell's key stands for its items, labels and patients."""
    settings = (keys, ran.judge.main, list(ran.judge.columns), ran.plan.multiclass, ran.parts is not None,
             ran.plan.training is not None, STREAM)  # fmt: skip
    return hashlib.sha256(repr((settings, ran.plan.replicates, ran.plan.seed)).encode()).hexdigest()[:24]


def _counts(test: Labels, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """The sample itself, then its resamples by patient, in blocks (b, n)."""
    yield np.ones((1, len(test)))
    yield from patient_counts(np.arange(len(test)) if test.groups is None else test.groups, replicates, seed)
