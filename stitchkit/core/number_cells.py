"""Numbers in table cells, with a decimal point or, where all of a column has it, a decimal comma."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # 1,234 may be either
_ZEROS_LAST = re.compile(
    r"(0|[1-9][0-9]*)\.[0-9]+"
)  # a number whose last zeros say nothing; codes are left as they are
_CODE = re.compile(r"0[0-9]+|[0-9]{16,}")  # a float holds 15 digits


def number_of(cell: str) -> float | None:
    """The number that a cell is, with a decimal point; None for anything else.

    Examples
    --------
    >>> [number_of(cell) for cell in ("46.0", "-1", "1e3", "46,0", "1_000", "PA")]
    [46.0, -1.0, 1000.0, None, None, None]
    """
    if "_" in cell:  # which Python reads between digits
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def comma_number_of(cell: str) -> float | None:
    """The number that a cell is, with a decimal comma; None where the comma may be of thousands, and otherwise.

    Examples
    --------
    >>> [comma_number_of(cell) for cell in ("46,0", "-0,5", "0,125", "1,234", "1,234,567", "46.0", "1,")]
    [46.0, -0.5, 0.125, None, None, None, None]
    """
    if not _COMMA.fullmatch(cell) or _THOUSANDS.fullmatch(cell):
        return None
    return float(cell.replace(",", "."))


def cell_number(cell: str) -> float | None:
    """The number that a cell is by itself, with a point or an unmistakable comma; None for anything else.

    Examples
    --------
    >>> [cell_number(cell) for cell in ("46.0", "46,5", "1,234", "x")]
    [46.0, 46.5, None, None]
    """
    number = number_of(cell)
    return comma_number_of(cell) if number is None else number


def have_decimal_commas(cells: Sequence[str]) -> bool:
    """True for cells that are all numbers with a decimal comma or whole ones, at least one with a comma.

    Examples
    --------
    >>> have_decimal_commas(["46,0", "13,5", "7"]), have_decimal_commas(["46,0", "13.5"]), have_decimal_commas(["7"])
    (True, False, False)
    >>> have_decimal_commas(["1,234", "12,5"])  # thousands, perhaps
    False
    """
    with_comma = [cell for cell in cells if "," in cell]
    if not with_comma or any(comma_number_of(cell) is None for cell in with_comma):
        return False
    return all("," in cell or _WHOLE.fullmatch(cell) for cell in cells)


def may_be_thousands(cell: str) -> bool:
    """True for a cell such as ``1,234``, which is one number with a decimal comma and another without."""
    return _THOUSANDS.fullmatch(cell) is not None


def is_code(cell: str) -> bool:
    """True for digits that are no number: zeros stand in front, or there are more than a float holds.

    Examples
    --------
    >>> [is_code(cell) for cell in ("01", "00", "1234567890123456", "0", "0.5", "10", "-1")]
    [True, True, True, False, False, False, False]
    """
    return _CODE.fullmatch(cell) is not None


def category_name(cell: str | float) -> str:
    """A cell as the name of a category: 1.0, "1.0" and "1" are one, and codes stay as they are.

    Examples
    --------
    >>> [category_name(cell) for cell in (1.0, "1", "1.50", "01", "  left  arm ", float("nan"))]
    ['1', '1', '1.5', '01', 'left arm', 'nan']
    """
    if isinstance(cell, float):
        return str(np.format_float_positional(cell, trim="-"))
    text = " ".join(cell.split())
    return text.rstrip("0").rstrip(".") if _ZEROS_LAST.fullmatch(text) else text
