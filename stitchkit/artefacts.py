"""Alignments and heads as plain configuration and named arrays, and back: what artefact folders hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.maps import AffineMap
from stitchkit.core.space import Space

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


def pack_alignment(alignment: Alignment) -> tuple[Config, Arrays]:
    """Configuration and arrays of ``alignment``; only affine maps can be packed so far."""
    maps = {"source_map": alignment.source_map, "target_map": alignment.target_map, "directed": alignment.directed}
    config: Config = {
        "source": _space(alignment.source),
        "target": _space(alignment.target),
        "common": _space(alignment.source_map.target),
        "ranks": {name: one.rank for name, one in maps.items() if isinstance(one, AffineMap)},
        "record": dict(alignment.record),
    }
    arrays: Arrays = {}
    for name, one in maps.items():
        if one is None:
            continue
        if not isinstance(one, AffineMap):
            raise UnknownNameError.of("kind of map that can be saved", type(one).__name__, ["AffineMap"])
        parts = {"center": one.center, "weight": one.weight, "bias": one.bias}
        arrays.update({f"{name}.{part}": to_numpy(array) for part, array in parts.items()})
    if alignment.weights is not None:
        arrays["weights"] = to_numpy(alignment.weights)
    return config, arrays


def unpack_alignment(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Alignment:
    """The alignment that :func:`pack_alignment` took apart."""
    try:
        source, target, common = (Space(**config[side]) for side in ("source", "target", "common"))
        ranks = config["ranks"]
        directed = None
        if "directed" in ranks:
            directed = AffineMap(source, target, *_parts(arrays, "directed"), ranks["directed"])
        return Alignment(
            AffineMap(source, common, *_parts(arrays, "source_map"), ranks["source_map"]),
            AffineMap(target, common, *_parts(arrays, "target_map"), ranks["target_map"]),
            arrays.get("weights"),
            directed,
            config["record"],
        )
    except InputError as error:
        raise ModelUnavailableError(f"the folder holds no alignment: {error}") from error
    except (KeyError, TypeError) as error:
        raise ModelUnavailableError(f"the folder holds no alignment: {error} is missing or wrong.") from error


def pack_head(head: LinearHead | ZeroShotHead) -> tuple[Config, Arrays]:
    """Configuration and arrays of a head; a zero-shot head's map is the alignment's and is not stored again."""
    if isinstance(head, LinearHead):
        config: Config = {"kind": "linear", "classes": list(head.classes), "scores": head.kind}
        config["space"] = _space(head.space)
        return config, {"head.weight": to_numpy(head.weight), "head.bias": to_numpy(head.bias)}
    config = {"kind": "zero-shot", "classes": list(head.classes), "multiclass": head.multiclass}
    arrays = {"head.positive": to_numpy(head.positive)}
    if head.negative is not None:
        arrays["head.negative"] = to_numpy(head.negative)
    return config, arrays


def unpack_head(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], alignment: Alignment
) -> LinearHead | ZeroShotHead:
    """The head of a stitched folder; a zero-shot head reads through the folder's alignment."""
    if config.get("kind") != "zero-shot":
        return unpack_linear_head(config, arrays)
    try:
        negative = arrays.get("head.negative")
        positive, weights, classes = arrays["head.positive"], alignment.weights, tuple(config["classes"])
        return ZeroShotHead(alignment.source_map, classes, positive, negative, weights, config["multiclass"])
    except InputError as error:
        raise ModelUnavailableError(f"the folder holds no head: {error}") from error
    except (KeyError, TypeError) as error:
        raise ModelUnavailableError(f"the folder holds no head: {error} is missing or wrong.") from error


def unpack_linear_head(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LinearHead:
    """A linear head that :func:`pack_head` took apart."""
    try:
        if config["kind"] == "zero-shot":
            raise ModelUnavailableError(
                "a zero-shot head is stored inside a stitched folder, with the alignment it reads through. "
                "Load that folder as a model, or name a saved probe."
            )
        if config["kind"] != "linear":
            raise UnknownNameError.of("kind of head", str(config["kind"]), ["linear", "zero-shot"])
        space, classes = Space(**config["space"]), tuple(config["classes"])
        return LinearHead(space, classes, arrays["head.weight"], arrays["head.bias"], config["scores"])
    except InputError as error:
        raise ModelUnavailableError(f"the folder holds no head: {error}") from error
    except (KeyError, TypeError) as error:
        raise ModelUnavailableError(f"the folder holds no head: {error} is missing or wrong.") from error


def _space(space: Space) -> Config:
    return {"name": space.name, "dim": space.dim, "fingerprint": space.fingerprint}


def _parts(arrays: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return arrays[f"{name}.center"], arrays[f"{name}.weight"], arrays[f"{name}.bias"]
