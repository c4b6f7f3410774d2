"""Cells of proportions: patients of unequal sizes whose items are right or wrong together, or not; few errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import stitchkit.metrics.decisions as decisions
import stitchkit.metrics.proportions as proportions
from benchmarks.coverage.cells import Bar, Cell, Ends
from stitchkit.metrics.bootstrap import Interval, patient_counts, percentile_interval
from stitchkit.metrics.decisions import decision_intervals, multiclass_differences, multiclass_intervals
from stitchkit.metrics.proportions import exact_difference, exact_interval

SOURCES = (
    *(Path(__file__).parent / name for name in ("proportions.py", "cells.py")),
    Path(proportions.__file__),
    Path(decisions.__file__),
)
BAR, APART = Bar(93, 3), Bar(93, 4)  # 2.5 is nominal; half a point is the chance of a thousand samples
REPLICATES = 500  # of the percentile bootstrap that is compared
SHARES, PATIENTS = (0.5, 0.8, 0.9, 0.95), (20, 50, 200)
SIZES = {"one item": 0, "1 to 6 items": 6, "1 or 30 items": 30}
METHODS = {"0.95 and 0.95": (0.95, 0.95), "0.98 and 0.90": (0.98, 0.9), "0.80 and 0.70": (0.8, 0.7)}
CLASSES = {
    "200 and 8": ((200, 8), (0.95, 0.9)), "40 and 12": ((40, 12), (0.95, 0.8)),
    "3 x 30": ((30,) * 3, (0.9, 0.8, 0.7)), "5 x 12": ((12,) * 5, (0.95,) * 5), "14 x 8": ((8,) * 14, (0.8,) * 14),
}  # fmt: skip
Trial = Callable[[np.random.Generator], Mapping[str, Ends]]


@dataclass(frozen=True)
class Items:
    """Items of ``patients`` patients, a share ``right`` of them right.

    Parameters
    ----------
    most
        Items of a patient: 1 to ``most``, evenly; 0: one; 30: one in ten patients has thirty, the others one.
    together
        Share of the patients' items that are right or wrong with the patient's others; the correlation of two.
    harder
        How much less often the items of patients with more than three are right.
    """

    patients: int
    right: float
    most: int = 6
    together: float = 0.5
    harder: float = 0.0

    @property
    def truth(self) -> float:
        """Share of all items that are right."""
        sizes = np.arange(1, self.most + 1)
        return self.right if not self.harder else self.right - self.harder * sizes[sizes > 3].sum() / sizes.sum()

    def owners(self, rng: np.random.Generator) -> np.ndarray:
        """Patient (n,) of each item."""
        sizes = rng.integers(1, self.most + 1, self.patients) if self.most else np.ones(self.patients, dtype=int)
        if self.most == 30:
            sizes = np.where(rng.random(self.patients) < 0.1, 30, 1)
        return np.repeat(np.arange(self.patients), sizes)

    def levels(self, rng: np.random.Generator, owner: np.ndarray) -> np.ndarray:
        """Numbers (n,) that are even between 0 and 1, some of them the patient's."""
        own, shared = rng.random(len(owner)), rng.random(self.patients)[owner]
        if self.together in (0, 1):
            return shared if self.together else own
        return np.where(rng.random(len(owner)) < self.together**0.5, shared, own)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Items right (k,) and items (k,) of each patient."""
        owner = self.owners(rng)
        sizes = np.bincount(owner, minlength=self.patients).astype(np.float64)
        limit = self.right - self.harder * (sizes > 3)
        won = np.bincount(owner, weights=self.levels(rng, owner) < limit[owner], minlength=self.patients)
        return won, sizes


def ends(found: Interval, truth: float) -> Ends:
    return Ends(found.low, found.high, truth)


def share_trial(items: Items) -> Trial:
    return lambda rng: {"share": ends(exact_interval(*items.draw(rng)), items.truth)}


def ranks_trial(patients: int, together: float) -> Trial:
    """Mean reciprocal rank, of ranks that are 1 for 60 % of the items and long-tailed for the others."""
    items = Items(patients, 1.0, together=together)

    def values(levels: np.ndarray) -> np.ndarray:
        return 1 / np.where(levels < 0.6, 1, np.ceil(1 / np.maximum(1 - levels, 1 / 40) ** 0.9))

    truth = float(values((np.arange(400_000) + 0.5) / 400_000).mean())

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        owner = items.owners(rng)
        sums = np.bincount(owner, weights=values(items.levels(rng, owner)), minlength=patients)
        return {"mean reciprocal rank": ends(exact_interval(sums, np.bincount(owner, minlength=patients)), truth)}

    return trial


def difference_trial(items: Items, right: tuple[float, float], compared: bool = False) -> Trial:
    """Two methods; seven in ten items are as hard for the one as for the other."""
    truth = right[0] - right[1]

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        owner = items.owners(rng)
        first = items.levels(rng, owner)
        second = np.where(rng.random(len(owner)) < 0.7, first, items.levels(rng, owner))
        won, other = (np.bincount(owner, weights=one < p, minlength=items.patients)
                      for one, p in zip((first, second), right, strict=True))  # fmt: skip
        of = np.bincount(owner, minlength=items.patients).astype(np.float64)
        ours = ends(exact_difference(won, other, of), truth)
        if not compared:
            return {"difference": ours}
        return {"this package": ours, "percentile": ends(_percentile(won - other, of, rng), truth)}

    return trial


def rivals_trial(items: Items) -> Trial:
    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        won, of = items.draw(rng)
        kish = of.sum() ** 2 / np.sum(of**2)
        estimated = min(_effective(won, of), of.sum())
        found = {
            "this package": exact_interval(won, of),
            "percentile": _percentile(won, of, rng),
            "Clopper-Pearson, items": _clopper_pearson(won, of, of.sum()),
            "Clopper-Pearson, Kish": _clopper_pearson(won, of, kish),
            "Clopper-Pearson, estimated design effect": _clopper_pearson(won, of, estimated),
            "Wilson, estimated design effect": _wilson(won, of, estimated),
        }
        return {name: ends(one, items.truth) for name, one in found.items()}

    return trial


def decisions_trial(positive: int, sensitivity: float, specificity: float) -> Trial:
    """120 patients with 1 to 6 images, of whom ``positive`` have the finding on all images."""
    items, share = Items(120, 1.0), positive / 120
    hits, false = share * sensitivity, (1 - share) * (1 - specificity)
    misses, quiet = share - hits, (1 - share) - false
    truths = {
        "sensitivity": sensitivity, "specificity": specificity, "ppv": hits / (hits + false),
        "npv": quiet / (quiet + misses), "accuracy": hits + quiet,
        "balanced_accuracy": (sensitivity + specificity) / 2, "f1": 2 * hits / (2 * hits + misses + false),
    }  # fmt: skip

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        owner = items.owners(rng)
        truth, levels = owner < positive, items.levels(rng, owner)
        called = np.where(truth, levels < sensitivity, levels < 1 - specificity)
        found = decision_intervals(called, truth.astype(np.float64), owner)
        return {name: ends(one, truths[name]) for name, one in found.items()}

    return trial


def classes_trial(patients: tuple[int, ...], right: tuple[float, ...]) -> Trial:
    """Patients with 1 to 6 images of one class; wrong calls are of the next class. A second method is .05 worse."""
    items, classes = Items(sum(patients), 1.0), len(patients)
    of_class, hit = np.repeat(np.arange(classes), patients), np.asarray(right)
    share = np.asarray(patients) / sum(patients)
    called = share * hit + np.roll(share * (1 - hit), 1)
    truths = {
        "accuracy": float(share @ hit), "balanced_accuracy": float(hit.mean()),
        "f1": float(np.mean(2 * share * hit / (share + called))),
    }  # fmt: skip

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        owner = items.owners(rng)
        truth, levels = of_class[owner], items.levels(rng, owner)
        again = np.where(rng.random(len(owner)) < 0.7, levels, items.levels(rng, owner))
        best = np.where(levels < hit[truth], truth, (truth + 1) % classes)
        other = np.where(again < hit[truth] - 0.05, truth, (truth + 1) % classes)
        found = multiclass_intervals(best, truth, classes, owner)
        apart = multiclass_differences(best, other, truth, classes, owner)
        return {name: ends(one, truths[name]) for name, one in found.items()} | {
            f"{name} difference": ends(one, 0.05) for name, one in apart.items()
        }

    return trial


def _percentile(won: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> Interval:
    counts = np.concatenate(list(patient_counts(np.arange(len(of)), REPLICATES, int(rng.integers(2**31)))))
    return percentile_interval(float(won.sum() / of.sum()), (counts @ won) / (counts @ of))


def _effective(won: np.ndarray, of: np.ndarray) -> float:
    """Items over the design effect that the sample shows; all items where nothing varies."""
    share = won.sum() / of.sum()
    spread = len(of) / (len(of) - 1) * np.sum((won - share * of) ** 2) / of.sum() ** 2
    return float(share * (1 - share) / spread) if spread > 0 else float(of.sum())


def _clopper_pearson(won: np.ndarray, of: np.ndarray, number: float) -> Interval:
    from scipy.stats import beta

    share = float(won.sum() / of.sum())
    good, bad = number * share, number * (1 - share)
    low = 0.0 if good == 0 else float(beta.ppf(0.025, good, bad + 1))
    return Interval(share, low, 1.0 if bad == 0 else float(beta.ppf(0.975, good + 1, bad)))


def _wilson(won: np.ndarray, of: np.ndarray, number: float) -> Interval:
    share, z = float(won.sum() / of.sum()), 1.959964
    middle = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z / (1 + z**2 / number) * (share * (1 - share) / number + z**2 / (4 * number**2)) ** 0.5
    return Interval(share, middle - half, middle + half)


def name_of(patients: int, right: float, size: str, together: float) -> str:
    """The name of a cell of one share."""
    return f"{patients} patients, {size}{f' correlated {together:g}' if size != 'one item' else ''}, share {right:g}"


def _shares() -> list[Cell]:
    cells = []
    for size, most in SIZES.items():
        for patients in PATIENTS:
            for together in (0.0, 0.5, 1.0) if most == 6 else (0.5,):
                for right in SHARES if most != 30 else (0.9, 0.95):
                    items = Items(patients, right, most, together)
                    cells.append(Cell(name_of(patients, right, size, together), share_trial(items), {"share": BAR}))
    for patients in PATIENTS:
        harder = Items(patients, 0.95, harder=0.2)
        cells.append(Cell(f"{patients} patients, large ones harder", share_trial(harder), {"share": BAR}))
        ranks = ranks_trial(patients, 0.5)
        cells.append(Cell(f"{patients} patients, reciprocal ranks", ranks, {"mean reciprocal rank": BAR}))
    return cells


def _others() -> list[Cell]:
    cells = []
    for patients in (15, 30, 100, 300):
        for name, right in METHODS.items():
            for size, most in list(SIZES.items())[:2]:
                trial = difference_trial(Items(patients, 1.0, most), right)
                where = f"{patients} patients, {size}, two methods, {name}"
                cells.append(Cell(where, trial, {"difference": APART}, two_sided=("difference",)))
    for positive in (40, 12):
        for rates in ((0.9, 0.9), (0.95, 0.98)):
            bars = dict.fromkeys(
                ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy", "f1"), BAR
            )
            name = f"{positive} positive patients of 120, sensitivity {rates[0]:g}, specificity {rates[1]:g}"
            cells.append(Cell(name, decisions_trial(positive, *rates), bars, effort=0.5))
    for name, (patients_of, right_of) in CLASSES.items():
        apart = ("accuracy difference", "balanced_accuracy difference")
        bars = dict.fromkeys(("accuracy", "balanced_accuracy", "f1"), BAR) | dict.fromkeys(apart, APART)
        cells.append(Cell(f"classes with {name} patients", classes_trial(patients_of, right_of), bars, 0.25, apart))
    return cells


def _rivals() -> list[Cell]:
    cells = []
    for patients in (20, 50, 200):
        for together in (0.0, 0.5, 1.0):
            items = Items(patients, 0.95, together=together)
            name = f"compared: {patients} patients, items correlated {together:g}, share 0.95"
            cells.append(Cell(name, rivals_trial(items), effort=0.5))
    for patients in (15, 30, 100):
        trial = difference_trial(replace(items, patients=patients), (0.98, 0.9), compared=True)
        cells.append(Cell(f"compared: {patients} patients, two methods, 0.98 and 0.90", trial, effort=0.5))
    return cells


CELLS = (*_shares(), *_others(), *_rivals())
