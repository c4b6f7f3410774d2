"""What a diagnosis holds, as a table for a terminal and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from stitchkit.evaluation.coverage import PromptCoverage
from stitchkit.evaluation.retrieval import Retrieval
from stitchkit.evaluation.stitchability import Stitchability
from stitchkit.metrics.neighbourhoods import Hubness


@dataclass(frozen=True, slots=True)
class Fit:
    """The directed map on the pairs: R2 about their mean, and ``|Y - f(X)| / |Y - mean|``, so that R2 = 1 - r^2."""

    r2: float
    relative: float


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
class Spectrum:
    """Singular values of the map, largest first.

    Parameters
    ----------
    of
        ``"directed map"``, or ``"similarity"``: the bilinear form of both maps and the weights.
    values
        At most min(d_s, d_t) numbers.
    rank
        How many are above 1e-10 of the largest.
    effective
        Participation ratio of their squares, between 1 and the rank.
    """

    of: str
    values: tuple[float, ...]
    rank: int
    effective: float


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
    """What is right and wrong with an alignment; print it, or :meth:`to_dict`.

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
        Number of outliers in all.
    coverage
        None if no prompts were given.
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
    notes: tuple[str, ...]

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Names of prompts that the anchors do not cover."""
        return tuple(one.name for one in self.coverage or () if not one.covered)

    @property
    def verdict(self) -> str:
        """The whole in two or three sentences."""
        from stitchkit.evaluation.advice import verdict

        return verdict(self)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about it, most urgent first; empty if nothing stands out."""
        from stitchkit.evaluation.advice import advice

        return advice(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {**plain, "verdict": self.verdict, "advice": list(self.advice)}

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value, and what to compare it with, of every number of the table."""
        return list(_rows(self))

    def __str__(self) -> str:
        rows = self.rows()
        wide, broad = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"Diagnosis of {self.source} -> {self.target} ({self.solver}) on {self.n} {_pairs(self)}", ""]
        lines += [f"  {name:<{wide}}  {value:<{broad}}  {beside}".rstrip() for name, value, beside in rows]
        if self.coverage is not None:
            lines += ["", "Coverage of the prompts by the anchors (0.5 and more is covered):"]
            broad = max(len(one.name) for one in self.coverage)
            lines += [
                f"  {one.name:<{broad}}  reach {one.reach:.2f}  nearest anchor {one.nearest:+.2f}  "
                f"{'covered' if one.covered else 'NOT COVERED'}"
                for one in self.coverage
            ]
        lines += ["", "Worst pairs:"]
        lines += [
            f"  {one.id}  similarity {one.similarity:+.3f}, z {one.z:.1f}{'  OUTLIER' if one.flagged else ''}"
            for one in self.outliers[:10]
        ]
        lines += ["", self.verdict, *(f"- {one}" for one in self.advice)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _pairs(one: Diagnosis) -> str:
    return "held-out pairs" if one.pairs == "held-out" else "pairs, taken to be the anchors"


def _rows(one: Diagnosis) -> Iterator[tuple[str, str, str]]:
    before = one.before
    yield "CKA before mapping", f"{before.cka:.3f}", "biased upwards where pairs are few"
    yield "  debiased", f"{before.debiased:.3f}", "unrelated spaces: 0"
    yield f"mutual {before.k}-NN before", str(before.overlap), f"chance {before.chance:.3f}, p {before.p_value:.3f}"
    if one.fit is None:
        yield "R2 of the directed map", "none", "the spaces meet in a common one only"
    else:
        yield "R2 of the directed map", f"{one.fit.r2:.3f}", "the targets' mean: 0"
        yield "  relative residual", f"{one.fit.relative:.3f}", "the targets' mean: 1"
    for way in (one.retrieval.forward, one.retrieval.backward):
        for k, value in way.recall.items():
            yield f"R@{k} {way.name}", str(value), f"chance {way.chance(k):.3f}, gallery of {way.gallery}"
    yield "true above random pair", f"{one.cosines.above:.3f}", "chance 0.500"
    yield "  median, true pairs", f"{one.cosines.true[2]:+.3f}", f"5 to 95 %: {_span(one.cosines.true)}"
    yield "  median, random pairs", f"{one.cosines.random[2]:+.3f}", f"5 to 95 %: {_span(one.cosines.random)}"
    raw = "widths differ before" if one.gap.raw is None else f"{one.gap.raw:.3f} before"
    yield "modality gap, common", f"{one.gap.common:.3f}", f"{raw}; none: 0"
    for hubs, what in zip(one.hubs, ("targets", "sources"), strict=True):
        yield (
            f"hubness of {what}",
            f"{hubs.skewness:.2f}",
            (f"largest {hubs.largest}, mean {hubs.mean:.0f}; never retrieved {100 * hubs.never:.0f} %"),
        )
    if one.spectrum is None:
        yield "spectrum of the map", "none", "the maps are not affine"
    else:
        yield (
            "rank of the map",
            str(one.spectrum.rank),
            f"effective {one.spectrum.effective:.1f}; of the {one.spectrum.of}",
        )
    kind = "hat values" if one.leverage.ridge == 0 else "ridge leverage"
    yield (
        f"leverage ({kind})",
        f"{one.leverage.largest:.3f}",
        f"mean {one.leverage.mean:.3f}; {one.leverage.count} high",
    )
    yield "outliers", str(one.flagged), "robust z above 3.5"


def _span(quantiles: tuple[float, ...]) -> str:
    return f"{quantiles[0]:+.2f} to {quantiles[-1]:+.2f}"


def _plain(value: Any) -> Any:
    """``value`` as numbers, strings, lists and dictionaries."""
    if isinstance(value, Hubness):
        return {
            "k": value.k, "skewness": value.skewness, "largest": value.largest, "mean": value.mean,
            "never": value.never, "in_degree": value.in_degree.tolist(),
        }  # fmt: skip
    if isinstance(value, Stitchability):
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
