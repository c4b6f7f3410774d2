"""Text of unknown origin, with the characters that do not stay where they are printed written out."""

from __future__ import annotations

import unicodedata

_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
# control, format (direction overrides, zero widths, tags), lone surrogates, line and paragraph separators
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ORTHOGRAPHIC = frozenset("\u200c\u200d")  # joiners: Persian and Indic words are spelled with them


def escaped(text: str, *, keep: str = "") -> str:
    r"""``text`` with control and invisible characters as ``\x1b`` or ``\u202e``, safe to print.

    Parameters
    ----------
    text
        Any text; a backslash in it stays as it is, so the result is for reading and not for parsing.
    keep
        Characters that are left alone, such as ``"\n"`` for text of several lines.

    Examples
    --------
    >>> print(escaped("edema\x1b[2J"), escaped("a\u202eb"), escaped("naïve: no effusion"))
    edema\x1b[2J a\u202eb naïve: no effusion
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not is_unsafe(one) else _written_out(one) for one in text)


def is_unsafe(character: str) -> bool:
    """True for a character that moves the cursor, changes the reading direction, ends a line or is not seen."""
    return unicodedata.category(character) in _UNSAFE and character not in _ORTHOGRAPHIC


def _written_out(character: str) -> str:
    """The escape of one character as Python writes it."""
    code = ord(character)
    return _SHORT.get(character) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )
