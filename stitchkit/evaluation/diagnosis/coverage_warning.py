"""The warning that anchors do not cover a finding, in words, with how often it errs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stitchkit.core.wording import counted
from stitchkit.evaluation.diagnosis.coverage import PromptCoverage

SHOWN = 10  # names of a list
# Percent of findings that no anchor mentions and that got no warning, and percent of mentioned findings that got one,
# by number of anchors: half of a set of real reports that the limits were not chosen on (docs/diagnose.md)
ERRORS = {50: (6, 37), 100: (10, 25), 200: (14, 15), 300: (9, 14)}


def coverage_advice(coverage: Sequence[PromptCoverage]) -> Iterator[str]:
    """Classes that are not covered: those that no text says, and those that vectors do not reach."""
    gone = [one for one in coverage if not one.covered]
    if unsaid := [one for one in gone if one.mentions is not None]:
        yield (
            f"Not covered: no anchor text says {_names(unsaid)} in the words of the prompts{_denials(unsaid)}. Expect "
            f"their scores near chance whatever the wording, unless the texts use other words: add anchors whose texts "
            f"say them, or leave them out."
        )
    if unreached := [one for one in gone if one.mentions is None]:
        yield (
            f"Not covered: {_names(unreached)}. Expect their scores near chance whatever the wording: add anchors "
            f"whose texts mention them, present and absent, or leave them out. {errors(unreached[0].anchors)}"
        )


def errors(anchors: int) -> str:
    """Error rates of the warning by vectors with about as many anchors, in words.

    Examples
    --------
    >>> errors(120).split(": ")[1].split(", mostly")[0]
    'on real reports with 100 anchors 25 % of the findings that anchors do mention got this warning'
    """
    n = max((one for one in ERRORS if one <= anchors), default=min(ERRORS))
    missed, false = ERRORS[n]
    fewer = ", and more with fewer" if anchors < n else ""
    return (
        f"This is judged by vectors alone, which err: on real reports with {n} anchors {false} % of the findings that "
        f"anchors do mention got this warning{fewer}, mostly those that few anchors mention, and {missed} % of the "
        f"findings that none mentions did not get it."
    )


def mentions_in_words(one: PromptCoverage) -> str:
    """Anchor texts that say and deny a class; empty where they are not known."""
    if one.mentions is None:
        return ""
    return f"said by {counted(one.mentions, 'anchor text')}, denied by {one.denied}"


def _names(some: Sequence[PromptCoverage]) -> str:
    return ", ".join(one.name for one in some[:SHOWN]) + (" and others" if len(some) > SHOWN else "")


def _denials(some: Sequence[PromptCoverage]) -> str:
    denied = [f"{one.name} by {one.denied}" for one in some[:SHOWN] if one.denied]
    return f" (denied only: {', '.join(denied)})" if denied else ""
