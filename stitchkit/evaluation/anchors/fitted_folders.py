"""Pairs against the anchors that an alignment folder was fitted on, by the hashes that the folder keeps of them.

This needs ids and patients alone, so that it comes before any encoder is loaded; :mod:`stitchkit.evaluation.\
fitted_pairs` compares vectors and files as well, once they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.anchor_hashes import KEY, common, distinct, kept_of
from stitchkit.core.errors import InputError, LeakageError
from stitchkit.core.wording import setting
from stitchkit.datasets.anchor_tables import AnchorTable, table_facts
from stitchkit.evaluation.fitted_pairs import STEP, leaks_of, sampling_notes
from stitchkit.evaluation.leakage import audit
from stitchkit.storage.artefact_schemas import HashFields, check_fields, wrong
from stitchkit.storage.folders import read_folder

HELD = (
    "They are not held out: judge them as "
    + setting("anchors", text="anchors")
    + ", or hold out pairs of other patients."
)
_EARLIER = "anchor_marks"  # where folders kept them before records did


def audit_folder(
    folder: str | Path,
    ids: Iterable[Any],
    groups: Iterable[Any] | None = None,
    *,
    table: AnchorTable | None = None,
    config: Mapping[str, Any] | None = None,
    allow: bool = False,
    step: str = STEP,
) -> list[str]:
    """Notes on pairs that the alignment in ``folder`` is to be judged on: leakage, and what could not be checked.

    Parameters
    ----------
    folder
        Folder written by ``stitchkit align`` or ``stitchkit stitch``, or :meth:`StitchedModel.save`.
    ids, groups : (n,), (n,) or None
        Ids and patients of the pairs.
    table
        Their table, if they come from one: a folder without hashes knows its own table by its SHA-256.
    config
        The folder's configuration, if it has been read already.
    allow
        Report leakage instead of refusing it.
    step
        Last sentence of the error: the next step.

    Raises
    ------
    LeakageError
        If an item or a patient is among the folder's anchors and ``allow`` is not set.

    Examples
    --------
    >>> import numpy as np
    >>> import stitchkit as sk
    >>> from tempfile import TemporaryDirectory
    >>> x = np.random.default_rng(0).normal(size=(40, 3))
    >>> scans = sk.Embeddings(x, np.array([f"scan {i}" for i in range(40)]), sk.Space("scans", 3))
    >>> with TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     path = sk.save(sk.align(scans, scans, solver="procrustes"), Path(folder, "map"))
    ...     audit_folder(path, ["scan 3", "scan 77"])
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.LeakageError: ... was fitted on 1 of these items. It cannot be judged on them: ...
    """
    known = read_folder(folder)[0] if config is None else config
    leaked, notes = _overlap(folder, known, (list(ids), groups), table)
    if leaked and not allow:
        raise LeakageError(f"{folder} was fitted on {leaked}. " + step)
    record, pools = known.get("record", {}), f"{folder} was also fitted on pools, whose items it keeps no hashes of"
    unseen = [pools] if "transductive" in record else []
    note_leakage = leaked and KEY not in record  # otherwise by gate and diagnose, with what they find besides
    return [*([f"LEAKAGE: {folder} was fitted on {leaked}"] if note_leakage else []), *notes, *unseen]


def check_own_anchors(
    folder: str | Path, ids: Iterable[Any], *, config: Mapping[str, Any] | None = None, step: str = ""
) -> list[str]:
    """Notes on pairs that are given as the anchors of ``folder``; none if all of them are.

    Parameters
    ----------
    ids : (n,)
        Ids of the pairs.
    config
        The folder's configuration, if it has been read already.
    step
        Last sentence of the error: the next step.

    Raises
    ------
    InputError
        If the folder knows its anchors by hashes and none of ``ids`` is one.
    """
    kept, names = _hashes(read_folder(folder)[0] if config is None else config), list(ids)
    if kept is None or kept["ids"] is None:
        return []
    if (some := kept_of(kept, "ids")) < kept["n_ids"]:
        return [f"{folder} keeps {some} of {kept['n_ids']} hashes of its items: that these are its anchors is not sure"]
    known, n = common(kept, ids=names).counts["ids"], distinct("ids", names, kept)
    count = f"{known} of {n} of these pairs are anchors of {folder}"
    if not known:
        raise InputError((f"{count}. " + step).rstrip())
    return [] if known == n else [count]


def audit_diagnosis(
    folder: str | Path,
    *,
    anchors: AnchorTable | None = None,
    held_out: AnchorTable | None = None,
    ids: Iterable[Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[str]:
    """Notes on the pairs of a diagnosis of ``folder``, before any encoder is loaded.

    What is given as the anchors must be the folder's own; held-out pairs may be neither of the table of anchors nor of
    the folder's.

    Parameters
    ----------
    anchors, held_out
        Tables of the anchors and of fresh pairs.
    ids : (n,), optional
        Ids of the pairs where they are vectors: the anchors, if there is no table.
    config
        The folder's configuration, if it has been read already.

    Raises
    ------
    InputError
        If none of what is given as the anchors is one of the folder's.
    LeakageError
        If a held-out item or patient is among the anchors.
    """
    known = read_folder(folder)[0] if config is None else config
    notes, fresh = list[str](), setting("held_out", text="held_out=")
    if anchors is not None:
        own = anchors.ids_only()
        notes = check_own_anchors(folder, own.ids, config=known, step="Did you mean " + fresh + "?")
    elif held_out is None and ids is not None:
        notes = check_own_anchors(folder, ids, config=known, step="Name fresh pairs with " + fresh + ".")
    if held_out is None:
        return notes
    pairs = held_out.ids_only()
    if anchors is not None:
        sides = ("anchors", "held-out pairs")
        notes += audit(own.ids, pairs.ids, own.groups, pairs.groups, sides=sides, step=HELD)
    return [*notes, *audit_folder(folder, pairs.ids, pairs.groups, table=held_out, config=known, step=HELD)]


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
    folder: str | Path, config: Mapping[str, Any], pairs: tuple[Any, Any], table: AnchorTable | None
) -> tuple[str, list[str]]:
    """Counts of these pairs that the folder was fitted on, empty for none, and notes on what was not checked."""
    anchor_set = config.get("anchor_set")
    sha = anchor_set.get("sha256") if isinstance(anchor_set, Mapping) else None  # a folder may say anything there
    if table is not None and sha is not None and (own := table_facts(table.ids_only()))["sha256"] == sha:
        return f"this very table of {own['n']} pairs", []
    kept = _hashes(config)
    if kept is None:
        check = "that the pairs are its own table was checked and no more" if sha and table else "nothing was checked"
        step = "Fit it anew with 'stitchkit align' to have them"
        return "", [f"{folder} keeps no hashes of its anchors: of leakage {check}. {step}"]
    overlap = common(kept, ids=pairs[0], groups=pairs[1])
    leaked, unseen = leaks_of(overlap), sampling_notes(overlap, kept, str(folder))
    if KEY not in config.get("record", {}):
        lacking = [words for kind, words in (("ids", "items"), ("groups", "patients")) if kind not in overlap.counts]
        unseen += [f"{one} were not compared with the anchors of {folder}, by id or name" for one in lacking]
    elif unseen or len(overlap.counts) < 2:
        return leaked, []  # gate and diagnose say what they could not compare
    clean = f"by id and patient, none of these pairs is among the anchors of {folder}; the same item under another id "
    other = "is looked for by its vectors" if KEY in config.get("record", {}) else "would not be seen"
    return leaked, unseen or ([] if leaked else [f"{clean}{other}"])
