"""The result of a diagnosis: measurements, verdict, advice and table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from stitchkit.core.alignments import is_above_chance
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.evaluation.associations.associations import LIMITS
from stitchkit.evaluation.diagnosis.common_space import Cosines, Outlier
from stitchkit.evaluation.diagnosis.coverage import PromptCoverage
from stitchkit.evaluation.diagnosis.coverage_warning import coverage_advice, mentions_in_words
from stitchkit.evaluation.diagnosis.leverage import Leverage
from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.evaluation.retrieval.evaluate_retrieval import Retrieval
from stitchkit.evaluation.spaces.stitchability import Stitchability
from stitchkit.metrics.neighbourhoods import Hubness

HUBS = 1.0  # skewness of the in-degrees from which hubs are named
GAP = 0.5  # of the spread, in the common space
FEW_QUERIES = 10  # of one direction
WORST = 10  # pairs in print


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
        if "r2" not in numbers and not {"mrr", "se", "chance_mrr", "gallery"} <= set(numbers):
            return None
        measure = "r2" if "r2" in numbers else "mrr"
        return cls(
            measure=measure,
            value=float(numbers[measure]),
            error=float(numbers["se"]),
            chance=0.0 if measure == "r2" else float(numbers["chance_mrr"]),
            gallery=None if measure == "r2" else int(numbers["gallery"]),
            clear=is_above_chance(numbers),
        )

    @property
    def name(self) -> str:
        """The measure in words."""
        return "R2" if self.measure == "r2" else "mean reciprocal rank"


@dataclass(frozen=True, slots=True)
class Gap:
    """Distance of the two sides' means over the root of their mean squared spread; None where widths differ."""

    raw: float | None
    common: float


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis(NotebookText):
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
        Likeness of the spaces before mapping.
    fit
        None for an alignment without a directed map.
    cosines, retrieval, gap
        In the common space.
    hubs
        Hubness of the targets with sources as queries, and of the sources with targets as queries.
    spectrum
        None where the maps are not affine.
    leverage, outliers
        Outliers: all flagged ones, at most 20, and at least the 5 worst.
    flagged
        Number of outliers in all; a pair that stands several times is one, here and in the list.
    coverage
        None if no prompts were given.
    held_out
        Result on pairs that the fit held out of itself, from which the verdict on anchors is. None without any, and for
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
    def works(self) -> bool | None:
        """True pairs are found beyond chance among pairs that were held out; None where there are none."""
        if self.pairs == "held-out" or not self._beyond_chance:
            return self._beyond_chance
        return None if self.held_out is None else self.held_out.clear

    @property
    def verdict(self) -> str:
        """The whole in two or three sentences."""
        parts = [_success(self)]
        if self.coverage is not None:
            gone, n = len(self.uncovered), len(self.coverage)
            parts.append(
                f"{gone} of {n} prompts {'is' if gone == 1 else 'are'} not covered by the anchors."
                if gone
                else f"The anchors cover {'the prompt' if n == 1 else f'all {n} prompts'}."
            )
        if self.flagged:
            parts.append(f"{self.flagged} {'pair fits' if self.flagged == 1 else 'pairs fit'} conspicuously badly.")
        return " ".join(parts)

    @property
    def advice(self) -> tuple[str, ...]:
        """Next steps, most urgent first; empty if nothing stands out."""
        return tuple(_advice(self))

    @property
    def _beyond_chance(self) -> bool:
        """The given pairs are found beyond chance, both ways, at the largest k that says something.

        A direction with few queries (back from three distinct targets, say) says nothing either way and is left out.
        """
        both = (self.retrieval.forward, self.retrieval.backward)
        ways = [way for way in both if way.queries >= FEW_QUERIES] or both
        places = [max((k for k in way.recall if way.chance(k) <= 0.5), default=min(way.recall)) for way in ways]
        return all(way.recall[k].low > way.chance(k) for way, k in zip(ways, places, strict=True))

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {**plain, "verdict": self.verdict, "advice": list(self.advice)}

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value, and what to compare it with, of every number of the table."""
        return list(_rows(self))

    def __str__(self) -> str:
        """Every number with its comparison, the worst pairs, the verdict, the next steps, and the notes."""
        pairs = "held-out pairs" if self.pairs == "held-out" else "pairs, taken to be the anchors"
        lines = [f"Diagnosis of {self.source} -> {self.target} ({self.solver}) on {self.n} {pairs}", ""]
        lines += text_table(self.rows(), indent="  ")
        if self.coverage is not None:
            lines += ["", *_coverage(self.coverage), *_by_association(self.coverage)]
        lines += ["", "Worst pairs:"]
        lines += [
            f"  {pair.id}  similarity {pair.similarity:+.3f}, z {pair.z:.1f}{'  OUTLIER' if pair.flagged else ''}"
            for pair in self.outliers[:WORST]
        ]
        lines += ["", self.verdict, *(f"- {step}" for step in self.advice)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _success(diagnosis: Diagnosis) -> str:
    """Success or failure of retrieval, with its number."""
    if diagnosis.pairs == "anchors" and diagnosis._beyond_chance:  # fitted pairs are found again: that proves nothing
        held = diagnosis.held_out
        if held is None:
            return "In-sample numbers only, so no verdict: give held-out pairs."
        what = "the targets are" if held.measure == "r2" else "true pairs are"
        how = ("predicted" if held.measure == "r2" else "found") + (" beyond chance" if held.clear else "")
        return (
            f"Held out when it was chosen: {held.name} {held.value:.3f}, chance {held.chance:.3f}: {what} "
            f"{'' if held.clear else 'not clearly '}{how}."
        )
    way = diagnosis.retrieval.forward
    k = min(way.recall)
    where = "in-sample" if diagnosis.pairs == "anchors" else "held-out"
    beyond = "beyond chance" if diagnosis._beyond_chance else "no better than by chance"
    numbers = f"{way.recall[k]} among {way.gallery}, chance {way.chance(k):.3f}"
    return f"True pairs are found {beyond}: {where} R@{k} is {numbers}."


def _advice(diagnosis: Diagnosis) -> Iterator[str]:
    """Next steps, most urgent first."""
    if diagnosis.works is False:
        verb = "found" if diagnosis.held_out is None or diagnosis.held_out.measure == "mrr" else "predicted"
        yield (
            f"True pairs are not {verb} beyond chance. Check that row i of both sides is one item; if it is, compare "
            "other encoders or layers (stitchability, search_layers) before adding anchors."
        )
    yield from coverage_advice(diagnosis.coverage or ())
    if diagnosis.flagged:
        some = ", ".join(one.id for one in diagnosis.outliers if one.flagged)
        some = some if diagnosis.flagged <= 5 else ", ".join(one.id for one in diagnosis.outliers[:5]) + " and others"
        yield f"Look at {some}: are they mispaired or damaged? Correct or drop them and fit again."
    if diagnosis.pairs == "anchors":
        yield (
            "These numbers are in-sample and flatter the map. Diagnose held-out pairs for the ones to report."
            + ("" if diagnosis.fit is None or diagnosis.n > diagnosis.before.dims[0] else
               " With fewer anchors than dimensions an in-sample R2 means nothing.")
        )  # fmt: skip
    if max(one.skewness for one in diagnosis.hubs) > HUBS:
        yield (
            "A few items are retrieved again and again (hubs). Retrieval gains from CSLS, which takes the crowding "
            "around each item off its score."
        )
    if diagnosis.gap.common > GAP:
        yield (
            f"The two sides' means are {diagnosis.gap.common:.1f} spreads apart in the common space: these pairs are "
            f"unlike the anchors the map was centred on. Centre each side on pairs like these, or fit on them."
        )
    if n := diagnosis.leverage.count:
        them = "it" if n == 1 else "them"
        yield (
            f"{counted(n, 'anchor has', 'anchors have')} more than three times the mean leverage; the map leans on "
            f"{them}. Look at {', '.join(diagnosis.leverage.high[:3])}, and add anchors like {them}."
        )


def _rows(one: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Name, value, and what to compare it with, of every number."""
    before = one.before
    if one.held_out is not None:
        held = one.held_out
        among = (
            "the targets' mean: 0" if held.gallery is None else f"chance {held.chance:.3f}, gallery of {held.gallery}"
        )
        yield f"{held.name}, held out", f"{held.value:.3f} +- {held.error:.3f}", f"{among}; when it was chosen"
    inside = "; in-sample" if one.pairs == "anchors" else ""
    yield "CKA before mapping", f"{before.cka:.3f}", "biased upwards where pairs are few"
    error = "" if before.debiased_se is None else f" +- {before.debiased_se:.3f}"
    yield "  debiased", f"{before.debiased:.3f}{error}", "unrelated spaces: 0"
    drawn = "" if before.complete else f"; estimate from {before.compared}"
    yield (
        f"mutual {before.k}-NN before",
        str(before.overlap),
        (f"chance {before.chance:.3f}, p {before.p_value:.3f}{drawn}"),
    )
    if one.fit is None:
        yield "R2 of the directed map", "none", "the spaces meet in a common one only"
    else:
        yield "R2 of the directed map", f"{one.fit.r2:.3f}", f"the targets' mean: 0{inside}"
        yield "  relative residual", f"{one.fit.relative:.3f}", "the targets' mean: 1"
    for way in (one.retrieval.forward, one.retrieval.backward):
        for k, value in way.recall.items():
            yield f"R@{k} {way.name}", str(value), f"chance {way.chance(k):.3f}, gallery of {way.gallery}{inside}"
    yield "true above random pair", f"{one.cosines.above:.3f}", f"chance 0.500{inside}"
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


def _coverage(coverage: tuple[PromptCoverage, ...]) -> Iterator[str]:
    """Reach of each prompt, and the anchor texts that say it where they are known."""
    known = any(prompt.mentions is not None for prompt in coverage)
    rule = "said by an anchor text is covered" if known else "0.5 and more is covered"
    yield f"Coverage of the prompts by the anchors ({rule}):"
    cells = []
    for prompt in coverage:
        mentions = mentions_in_words(prompt)
        numbers = f"reach {prompt.reach:.2f}  nearest anchor {prompt.nearest:+.2f}"
        numbers = f"reach undefined: {prompt.undefined}" if prompt.undefined else numbers
        verdict = "covered" if prompt.covered else "NOT COVERED"
        cells.append((prompt.name, f"{mentions}{', ' if mentions else ''}{numbers}  {verdict}"))
    yield from text_table(cells, indent="  ")


def _by_association(coverage: tuple[PromptCoverage, ...]) -> Iterator[str]:
    """Company of the prompts that no anchor's text mentions, and the reasons of those that have no score."""
    known = [prompt.association for prompt in coverage if prompt.association is not None]
    if known:
        yield from ("", "By association with other findings, in a pool of unlinked texts:")
        yield from (f"  {line}" for association in known for line in str(association).splitlines())
        yield from (f"  {limit}" for limit in LIMITS)
    reasons: dict[str, list[str]] = {}
    for prompt in coverage:
        if prompt.unscored:
            reasons.setdefault(prompt.unscored, []).append(prompt.name)
    yield from (f"  no score by association for {', '.join(names)}: {why}" for why, names in reasons.items())


def _plain(value: Any) -> Any:
    """``value`` with dictionaries for results; the rest becomes plain with the whole."""
    if isinstance(value, Hubness):
        return {
            "k": value.k, "skewness": value.skewness, "largest": value.largest, "mean": value.mean,
            "never": value.never, "in_degree": value.in_degree,
        }  # fmt: skip
    if isinstance(value, Stitchability | PromptCoverage):
        return value.to_dict()
    if isinstance(value, Retrieval):
        return {side: _direction(getattr(value, side)) for side in ("forward", "backward")}
    if is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(one) for key, one in asdict(value).items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value


def _direction(way: Any) -> dict[str, Any]:
    recall = {str(k): {**value._asdict(), "chance": way.chance(k)} for k, value in way.recall.items()}
    return {"name": way.name, "queries": way.queries, "gallery": way.gallery, "recall": recall}
