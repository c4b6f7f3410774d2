"""Calibrations and thresholds on disk: in folders of their own, and beside the head of a stitched folder.

Their few numbers stand in ``config.json``. The items that they were fitted on are kept as salted hashes, so that no
file holds an id or a patient, and a later evaluation still knows its own items among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.calibrations import (
    Calibration,
    FittedItems,
    HashedItems,
    IsotonicCalibration,
    LogisticCalibration,
    SoftmaxCalibration,
    Thresholds,
)
from stitchkit.core.errors import InputError
from stitchkit.core.scores import KINDS, check_classes
from stitchkit.storage.artefact_schemas import (
    CalibrationFields,
    FittedItemsFields,
    ThresholdsFields,
    check_fields,
    wrong,
)
from stitchkit.storage.cards import model_card
from stitchkit.storage.folders import write_folder

CALIBRATION, THRESHOLDS = "calibration", "thresholds"  # keys of a config


def save_calibration(
    calibration: Calibration | None, thresholds: Thresholds | None, folder: str | Path, *, overwrite: bool = False
) -> Path:
    """Write a calibration, thresholds or both to a folder of their own; see :func:`stitchkit.save`."""
    facts: list[tuple[str, str]] = []
    if calibration is not None:
        facts += calibration_facts(calibration)
    if thresholds is not None:
        facts += threshold_facts(thresholds)
    parts = [CALIBRATION] * (calibration is not None) + [THRESHOLDS] * (thresholds is not None)
    card = model_card(
        f"{' and '.join(parts).capitalize()} of scores",
        facts,
        code=[f'{part} = sk.load("this folder", part="{part}")' for part in parts],
    )
    config = pack_calibration(calibration) | pack_thresholds(thresholds)
    return write_folder(folder, config, {}, card, overwrite=overwrite)


def decision_facts(config: Mapping[str, Any]) -> dict[str, str]:
    """Lines of a card about the calibration and the thresholds in a config; empty where there are none."""
    calibration, thresholds = unpack_calibration(config), unpack_thresholds(config)
    facts = [] if calibration is None else calibration_facts(calibration)
    return dict(facts + ([] if thresholds is None else threshold_facts(thresholds)))


def calibration_facts(calibration: Calibration) -> list[tuple[str, str]]:
    """Lines of a card about a calibration."""
    classes = ", ".join(calibration.classes)
    return [("Calibration", f"{calibration.method}, fitted on {calibration.fitted_on!r}: {classes}")]


def threshold_facts(thresholds: Thresholds) -> list[tuple[str, str]]:
    """Lines of a card about thresholds."""
    rule = thresholds.rule if thresholds.at is None else f"{thresholds.rule} {thresholds.at:g}"
    values = [
        f"{label} {'none' if np.isnan(value) else f'{value:.4g}'}"
        for label, value in zip(thresholds.classes, thresholds.values, strict=True)
    ]
    kind = f"scores of kind {thresholds.kind}"
    return [("Thresholds", f"by {rule}, chosen on {thresholds.fitted_on!r}, {kind}: {', '.join(values)}")]


def pack_calibration(calibration: Calibration | None) -> dict[str, Any]:
    """The part of a config that holds a calibration; empty for none."""
    if calibration is None:
        return {}
    own: dict[str, Any]
    if isinstance(calibration, LogisticCalibration):
        own = {"kind": "logistic", "slope": calibration.slope.tolist(), "intercept": calibration.intercept.tolist()}
    elif isinstance(calibration, SoftmaxCalibration):
        own = {"kind": "softmax", "temperature": calibration.temperature}
    else:
        own = {"kind": "isotonic", "knots": [[side.tolist() for side in one] for one in calibration.knots]}
    shared = {"method": calibration.method, "scores": calibration.kind, "classes": list(calibration.classes)}
    return {CALIBRATION: {**own, **shared, **pack_fit(calibration.fitted_on, calibration.notes)}}


def unpack_calibration(config: Mapping[str, Any]) -> Calibration | None:
    """The calibration in a config; None where there is none.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong.
    """
    if CALIBRATION not in config:
        return None
    try:
        fields = check_fields(config[CALIBRATION], CalibrationFields)
        shared: Any = {
            "method": fields.method,
            "kind": _kind(fields.scores),
            "classes": _classes(fields.classes),
            "fitted_on": unpack_items(fields.fitted_on),
            "notes": tuple(fields.notes),
        }
        if fields.kind == "logistic":
            slope, intercept = (numbers_of(one, fields.classes, name) for one, name in
                                ((fields.slope, "slope"), (fields.intercept, "intercept")))  # fmt: skip
            if (slope < 0).any():
                raise InputError("a slope is negative")
            return LogisticCalibration(slope=slope, intercept=intercept, **shared)
        if fields.kind == "softmax":
            if fields.temperature is None or not 0 < fields.temperature < np.inf:
                raise InputError(f"its temperature is {fields.temperature}, which is not above 0")
            return SoftmaxCalibration(temperature=fields.temperature, **shared)
        if len(fields.knots) != len(fields.classes):
            raise InputError(f"there are knots of {len(fields.knots)} classes, not of {len(fields.classes)}")
        return IsotonicCalibration(knots=tuple(_curve(one) for one in fields.knots), **shared)
    except InputError as error:
        raise wrong("calibration", error) from error


def pack_thresholds(thresholds: Thresholds | None) -> dict[str, Any]:
    """The part of a config that holds thresholds; empty for none."""
    if thresholds is None:
        return {}
    ends = {name: _or_none(getattr(thresholds, name)) for name in ("values", "low", "high")}
    shared = {"scores": thresholds.kind, "classes": list(thresholds.classes)}
    rule = {"rule": thresholds.rule, "at": thresholds.at}
    return {THRESHOLDS: {**shared, **ends, **rule, **pack_fit(thresholds.fitted_on, thresholds.notes)}}


def unpack_thresholds(config: Mapping[str, Any]) -> Thresholds | None:
    """The thresholds in a config; None where there are none.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong.
    """
    if THRESHOLDS not in config:
        return None
    try:
        fields = check_fields(config[THRESHOLDS], ThresholdsFields)
        ends = {
            name: numbers_of([np.nan if one is None else one for one in values], fields.classes, name, gaps=True)
            for name, values in (("values", fields.values), ("low", fields.low), ("high", fields.high))
        }
        return Thresholds(
            kind=_kind(fields.scores),
            classes=_classes(fields.classes),
            **ends,
            rule=fields.rule,
            at=fields.at,
            fitted_on=unpack_items(fields.fitted_on),
            notes=tuple(fields.notes),
        )
    except InputError as error:
        raise wrong("thresholds", error) from error


def pack_fit(items: FittedItems, notes: Sequence[str]) -> dict[str, Any]:
    """Hashes of the items of a fit, and its notes without any that quotes an id."""
    kept = items.as_hashes()
    # a note may quote an id as an example, and no file holds one
    names = set() if isinstance(items, HashedItems) else {repr(str(one)) for one in items.ids}
    notes = [note for note in notes if not any(word.rstrip(",.:?") in names for word in str(note).split())]
    fields = {"n": kept.n, "patients": kept.patients, "hashes": dict(kept.hashes)}
    return {"fitted_on": fields, "notes": [str(note) for note in notes]}


def unpack_items(fields: FittedItemsFields) -> HashedItems:
    """Items of a fit, as a file holds them."""
    import msgspec

    return HashedItems(msgspec.structs.asdict(fields.hashes), fields.n, fields.patients)


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"scores are of kind {kind!r}; known are {', '.join(KINDS)}")
    return kind


def _classes(classes: Sequence[str]) -> tuple[str, ...]:
    check_classes(tuple(classes))
    return tuple(classes)


def numbers_of(
    values: Sequence[float], classes: Sequence[str], name: str, *, gaps: bool = False, infinite: bool = False
) -> np.ndarray:
    """One number (c,) a class; NaN only with ``gaps``, infinity only if ``infinite``."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) != len(classes):
        raise InputError(f"{name} has {len(array)} numbers for {len(classes)} classes")
    if (not infinite and np.isinf(array).any()) or (not gaps and np.isnan(array).any()):
        raise InputError(f"{name} holds NaN or infinity")
    return array


def _curve(sides: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    if len(sides) != 2 or len(sides[0]) != len(sides[1]) or not sides[0]:
        raise InputError("knots are not as many scores as probabilities")
    scores, shares = (np.asarray(side, dtype=np.float64) for side in sides)
    if (np.diff(scores) < 0).any() or (np.diff(shares) < 0).any() or shares.min() < 0 or shares.max() > 1:
        raise InputError("knots are no curve that rises between 0 and 1")
    return scores, shares


def _or_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(one) else float(one) for one in values]
