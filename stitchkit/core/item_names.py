"""File names in ids: the same file named from different folders."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable


def same_names(ids: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """Id -> the one of ``among`` that is the same path further up or down, where the file name is unique on both sides.

    Paths of different folders are different files, whatever they are called. Names that differ in case alone count as
    one that is not unique, and bare numbers are no file names.

    Examples
    --------
    >>> same_names(["a.png", "b.png", "x/c.png"], ["scans/a.png", "old/b.png", "new/b.png", "y/c.png"])
    {'a.png': 'scans/a.png'}
    """
    mine, theirs = _unique_names(list(ids)), _unique_names(list(among))
    both = {one: theirs[name] for name, one in mine.items() if name in theirs}
    return {one: other for one, other in both.items() if _is_end(one, other) or _is_end(other, one)}


def alike(name: str, among: Iterable[str]) -> str:
    """The first of ``among`` whose file name differs from that of ``name`` in capitals or suffix alone; else empty.

    Examples
    --------
    >>> alike("a.JPG", ["b.jpg", "scans/a.jpg"]), alike("a.png", ["x/a.jpeg"]), alike("a", ["ab.png"])
    ('scans/a.jpg', 'x/a.jpeg', '')
    """
    mine, bare = _any_case(file_name(name)), _any_case(_stem(file_name(name)))
    near = ""
    for one in among:
        other = _any_case(file_name(one))
        if other == mine:
            return one
        if not near and bare and (bare == _any_case(_stem(file_name(one)))):
            near = one
    return near


def fitting(name: str, among: Iterable[str]) -> list[str]:
    """Names of ``among`` that may be the same path further up or down, capitals aside.

    Examples
    --------
    >>> fitting("1.jpg", ["a/1.jpg", "b/1.JPG", "b/11.jpg"])
    ['a/1.jpg', 'b/1.JPG']
    """
    mine = _any_case(name)
    return [one for one in among if _is_end(mine, _any_case(one)) or _is_end(_any_case(one), mine)]


def _stem(file: str) -> str:
    """A file name without a suffix of letters; a number behind a dot stays."""
    bare, dot, suffix = file.rpartition(".")
    return bare if dot and suffix.isalnum() and not suffix.isdecimal() else file


def _is_end(short: str, long: str) -> bool:
    parts, whole = _parts(short), _parts(long)
    return whole[-len(parts) :] == parts


def _parts(item: str) -> list[str]:
    return [part for part in item.replace("\\", "/").split("/") if part not in ("", ".")]


def _unique_names(ids: list[str]) -> dict[str, str]:
    """File name -> id, of the names that stand once in any case of letters."""
    names = [file_name(one) for one in ids]
    counts = Counter(map(_any_case, names))
    return {
        name: one
        for name, one in zip(names, ids, strict=True)
        if counts[_any_case(name)] == 1 and name and not name.isdecimal()
    }


def _any_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def file_name(item: str) -> str:
    return item.replace("\\", "/").rpartition("/")[2]
