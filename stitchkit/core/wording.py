"""Numbers with their nouns."""

from __future__ import annotations


def counted(n: int, one: str, many: str | None = None) -> str:
    """Number with its noun, in the singular for 1.

    Parameters
    ----------
    one, many
        The noun's singular and plural; by default the plural ends in ``s``.

    Examples
    --------
    >>> counted(1, "pair"), counted(2, "pair"), counted(0, "pair")
    ('1 pair', '2 pairs', '0 pairs')
    >>> counted(1200, "study", "studies")
    '1,200 studies'
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
