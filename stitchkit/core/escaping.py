"""Escapes for text of unknown origin on screens and in tables."""

from __future__ import annotations

import unicodedata

_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
# control, format (direction overrides, zero widths, tags), lone surrogates, line and paragraph separators
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FORMULA = frozenset("=+-@\t\r")  # first characters of what spreadsheets compute
_ORTHOGRAPHIC = frozenset("\u200c\u200d")  # joiners: Persian and Indic words are spelled with them


def escape(text: str, *, keep: str = "") -> str:
    r"""Escape control and invisible characters of ``text`` as ``\x1b`` or ``\u202e``, so that it is safe to print.

    Parameters
    ----------
    text
        Any text; a backslash in it stays as it is, so the result is for reading and not for parsing.
    keep
        Characters to keep, such as ``"\n"`` for text of several lines. Default: none

    Examples
    --------
    >>> print(escape("edema\x1b[2J"), escape("a\u202eb"), escape("naïve: no effusion"))
    edema\x1b[2J a\u202eb naïve: no effusion
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not is_unsafe(one) else _written_out(one) for one in text)


def as_csv_cell(text: str) -> str:
    """``text`` as a cell of a CSV file that no spreadsheet takes for a formula.

    Such a cell gets a quote in front, as spreadsheets write it; numbers stay. :func:`from_csv_cell` takes it off.

    Examples
    --------
    >>> as_csv_cell("=1+1"), as_csv_cell("-0.5"), as_csv_cell("edema"), as_csv_cell("'=1")
    ("'=1+1", '-0.5', 'edema', "''=1")
    """
    bare = text.lstrip("'")
    return f"'{text}" if bare[:1] in _FORMULA and not _is_number(text) else text


def from_csv_cell(cell: str) -> str:
    """The text that :func:`as_csv_cell` wrote."""
    bare = cell.lstrip("'")
    return cell[1:] if cell[:1] == "'" and bare[:1] in _FORMULA and bare else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_unsafe(character: str) -> bool:
    """True for a character that moves the cursor, changes the reading direction, ends a line or is invisible."""
    return unicodedata.category(character) in _UNSAFE and character not in _ORTHOGRAPHIC


def _written_out(character: str) -> str:
    """The escape of one character as Python writes it."""
    code = ord(character)
    return _SHORT.get(character) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )
