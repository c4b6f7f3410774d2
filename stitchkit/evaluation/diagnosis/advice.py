"""A diagnosis in words: the verdict, and what to do about each thing that stands out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stitchkit.core.wording import counted
from stitchkit.evaluation.diagnosis.coverage_warning import warnings

if TYPE_CHECKING:
    from stitchkit.evaluation.diagnosis.diagnosis import Diagnosis

HUBS = 1.0  # skewness of the in-degrees from which hubs are named
GAP = 0.5  # of the spread, in the common space
FEW_QUERIES = 10  # of one way


def verdict(found: Diagnosis) -> str:
    """What matters most, in two or three sentences."""
    parts = [_said(found)]
    if found.coverage is not None:
        gone = len(found.uncovered)
        parts.append(
            f"The anchors cover {'the prompt' if len(found.coverage) == 1 else f'all {len(found.coverage)} prompts'}."
            if not gone
            else f"{gone} of {len(found.coverage)} prompts {'is' if gone == 1 else 'are'} not covered by the anchors."
        )
    if found.flagged:
        parts.append(f"{found.flagged} {'pair fits' if found.flagged == 1 else 'pairs fit'} conspicuously badly.")
    return " ".join(parts)


def _said(found: Diagnosis) -> str:
    """Whether it works, and by which number."""
    if found.pairs == "anchors" and _beyond(found):  # what was fitted is found again: that alone proves nothing
        held = found.held_out
        if held is None:
            return "In-sample numbers only, so no verdict: give held-out pairs."
        what = "the targets are" if held.measure == "r2" else "true pairs are"
        how = ("predicted" if held.measure == "r2" else "found") + (" beyond chance" if held.clear else "")
        return (
            f"Held out when it was chosen: {held.name} {held.value:.3f}, chance {held.chance:.3f}: {what} "
            f"{'' if held.clear else 'not clearly '}{how}."
        )
    way = found.retrieval.forward
    k = min(way.recall)
    where = "in-sample" if found.pairs == "anchors" else "held-out"
    beyond = "beyond chance" if _beyond(found) else "no better than by chance"
    numbers = f"{way.recall[k]} among {way.gallery}, chance {way.chance(k):.3f}"
    return f"True pairs are found {beyond}: {where} R@{k} is {numbers}."


def works(found: Diagnosis) -> bool | None:
    """Whether true pairs are found beyond chance among pairs that were held out; None where there are none."""
    if found.pairs == "held-out" or not _beyond(found):
        return _beyond(found)
    return None if found.held_out is None else found.held_out.clear


def _beyond(found: Diagnosis) -> bool:
    """Whether the given pairs are found beyond chance, both ways, at the largest k that says something.

    A way with few queries (back from three distinct targets, say) says nothing either way and is left out.
    """
    both = (found.retrieval.forward, found.retrieval.backward)
    ways = [way for way in both if way.queries >= FEW_QUERIES] or both
    told = [max((k for k in way.recall if way.chance(k) <= 0.5), default=min(way.recall)) for way in ways]
    return all(way.recall[k].low > way.chance(k) for way, k in zip(ways, told, strict=True))


def advice(found: Diagnosis) -> tuple[str, ...]:
    """What to do, most urgent first."""
    return tuple(_advice(found))


def _advice(found: Diagnosis) -> Iterator[str]:
    if works(found) is False:
        what = "found" if found.held_out is None or found.held_out.measure == "mrr" else "predicted"
        yield (
            f"True pairs are not {what} beyond chance. Check that row i of both sides is one item; if it is, compare "
            "other encoders or layers (stitchability, search_layers) before adding anchors."
        )
    yield from warnings(found.coverage or ())
    if found.flagged:
        some = ", ".join(one.id for one in found.outliers if one.flagged)
        some = some if found.flagged <= 5 else ", ".join(one.id for one in found.outliers[:5]) + " and others"
        yield f"Look at {some}: are they mispaired or damaged? Correct or drop them and fit again."
    if found.pairs == "anchors":
        yield (
            "These numbers are in-sample and flatter the map. Diagnose held-out pairs for the ones to report."
            + ("" if found.fit is None or found.n > found.before.dims[0] else
               " With fewer anchors than dimensions an in-sample R2 means nothing.")
        )  # fmt: skip
    if max(one.skewness for one in found.hubs) > HUBS:
        yield (
            "A few items are retrieved again and again (hubs). Retrieval gains from CSLS, which takes the crowding "
            "around each item off its score."
        )
    if found.gap.common > GAP:
        yield (
            f"The two sides' means are {found.gap.common:.1f} spreads apart in the common space: these pairs are "
            f"unlike the anchors the map was centred on. Centre each side on pairs like these, or fit on them."
        )
    if n := found.leverage.count:
        them = "it" if n == 1 else "them"
        yield (
            f"{counted(n, 'anchor has', 'anchors have')} more than three times the mean leverage; the map leans on "
            f"{them}. Look at {', '.join(found.leverage.high[:3])}, and add anchors like {them}."
        )
