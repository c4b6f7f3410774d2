"""Tables of text for a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence


def text_table(
    rows: Sequence[Sequence[str]],
    *,
    numbers: Container[int] = (),
    least: Sequence[int] = (),
    indent: str = "",
) -> list[str]:
    """Lines of a table, each column as wide as its widest cell and two spaces from the next.

    Parameters
    ----------
    rows
        Cells, as many in every row; the first row may be a header.
    numbers
        Positions of columns that are aligned on the right, default none.
    least
        Least widths of the first columns in characters, default 0.
    indent
        Text before each line, default none.

    Examples
    --------
    >>> for line in text_table([["class", "images", "notes"], ["Edema", "7", ""]], numbers=[1]):
    ...     print(line)
    class  images  notes
    Edema       7
    """
    columns = list(zip(*rows, strict=True))
    floors = (*least, *[0] * (len(columns) - len(least)))
    widths = [max(floor, *map(len, column)) for column, floor in zip(columns, floors, strict=True)]
    return [f"{indent}{_line(row, widths, numbers)}".rstrip() for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], numbers: Container[int]) -> str:
    cells = enumerate(zip(row, widths, strict=True))
    return "  ".join(cell.rjust(width) if at in numbers else cell.ljust(width) for at, (cell, width) in cells)
