"""Numbers in table cells, with a decimal point or, where all of a column has it, a decimal comma."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # 1,234 may be either


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
