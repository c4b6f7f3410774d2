"""Results of a diagnosis, and the same as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import is_above_chance
from stitchkit.core.plain_values import plain_values
from stitchkit.evaluation.diagnosis.coverage import PromptCoverage
from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.evaluation.retrieval.evaluate_retrieval import Retrieval
from stitchkit.evaluation.spaces.stitchability import Stitchability
from stitchkit.metrics.neighbourhoods import Hubness


@dataclass(frozen=True, slots=True)
class Fit:
    """The directed map on the pairs: R2 about their mean, and ``|Y - f(X)| / |Y - mean|``, so that R2 = 1 - r^2."""

    r2: float
    relative: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Result of the fit on pairs that it held out of itself when it was chosen.

    Parameters
    ----------
    measure
        ``"mrr"``, mean reciprocal rank, or ``"r2"`` for a head.
    value, error
        The measure and its standard error.
    chance
        The measure of pairs shuffled among the held-out ones; for R2 0, the mean of the targets.
    gallery
        Targets that were ranked, on average; None for R2.
    clear
        True if the measure is clearly above chance.
    """

    measure: str
    value: float
    error: float
    chance: float
    gallery: int | None
    clear: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> HeldOut | None:
        """The numbers of an alignment's record; None where nothing was held out."""
        numbers = record.get("held_out")
        if not isinstance(numbers, Mapping):
            return None
        if "r2" in numbers:
            return cls("r2", float(numbers["r2"]), float(numbers["se"]), 0.0, None, is_above_chance(numbers))
        if not {"mrr", "se", "chance_mrr", "gallery"} <= set(numbers):
            return None
        value, error, chance = (float(numbers[name]) for name in ("mrr", "se", "chance_mrr"))
        return cls("mrr", value, error, chance, int(numbers["gallery"]), is_above_chance(numbers))

    @property
    def name(self) -> str:
        """The measure in words."""
        return "R2" if self.measure == "r2" else "mean reciprocal rank"


@dataclass(frozen=True, slots=True)
class Cosines:
    """Similarity of true pairs against random ones in the common space.

    Parameters
    ----------
    true, random
        Quantiles at 5, 25, 50, 75 and 95 %.
    above
        Chance that a true pair scores above a random one, ties half: .5 is chance, 1 is perfect.
    edges, of_true, of_random
        Histograms as shares: ``len(edges) - 1`` bins.
    pairs
        Random pairs drawn; never of one item, of equal targets or, if groups are known, of one patient.
    """

    true: tuple[float, ...]
    random: tuple[float, ...]
    above: float
    edges: tuple[float, ...]
    of_true: tuple[float, ...]
    of_random: tuple[float, ...]
    pairs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Distance of the two sides' means over the root of their mean squared spread; None where widths differ."""

    raw: float | None
    common: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """A pair that the alignment fits badly.

    Parameters
    ----------
    id
        Of the item.
    similarity
        Of the pair in the common space.
    z
        Robust z of its residual ``1 - similarity``: distance from the median over 1.4826 median absolute deviations.
    leverage
        Hat value of its source vector among the anchors', or None where it is no anchor.
    flagged
        Whether z is above 3.5.
    """

    id: str
    similarity: float
    z: float
    leverage: float | None
    flagged: bool


@dataclass(frozen=True, slots=True)
class Leverage:
    """Hat values of the anchors' source vectors, in [1/n, 1].

    Parameters
    ----------
    mean, largest
        The mean is the share of freedom the map spends on each anchor.
    high
        Ids of anchors above three times the mean, highest first, at most 10.
    count
        How many are above.
    ridge
        0 for plain hat values; with fewer than 2 (d + 1) anchors these are all near 1, and ridge leverages with
        this share of the mean variance are given.
    """

    mean: float
    largest: float
    high: tuple[str, ...]
    count: int
    ridge: float


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """Measurements of an alignment, with a verdict and advice; print it, or :meth:`to_dict`.

    Parameters
    ----------
    source, target, solver
        Names.
    pairs
        ``"anchors"`` (in-sample numbers) or ``"held-out"``.
    n, groups, duplicates
        Pairs, patients (None if not known), and rows whose target equals an earlier one.
    before
        How alike the spaces are before mapping.
    fit
        None for an alignment without a directed map.
    cosines, retrieval, gap
        In the common space.
    hubs
        Of the targets when sources ask, and of the sources when targets ask.
    spectrum
        None where the maps are not affine.
    leverage, outliers
        Outliers: all flagged ones, at most 20, and at least the 5 worst.
    flagged
        Number of outliers in all; a pair that stands several times is one, here and in the list.
    coverage
        None if no prompts were given.
    held_out
        What the fit held out of itself; the verdict on anchors is from it. None where it held out nothing, and for
        held-out pairs.
    notes
        Assumptions in words.
    """

    source: str
    target: str
    solver: str
    pairs: str
    n: int
    groups: int | None
    duplicates: int
    before: Stitchability
    fit: Fit | None
    cosines: Cosines
    retrieval: Retrieval
    gap: Gap
    hubs: tuple[Hubness, Hubness]
    spectrum: Spectrum | None
    leverage: Leverage
    outliers: tuple[Outlier, ...]
    flagged: int
    coverage: tuple[PromptCoverage, ...] | None
    held_out: HeldOut | None
    notes: tuple[str, ...]

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Names of prompts that the anchors do not cover."""
        return tuple(one.name for one in self.coverage or () if not one.covered)

    @property
    def verdict(self) -> str:
        """The whole in two or three sentences."""
        from stitchkit.evaluation.diagnosis.advice import verdict

        return verdict(self)

    @property
    def advice(self) -> tuple[str, ...]:
        """Next steps, most urgent first; empty if nothing stands out."""
        from stitchkit.evaluation.diagnosis.advice import advice

        return advice(self)

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {**plain, "verdict": self.verdict, "advice": list(self.advice)}

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value, and what to compare it with, of every number of the table."""
        from stitchkit.evaluation.diagnosis.table import rows

        return list(rows(self))

    def __str__(self) -> str:
        from stitchkit.evaluation.diagnosis.table import table

        return table(self)


def _plain(value: Any) -> Any:
    """``value`` as numbers, strings, lists and dictionaries."""
    if isinstance(value, Hubness):
        return {
            "k": value.k, "skewness": value.skewness, "largest": value.largest, "mean": value.mean,
            "never": value.never, "in_degree": value.in_degree.tolist(),
        }  # fmt: skip
    if isinstance(value, Stitchability | PromptCoverage):
        return value.to_dict()
    if isinstance(value, Retrieval):
        return {side: _direction(getattr(value, side)) for side in ("forward", "backward")}
    if is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(one) for key, one in asdict(value).items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _direction(way: Any) -> dict[str, Any]:
    recall = {str(k): {**value._asdict(), "chance": way.chance(k)} for k, value in way.recall.items()}
    return {"name": way.name, "queries": way.queries, "gallery": way.gallery, "recall": recall}
