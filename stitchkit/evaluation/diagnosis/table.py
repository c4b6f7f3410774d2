"""A diagnosis as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stitchkit.core.text_tables import text_table
from stitchkit.evaluation.associations.associations import LIMITS
from stitchkit.evaluation.diagnosis.coverage_warning import mentioned

if TYPE_CHECKING:
    from stitchkit.evaluation.diagnosis.coverage import PromptCoverage
    from stitchkit.evaluation.diagnosis.diagnosis import Diagnosis


def table(one: Diagnosis) -> str:
    """Every number with what to compare it with, the worst pairs, the verdict, what to do, and the notes."""
    lines = [f"Diagnosis of {one.source} -> {one.target} ({one.solver}) on {one.n} {_pairs(one)}", ""]
    lines += text_table(list(rows(one)), indent="  ")
    if one.coverage is not None:
        lines += ["", *_coverage(one.coverage)]
        lines += _by_association(one.coverage)
    lines += ["", "Worst pairs:"]
    lines += [
        f"  {pair.id}  similarity {pair.similarity:+.3f}, z {pair.z:.1f}{'  OUTLIER' if pair.flagged else ''}"
        for pair in one.outliers[:10]
    ]
    lines += ["", one.verdict, *(f"- {what}" for what in one.advice)]
    return "\n".join([*lines, *(f"note: {note}" for note in one.notes)])


def _coverage(coverage: Sequence[PromptCoverage]) -> Iterator[str]:
    """Reach of each prompt, and the anchor texts that say it where they are known."""
    known = any(prompt.mentions is not None for prompt in coverage)
    how = "said by an anchor text is covered" if known else "0.5 and more is covered"
    yield f"Coverage of the prompts by the anchors ({how}):"
    cells = []
    for prompt in coverage:
        said = mentioned(prompt)
        numbers = f"reach {prompt.reach:.2f}  nearest anchor {prompt.nearest:+.2f}"
        numbers = f"reach undefined: {prompt.undefined}" if prompt.undefined else numbers
        verdict = "covered" if prompt.covered else "NOT COVERED"
        cells.append((prompt.name, f"{said}{', ' if said else ''}{numbers}  {verdict}"))
    yield from text_table(cells, indent="  ")


def _by_association(coverage: Sequence[PromptCoverage]) -> Iterator[str]:
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


def _pairs(one: Diagnosis) -> str:
    return "held-out pairs" if one.pairs == "held-out" else "pairs, taken to be the anchors"


def rows(one: Diagnosis) -> Iterator[tuple[str, str, str]]:
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
