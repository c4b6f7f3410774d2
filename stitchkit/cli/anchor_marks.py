"""What a folder keeps of the anchors it was fitted on, so that pairs it is judged on can be told from them.

Kept are hashes of ids and of patients, salted by the set of ids, so that two folders cannot be joined by them. They
keep names out of sight; they are no secret, for whoever can list all possible patient numbers can try them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, LeakageError

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
    pools = "transductive" in config.get("record", {})
    unseen = [f"{folder} was also fitted on pools, whose items it keeps no hashes of"] if pools else []
    return [*([f"LEAKAGE: {folder} was fitted on {found}"] if found else []), *notes, *unseen]


def anchors_among(folder: Path, config: Mapping[str, Any], ids: Iterable[Any], instead: str) -> list[str]:
    """What can be said of pairs that are given as the anchors of ``folder``, in words; nothing if all of them are.

    Raises
    ------
    InputError
        If the folder knows its anchors by hashes and none of ``ids`` is one; ``instead`` is the next step.
    """
    marks = config.get(KEY)
    if marks is None:
        return []
    if marks["n_ids"] > MOST:
        return [
            f"{folder} keeps {MOST} of {marks['n_ids']} hashes of its items: that these are its anchors is not sure"
        ]
    names = _hashes(ids, marks["salt"])
    known = len(set(_split(marks["ids"])) & set(names))
    told = f"{known} of {len(names)} of these pairs are anchors of {folder}"
    if not known:
        raise InputError(f"{told}. {instead}")
    return [] if known == len(names) else [told]


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
        anew = "Fit it anew with 'stitchkit align' to have them"
        return "", [f"{folder} keeps no hashes of its anchors: of leakage {done}. {anew}"]
    found, notes = [], []
    for what, kind, names in (("items", "ids", pairs[0]), ("patients", "groups", pairs[1])):
        kept = marks[kind]
        if kept is None or names is None:
            notes.append(
                f"patients are not known, so whether one of them is among the anchors of {folder} was not checked"
            )
            continue
        both = set(_split(kept)) & set(_hashes(names, marks["salt"]))
        if both:
            found.append(f"{len(both)} of these {what}")
        if marks[f"n_{kind}"] > MOST:
            notes.append(
                f"{folder} keeps {MOST} of {marks[f'n_{kind}']} hashes of its {what}, so that an overlap of a few "
                f"can be missed"
            )
    clean = f"by id and patient, none of these pairs is among the anchors of {folder}; the same item under another id "
    return " and ".join(found), notes or ([] if found else [f"{clean}would not be seen"])


def _hashes(names: Iterable[Any], salt: str) -> list[str]:
    """The hash of each distinct name, sorted."""
    distinct = {str(one) for one in names}
    return sorted(hashlib.sha256(f"{salt}\n{one}".encode()).hexdigest()[:DIGITS] for one in distinct)


def _split(text: str) -> list[str]:
    return [text[a : a + DIGITS] for a in range(0, len(text), DIGITS)]
