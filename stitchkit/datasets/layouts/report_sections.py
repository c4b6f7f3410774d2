"""Sections of radiology reports that are written as one text with headings in capitals."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.wording import setting
from stitchkit.datasets.layouts.published import names_of

SECTIONS = ("findings", "impression")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ()/,&-]*?)[ \t]*(:|$)", re.M)
# what a heading may begin with, and what it may be; other capitals, such as LUNGS:, stay in the text of their section
_BEGINNINGS = (
    "FINDING", "IMPRESSION", "INDICATION", "TECHNIQUE", "RECOMMENDATION", "REASON FOR", "CLINICAL HISTORY",
    "CLINICAL INDICATION", "CLINICAL INFORMATION", "CLINICAL DATA", "CONCLUSION", "NOTIFICATION", "WET READ",
    "FINAL REPORT", "PRELIMINARY REPORT", "ADDENDUM", "COMPARISON STUD", "COMPARISON EXAM",
)  # fmt: skip
_WHOLE = frozenset(
    {"EXAM", "EXAMINATION", "TYPE OF EXAM", "TYPE OF EXAMINATION", "PROCEDURE", "HISTORY", "PATIENT HISTORY"}
    | {"MEDICAL HISTORY", "OPINION", "DIAGNOSIS", "ATTENDING", "COMPARISON", "COMPARISONS", "INDICATION", "INDICATIONS"}
    | {"TECHNIQUE", "CLINICAL"}
)
_BARE = frozenset({"FINDINGS", "IMPRESSION", "FINAL REPORT", "WET READ", "PRELIMINARY REPORT", "ADDENDUM"})


def sections_of(report: str, wanted: Sequence[str] = SECTIONS) -> str:
    """The text of the wanted sections, one after the other in one line; empty if the report has none of them.

    A section begins at a line with one of the usual headings of reports in capitals, and a colon or nothing behind it,
    and ends at the next. Other words in capitals belong to the text. ``"findings"`` is a heading that begins with
    FINDING (``FINDINGS AND IMPRESSION`` among them), ``"impression"`` one that begins with IMPRESSION.

    Examples
    --------
    >>> sections_of("INDICATION: Cough.\\n FINDINGS: Clear lungs.\\n HEART: Normal.\\n IMPRESSION:  Normal.\\n")
    'Clear lungs. HEART: Normal. Normal.'
    >>> sections_of("IMPRESSION: Normal.", ["findings"])
    ''
    """
    texts = _sections(report)
    return joined_texts(*(text for name in wanted for heading, text in texts if _is(heading, name)))


def has_section(report: str, name: str) -> bool:
    """True where a report has a section, even an empty one."""
    return any(_is(heading, name) for heading, _ in _sections(report))


def _sections(report: str) -> list[tuple[str, str]]:
    """Heading and text of every section."""
    headings = [match for match in _HEADING.finditer(report) if _is_heading(match[1], bare=not match[2])]
    ends = [*(heading.start() for heading in headings[1:]), len(report)]
    return [(heading[1], report[heading.end() : end]) for heading, end in zip(headings, ends, strict=False)]


def _is_heading(words: str, *, bare: bool) -> bool:
    """True where words in capitals head a section; ``bare`` if no colon follows, as often in texts all in capitals."""
    if bare:
        return words in _BARE
    parts = re.split(r" AND | ?[&/,] ?", words.partition("(")[0].strip())
    return words.startswith(_BEGINNINGS) or all(part in _WHOLE for part in parts)


def checked_sections(sections: str | Sequence[str]) -> tuple[str, ...]:
    """The names of sections asked for; an unknown one, or none at all, is an error."""
    wanted = names_of(sections)
    for name in wanted:
        if name not in SECTIONS:
            raise UnknownNameError.of("section of a report", name, SECTIONS)
    if not wanted:
        raise InputError(
            "no section of the reports was asked for. Name one, or pass " + setting("reports", False) + " for no texts."
        )
    return wanted


def joined_texts(*texts: str) -> str:
    """All texts in one line, white space single.

    Examples
    --------
    >>> joined_texts("Clear  lungs.\\n", "", "Normal.")
    'Clear lungs. Normal.'
    """
    return " ".join(" ".join(texts).split())


def _is(heading: str, section: str) -> bool:
    words = heading.removeprefix("FINAL REPORT").removeprefix("PRELIMINARY REPORT").strip()
    return words.startswith(section.upper().removesuffix("S"))
