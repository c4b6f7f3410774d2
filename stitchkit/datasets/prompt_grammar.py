"""The grammar of prompts: texts with named slots, spelled out with every combination of their words."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from stitchkit.core.errors import DataError

MOST_TEXTS = 1000  # spelled out for one side of a class; a class embedding is a mean, more texts change nothing
_SLOT = re.compile(r"\{(\w*)\}")


def slots_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Names of the slots in some texts, each once, in order; ``""`` stands for ``{}``.

    Parameters
    ----------
    texts
        Texts with slots, ``{severity}`` or ``{}``.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> slots_in(["{severity} {} {location}.", "There is {}."])
    ('severity', '', 'location')
    """
    return tuple(dict.fromkeys(name for text in texts for name in _SLOT.findall(text)))


def spell_out(texts: Sequence[str], words: Mapping[str, Sequence[str]], what: str) -> tuple[str, ...]:
    """Each text once with every combination of the words of its slots.

    Combinations come in the order of the file, the last slot of a text changing fastest. A slot that occurs twice
    is filled with the same word. An empty word leaves its slot out. A text with a named slot is tidied: single
    spaces, none before punctuation, no comma left hanging, and, where it ends as a sentence, a capital at its start.
    Equal texts are kept once.

    Parameters
    ----------
    texts
        Texts with or without slots.
    words
        Name of a slot -> what may stand there; ``""`` is the name of ``{}``.
    what
        Name of the texts in error messages: ``"positive texts of class 'Edema' of mine.toml"``.

    Returns
    -------
    tuple of str

    Raises
    ------
    DataError
        If templates come to more than ``MOST_TEXTS``, before any is written out; for a brace that belongs to no
        slot; and for a combination in which nothing is left.

    Examples
    --------
    >>> spell_out(["{severity} edema {location}."], {"severity": ["", "mild"], "location": ["", "at the hila"]}, "it")
    ('Edema.', 'Edema at the hila.', 'Mild edema.', 'Mild edema at the hila.')
    """
    count = sum(math.prod(len(words[name]) for name in slots_in([text])) for text in texts if slots_in([text]))
    if count > MOST_TEXTS:
        raise DataError(
            f"the templates among the {what} spell out {count:,} texts; at most {MOST_TEXTS:,} are allowed. "
            f"Shorten a list of words, or name fewer slots in one text."
        )
    spelled = tuple(dict.fromkeys(one for text in texts for one in _combinations(text, words)))
    for text in spelled:
        if "{" in text or "}" in text:
            raise DataError(
                f"{text!r} among the {what} has a brace that belongs to no slot. A slot is a name of letters, "
                f"digits and underscores in braces; its words hold no braces."
            )
        if not any(map(str.isalnum, text)):
            raise DataError(f"a template among the {what} can come out empty. Put a word into it that always stays.")
    return spelled


def _combinations(text: str, words: Mapping[str, Sequence[str]]) -> Iterator[str]:
    parts, names = _SLOT.split(text), slots_in([text])  # parts: written, slot, written, slot, ..., written
    for chosen in itertools.product(*(words[name] for name in names)):
        word = dict(zip(names, chosen, strict=True))
        filled = "".join(word[part] if place % 2 else part for place, part in enumerate(parts))
        yield _tidy(filled) if any(names) else filled


def _tidy(text: str) -> str:
    """One text as it is written: what an empty word leaves behind is taken away."""
    text = " ".join(text.split())
    text = re.sub(r"[\s,;:]+(?=[,;:]|\.(?!\d))", "", text).lstrip(" ,;:")
    return text[:1].upper() + text[1:] if text.endswith((".", "!", "?")) else text
