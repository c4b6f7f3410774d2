"""Types of the values in artefact folders: what a config may hold, checked before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.maps import HEAVIEST, AffineMap
from stitchkit.core.space import Space

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Size = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
Weight = Annotated[float, msgspec.Meta(gt=0, le=HEAVIEST)]
Hashes = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})*$")]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Fields = TypeVar("Fields")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")


class SpaceFields(msgspec.Struct, forbid_unknown_fields=True):
    """A space."""

    name: str
    dim: Size
    fingerprint: str | None = None

    def space(self) -> Space:
        """The space itself."""
        return Space(self.name, self.dim, self.fingerprint)


class HeldOutFields(msgspec.Struct):
    """Numbers that were measured on held-out pairs, as far as they are read again."""

    mrr: float | msgspec.UnsetType = msgspec.UNSET
    r2: float | msgspec.UnsetType = msgspec.UNSET
    se: float | msgspec.UnsetType = msgspec.UNSET
    chance_mrr: float | msgspec.UnsetType = msgspec.UNSET
    gallery: Count | msgspec.UnsetType = msgspec.UNSET
    above_chance: bool | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.r2 is msgspec.UNSET and msgspec.UNSET in (self.mrr, self.gallery):
            raise ValueError("held_out has neither r2 nor mrr with its gallery")


class HashFields(msgspec.Struct):
    """Hashes of anchors, run together by kind."""

    salt: str
    ids: Hashes | None
    n_ids: Count | None
    groups: Hashes | None
    n_groups: Count | None
    spelling: Literal["", "folded", "folded without punctuation"] = ""
    bare: Hashes | None = None
    rows: Hashes | None = None
    n_rows: Count | None = None
    files: Hashes | None = None
    n_files: Count | None = None
    swapped: bool = False
    views: list[str] | None = None
    view_rows: list[Hashes] | None = None
    n_view_rows: list[Count] | None = None

    def __post_init__(self) -> None:
        for hashes, n in ((self.ids, self.n_ids), (self.groups, self.n_groups), (self.rows, self.n_rows),
                          (self.files, self.n_files)):  # fmt: skip
            if (hashes is None) != (n is None):
                raise ValueError("hashes of anchors come with their number")
        names = self.views or []
        if self.views is not None and (len(names) < 2 or len(set(names)) < len(names)):
            raise ValueError("hashes of anchors in many spaces are of different spaces, two or more")
        many = len(names) * (len(names) - 1) // 2
        if {len(one or []) for one in (self.view_rows, self.n_view_rows)} != {many}:
            raise ValueError("hashes of anchors in many spaces come for every two of them")


class RecordFields(msgspec.Struct):
    """Parts of the record of a fit that are read again; others are kept as they are."""

    solver: str | msgspec.UnsetType = msgspec.UNSET
    settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    rank: Count | msgspec.UnsetType = msgspec.UNSET
    anchors: Count | msgspec.UnsetType = msgspec.UNSET
    groups: Count | msgspec.UnsetType | None = msgspec.UNSET
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET
    held_out: HeldOutFields | msgspec.UnsetType | None = msgspec.UNSET
    anchor_hashes: HashFields | msgspec.UnsetType | None = msgspec.UNSET


class AlignmentFields(msgspec.Struct):
    """The config of an alignment of two spaces; a folder may hold further facts beside it."""

    source: SpaceFields
    target: SpaceFields
    common: SpaceFields
    ranks: dict[str, Count]
    record: RecordFields
    maps: dict[str, dict[str, Any]] = {}


class JointSpaceFields(msgspec.Struct, forbid_unknown_fields=True):
    """One space of a joint alignment."""

    name: str
    space: SpaceFields
    rank: Count


class JointFields(msgspec.Struct):
    """The config of an alignment of many spaces."""

    common: SpaceFields
    spaces: list[JointSpaceFields]
    record: RecordFields


class BoundModalityFields(msgspec.Struct, forbid_unknown_fields=True):
    """One modality of a bound space, whose maps lie in a folder of its name."""

    name: str
    text_space: str
    digest: str


class BoundFields(msgspec.Struct):
    """The config of a bound space."""

    hub: SpaceFields
    text: str
    text_spaces: list[str]
    modalities: list[BoundModalityFields]
    record: dict[str, Any]


class MomentsFields(msgspec.Struct):
    """Counts and spaces of a file of moments, beside its sums."""

    source: SpaceFields
    target: SpaceFields
    count: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    weight: str


class AffineFields(msgspec.Struct, forbid_unknown_fields=True):
    """An affine map."""

    kind: str
    rank: Count


class MemberFields(msgspec.Struct, forbid_unknown_fields=True):
    """A member of a joined map."""

    space: SpaceFields
    rank: Count
    weight: Weight = 1.0


class JoinedFields(msgspec.Struct, forbid_unknown_fields=True):
    """Maps side by side."""

    kind: str
    rank: Count
    members: list[MemberFields]


class RelativeFields(msgspec.Struct, forbid_unknown_fields=True):
    """A relative map."""

    kind: str
    rank: Count
    keep: Size | None
    power: float
    centred: bool


class LinearHeadFields(msgspec.Struct, forbid_unknown_fields=True):
    """A linear head."""

    kind: str
    classes: list[str]
    scores: str
    space: SpaceFields
    multiclass: bool = False


class ZeroShotHeadFields(msgspec.Struct, forbid_unknown_fields=True):
    """A zero-shot head; ``negatives`` is not in folders of the earliest format."""

    kind: str
    classes: list[str]
    multiclass: bool
    negatives: bool | None = None


class FittedItemsFields(msgspec.Struct, forbid_unknown_fields=True):
    """Items that a calibration or thresholds were fitted on."""

    n: Count
    patients: Count | None
    hashes: HashFields


class CalibrationFields(msgspec.Struct, forbid_unknown_fields=True):
    """A calibration of scores; which of the last four there are depends on its kind."""

    kind: Literal["logistic", "softmax", "isotonic"]
    method: str
    scores: str
    classes: list[str]
    fitted_on: FittedItemsFields
    notes: list[str] = []
    slope: list[float] = []
    intercept: list[float] = []
    temperature: float | None = None
    knots: list[list[list[float]]] = []


class ThresholdsFields(msgspec.Struct, forbid_unknown_fields=True):
    """Thresholds of scores, and the ends of their intervals; None where there is none."""

    scores: str
    classes: list[str]
    values: list[float | None]
    low: list[float | None]
    high: list[float | None]
    rule: str
    fitted_on: FittedItemsFields
    at: float | None = None
    notes: list[str] = []


class NumberColumnFields(msgspec.Struct, tag_field="kind", tag="number", forbid_unknown_fields=True):
    """A column of numbers of a table."""

    name: str
    mean: float
    sd: Weight
    flagged: bool


class CategoryColumnFields(msgspec.Struct, tag_field="kind", tag="category", forbid_unknown_fields=True):
    """A column of categories of a table."""

    name: str
    categories: list[str]
    other: bool
    missing: bool


class TableFields(msgspec.Struct, forbid_unknown_fields=True):
    """The fitted features of a table."""

    columns: list[NumberColumnFields | CategoryColumnFields]
    dropped: list[tuple[str, str]] = []


class ModalityFields(msgspec.Struct, forbid_unknown_fields=True):
    """One input of a fused head."""

    name: str
    space: SpaceFields
    table: TableFields | None = None
    encoder: str = ""
    column: str = ""


class ConformalFields(msgspec.Struct, forbid_unknown_fields=True):
    """Conformal sets; None for a limit that is infinite."""

    scores: str
    classes: list[str]
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    present_from: list[float | None]
    absent_to: list[float | None]
    fitted_on: FittedItemsFields
    notes: list[str] = []


class SubsetFields(msgspec.Struct, forbid_unknown_fields=True):
    """Fits for the items with exactly some modalities; one that borrows holds nothing of its own."""

    present: list[str]
    patients: Count
    items: Count
    borrowed: bool
    calibration: dict[str, Any] | None = None
    thresholds: dict[str, Any] | None = None
    conformal: ConformalFields | None = None


class FusedFields(msgspec.Struct, forbid_unknown_fields=True):
    """The config of a fused head."""

    kind: Literal["fused"]
    classes: list[str]
    multiclass: bool
    token: Literal["substitute", "add"]
    modalities: list[ModalityFields]
    subsets: list[SubsetFields]
    record: dict[str, Any]
    fitted_on: FittedItemsFields | None = None
    arrays: Digest | None = None
    unseen: list[str] = []


def check_fields(config: Any, fields: type[Fields]) -> Fields:
    """The values of a config as ``fields``.

    Raises
    ------
    InputError
        Naming the value that is missing, of another type, or out of range.
    """
    try:
        return msgspec.convert(config, fields, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(_MISSING.sub(r"'\1' is missing", str(error)).replace(" - at `$.", " in `")) from None
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can write
        raise InputError(f"a text is no Unicode: {error}") from None


def array_of(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The array called ``name``: floating, and finite.

    Raises
    ------
    InputError
        If it is missing or another.
    """
    if name not in arrays:
        raise InputError(f"{name!r} is missing")
    array = arrays[name]
    if array.dtype.kind != "f":
        raise InputError(f"the array {name!r} is {array.dtype}, not floating")
    if not_finite({name: array}):
        raise InputError(f"{name} holds NaN or infinity")
    return array


def not_finite(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of the first array that holds NaN or infinity; empty if none does.

    Examples
    --------
    >>> not_finite({"weight": np.ones((2, 2)), "bias": np.asarray([1.0, np.nan])})
    'bias'
    """
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), "")


def check_finite(arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raise for an array of ``what`` that holds NaN or infinity."""
    if wrong := not_finite(arrays):
        raise InputError(f"{wrong} of {what} holds NaN or infinity. Fit it again.")


def checked_rank(one: AffineMap) -> AffineMap:
    """``one``, if its rank may be that of a map between its spaces.

    Raises
    ------
    InputError
        If it is larger than the width of one of them.
    """
    if one.rank > min(one.source.dim, one.target.dim):
        raise InputError(f"a map of shape ({one.source.dim}, {one.target.dim}) cannot have rank {one.rank}")
    return one


def wrong(what: str, error: InputError) -> ModelUnavailableError:
    """The error that a folder does not hold ``what`` together."""
    return ModelUnavailableError(
        f"the folder holds no {what}: " + error.message.rstrip(".") + ". Copy or save it again."
    )
