"""Fused heads on disk: an artefact folder with weights, fitted tables and the decisions of each subset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.calibrations import ConformalSets
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.fused_heads import EACH, FusedHead, SubsetDecisions
from stitchkit.core.fusion_rows import Modality
from stitchkit.core.table_features import CategoryColumn, NumberColumn, TableFeatures
from stitchkit.storage.artefact_schemas import (
    ConformalFields,
    FusedFields,
    ModalityFields,
    NumberColumnFields,
    SubsetFields,
    array_of,
    check_fields,
    check_finite,
    wrong,
)
from stitchkit.storage.calibrations import (
    CALIBRATION,
    THRESHOLDS,
    numbers_of,
    pack_calibration,
    pack_fit,
    pack_thresholds,
    unpack_calibration,
    unpack_items,
    unpack_thresholds,
)
from stitchkit.storage.cards import model_card
from stitchkit.storage.folders import write_folder
from stitchkit.storage.tensor_files import digest_of_arrays

KIND = "fused"
_OWN = ("prior", "masks", "mask_shares")  # arrays beside the weights, which have a dot in their names


def write_fused(
    head: FusedHead,
    folder: str | Path,
    *,
    command: str = "",
    overwrite: bool = False,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write a fused head to a folder, with what ``fill`` adds as in :func:`stitchkit.storage.folders.write_folder`."""
    config, arrays = pack_fused(head)
    check_finite(arrays, "this fused head")
    return write_folder(folder, config, arrays, _card(head, command), overwrite=overwrite, fill=fill)


def pack_fused(head: FusedHead) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and arrays of a fused head."""
    numbers = {one.name: m for m, one in enumerate(head.modalities)}
    arrays = {_array_name(name, numbers): value for name, value in head.weights.items()}
    arrays |= {"prior": head.prior, "masks": head.masks.astype(np.float32), "mask_shares": head.mask_shares}
    modalities = [
        {
            "name": one.name,
            "space": {"name": one.space.name, "dim": one.space.dim, "fingerprint": one.space.fingerprint},
            "table": None if one.table is None else one.table.to_dict(),
            "encoder": one.encoder,
            "column": one.column,
        }
        for one in head.modalities
    ]
    config = {
        "kind": KIND,
        "classes": list(head.classes),
        "multiclass": head.multiclass,
        "token": head.token,
        "modalities": modalities,
        "subsets": [_pack_subset(one) for one in head.decisions],
        "fitted_on": None if head.fitted_on is None else pack_fit(head.fitted_on, ())["fitted_on"],
        "record": dict(head.record),
        "arrays": digest_of_arrays(arrays),
        "unseen": list(head.unseen),
    }
    return config, arrays


def unpack_fused(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FusedHead:
    """The fused head of a folder.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong, or the arrays are those of another head.

    Warns
    -----
    UserWarning
        If the folder was written without a digest of its arrays, by an earlier version.
    """
    try:
        fields = check_fields(dict(config), FusedFields)
        modalities = tuple(_modality(one) for one in fields.modalities)
        pooled: SubsetDecisions | None = None
        decisions = []
        for one in fields.subsets:
            subset = _subset(one, pooled)
            pooled = subset if not subset.present else pooled
            decisions.append(subset)
        names = [one.name for one in modalities]
        weights = {_weight_name(name, names): array_of(arrays, name) for name in arrays if name not in _OWN}
        head = FusedHead(
            classes=tuple(fields.classes),
            multiclass=fields.multiclass,
            modalities=modalities,
            weights=weights,
            token=fields.token,
            prior=array_of(arrays, "prior"),
            masks=array_of(arrays, "masks") > 0.5,
            mask_shares=array_of(arrays, "mask_shares"),
            decisions=tuple(decisions),
            fitted_on=None if fields.fitted_on is None else unpack_items(fields.fitted_on),
            record=fields.record,
            unseen=tuple(fields.unseen),
        )
        _check_arrays(arrays, fields.arrays)
        return head
    except (InputError, UnknownNameError) as error:
        raise wrong("fused head", InputError(str(error))) from error


def _check_arrays(arrays: Mapping[str, np.ndarray], recorded: str | None) -> None:
    """Raise for arrays of another head, which two heads of one shape cannot be told by."""
    if recorded is None:
        warnings.warn(
            "the fused head was written without a SHA-256 digest of its weights, so those of another head would not be "
            "noticed. Save it again to add it.",
            stacklevel=4,
        )
    elif digest_of_arrays(arrays) != recorded:
        raise InputError("its weights are not those that it was saved with")


def _array_name(name: str, numbers: Mapping[str, int]) -> str:
    """A weight's name with the modality's number, since a user's word may be no name of an array."""
    part, _, modality = name.partition(".")
    return f"{part}.{numbers[modality]}" if part in EACH else name


def _weight_name(name: str, names: Sequence[str]) -> str:
    part, _, number = name.partition(".")
    if part not in EACH:
        return name
    if not (number.isascii() and number.isdigit() and int(number) < len(names)):
        raise InputError(f"there is no modality of the array {name!r}")
    return f"{part}.{names[int(number)]}"


def _modality(fields: ModalityFields) -> Modality:
    table = None
    if fields.table is not None:
        columns = tuple(
            NumberColumn(one.name, one.mean, one.sd, one.flagged)
            if isinstance(one, NumberColumnFields)
            else CategoryColumn(one.name, tuple(one.categories), one.other, one.missing)
            for one in fields.table.columns
        )
        table = TableFeatures(columns, tuple(fields.table.dropped))
        if table.width != fields.space.dim:
            raise InputError(f"the table {fields.name!r} has {table.width} features in a space of {fields.space.dim}")
    return Modality(fields.name, fields.space.space(), table, fields.encoder, fields.column)


def _pack_subset(one: SubsetDecisions) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "present": list(one.present), "patients": one.patients, "items": one.items, "borrowed": one.borrowed,
    }  # fmt: skip
    if one.borrowed:
        return plain
    plain |= pack_calibration(one.calibration) | pack_thresholds(one.thresholds)
    return plain | ({} if one.conformal is None else {"conformal": _pack_conformal(one.conformal)})


def _pack_conformal(sets: ConformalSets) -> dict[str, Any]:
    ends = {name: [float(one) if np.isfinite(one) else None for one in getattr(sets, name)]
            for name in ("present_from", "absent_to")}  # fmt: skip
    shared = {"scores": sets.kind, "classes": list(sets.classes), "alpha": sets.alpha}
    return {**shared, **ends, **pack_fit(sets.fitted_on, sets.notes)}


def _subset(fields: SubsetFields, pooled: SubsetDecisions | None) -> SubsetDecisions:
    if fields.borrowed:
        if pooled is None:
            raise InputError(f"{' and '.join(fields.present)} borrow a calibration that is not there")
        parts = {name: getattr(pooled, name) for name in ("calibration", "thresholds", "conformal")}
    else:
        parts = {
            "calibration": None
            if fields.calibration is None
            else unpack_calibration({CALIBRATION: fields.calibration}),
            "thresholds": None if fields.thresholds is None else unpack_thresholds({THRESHOLDS: fields.thresholds}),
            "conformal": None if fields.conformal is None else _conformal(fields.conformal),
        }
    return SubsetDecisions(
        present=tuple(fields.present), **parts, patients=fields.patients, items=fields.items, borrowed=fields.borrowed
    )


def _conformal(fields: ConformalFields) -> ConformalSets:
    present = [-np.inf if one is None else one for one in fields.present_from]
    absent = [np.inf if one is None else one for one in fields.absent_to]
    return ConformalSets(
        kind=fields.scores,
        classes=tuple(fields.classes),
        alpha=fields.alpha,
        present_from=numbers_of(present, fields.classes, "present_from", infinite=True),
        absent_to=numbers_of(absent, fields.classes, "absent_to", infinite=True),
        fitted_on=unpack_items(fields.fitted_on),
        notes=tuple(fields.notes),
    )


def _card(head: FusedHead, command: str) -> str:
    rule = "exactly one class applies" if head.multiclass else "several classes may apply"
    facts = [("Classes", f"{', '.join(head.classes)}; {rule}")]
    for one in head.modalities:
        words = f"{one.reader}, {one.space.dim} wide" if one.table is None else one.reader
        facts.append((f"Modality {one.name}", f"{words}; any item may lack it"))
    facts.append(
        ("Trained on", f"{head.record.get('rows')} rows, patients: {head.record.get('patients') or 'not known'}")
    )
    for subset in head.decisions:
        words = " and ".join(subset.present) or "all items, each with what it has"
        own = "that of all items" if subset.borrowed else f"{subset.items} items"
        facts.append((f"Calibration for {words}", f"{own}; patients held out: {subset.patients}"))
    return model_card(
        f"A fused head over {', '.join(head.names)}",
        facts,
        notes=[str(note) for note in head.record.get("notes", [])],
        code=['head = sk.load("this folder")', f"scores = head.scores({{{head.names[0]!r}: vectors}})"],
        command=command,
    )
