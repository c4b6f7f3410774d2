"""The result of a learning curve: what was measured, the law fitted to it, and how many anchors a value needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.plain_values import plain_values
from stitchkit.core.wording import counted
from stitchkit.evaluation.retrieval.power_law import LEAST as LEAST_SIZES
from stitchkit.evaluation.retrieval.power_law import size_for, value_at
from stitchkit.evaluation.scores.class_patients import without_ends
from stitchkit.metrics.bootstrap import Interval, exact_at_ends, percentile_interval

HORIZON = 4  # times the largest size: no value is foretold beyond it
LATE = 0.5  # of the way from the law to no further rise, that the low end of a forecast of R2 goes
STEPS = 100  # numbers of anchors up to the horizon at which the earliest one is looked for
SETTLED = 2  # times the source's dimensions: number of anchors from which R2 follows one law


@dataclass(frozen=True, slots=True)
class Needed:
    """Number of anchors that a target value needs.

    Parameters
    ----------
    metric, target
        The value asked for.
    anchors
        The number with its interval, in which infinity stands for "never", without ends where the curve has none; None
        where the curve does not reach the target within the horizon, or did so before its first size.
    horizon
        The largest number of anchors that is spoken of.
    words
        The answer in words.
    """

    metric: str
    target: float
    anchors: Interval | None
    horizon: int
    words: str

    @property
    def reached(self) -> bool:
        """True if the target is reached within the horizon."""
        return "not reached" not in self.words

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """A measure on held-out pairs at growing numbers of anchors, and the law fitted to it.

    Parameters
    ----------
    metric
        Name of the measure, source to target.
    sizes : (s,) int
        Numbers of anchors.
    values : (s, d)
        The measure at each size and draw.
    resampled : (b, s)
        Mean over draws in each resample of draws and held-out patients.
    laws : (1 + b, 3) or None
        a, b and c of ``a - b n^-c`` for the measured curve and each resample; None for fewer than 3 sizes, for R2 fewer
        than 3 of at least twice the source's dimensions: R2 has another shape below.
    chance
        The measure of shuffled pairs, mean over draws, at the size where it is highest; 0 for R2.
    pairs, patients, gallery
        Held out: pairs, patients (None where not known), distinct targets.
    notes
        Limits of the result, in words.
    settings
        Solver, purpose, draws, replicates, seed.
    width
        Dimensions of the source, which the shape of R2 depends on; None where the measure has no such place.
    intervals
        The mean over draws at each size with its interval, without ends where draws cannot tell how much a draw
        matters; None takes percentiles of ``resampled``.
    """

    metric: str
    sizes: np.ndarray
    values: np.ndarray
    resampled: np.ndarray
    laws: np.ndarray | None
    chance: float
    pairs: int
    patients: int | None
    gallery: int
    notes: tuple[str, ...]
    settings: dict[str, Any]
    width: int | None = None
    intervals: tuple[Interval, ...] | None = None

    @property
    def horizon(self) -> int:
        """The largest number of anchors that anything is said of: four times the largest size, without a law itself."""
        return (1 if self.laws is None else HORIZON) * int(self.sizes[-1])

    @property
    def no_law(self) -> str:
        """Reason why there is no law; empty where there is one."""
        if self.laws is not None:
            return ""
        if len(self.sizes) < LEAST_SIZES:
            return f"a law needs at least {LEAST_SIZES} sizes; there are {len(self.sizes)}. Measure more sizes."
        far = SETTLED * (self.width or 0)
        return (
            f"{self.metric} changes its shape where the number of anchors crosses the source's {self.width} "
            f"dimensions, and forecasts from smaller numbers were wrong too often. A law needs {LEAST_SIZES} sizes of "
            f"at least {far}; there are {int(np.sum(self.sizes >= far))}. Measure more such sizes."
        )

    @property
    def mean(self) -> tuple[Interval, ...]:
        """The mean over draws at each size, with its interval over draws and held-out patients.

        It is of anchors drawn from other pools and of other held-out patients. Where every pair is right, or none, the
        far end is that of so many patients.
        """
        if self.intervals is not None:
            return self.intervals
        points = zip(self.values.mean(axis=1).tolist(), self.resampled.T, strict=True)
        found = tuple(percentile_interval(value, drawn) for value, drawn in points)
        people = self.pairs if self.patients is None else self.patients
        return found if self.metric == "r2" else tuple(exact_at_ends(one, people) for one in found)

    def at(self, n: float) -> Interval:
        """The measure at ``n`` anchors: between measured sizes interpolated in ``log n``, beyond them by the law.

        The high end of a forecast allows for a curve that bends less than the law, up to a straight line in ``log n``
        through the last sizes; the low end of R2 for one that rises half as far. Neither end is nearer than that of the
        largest measured size.

        Raises
        ------
        InputError
            Below the smallest size, beyond the horizon or, where there is no law, the largest size; and for R2 between
            two sizes of which one is below the source's dimensions and one above.
        """
        if not self.sizes[0] <= n <= self.horizon:
            raise InputError(
                f"the curve was measured at {self.sizes[0]} to {self.sizes[-1]} anchors and says nothing about {n:g}. "
                f"Ask for {self.sizes[0]} to {self.horizon}, or measure other sizes."
                + (f" There is no forecast: {self.no_law}" if n > self.horizon and self.no_law else "")
            )
        if n > self.sizes[-1]:
            found = value_at(self._fitted(), n)
            foretold = percentile_interval(float(found[0]), self._lower(found)[1:])
            last = self.mean[-1]  # a forecast is not surer than what was measured: all may be right by chance
            high = percentile_interval(float(found[0]), self._upper(n)[1:]).high
            foretold = foretold._replace(low=np.fmin(foretold.low, last.low), high=np.fmax(high, last.high))
            return foretold if self._has_ends else without_ends(foretold)
        self._check_between(n)
        return Interval(*(float(np.interp(np.log(n), np.log(self.sizes), each)) for each in np.transpose(self.mean)))

    def anchors_for(self, value: float) -> Needed:
        """Number of anchors that ``value`` needs, or that it is not reached within the horizon.

        Within the measured sizes this is read off the curve, beyond them off the law.

        Raises
        ------
        InputError
            If ``value`` is not above 0 and at most 1, or not above chance, or is not reached within the measured sizes
            and there is no law; and for R2 if it is reached where the curve crosses the source's dimensions.
        """
        if not 0 < value <= 1:
            raise InputError(f"a target for {self.metric} lies above 0 and is at most 1; got {value}.")
        if value <= self.chance:
            raise InputError(
                f"{self.metric} {value:g} is no better than chance, which is {self.chance:.3f} in a gallery of "
                f"{self.gallery}: it needs no anchors. Ask for a value above chance."
            )
        what, fewest = f"{self.metric} {value:g}", int(self.sizes[0])
        first = float(self.values[0].mean())
        if first >= value:
            words = f"{what} is reached with {fewest} anchors, the fewest that were tried ({first:.3f})"
            return Needed(self.metric, value, None, self.horizon, words)
        found = self._reached_at(value)
        if found[0] > self.sizes[-1]:
            self._fitted()
        else:
            self._check_between(found[0])
        if found[0] > self.horizon:
            last = self.at(self.horizon)
            words = f"{what} is not reached within {self.horizon} anchors; there the curve is at {last}"
            return Needed(self.metric, value, None, self.horizon, words)
        about = f"{what} needs about {np.ceil(found[0]):.0f} anchors"
        if not self._has_ends:
            alone = without_ends(Interval(float(np.ceil(found[0])), 0.0, 0.0))
            return Needed(self.metric, value, alone, self.horizon, about)
        low = np.quantile(self._early(value, found)[1:], 0.025, method="inverted_cdf")  # infinity is a value here
        high = np.quantile(found[1:], 0.975, method="inverted_cdf")
        n = Interval(float(np.ceil(found[0])), float(np.floor(low)), float(np.ceil(high)))
        upper = f"{n.high:.0f}" if n.high <= self.horizon else f"more than {self.horizon}"
        lower = f"{n.low:.0f}" if n.low > fewest else f"{fewest} or fewer"
        return Needed(self.metric, value, n, self.horizon, f"{about} [{lower}, {upper}]")

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        law = None if self.laws is None else dict(zip("abc", self.laws[0].tolist(), strict=True))
        return {
            "metric": self.metric,
            "sizes": self.sizes.tolist(),
            "values": self.values.tolist(),
            "mean": [one._asdict() for one in self.mean],
            "law": law,
            "chance": self.chance,
            "pairs": self.pairs,
            "patients": self.patients,
            "gallery": self.gallery,
            "horizon": self.horizon,
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """A table for a terminal."""
        people = "patients not known" if self.patients is None else counted(self.patients, "patient")
        lines = [
            f"{self.metric} on {self.pairs} held-out pairs ({people}), gallery of {self.gallery}, "
            f"chance {self.chance:.3f}; {counted(self.values.shape[1], 'draw')}",
            "anchors  mean [95 %]           draws",
        ]
        for n, mean, row in zip(self.sizes, self.mean, self.values, strict=True):
            lines.append(f"{n:>7}  {mean}  {row.min():.3f} to {row.max():.3f}")
        if self.laws is not None:
            a, b, c = self.laws[0]
            lines.append(f"law: {a:.3f} - {b:.3g} n^-{c:.2f}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    @property
    def _has_ends(self) -> bool:
        """True if draws tell how much a draw matters."""
        return self.intervals is None or all(one.has_ends for one in self.intervals)

    @property
    def _curves(self) -> np.ndarray:
        """The measured curve and every resample of it, (1 + b, s)."""
        return np.concatenate([self.values.mean(axis=1)[None, :], self.resampled])

    def _reached_at(self, value: float) -> np.ndarray:
        """Number of anchors (1 + b,) at which each curve reaches ``value``; infinite where it is not known to."""
        curves, last = self._curves, float(self.sizes[-1])
        laws = self.laws
        beyond = np.full(len(curves), np.inf) if laws is None else np.maximum(size_for(laws, value), last)
        pairs = zip(curves, beyond.tolist(), strict=True)
        return np.asarray([_crossing(self.sizes, curve, value, later) for curve, later in pairs])

    def _upper(self, n: float) -> np.ndarray:
        """High values of each curve (1 + b,) at ``n`` beyond the measured sizes, where the law may bend too soon.

        A straight line in ``log n`` through the last sizes, where it is above the law. Where ranks are measured a curve
        rises like an S, of which a law sees the end too soon: without this the truth was above the interval in up to
        18 % of simulated studies, and half-way to the line in up to 17 %.
        """
        laws, curves = self._fitted(), self._curves[:, -LEAST_SIZES:]
        logs = np.log(self.sizes[-LEAST_SIZES:])
        away = logs - logs.mean()
        slope = np.maximum((curves - curves.mean(axis=1, keepdims=True)) @ away / np.sum(away**2), 0)
        law = value_at(laws, n)
        line = np.minimum(curves[:, -1] + slope * (np.log(n) - logs[-1]), 1)
        upper: np.ndarray = np.maximum(line, law)
        return upper

    def _lower(self, law: np.ndarray) -> np.ndarray:
        """Low values of each curve (1 + b,) where its law says ``law``: R2 may rise half as far beyond the last size.

        Without this the truth was below the interval of R2 in 12 % of simulated studies, at four times the last size.
        """
        if self.metric != "r2":
            return law
        lower: np.ndarray = law + LATE * np.minimum(self._curves[:, -1] - law, 0)
        return lower

    def _early(self, value: float, found: np.ndarray) -> np.ndarray:
        """Numbers of anchors (1 + b,) at which each curve may reach ``value`` at the earliest, at most ``found``."""
        if self.laws is None:
            return found
        grid = np.geomspace(self.sizes[-1], self.horizon, STEPS)
        reached = np.stack([self._upper(n) for n in grid], axis=1) >= value  # (1 + b, steps)
        first = np.where(reached.any(axis=1), grid[reached.argmax(axis=1)], np.inf)
        earliest: np.ndarray = np.minimum(found, first)
        return earliest

    def _check_between(self, n: float) -> None:
        """Raise if ``n`` lies between two sizes on either side of the source's dimensions."""
        if self.width is None or n in self.sizes:
            return
        above = int(np.searchsorted(self.sizes, n))
        low, high = int(self.sizes[above - 1]), int(self.sizes[above])
        if low < self.width < high:
            raise InputError(
                f"{self.metric} at about {n:.0f} anchors is not known from {low} and {high}: between them the number "
                f"of anchors crosses the source's {self.width} dimensions, where {self.metric} may dip. Measure sizes "
                f"there."
            )

    def _fitted(self) -> np.ndarray:
        if self.laws is None:
            raise InputError(self.no_law)
        return self.laws


def _crossing(sizes: np.ndarray, curve: np.ndarray, value: float, beyond: float) -> float:
    """Number at which a curve (s,) first reaches ``value``, interpolated in log n; ``beyond`` if it does not."""
    above = np.flatnonzero(curve >= value)
    if not above.size:
        return beyond
    i = int(above[0])
    if i == 0:
        return float(sizes[0])
    share = (value - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(sizes[i - 1] * (sizes[i] / sizes[i - 1]) ** share)
