"""Bound spaces on disk: one folder that holds a stitched folder for every modality and for the texts.

``FOLDER/xray`` is a stitched folder like any other: images into the hub, classes named by the text encoder of
``FOLDER/text``. What takes a stitched folder takes it, and a modality comes and goes with its folder.
"""

from __future__ import annotations

import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.modalities import TEXT, BoundModality, check_modality_name, check_name
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import eye_like, to_numpy, zeros_like_width
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.maps import AffineMap
from stitchkit.core.wording import setting
from stitchkit.stitching import card, findable
from stitchkit.storage.artefact_schemas import BoundFields, array_of, check_fields, check_finite, wrong
from stitchkit.storage.artefacts import pack_alignment, same_map, unpack_alignment
from stitchkit.storage.atomic_writes import exclusive_lock
from stitchkit.storage.cards import model_card
from stitchkit.storage.embeddings import read_facts, write_embeddings
from stitchkit.storage.folders import HERE, is_foreign, read_folder, refresh_folder, write_folder

BOUND = "bound"  # kind of the config
TEXTS = "texts"  # folder of the text spaces whose encoders read no queries
QUERY = f"stitchkit:{HERE}/../{TEXT}"  # the text encoder of every modality, as its folder names it


def save_bound(
    bound: BoundSpace, folder: str | Path, *, command: str = "", extra: Mapping[str, Any] | None = None,
    overwrite: bool = False, beside: Callable[[Path], None] | None = None,
) -> Path:  # fmt: skip
    """Write a bound space to a folder, whole or not at all; see :func:`stitchkit.save`.

    ``beside`` writes further files, such as a page or an index, into the new folder before it takes its name.
    """

    def fill(draft: Path) -> None:
        for name, one in bound.text_maps.items():
            _write_text(bound, name, one, draft)
        for name in bound.names:
            _write_modality(bound, name, draft)
        if beside is not None:
            beside(draft)

    config, arrays = _top(bound, extra or {})
    return write_folder(folder, config, arrays, _card(bound, command), overwrite=overwrite, fill=fill)


def update_bound(
    bound: BoundSpace, folder: str | Path, *, command: str = "", beside: Callable[[Path], None] | None = None
) -> Path:
    """Bring a folder up to what was added to or removed from the bound space that was read from it.

    Folders of modalities that were there are not written again. What lies beside them, an index or a page, stays,
    except for the index of a modality that was removed. One process at a time writes into the folder.

    Raises
    ------
    InputError
        If the folder holds another bound space, or was changed since this one was read from it.
    """
    folder = Path(folder)
    with exclusive_lock(folder):
        _update(bound, folder, command, beside)
    return folder


def _update(bound: BoundSpace, folder: Path, command: str, beside: Callable[[Path], None] | None) -> None:
    before = read_bound(folder)
    known, changes = before.record.get("changes", []), bound.record.get("changes", [])
    if changes[: len(known)] != known:
        raise InputError(
            f"{folder} was changed since it was read: {_last_change(known)}. Run the command again, or read the folder "
            f"again before the change."
        )
    kept = [name for name in bound.names if name in before.modalities]
    changed = [name for name in kept if bound.digests[name] != before.digests[name]]
    changed += [name for name, one in before.text_maps.items() if not same_map(one, bound.text_maps.get(name, one))]
    changed += [name for name in before.text_maps if name not in bound.text_maps]
    if before.hub != bound.hub or before.text != bound.text or changed:
        raise InputError(
            f"{folder} holds another bound space, with another {changed[0] if changed else 'hub'}. Save it to a new "
            f"folder, or pass " + setting("overwrite", True) + "."
        )
    for name, one in bound.text_maps.items():
        if name not in before.text_maps:
            _write_text(bound, name, one, folder)
    for name in bound.names:
        if name not in before.modalities:
            index_of(folder, name).unlink(missing_ok=True)  # of a run that was stopped before its config
            _write_modality(bound, name, folder)
    config, arrays = _top(bound, {})
    if beside is not None:
        beside(folder)
    refresh_folder(folder, config, arrays, _card(bound, command))
    for name in before.names:  # only once no config names them
        if name not in bound.modalities:
            index_of(folder, name).unlink(missing_ok=True)
            if (folder / name).exists():
                gone = (folder / name).rename(folder / f".{name}.{secrets.token_hex(4)}.tmp")  # never half there
                shutil.rmtree(gone, ignore_errors=True)


def _last_change(changes: Sequence[Mapping[str, Any]]) -> str:
    """The last of some changes, in words."""
    kinds = ("added", "removed")
    return next(f"{changes[-1][kind]!r} was {kind}" for kind in kinds if kind in changes[-1])


def index_of(folder: Path, name: str) -> Path:
    """The file of a modality's own items in the hub, which may be there."""
    return folder / "index" / f"{name}.safetensors"


def write_index(folder: Path, bound: BoundSpace, name: str, items: Embeddings) -> Path:
    """Write a modality's own items in the hub into a bound folder, with the digest of the map that took them there."""
    file = index_of(folder, name)
    file.parent.mkdir(exist_ok=True)
    return write_embeddings(file, items, {"map": bound.modality(name).digest})


def read_index(folder: Path, bound: BoundSpace, name: str) -> Embeddings:
    """The items that :func:`write_index` wrote.

    Raises
    ------
    DataError
        If they are in another hub, or were taken there by another map than the modality's.

    Warns
    -----
    UserWarning
        If the file does not say by which map.
    """
    file = index_of(folder, name)
    items, facts = read_facts(file)
    bound.hub.require(items.space, f"the hub of {folder}")
    if facts.get("map", bound.modality(name).digest) != bound.modality(name).digest:
        raise DataError(
            f"{file} holds items by another map than that of {name!r}, or of another modality. Delete it, or name the "
            f"items with --items {name}=PATH."
        )
    if "map" not in facts:
        warnings.warn(
            f"{file} does not say by which map its items came into the hub: it cannot be checked.", stacklevel=2
        )
    return items


def read_bound(folder: str | Path) -> BoundSpace:
    """The bound space of a folder; encoders are not loaded.

    Raises
    ------
    ModelUnavailableError
        If the folder or one inside it is missing, damaged, or not the one that it was written with.
    """
    place = Path(folder)
    if is_foreign(place):
        raise InputError(f"{folder} holds no bound space. Make one with 'stitchkit bind'.")
    config, arrays = read_folder(place)
    if config.get("kind") != BOUND:
        raise ModelUnavailableError(f"{folder} holds no bound space. Make one with 'stitchkit bind'.")
    try:
        fields = check_fields(config, BoundFields)
        hub = fields.hub.space()
        for name in fields.text_spaces:  # names are folders, and are not read from elsewhere
            check_name(name, "a text space", "minilm")
        for i, one in enumerate(fields.modalities):
            check_modality_name(one.name, [other.name for other in fields.modalities[:i]])
        texts, encoders = {}, {}
        for name in fields.text_spaces:
            part, inside = _read_part(_text_folder(place, name, fields.text))
            texts[name] = _target(part.to_target, hub)
            if inside.get("encoder"):
                encoders[name] = str(inside["encoder"])
        modalities = {}
        for one in fields.modalities:
            part, inside = _read_part(place / one.name)
            text_mean = _affine(part.target_map).center
            record = {key: value for key, value in part.record.items() if key != "center"}
            modality = BoundModality(
                to_hub=_target(part.to_target, hub),
                text_mean=text_mean,
                encoder=str(inside.get("encoder") or ""),
                text_space=one.text_space,
                record=record,
            )
            if modality.digest != one.digest:
                raise InputError(f"the map in {one.name!r} is another than the one it was bound with")
            modalities[one.name] = modality
        root = array_of(arrays, "text_root") if "text_root" in arrays else None
        if root is not None and root.shape != (hub.dim, hub.dim):
            raise InputError(f"its text_root is of shape {root.shape}, and the hub {hub.dim} wide")
        return BoundSpace(fields.text, texts, modalities, encoders, fields.record, root)
    except InputError as error:
        raise wrong("bound space", error) from error


def _read_part(folder: Path) -> tuple[Alignment, dict[str, Any]]:
    config, arrays = read_folder(folder)
    return unpack_alignment(config, arrays), config


def _target(one: AffineMap, hub: Any) -> AffineMap:
    hub.require(one.target, "the hub")
    return AffineMap(one.source, hub, one.center, one.weight, one.bias, one.rank)


def _affine(one: Any) -> AffineMap:
    if not isinstance(one, AffineMap):
        raise InputError("its map of texts is not affine")
    return one


def _top(bound: BoundSpace, extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and arrays of the folder itself: names, digests and both centrings."""
    mean, text_mean = bound.global_means
    arrays = {"global_mean": to_numpy(mean), "global_text_mean": to_numpy(text_mean)}
    for i, one in enumerate(bound.modalities.values()):
        arrays |= {f"means.{i}": to_numpy(one.mean), f"text_means.{i}": to_numpy(one.text_mean)}
    if bound.text_root is not None:
        arrays["text_root"] = to_numpy(bound.text_root)
    check_finite(arrays, "this bound space")
    config = {
        "kind": BOUND,
        "hub": {"name": bound.hub.name, "dim": bound.hub.dim, "fingerprint": bound.hub.fingerprint},
        "text": bound.text,
        "text_spaces": list(bound.text_maps),
        "modalities": [
            {"name": name, "text_space": one.text_space, "digest": one.digest} for name, one in bound.modalities.items()
        ],
        "record": dict(bound.record),
        **extra,
    }
    return config, arrays


def _text_folder(folder: Path, name: str, query: str) -> Path:
    return folder / TEXT if name == query else folder / TEXTS / name


def _write_text(bound: BoundSpace, name: str, one: AffineMap, folder: Path) -> None:
    """The stitched folder of a text encoder that reads into the hub."""
    zero = zeros_like_width(one.bias, bound.hub.dim)
    same = AffineMap(bound.hub, bound.hub, zero, eye_like(zero, bound.hub.dim), zero, bound.hub.dim)
    record = {**bound.record["hub"], "anchors": bound.record["hub"].get("texts"), "notes": []}
    alignment = Alignment(one, same, None, one, {key: value for key, value in record.items() if value is not None})
    _write_part(alignment, _text_folder(folder, name, bound.text), bound.text_encoders.get(name, ""), "")


def _write_modality(bound: BoundSpace, name: str, folder: Path) -> None:
    target = QUERY if bound.text_encoders.get(bound.text) else ""
    _write_part(bound.alignment(name), folder / name, bound.modality(name).encoder, target)


def _write_part(alignment: Alignment, folder: Path, encoder: str, target: str) -> None:
    config, arrays = pack_alignment(alignment)
    check_finite(arrays, f"the map in {folder.name!r}")
    named = {"encoder": findable(encoder)} if encoder else {}
    config |= {**named, "target_encoder": target}
    # a folder that no config names yet was left by a writing that was stopped
    write_folder(folder, config, arrays, card(config), overwrite=True)


def _card(bound: BoundSpace, command: str) -> str:
    hub = bound.record.get("hub", {})
    first = bound.names[0]
    return model_card(
        f"{', '.join(bound.names)} bound through text",
        [
            *(
                (
                    name,
                    f"{one.to_hub.source.name}, {one.to_hub.source.dim} wide, {one.record.get('anchors', '?')} anchors",
                )
                for name, one in bound.modalities.items()
            ),
            ("Hub", f"{bound.hub.dim} wide, by {hub.get('solver', 'fitted maps')} from {hub.get('texts', '?')} texts"),
            ("Queries", f"{bound.text_maps[bound.text].source.name}"),
        ],
        command=command,
        code=['bound = sk.load("this folder")', f"vectors = sk.embed(bound[{first!r}], items)  # in the hub"],
    )
