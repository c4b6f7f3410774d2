"""Hashes of the anchors that an alignment was fitted on, so that pairs it is judged on can be told from them.

Kept are hashes of ids, of patients and of pairs of vectors, salted by the anchors themselves, so that two alignments
cannot be joined by them. They keep names out of sight and are no secret: whoever can list all possible patient numbers
can try them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.keys import constant_prefixes, folded_key, folded_path, folded_spelling, plain_path
from stitchkit.core.wording import counted

KEY = "anchor_hashes"  # in the record of an alignment
DIGITS = 16  # of each hash
WIDE = 16  # dimensions of both sides from which half precision tells pairs apart
CHUNK = 4096  # rows hashed at once
MOST = 20_000  # hashes of a kind: of ids and patients the lowest are kept, of vectors those of evenly spread rows
MOST_OF_VIEWS = 5_000  # hashes of vectors of each two of many spaces
EARLIER, SPELLING = "folded", "folded without punctuation"  # rules by which ids and patients were hashed
KINDS = {"ids": "items", "groups": "patients", "rows": "pairs of vectors", "files": "files"}


class AnchorHashes(dict[str, Any]):
    """Hashes by kind, ready for JSON; printed as counts."""

    def __repr__(self) -> str:
        counts = [counted(self[f"n_{kind}"], kind.removesuffix("s")) for kind in KINDS if self.get(kind) is not None]
        counts += [f"{max(self['n_view_rows'])} rows of {len(self['views'])} spaces"] if "views" in self else []
        return f"<hashes of {', '.join(counts)}>"


@dataclass(frozen=True, slots=True)
class Common:
    """Anchors among other pairs.

    Parameters
    ----------
    found
        Kind of hash -> how many of the others are anchors; kinds that both sides have.
    sampled
        Kinds of which only some hashes were kept: what is not found may still be there.
    """

    found: Mapping[str, int]
    sampled: tuple[str, ...]


def hashes_of(ids: Iterable[Any] | None, groups: Iterable[Any] | None, rows: list[bytes] | None = None) -> AnchorHashes:
    """Sorted hashes of each kind, run together into one text, with how many there were.

    Parameters
    ----------
    ids : (n,) or None
        None for plain arrays, whose rows have no names.
    groups : (n,) or None
        Patients.
    rows
        Digests of :func:`pair_digests`.

    Examples
    --------
    >>> hashes_of(["scan 1", "scan 2"], [7, 7])
    <hashes of 2 ids, 1 group>
    """
    names = None if ids is None else [str(one) for one in ids]
    seed = "\n".join(sorted(names)).encode() if names is not None else b"".join(sorted(rows or []))
    kept = AnchorHashes(salt=hashlib.sha256(seed).hexdigest()[:DIGITS], spelling=SPELLING)
    people = None if groups is None else _folded_all("groups", groups, kept)
    named = None if names is None else _folded_all("ids", names, kept)
    for kind, some in (("ids", named), ("groups", people), ("rows", rows)):
        hashes = None if some is None else _hashes(some, kept)
        kept[kind] = None if hashes is None else "".join(hashes[:MOST])
        kept[f"n_{kind}"] = None if hashes is None else len(hashes)
    bare = _without_prefixes(people or set(), kept)
    kept["bare"] = "".join(_hashes(bare, kept)[:MOST]) if bare else None
    return kept


def of_pairs(x: Embeddings, y: Embeddings, groups: Any, ids: Any) -> AnchorHashes:
    """Hashes of the anchors that an alignment is fitted on; ``ids`` are None where they are mere row numbers."""
    step = -(-len(x) // MOST)
    kept = hashes_of(ids, groups, pair_digests(x.vectors, y.vectors, step))
    if step > 1:
        kept["n_rows"] = len(x)  # of which only some were hashed
    return kept


def of_views(views: Mapping[str, Embeddings], groups: Any, ids: Any) -> AnchorHashes:
    """Hashes of the items that an alignment of many spaces is fitted on: rows are kept of every two of the spaces."""
    n = len(next(iter(views.values())))
    step = -(-n // MOST_OF_VIEWS)
    digests = [pair_digests(one.vectors, other.vectors, step) for one, other in combinations(views.values(), 2)]
    kept = hashes_of(ids, groups, digests[0])
    rows = [_hashes(some, kept) for some in digests]
    return AnchorHashes({
        **{name: one for name, one in kept.items() if name not in ("rows", "n_rows")},
        "views": list(views),
        "view_rows": ["".join(hashes) for hashes in rows],
        "n_view_rows": [n if step > 1 else len(hashes) for hashes in rows],
    })  # fmt: skip


def of_two(kept: Mapping[str, Any], source: str, target: str) -> AnchorHashes:
    """The hashes of two of the spaces among those of :func:`of_views`; a space with itself has no pairs of vectors."""
    few = AnchorHashes({name: one for name, one in kept.items() if not name.endswith(("views", "view_rows"))})
    for (one, other), rows, n in zip(
        combinations(kept["views"], 2), kept["view_rows"], kept["n_view_rows"], strict=True
    ):
        if {one, other} == {source, target}:
            return AnchorHashes({**few, "rows": rows, "n_rows": n, "swapped": one != source})
    return few


def with_files(kept: Mapping[str, Any], keys: list[bytes]) -> AnchorHashes:
    """The hashes with those of content keys, so that an anchor's file is known under any name."""
    hashes = _hashes(keys, kept)
    return AnchorHashes({**kept, "files": "".join(hashes[:MOST]), "n_files": len(hashes)})


def row_digests(kept: Mapping[str, Any], x: Array, y: Array) -> list[bytes]:
    """Digests of pairs of vectors (n, d_s) and (n, d_t), the sides in the order that ``kept`` has them."""
    return pair_digests(y, x) if kept.get("swapped") else pair_digests(x, y)


def pair_digests(x: Array, y: Array, step: int = 1) -> list[bytes]:
    """A digest of every ``step``-th pair of vectors, the same in half, single and double precision.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Rows of a pair; the vectors of few dimensions are compared in single precision.
    """
    rows = np.arange(0, int(x.shape[0]), step)
    kind = np.float16 if int(x.shape[1]) + int(y.shape[1]) >= WIDE else np.float32
    found = []
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        left, right = (_scaled(to_numpy(take(one, some)), kind) for one in (x, y))
        found += [hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=16).digest()
                  for a, b in zip(left, right, strict=True)]  # fmt: skip
    return found


def ids_of(*sides: Any) -> np.ndarray | None:
    """The ids of pairs: of embeddings, or None for plain arrays alone, and where the ids are mere row numbers."""
    ids = given_ids(*sides)
    return None if ids is None or are_row_numbers(ids) else ids


def given_ids(*sides: Any) -> np.ndarray | None:
    """The ids of pairs: of the first embeddings, or None for plain arrays alone."""
    return next((one.ids for one in sides if isinstance(one, Embeddings)), None)


def are_row_numbers(ids: np.ndarray) -> bool:
    """True for ids (n,) that count rows, from 0, 1 or 2, perhaps with gaps where rows were left out.

    Such ids say nothing: unrelated tables have the same.

    Examples
    --------
    >>> are_row_numbers(np.asarray(["2", "3", "5"])), are_row_numbers(np.asarray(["53189527"]))
    (True, False)
    """
    names = ids.tolist()
    if not names:
        return False
    plain = all(name.isdecimal() and name.isascii() and (name == "0" or name[0] != "0") for name in names)
    return plain and max(len(name) for name in names) < 10 and max(map(int, names)) <= 2 * len(names) + 2


def _scaled(rows: np.ndarray, kind: type) -> np.ndarray:
    """Rows (n, d) in a precision of ``kind`` at a size of about 1, by powers of two, and without a negative zero."""
    wide = rows.astype(np.float64)
    exponents = np.frexp(np.abs(wide).max(axis=1, keepdims=True))[1]
    return np.asarray(np.ldexp(wide, -exponents).astype(kind) + kind(0))


def common(
    kept: Mapping[str, Any],
    *,
    ids: Iterable[Any] | None = None,
    groups: Iterable[Any] | None = None,
    rows: list[bytes] | None = None,
    files: list[bytes] | None = None,
) -> Common:
    """Number of other pairs that are anchors of the alignment that kept these hashes.

    Parameters
    ----------
    kept
        Hashes of :func:`hashes_of`, or as an artefact holds them.
    ids, groups : (n,) or None
        Ids and patients of the other pairs.
    rows, files
        Digests of :func:`pair_digests`, content keys of image files.

    Raises
    ------
    InputError
        If ``kept`` lacks its salt or a number of hashes, or names a rule of spelling that is not known.

    Examples
    --------
    >>> common(hashes_of(["scan 1", "scan 2"], None), ids=["scan 2", "scan 3"]).found
    {'ids': 1}
    """
    _check_whole(kept)
    found, sampled = {}, []
    for kind, some in (("ids", ids), ("groups", groups), ("rows", rows), ("files", files)):
        if some is None or kept.get(kind) is None:
            continue
        values = set(some) if kind in ("rows", "files") else _folded_all(kind, some, kept)
        found[kind] = len(set(split(kept[kind])) & set(_hashes(values, kept)))
        if kind == "groups" and not found[kind]:
            found[kind] = _with_other_prefix(values, kept)
        if kept_of(kept, kind) < kept[f"n_{kind}"]:
            sampled.append(kind)
    return Common(found, tuple(sampled))


def are_among(kept: Mapping[str, Any], ids: Iterable[str]) -> list[bool]:
    """True for each id that is an anchor's, as it stands or without some of the folders in front.

    Examples
    --------
    >>> are_among(hashes_of(["a.png", "x/b.png"], None), ["films/a.png", "b.png", "x/b.png"])
    [True, False, True]
    """
    if kept.get("ids") is None:
        return [False for _ in ids]
    known = set(split(kept["ids"]))
    return [not known.isdisjoint(_hashes(_folded_all("ids", _ends_of(one), kept), kept)) for one in ids]


def _ends_of(item: str) -> list[str]:
    """A path as it stands, and without the folders in front, one after another."""
    parts = item.replace("\\", "/").split("/")
    return [item, *("/".join(parts[k:]) for k in range(1, len(parts)) if parts[-1])]


def _check_whole(kept: Mapping[str, Any]) -> None:
    wanted = ("salt", *(f"n_{kind}" for kind in KINDS if kept.get(kind) is not None))
    if lost := [key for key in wanted if kept.get(key) is None]:
        raise InputError(
            f"the hashes of anchors in the record lack {lost[0]!r}, so that nothing can be compared with them. Fit the "
            f"alignment again, or load it from its folder."
        )
    if kept.get("spelling", "") not in ("", EARLIER, SPELLING):
        raise InputError(
            f"the hashes of anchors in the record were made by the rule {kept['spelling']!r}, which this version does "
            f"not know, so that nothing can be compared with them. Update stitchkit."
        )


def _with_other_prefix(names: set[str], kept: Mapping[str, Any]) -> int:
    """Number of patients that are anchors' once the constant prefix that one side alone has is left out."""
    theirs = set(split(kept.get("bare") or "")) & set(_hashes(names, kept))
    mine = set(split(kept["groups"])) & set(_hashes(_without_prefixes(names, kept), kept))
    return max(len(theirs), len(mine))


def _without_prefixes(names: set[str], kept: Mapping[str, Any]) -> set[str]:
    """Patients without each of their constant prefixes, spelled as others are."""
    bare = {name.removeprefix(prefix) for prefix in constant_prefixes(names) for name in names}
    return _folded_all("groups", bare, kept)


def without_hashes(record: Mapping[str, Any]) -> dict[str, Any]:
    """An alignment's record for a screen: everything but the hashes of anchors.

    Examples
    --------
    >>> without_hashes({"solver": "ridge", "anchor_hashes": hashes_of(["scan 1"], None)})
    {'solver': 'ridge'}
    """
    return {name: value for name, value in record.items() if name != KEY}


def split(text: str) -> list[str]:
    """The hashes that were run together in ``text``."""
    return [text[a : a + DIGITS] for a in range(0, len(text), DIGITS)]


def kept_of(kept: Mapping[str, Any], kind: str) -> int:
    """Number of hashes of a kind that were kept."""
    return len(kept[kind]) // DIGITS


def distinct(kind: str, names: Iterable[Any], kept: Mapping[str, Any]) -> int:
    """Number of different names, spellings taken as ``kept`` takes them."""
    return len(_folded_all(kind, names, kept))


def _hashes(values: Iterable[str | bytes], kept: Mapping[str, Any]) -> list[str]:
    """The hash of each distinct value, sorted."""
    salt = f"{kept['salt']}\n".encode()
    distinct = {one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass") for one in values}
    return sorted(hashlib.sha256(salt + one).hexdigest()[:DIGITS] for one in distinct)


def _folded_all(kind: str, names: Iterable[Any], kept: Mapping[str, Any]) -> set[str]:
    return {_folded(kind, one, kept) for one in set(map(str, names))}


def _folded(kind: str, name: str, kept: Mapping[str, Any]) -> str:
    """An id or patient without regard to spelling, by the rule of ``kept``; the earliest has none.

    Bare numbers as ids stay, for ids of unrelated tables are often numbered.
    """
    rule = kept.get("spelling")
    if rule not in (EARLIER, SPELLING):
        return name
    if kind == "groups":
        return folded_spelling(folded_spelling(name)) if rule == EARLIER else folded_key(name)
    folded = folded_spelling(plain_path(name)) if rule == EARLIER else folded_path(name)
    return name if folded.isdigit() else folded
