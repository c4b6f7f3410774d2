"""Alignments and heads as plain configuration and named arrays, and back: what artefact folders hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.maps import AffineMap, JoinedMap, Map
from stitchkit.core.space import Space
from stitchkit.storage.artefact_schemas import (
    AffineFields,
    AlignmentFields,
    JoinedFields,
    JointFields,
    LinearHeadFields,
    RelativeFields,
    ZeroShotHeadFields,
    array_of,
    check_fields,
    checked_rank,
    wrong,
)

if TYPE_CHECKING:
    from stitchkit.core.joint_alignments import JointAlignment
    from stitchkit.core.relative import RelativeMap

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


def pack_alignment(alignment: Alignment) -> tuple[Config, Arrays]:
    """Configuration and arrays of ``alignment``.

    Raises
    ------
    UnknownNameError
        For a map of a kind that cannot be saved.
    """
    maps = {"source_map": alignment.source_map, "target_map": alignment.target_map}
    if alignment.directed is not None:
        maps["directed"] = alignment.directed
    packed = {name: pack_map(one) for name, one in maps.items()}
    config: Config = {
        "source": _space(alignment.source),
        "target": _space(alignment.target),
        "common": _space(alignment.source_map.target),
        "ranks": {name: one["rank"] for name, (one, _) in packed.items()},
        "record": dict(alignment.record),
    }
    # affine maps stay unsaid, so that a folder of nothing else reads as it did before there were other kinds
    if curved := {name: one for name, (one, _) in packed.items() if one["kind"] != "affine"}:
        config["maps"] = curved
    arrays = {f"{name}.{part}": array for name, (_, parts) in packed.items() for part, array in parts.items()}
    if alignment.weights is not None:
        arrays["weights"] = to_numpy(alignment.weights)
    return config, arrays


def unpack_alignment(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Alignment:
    """The alignment that :func:`pack_alignment` took apart.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong, or a map is of a kind that this version does not know.
    """
    if config.get("kind") == "joint":
        raise ModelUnavailableError("the folder holds an alignment of many spaces, not of two. Load it with sk.load.")
    try:
        fields = check_fields(config, AlignmentFields)
        source, target, common = fields.source.space(), fields.target.space(), fields.common.space()
        ends = {"source_map": (source, common), "target_map": (target, common), "directed": (source, target)}
        if odd := sorted({*fields.ranks, *fields.maps} - set(ends)):
            raise InputError(f"it names a map {odd[0]!r}; known are {', '.join(ends)}")
        maps = {}
        for name, spaces in ends.items():
            if name in fields.ranks:
                kind = {"kind": "affine", "rank": fields.ranks[name], **fields.maps.get(name, {})}
                maps[name] = unpack_map(kind, *spaces, arrays, name)
        if missing := [name for name in ("source_map", "target_map") if name not in maps]:
            raise InputError(f"ranks lack {missing[0]!r}")
        directed = maps.get("directed")
        if directed is not None and not isinstance(directed, AffineMap):
            raise InputError("its directed map is not affine")
        weights = _unpack_weights(arrays)
        return Alignment(maps["source_map"], maps["target_map"], weights, directed, config["record"])
    except InputError as error:
        raise wrong("alignment", error) from error


def pack_joint(joint: JointAlignment) -> tuple[Config, Arrays]:
    """Configuration and arrays of a joint alignment of many spaces."""
    config: Config = {
        "kind": "joint",
        "common": _space(joint.common),
        "spaces": [{"name": name, "space": _space(one.source), "rank": one.rank} for name, one in joint.maps.items()],
        "record": dict(joint.record),
    }
    arrays: Arrays = {}
    for i, one in enumerate(joint.maps.values()):  # by number: a name may hold what no array's name may
        arrays |= {f"maps.{i}.{part}": array for part, array in _pack_affine(one)[1].items()}
    if joint.weights is not None:
        arrays["weights"] = to_numpy(joint.weights)
    return config, arrays


def unpack_joint(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> JointAlignment:
    """The joint alignment that :func:`pack_joint` took apart.

    Raises
    ------
    ModelUnavailableError
        If the folder holds something else, or something is missing or wrong.
    """
    from stitchkit.core.joint_alignments import JointAlignment

    if config.get("kind") != "joint":
        raise ModelUnavailableError("the folder holds no joint alignment of many spaces.")
    try:
        fields = check_fields(config, JointFields)
        common = fields.common.space()
        names = [one.name for one in fields.spaces]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two of its spaces are called {twice[0]!r}")
        maps = {
            one.name: _affine(one.space.space(), common, arrays, f"maps.{i}", one.rank)
            for i, one in enumerate(fields.spaces)
        }
        return JointAlignment(maps, _unpack_weights(arrays), config["record"])
    except InputError as error:
        raise wrong("joint alignment", error) from error


def pack_map(one: Map) -> tuple[Config, Arrays]:
    """Configuration (its ``"kind"`` included) and arrays of one map, its spaces left out."""
    named = f"{type(one).__module__}:{type(one).__qualname__}"
    for kind, (its_class, pack, _) in KINDS.items():
        if named == its_class:
            config, arrays = pack(one)
            return {"kind": kind, **config}, arrays
    raise UnknownNameError.of(
        "kind of map that can be saved", type(one).__name__, [row[0].split(":")[1] for row in KINDS.values()]
    )


def unpack_map(
    config: Mapping[str, Any], source: Space, target: Space, arrays: Mapping[str, np.ndarray], name: str
) -> Map:
    """The map between two spaces that :func:`pack_map` took apart; its arrays' names begin with ``name``.

    Raises
    ------
    InputError
        If something is missing or wrong.
    ModelUnavailableError
        For a kind that this version does not know.
    """
    if config["kind"] not in list(KINDS):
        raise ModelUnavailableError(
            f"the folder holds a map of kind {config['kind']!r}; this version reads {', '.join(KINDS)}. "
            f"Load it with the version of stitchkit that wrote it."
        )
    unpacked: Map = KINDS[config["kind"]][2](config, source, target, arrays, name)
    return unpacked


def same_map(one: Map, other: Map) -> bool:
    """True if two maps are the same function: of one kind, with equal settings and equal arrays."""
    if one is other:
        return True
    (config, arrays), (others, theirs) = pack_map(one), pack_map(other)
    same = config == others and arrays.keys() == theirs.keys()
    return same and all(np.array_equal(array, theirs[name]) for name, array in arrays.items())


def _pack_affine(one: AffineMap) -> tuple[Config, Arrays]:
    parts = {"center": one.center, "weight": one.weight, "bias": one.bias}
    return {"rank": one.rank}, {name: to_numpy(array) for name, array in parts.items()}


def _unpack_affine(
    config: Mapping[str, Any], source: Space, target: Space, arrays: Mapping[str, np.ndarray], at: str
) -> AffineMap:
    return _affine(source, target, arrays, at, check_fields(config, AffineFields).rank)


def _affine(source: Space, target: Space, arrays: Mapping[str, np.ndarray], at: str, rank: int) -> AffineMap:
    center, weight, bias = (array_of(arrays, f"{at}.{part}") for part in ("center", "weight", "bias"))
    return checked_rank(AffineMap(source, target, center, weight, bias, rank))


def _unpack_weights(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "weights" not in arrays:
        return None
    weights = array_of(arrays, "weights")
    if (weights < 0).any():
        raise InputError("its weights are negative")
    return weights


def _pack_joined(one: JoinedMap) -> tuple[Config, Arrays]:
    members: list[Config] = [{"space": _space(each.target), "rank": each.rank} for each in one.members]
    if one.weights is not None:  # equal weights are left out, as they were before there were others
        members = [{**each, "weight": float(weight)} for each, weight in zip(members, one.weights, strict=True)]
    arrays: Arrays = {}
    for i, each in enumerate(one.members):
        arrays |= {f"{i}.{part}": array for part, array in _pack_affine(each)[1].items()}
    return {"rank": one.rank, "members": members}, arrays


def _unpack_joined(
    config: Mapping[str, Any], source: Space, target: Space, arrays: Mapping[str, np.ndarray], at: str
) -> JoinedMap:
    fields = check_fields(config, JoinedFields)
    members = tuple(
        _affine(source, one.space.space(), arrays, f"{at}.{i}", one.rank) for i, one in enumerate(fields.members)
    )
    weights = tuple(one.weight for one in fields.members)
    return JoinedMap(members, target, None if set(weights) == {1.0} else weights)


def _pack_relative(one: RelativeMap) -> tuple[Config, Arrays]:
    arrays = {"anchors": to_numpy(one.anchors)}
    if one.center is not None:
        arrays["center"] = to_numpy(one.center)
    return {"rank": one.rank, "keep": one.keep, "power": float(one.power), "centred": one.center is not None}, arrays


def _unpack_relative(
    config: Mapping[str, Any], source: Space, target: Space, arrays: Mapping[str, np.ndarray], at: str
) -> RelativeMap:
    from stitchkit.core.relative import RelativeMap

    fields = check_fields(config, RelativeFields)
    center = array_of(arrays, f"{at}.center") if fields.centred else None
    return RelativeMap(source, target, array_of(arrays, f"{at}.anchors"), center, fields.keep, fields.power)


# kind -> its class, packing, unpacking; a class by name, so that a folder of affine maps imports no other
KINDS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "affine": ("stitchkit.core.maps:AffineMap", _pack_affine, _unpack_affine),
    "joined": ("stitchkit.core.maps:JoinedMap", _pack_joined, _unpack_joined),
    "relative": ("stitchkit.core.relative:RelativeMap", _pack_relative, _unpack_relative),
}


def pack_head(head: LinearHead | ZeroShotHead) -> tuple[Config, Arrays]:
    """Configuration and arrays of a head; a zero-shot head's map is the alignment's and is not stored again."""
    if isinstance(head, LinearHead):
        config: Config = {"kind": "linear", "classes": list(head.classes), "scores": head.kind}
        config["space"] = _space(head.space)
        if head.multiclass:
            config["multiclass"] = True
        return config, {"head.weight": to_numpy(head.weight), "head.bias": to_numpy(head.bias)}
    config = {"kind": "zero-shot", "classes": list(head.classes), "multiclass": head.multiclass}
    config["negatives"] = head.negative is not None  # without them the scores are of another kind
    arrays = {"head.positive": to_numpy(head.positive)}
    if head.negative is not None:
        arrays["head.negative"] = to_numpy(head.negative)
    return config, arrays


def unpack_head(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], alignment: Alignment
) -> LinearHead | ZeroShotHead:
    """The head of a stitched folder; a zero-shot head reads through the folder's alignment."""
    if not isinstance(config, Mapping) or config.get("kind") != "zero-shot":
        return unpack_linear_head(config, arrays)
    try:
        fields = check_fields(config, ZeroShotHeadFields)
        has_negatives = "head.negative" in arrays
        if has_negatives != (has_negatives if fields.negatives is None else fields.negatives):
            raise InputError("its negative class embeddings are missing" if fields.negatives else "it has no negatives")
        negative = array_of(arrays, "head.negative") if has_negatives else None
        positive, classes = array_of(arrays, "head.positive"), tuple(fields.classes)
        return ZeroShotHead(alignment.source_map, classes, positive, negative, alignment.weights, fields.multiclass)
    except InputError as error:
        raise wrong("head", error) from error


def unpack_model(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Alignment, LinearHead | ZeroShotHead | None]:
    """Alignment and head of a stitched folder, every value of it checked; the encoders that it names are not loaded.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong.
    """
    alignment = unpack_alignment(config, arrays)
    for key in ("encoder", "target_encoder"):
        if not isinstance(config.get(key, ""), str):
            raise ModelUnavailableError(f"the folder's {key!r} is no name of an encoder. Copy or save it again.")
    return alignment, unpack_head(config["head"], arrays, alignment) if "head" in config else None


def unpack_linear_head(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LinearHead:
    """A linear head that :func:`pack_head` took apart."""
    kind = config.get("kind") if isinstance(config, Mapping) else None
    if kind == "zero-shot":
        raise ModelUnavailableError(
            "a zero-shot head is stored inside a stitched folder, with the alignment it reads through. "
            "Load that folder as a model, or name a saved probe."
        )
    if isinstance(kind, str) and kind != "linear":
        raise UnknownNameError.of("kind of head", kind, ["linear", "zero-shot"])
    try:
        fields = check_fields(config, LinearHeadFields)
        weight, bias = array_of(arrays, "head.weight"), array_of(arrays, "head.bias")
        return LinearHead(fields.space.space(), tuple(fields.classes), weight, bias, fields.scores, fields.multiclass)
    except InputError as error:
        raise wrong("head", error) from error


def _space(space: Space) -> Config:
    return {"name": space.name, "dim": space.dim, "fingerprint": space.fingerprint}
