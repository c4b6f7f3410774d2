"""Text spaces brought into one hub, by one list of texts that every text encoder has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stitchkit.alignment.align import align
from stitchkit.alignment.align_many import align_many
from stitchkit.core.arrays import eye_like, float64, namespace
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.core.maps import AffineMap, mapped_fingerprint
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.solvers.gcca import GCCA
from stitchkit.solvers.generalised_procrustes import GeneralisedProcrustes

# solvers of a hub that no space is
CONSENSUS: dict[str, GCCA | GeneralisedProcrustes] = {
    "procrustes": GeneralisedProcrustes(),
    "gcca": GCCA(),
}
TO_NAMED = ("ridge", "composition")  # ways to a hub that is one of the text spaces
HUB_SOLVERS = (*CONSENSUS, *TO_NAMED)


@dataclass(frozen=True, slots=True, eq=False)
class TextHub:
    """Maps of every text space into one hub.

    Parameters
    ----------
    maps
        Name of each text space -> its map into the hub. Its centre is the mean of the shared texts, so its bias is
        their mean in the hub.
    text
        Name of the text space whose encoder reads queries; the hub's fingerprint is that of its mapped vectors.
    record
        Solver, its settings and notes.
    """

    maps: Mapping[str, AffineMap]
    text: str
    record: Mapping[str, Any]

    @property
    def space(self) -> Space:
        """The hub."""
        return self.maps[self.text].target


def text_hub(
    views: Mapping[str, Embeddings], text: str, *, hub: str | None = None, solver: str = "procrustes", seed: int = 0
) -> TextHub:
    """The maps of text spaces into a hub; the parameters are those of :func:`stitchkit.bind`.

    One text space is its own hub. With several, each map of a consensus is regularised regression of the consensus on
    that space alone, so the map of the query's encoder is also the student that stands in for all the others.
    """
    if solver not in HUB_SOLVERS:
        raise UnknownNameError.of("solver of a hub", solver, HUB_SOLVERS)
    if hub is not None and hub not in views:
        raise UnknownNameError.of("text space for a hub", hub, views, "A hub is one of the text spaces, or left out.")
    if hub is not None and solver == "gcca":
        raise InputError(
            setting("hub_solver", "gcca") + f" makes a consensus, and {hub!r} is to be the hub. Leave one of them out."
        )
    if hub is not None and solver in CONSENSUS:
        solver = "ridge"  # the default of a consensus, which a named hub is not
    if len(views) == 1:
        ((name, only),) = views.items()
        return _in_hub({name: _identity(only)}, text, {"solver": "none", "texts": len(only), "notes": []})
    if solver in TO_NAMED:
        named = hub or text
        return _in_hub(_to_named(views, named, seed), text, {"solver": solver, "hub": named, **_size(views)})
    joint = align_many(views, solver=CONSENSUS[solver], seed=seed, anchor_hashes=False)
    kept = {key: joint.record[key] for key in ("settings", "notes", "agreement") if key in joint.record}
    return _in_hub(_weighted(joint), text, {"solver": solver, **_size(views), **kept})


def joined_hub(hub: Space, known: AffineMap, new: Embeddings, by_known: Embeddings, *, seed: int = 0) -> AffineMap:
    """The map of a further text space into an existing hub, by ridge regression on texts that a known encoder read.

    Parameters
    ----------
    hub
        The hub's space.
    known
        Map of the known text space into the hub.
    new, by_known
        Vectors of the same texts by the new and by the known text encoder.
    """
    fitted = align(new, known(by_known), solver="ridge", purpose="head", seed=seed, progress=False)
    return replace(fitted.to_target, target=hub)


def _size(views: Mapping[str, Embeddings]) -> dict[str, Any]:
    return {"texts": len(next(iter(views.values()))), "notes": []}


def _identity(one: Embeddings) -> AffineMap:
    """The map of a space onto itself, about the mean of the texts as all other maps are."""
    mean = namespace(one.vectors).mean(float64(one.vectors), axis=0)
    return AffineMap(one.space, one.space, mean, eye_like(mean, one.space.dim), mean, one.space.dim)


def _to_named(views: Mapping[str, Embeddings], hub: str, seed: int) -> dict[str, AffineMap]:
    """Ridge regression of the hub's vectors on every other text space; the hub itself stays as it is."""
    maps = {}
    for name, one in views.items():
        if name == hub:
            maps[name] = _identity(one)
            continue
        fitted = align(one, views[hub], solver="ridge", purpose="head", seed=seed, progress=False, anchor_hashes=False)
        maps[name] = fitted.to_target
    return maps


def _weighted(joint: JointAlignment) -> dict[str, AffineMap]:
    """Maps whose inner products are the weighted ones of a joint alignment."""
    if joint.weights is None:
        return dict(joint.maps)
    root = namespace(joint.weights).sqrt(joint.weights)
    return {
        name: replace(one, weight=one.weight * root[None, :], bias=one.bias * root) for name, one in joint.maps.items()
    }


def _in_hub(maps: Mapping[str, AffineMap], text: str, record: Mapping[str, Any]) -> TextHub:
    """The maps with one target, which is the space of the query encoder's mapped vectors."""
    if text not in maps:
        raise UnknownNameError.of("text space", text, maps, "The query's encoder is one of them.")
    query = maps[text]
    name = "hub of " + ", ".join(one.source.name for one in maps.values())
    space = Space(name, query.target.dim, mapped_fingerprint(query.source.fingerprint, query))
    return TextHub({key: replace(one, target=space) for key, one in maps.items()}, text, dict(record))
