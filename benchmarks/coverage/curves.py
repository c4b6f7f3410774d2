"""Cells of learning curves: what is measured, and what the law says of two and four times as many anchors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import stitchkit as sk
from benchmarks.choice.families import shared_latent
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.core.errors import InputError
from stitchkit.evaluation.retrieval import curve_intervals, measured_curves, power_law
from stitchkit.evaluation.retrieval import learning_curve as learning_curves
from stitchkit.evaluation.retrieval.held_pairs import HeldPairs, judge

SOURCES = (
    *(Path(__file__).parent / name for name in ("curves.py", "cells.py")),
    *(Path(module.__file__) for module in (curve_intervals, learning_curves, measured_curves, power_law)),
)
POPULATION, HELD, DRAWS, TRUTH = 6000, 100, 5, 200
SOLVERS = {"procrustes": sk.Procrustes(), "ridge": sk.Ridge()}  # as they are: a search costs forty times as much
SPARE = 1.5  # pairs that anchors are drawn from, over the largest size
FAMILIES = {
    "isotropic": {"noise": 2.2},
    "hubs": {"noise": 2.0, "hubs": 1.0},
    "clusters": {"noise": 1.0, "clusters": 40},
    "falling spectrum": {"noise": 1.0, "decay": 3},
}
RANKED, FEW, WELL = (10, 20, 40, 80, 160), (10, 16, 25, 40), (128, 180, 256, 360)


@dataclass(frozen=True)
class Study:
    """A finite population of pairs, 64 dimensions to 48, of which each study draws anchors and held-out pairs."""

    family: str
    solver: str
    metric: str
    sizes: tuple[int, ...]
    spare: float = SPARE
    held: int = HELD
    draws: int = DRAWS

    @property
    def purpose(self) -> str:
        return "head" if self.metric == "r2" else "match"

    @property
    def asked(self) -> dict[str, int]:
        """Numbers of anchors by the name of the quantity."""
        last = self.sizes[-1]
        return {"measured, largest size": last, "forecast, 2 times": 2 * last, "forecast, 4 times": 4 * last}


@cache
def pairs(family: str) -> tuple[np.ndarray, np.ndarray]:
    return shared_latent(POPULATION, 5, **FAMILIES[family])


@cache
def truth_of(study: Study, n: int) -> float:
    """Mean of the measure over other draws of ``n`` anchors and of held-out pairs."""
    x, y = pairs(study.family)
    rng, sums = np.random.default_rng([n, 7]), np.zeros(2)
    for _ in range(TRUTH):
        rows = rng.permutation(POPULATION)
        held, some = rows[: study.held], rows[study.held : study.held + n]
        fitted = sk.align(
            x[some], y[some], solver=SOLVERS[study.solver], purpose=study.purpose, nested=False, progress=False
        )  # fmt: skip
        places = (int(study.metric.partition("@")[2] or 1),)
        found, _ = judge(fitted, HeldPairs.of(x[held], y[held]), np.arange(study.held), study.held, ks=places)
        column = found.names.index(study.metric)
        sums += found.won[:, column].sum(), found.of[:, column].sum()
    return float(sums[0] / sums[1])


def trial_of(study: Study) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one study and its intervals; a forecast that is refused has no ends."""

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        x, y = pairs(study.family)
        rows = rng.permutation(POPULATION)[: study.held + round(study.spare * study.sizes[-1])]
        held, pool = rows[: study.held], rows[study.held :]
        curve = sk.learning_curve(
            x[pool], y[pool], sizes=study.sizes, draws=study.draws, solver=SOLVERS[study.solver], metric=study.metric,
            purpose=study.purpose, held_out=(x[held], y[held]), replicates=300, seed=int(rng.integers(2**31)),
            progress=False,
        )  # fmt: skip
        found = {}
        for name, n in study.asked.items():
            try:
                at = curve.at(n)
                found[name] = Ends(at.low, at.high, truth_of(study, n))
            except InputError:
                found[name] = Ends(float("nan"), float("nan"), 0.0)
        return found

    return trial


def _cell(study: Study) -> Cell:
    refused = study.metric == "r2" and study.sizes != WELL
    hard = study.family == "hubs"  # forecasts are shown without a bar: what remains
    barred = [name for name in study.asked if not ((refused or hard) and name.startswith("forecast"))]
    name = f"{study.family}, {study.solver}, {study.metric} of {', '.join(map(str, study.sizes))} anchors"
    if (study.spare, study.held, study.draws) != (SPARE, HELD, DRAWS):
        pool = "the whole pool" if study.spare == 1 else f"{study.spare:g} times as many"
        name += f", {pool}, {study.draws} draws, {study.held} held-out pairs"
    return Cell(name, trial_of(study), {one: Bar(90) for one in barred}, effort=0.02)


USUAL = tuple(
    _cell(Study(family, solver, metric, sizes))
    for solver, metric, sizes, families in (
        ("procrustes", "mrr", RANKED, ("isotropic", "hubs", "clusters")),
        ("procrustes", "recall@5", RANKED, ("isotropic",)),
        ("ridge", "mrr", RANKED[1:], ("isotropic",)),
        ("ridge", "r2", FEW, ("isotropic",)),
        ("ridge", "r2", WELL, ("falling spectrum",)),
    )
    for family in families
)
# where the largest size is the whole pool no draw is left, and few draws or patients tell little
WHOLE = tuple(
    _cell(Study("isotropic", solver, metric, sizes, 1.0, held, draws))
    for solver, metric, sizes, held, draws in (
        ("procrustes", "mrr", (10, 20, 40, 80), 100, 5),
        ("procrustes", "mrr", (10, 20, 40), 20, 10),
        ("ridge", "r2", FEW, 100, 5),
        ("ridge", "r2", FEW, 100, 2),
        ("ridge", "r2", FEW, 20, 5),
        ("ridge", "r2", (16, 40), 100, 20),
    )
)
CELLS = (*USUAL, *WHOLE)
