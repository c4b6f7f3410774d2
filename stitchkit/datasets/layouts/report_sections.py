"""Sections of radiology reports that are written as one text with headings in capitals."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.datasets.layouts.published import names_of

SECTIONS = ("findings", "impression")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ()/,&-]*):", re.M)


def sections_of(report: str, wanted: Sequence[str] = SECTIONS) -> str:
    """The text of the wanted sections, one after the other in one line; empty if the report has none of them.

    A section begins at a line with a heading in capitals and a colon, and ends at the next. ``"findings"`` is a
    heading that begins with FINDING (``FINDINGS AND IMPRESSION`` among them), ``"impression"`` one that begins with
    IMPRESSION.

    Examples
    --------
    >>> sections_of("INDICATION: Cough.\\n FINDINGS: Clear lungs.\\n No effusion.\\n IMPRESSION:  Normal.\\n")
    'Clear lungs. No effusion. Normal.'
    >>> sections_of("IMPRESSION: Normal.", ["findings"])
    ''
    """
    headings = list(_HEADING.finditer(report))
    ends = [*(heading.start() for heading in headings[1:]), len(report)]
    texts = [(heading[1], report[heading.end() : end]) for heading, end in zip(headings, ends, strict=False)]
    return joined_texts(*(text for name in wanted for heading, text in texts if _is(heading, name)))


def checked_sections(sections: str | Sequence[str]) -> tuple[str, ...]:
    """The names of sections asked for; an unknown one, or none at all, is an error."""
    wanted = names_of(sections)
    for name in wanted:
        if name not in SECTIONS:
            raise UnknownNameError.of("section of a report", name, SECTIONS)
    if not wanted:
        raise InputError("no section of the reports was asked for. Name one, or pass reports=False for no texts.")
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
    return heading.startswith(section.upper().removesuffix("S"))
