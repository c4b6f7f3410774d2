"""What a folder keeps of the anchors it was fitted on, so that pairs it is judged on can be told from them.

Kept are hashes of ids and of patients, salted by the set of ids, so that two folders cannot be joined by them. They
keep names out of sight; they are no secret, for whoever can list all possible patient numbers can try them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import LeakageError

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable

KEY = "anchor_marks"
DIGITS = 16  # of each hash
MOST = 20_000  # hashes of a kind: the lowest are kept, a fixed sample


def marks_of(ids: Iterable[Any], groups: Iterable[Any] | None) -> dict[str, Any]:
    """Sorted hashes of the ids and of the patients, run together into one text each, with how many there are."""
    names = [str(one) for one in ids]
    salt = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:DIGITS]
    kept: dict[str, Any] = {"salt": salt}
    for kind, some in (("ids", names), ("groups", groups)):
        hashes = None if some is None else _hashes(some, salt)
        kept[kind] = None if hashes is None else "".join(hashes[:MOST])
        kept[f"n_{kind}"] = None if hashes is None else len(hashes)
    return kept


def audit_folder(
    folder: Path, config: Mapping[str, Any], pairs: tuple[Any, Any], table: AnchorTable | None, *, allow: bool,
    instead: str,
) -> list[str]:  # fmt: skip
    """What can be said of pairs that the alignment in ``folder`` shall be judged on, in words.

    Parameters
    ----------
    pairs
        Ids (n,) and patients (n,) or None.
    table
        Where they come from, if from a table: a folder without hashes knows its own table by its SHA-256.
    allow
        Report leakage instead of refusing it.
    instead
        What to do about leakage.

    Raises
    ------
    LeakageError
        If an item or a patient is among the folder's anchors and ``allow`` is not set.
    """
    found, notes = _overlap(folder, config, pairs, table)
    if found and not allow:
        raise LeakageError(f"{folder} was fitted on {found}. {instead}")
    return [*([f"LEAKAGE: {folder.name} was fitted on {found}"] if found else []), *notes]


def _overlap(
    folder: Path, config: Mapping[str, Any], pairs: tuple[Any, Any], table: AnchorTable | None
) -> tuple[str, list[str]]:
    """What the folder was fitted on of these pairs, empty for nothing, and what was not checked."""
    from stitchkit.cli.anchor_tables import about

    about_anchors = config.get("anchor_set", {})
    sha = about_anchors.get("sha256")
    if table is not None and sha is not None and about(table.ids_only())["sha256"] == sha:
        return f"this very table of {about_anchors['n']} pairs", []
    marks = config.get(KEY)
    if marks is None:
        done = "that the pairs are its own table was checked and no more" if sha and table else "nothing was checked"
        return "", [f"{folder.name} keeps no hashes of its anchors: of leakage {done}. Fit it anew to have them"]
    found, notes = [], []
    for what, kind, names in (("items", "ids", pairs[0]), ("patients", "groups", pairs[1])):
        kept = marks[kind]
        if kept is None or names is None:
            notes.append(f"patients are not known, so that none is an anchor's of {folder.name} was not checked")
            continue
        both = set(_split(kept)) & set(_hashes(names, marks["salt"]))
        if both:
            found.append(f"{len(both)} of these {what}")
        if marks[f"n_{kind}"] > MOST:
            notes.append(
                f"{folder.name} keeps {MOST} of {marks[f'n_{kind}']} hashes of its {what}, so that an overlap of a few "
                f"can be missed"
            )
    return " and ".join(found), notes or ([] if found else [f"no item or patient is an anchor's of {folder.name}"])


def _hashes(names: Iterable[Any], salt: str) -> list[str]:
    """The hash of each distinct name, sorted."""
    distinct = {str(one) for one in names}
    return sorted(hashlib.sha256(f"{salt}\n{one}".encode()).hexdigest()[:DIGITS] for one in distinct)


def _split(text: str) -> list[str]:
    return [text[a : a + DIGITS] for a in range(0, len(text), DIGITS)]
