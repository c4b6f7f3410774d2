"""Leakage between an alignment folder and pairs that it is judged on, by the hashes that it keeps of its anchors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.anchor_hashes import KEY, common, distinct, kept_of
from stitchkit.core.errors import InputError, LeakageError
from stitchkit.storage.artefact_schemas import HashFields, check_fields, wrong

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable

_EARLIER = "anchor_marks"  # where folders kept them before records did


def audit_folder(
    folder: Path, config: Mapping[str, Any], pairs: tuple[Any, Any], table: AnchorTable | None, *, allow: bool,
    instead: str,
) -> list[str]:  # fmt: skip
    """Notes on pairs that the alignment in ``folder`` is to be judged on: leakage, and what could not be checked.

    Parameters
    ----------
    pairs
        Ids (n,) and patients (n,) or None.
    table
        Their table, if they come from one: a folder without hashes knows its own table by its SHA-256.
    allow
        Report leakage instead of refusing it.
    instead
        Next step, for the error.

    Raises
    ------
    LeakageError
        If an item or a patient is among the folder's anchors and ``allow`` is not set.
    """
    leaked, notes = _overlap(folder, config, pairs, table)
    if leaked and not allow:
        raise LeakageError(f"{folder} was fitted on {leaked}. {instead}")
    pools = "transductive" in config.get("record", {})
    unseen = [f"{folder} was also fitted on pools, whose items it keeps no hashes of"] if pools else []
    said = leaked and KEY not in config.get("record", {})  # otherwise by gate and diagnose, with what they find besides
    return [*([f"LEAKAGE: {folder} was fitted on {leaked}"] if said else []), *notes, *unseen]


def anchors_among(folder: Path, config: Mapping[str, Any], ids: Iterable[Any], instead: str) -> list[str]:
    """Notes on pairs that are given as the anchors of ``folder``; none if all of them are.

    Raises
    ------
    InputError
        If the folder knows its anchors by hashes and none of ``ids`` is one; ``instead`` is the next step.
    """
    kept, names = _hashes(config), list(ids)
    if kept is None or kept["ids"] is None:
        return []
    if (some := kept_of(kept, "ids")) < kept["n_ids"]:
        return [f"{folder} keeps {some} of {kept['n_ids']} hashes of its items: that these are its anchors is not sure"]
    known, n = common(kept, ids=names).counts["ids"], distinct("ids", names, kept)
    count = f"{known} of {n} of these pairs are anchors of {folder}"
    if not known:
        raise InputError(f"{count}. {instead}")
    return [] if known == n else [count]


def _hashes(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The hashes that a folder keeps of its anchors."""
    kept: Mapping[str, Any] | None = config.get("record", {}).get(KEY)
    if kept is None and _EARLIER in config:
        try:
            kept = config[_EARLIER]
            check_fields(kept, HashFields)
        except InputError as error:
            raise wrong("hashes of its anchors that can be read", error) from error
    return kept


def _overlap(
    folder: Path, config: Mapping[str, Any], pairs: tuple[Any, Any], table: AnchorTable | None
) -> tuple[str, list[str]]:
    """Counts of these pairs that the folder was fitted on, empty for none, and notes on what was not checked."""
    from stitchkit.cli.anchor_tables import about
    from stitchkit.evaluation.fitted_pairs import leaks_of, missed

    anchor_set = config.get("anchor_set")
    sha = anchor_set.get("sha256") if isinstance(anchor_set, Mapping) else None  # a folder may say anything there
    if table is not None and sha is not None and (own := about(table.ids_only()))["sha256"] == sha:
        return f"this very table of {own['n']} pairs", []
    kept = _hashes(config)
    if kept is None:
        check = "that the pairs are its own table was checked and no more" if sha and table else "nothing was checked"
        step = "Fit it anew with 'stitchkit align' to have them"
        return "", [f"{folder} keeps no hashes of its anchors: of leakage {check}. {step}"]
    overlap = common(kept, ids=pairs[0], groups=pairs[1])
    leaked, unseen = leaks_of(overlap), missed(overlap, kept, str(folder))
    if KEY not in config.get("record", {}):
        lacking = [words for kind, words in (("ids", "items"), ("groups", "patients")) if kind not in overlap.counts]
        unseen += [f"{one} were not compared with the anchors of {folder}, by id or name" for one in lacking]
    elif unseen or len(overlap.counts) < 2:
        return leaked, []  # gate and diagnose say what they could not compare
    clean = f"by id and patient, none of these pairs is among the anchors of {folder}; the same item under another id "
    other = "is looked for by its vectors" if KEY in config.get("record", {}) else "would not be seen"
    return leaked, unseen or ([] if leaked else [f"{clean}{other}"])
