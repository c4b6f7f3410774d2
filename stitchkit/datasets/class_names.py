"""Names of classes that differ in spelling only: as separate classes, items of one are negatives of the other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from stitchkit.core.keys import visible_part

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_SPACES_AND_DASHES = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")  # between letters and digits
_LEADING_ZEROS = re.compile(r"(?<![0-9.,])0+(?=[0-9])")
_WHOLE = re.compile(r"([0-9]+)\.0*")


def folded_class(name: str) -> str:
    """A class name without regard to spelling: two names that fold to the same are probably one class.

    Folded away are Unicode compatibility forms, case, invisible characters, quotes and full stops at the ends, white
    space, underscores and hyphens between words, leading zeros of whole numbers, and the fraction of ``1.0``. Every
    other sign stays, since it may part two classes: ``HER2+`` and ``HER2-``, ``<5`` and ``>5``, ``1-2`` and ``12``.

    Examples
    --------
    >>> folded_class("No Finding"), folded_class("no_finding"), folded_class("NO-FINDING.")
    ('nofinding', 'nofinding', 'nofinding')
    >>> folded_class("Stage 01"), folded_class("HER2 -"), folded_class("1 - 2"), folded_class("1.0")
    ('stage1', 'her2-', '1-2', '1')
    """
    text = unicodedata.normalize("NFKC", visible_part(unicodedata.normalize("NFKC", str(name)))).casefold()
    text = " ".join(text.translate(_DASHES).split()).strip(_QUOTES)
    bare = text.rstrip(".") or text
    whole = _WHOLE.fullmatch(text)
    text = _SPACES_AND_DASHES.sub(_joint, whole[1] if whole else bare)
    return _LEADING_ZEROS.sub("", text.replace(" ", ""))


def spellings_of_one_class(names: Iterable[str]) -> tuple[str, ...]:
    """The names, sorted, of the first class that has more than one spelling; empty if there is none.

    Examples
    --------
    >>> spellings_of_one_class(["edema", "normal", "Edema", "EDEMA"])
    ('EDEMA', 'Edema', 'edema')
    >>> spellings_of_one_class(["T1", "T2", "<5", ">5"])
    ()
    """
    spelled: dict[str, set[str]] = {}
    for name in names:
        spelled.setdefault(folded_class(name), set()).add(name)
    return next((tuple(sorted(some)) for _, some in sorted(spelled.items()) if len(some) > 1), ())


def _joint(match: re.Match[str]) -> str:
    """The separator that stays between two words: a sign between two digits, which else were one number, or nothing."""
    text, start, end = match.string, match.start(), match.end()
    if not (text[start - 1].isdecimal() and text[end].isdecimal()):
        return ""
    return "-" if "-" in match[0] else "_"
