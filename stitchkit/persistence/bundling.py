"""The verb ``bundle``: a stitched folder with its encoders' files in one folder, for a machine without a network."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError, SpaceMismatchError
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.core.wording import counted, setting
from stitchkit.encoders import load_encoder, load_recorded, runs_hub_code
from stitchkit.encoders.consent import Consent, TrustPython, runs_python
from stitchkit.encoders.encoder_files import EncoderFiles, encoder_files
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.probing import neutral
from stitchkit.stitching import card, read_stitched
from stitchkit.storage.atomic_writes import sync_folder, write_flushed
from stitchkit.storage.bundles import ENCODERS, SMALL, check_bundle, is_bundle, manifest_text
from stitchkit.storage.cards import without_folders
from stitchkit.storage.folders import MANIFEST, config_naming, placed_name, whole_folder
from stitchkit.storage.path_checks import resolved_path

SOURCE, TARGET = "encoder", "target_encoder"  # keys of the config
PLACES = {SOURCE: f"{ENCODERS}/source", TARGET: f"{ENCODERS}/target"}
CONFIG, CARD = "config.json", "README.md"
KEPT = ("model.safetensors",)  # files of the stitched folder that are copied; reports may show patients' images
PIECE = 2**22  # bytes that are copied at once
SAME = 1e-4  # of the largest value: rounding of another order of sums, as on a GPU


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """Files that a bundle will hold.

    Parameters
    ----------
    folder
        The stitched folder.
    names
        Key in the config -> the encoder's name on this machine.
    copies
        Key in the config -> the encoder's files.
    without_target
        Name of the target encoder that stays out; empty where there is none.
    """

    folder: Path
    names: dict[str, str]
    copies: dict[str, EncoderFiles]
    without_target: str = ""

    @property
    def places(self) -> dict[str, str]:
        """Folder of each encoder in the bundle; two halves of one checkpoint share theirs."""
        same = SOURCE in self.copies and TARGET in self.copies and self._files(SOURCE) == self._files(TARGET)
        return {key: PLACES[SOURCE if same else key] for key in self.copies}

    def _files(self, key: str) -> dict[str, Path | bytes]:
        return {
            place: file if isinstance(file, bytes) else file.resolve() for place, file in self.copies[key].files.items()
        }

    @property
    def bundled_names(self) -> dict[str, str]:
        """Names of the encoders in the bundle's config."""
        return {
            key: self.copies[key].name(EncoderName.parse(self.names[key]), place) for key, place in self.places.items()
        }

    @property
    def contents(self) -> dict[str, Path | bytes]:
        """Place in the bundle -> file to copy or content; the config, the card and the list are written last."""
        files: dict[str, Path | bytes] = {name: self.folder / name for name in KEPT}
        for key, place in self.places.items():
            files |= {f"{place}/{inside}": file for inside, file in self.copies[key].files.items()}
        return files

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file that is copied."""
        return {
            place: len(file) if isinstance(file, bytes) else file.stat().st_size
            for place, file in self.contents.items()
        }

    @property
    def bytes(self) -> int:
        """Bytes of all of them."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written.

    Parameters
    ----------
    folder
        The folder.
    files
        Place of each file in it -> bytes, without the list itself.
    encoders
        Names of the encoders before they were copied, without folders of this machine, by their key in the config.
    notes
        Limits of it, in words.
    """

    folder: Path
    files: dict[str, int]
    encoders: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def plan_bundle(folder: str | Path, *, target: bool | None = None, encoder: str | None = None) -> BundlePlan:
    """The files that :func:`bundle` would copy; no model is loaded, and nothing downloaded.

    Parameters
    ----------
    folder, target, encoder
        As in :func:`bundle`.

    Raises
    ------
    InputError
        If ``folder`` is a bundle already or names no source encoder, ``target`` is wanted and there is none, or the
        files of an encoder cannot be told.
    ModelUnavailableError
        If files are not on this machine.
    """
    folder = Path(folder)
    if is_bundle(folder):
        raise InputError(f"{folder} is a bundle already. Copy the folder as it is.")
    config, _ = read_stitched(folder, vectors=encoder is not None)
    named = str(config.get(TARGET) or "")
    if target and not named:
        raise InputError(f"{folder} names no target encoder. Leave out " + setting("target", True) + ".")
    linear = config.get("head", {}).get("kind") == "linear"
    wanted = bool(named) and (not linear if target is None else target)
    names = {SOURCE: encoder or config[SOURCE], **({TARGET: named} if wanted else {})}
    copies = {key: encoder_files(name) for key, name in names.items()}
    return BundlePlan(folder, names, copies, without_target=named if named and not wanted else "")


def bundle(
    folder: str | Path,
    out: str | Path,
    *,
    target: bool | None = None,
    encoder: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    trust_python: TrustPython = False,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> Bundle:
    """Write a stitched folder with its encoders' files into one folder, which loads without network and hub cache.

    Each encoder is loaded from where it is and from its copy, whose fingerprint and vectors must be the same. Names
    inside are relative, so that the bundle may be moved. Pages such as ``report.html`` are not copied.

    Parameters
    ----------
    folder
        A stitched folder, of :func:`stitchkit.stitch` and ``save`` or of the command line.
    out
        Folder to write.
    target
        Copy the target encoder too, which reads prompts; by default where the folder has no linear head.
    encoder
        Name of the source encoder, where it is not the one on record.
    device, dtype, trust_remote_code
        As in :func:`stitchkit.load_encoder`.
    trust_python
        ``python:`` names of the folder that may be run, as in :func:`stitchkit.load`.
    overwrite
        Replace an earlier bundle at ``out``.
    say
        Reader of a line on the step that begins.

    Returns
    -------
    Bundle

    Raises
    ------
    InputError
        As :func:`plan_bundle`; if ``out`` holds something (with ``overwrite``: something else than a bundle), or the
        disk has too little room.
    SpaceMismatchError
        If an encoder is no longer the one on record.
    ModelUnavailableError
        If an encoder cannot be loaded, or its copy gives other vectors.

    Examples
    --------
    >>> import tempfile
    >>> import stitchkit as sk
    >>> phantoms = sk.make_phantoms(40, seed=1)
    >>> general, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "text"))
    >>> x, y = sk.embed(general, list(phantoms.images)), sk.embed(text, phantoms.reports)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = sk.stitch(general, sk.align(x, y), target_name=text.name).save(f"{place}/stitched")
    ...     done = sk.bundle(folder, f"{place}/bundle", device="cpu")
    ...     sorted(done.files), sk.load(done.folder).embed(list(phantoms.images)).vectors.shape
    (['README.md', 'config.json', 'model.safetensors'], (40, 96))
    """
    out = resolved_path(out)
    _check_free(out, overwrite)
    plan = plan_bundle(folder, target=target, encoder=encoder)
    if _is_below(out, plan.folder) or _is_below(plan.folder, out):
        raise InputError(f"{out} and {plan.folder} lie in each other. Write the bundle elsewhere.")
    _check_room(plan, out)
    config, model = read_stitched(plan.folder, vectors=True)
    spaces = {SOURCE: model.alignment.source, TARGET: model.alignment.target}
    consent = Consent.of(trust_python, trust_remote_code).inside(plan.folder)
    if encoder is not None and runs_python(encoder):  # the caller's own word
        consent = replace(consent, python=None if consent.python is None else consent.python | {encoder})
    loading: dict[str, Any] = {"device": device, "dtype": dtype}
    say = say or (lambda _: None)
    before = {}
    for key, name in plan.names.items():
        say(f"loading {EncoderName.parse(name).public}")
        loaded = load_recorded(name, f"the stitched folder {plan.folder}", consent=consent, **loading)
        _check_space(loaded, spaces[key], plan.folder)
        before[key] = (loaded.space, _vectors(loaded))
        del loaded
    names, notes = plan.bundled_names, _notes(plan, config)
    with whole_folder(out) as draft:
        files = {}
        for place, file in plan.contents.items():
            say(f"copying {place}")
            files[place] = _copy(file, draft / place)
        settled = config_naming(plan.folder, {SOURCE: names[SOURCE], TARGET: names.get(TARGET, "")})
        files[CONFIG] = _copy(settled, draft / CONFIG)
        files[CARD] = _copy(_card(config, plan, notes).encode(), draft / CARD)
        public = {key: EncoderName.parse(name).public for key, name in plan.names.items()}
        write_flushed(draft / MANIFEST, manifest_text(files, public))
        for key, name in names.items():
            say(f"checking the copy of {public[key]}")
            _check_copy(placed_name(name, draft), key, public[key], *before[key], trust_remote_code, loading)
        _remove_others(draft, {*files, MANIFEST})
        check_bundle(draft, every=True)
    return Bundle(out, {place: size for place, (size, _) in sorted(files.items())}, public, tuple(notes))


def _check_free(out: Path, overwrite: bool) -> None:
    """Raise unless nothing is at ``out``, or an earlier bundle that may go."""
    if out.exists() and not out.is_dir():
        kind = "a file" if out.is_file() else "a pipe or a device"
        raise InputError(f"{out} is {kind}; a bundle is a folder. Choose another name.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_bundle(out):
        raise InputError(f"{out} holds something else than a bundle and was left alone. Choose another folder.")
    if not overwrite:
        raise InputError(
            f"{out} is a bundle already. Choose another folder, or pass " + setting("overwrite", True) + "."
        )


def _is_below(inner: Path, outer: Path) -> bool:
    return resolved_path(inner).is_relative_to(resolved_path(outer))


def _check_room(plan: BundlePlan, out: Path) -> None:
    above = next(one for one in out.parents if one.is_dir())
    free = shutil.disk_usage(above).free
    if plan.bytes > free:
        raise InputError(
            f"the bundle has {plan.bytes / 1e9:.3g} GB and {above} has {free / 1e9:.3g} GB free. Choose another disk, "
            f"or make room."
        )


def _check_space(encoder: Encoder, space: Space, folder: Path) -> None:
    if not space.accepts(encoder.space):
        raise SpaceMismatchError(
            f"{folder} was stitched with {space.name!r} (fingerprint {space.fingerprint}, width {space.dim}); "
            f"{encoder.name!r} has fingerprint {encoder.space.fingerprint} and width {encoder.space.dim}. Restore that "
            f"checkpoint, or stitch again."
        )


def _vectors(encoder: Encoder) -> np.ndarray:
    """Vectors of two items that an encoder can be told by, (2, d)."""
    if encoder.modality == "text":
        items: list[Any] = ["No pleural effusion. The heart is enlarged.", neutral("text")]
    else:
        items = [np.random.default_rng(0).integers(0, 256, (80, 64), dtype=np.uint8), neutral("image")]
    return np.concatenate([to_numpy(encoder.encode(encoder.prepare([one])).pooled) for one in items])


def _check_copy(
    name: str, key: str, public: str, space: Space, vectors: np.ndarray, remote_code: bool, loading: dict[str, Any]
) -> None:
    """Raise unless the copy of an encoder is of the same space and gives the same vectors."""
    step = "Copy its whole repository to a folder, and name that folder "
    step = step + "with " + setting("encoder") + "." if key == SOURCE else step + f"as {TARGET} in {CONFIG}."
    try:  # the user consented to the code when it was loaded from its own place
        copy = load_encoder(
            name,
            offline=True,
            trust_python=True,
            trust_remote_code=remote_code and runs_hub_code(name),
            **loading,
        )
    except (ModelUnavailableError, InputError) as error:
        raise ModelUnavailableError(
            f"the copy of {public!r} does not load from the bundle: " + error.message.rstrip(".") + ". " + step
        ) from error
    again = _vectors(copy)
    same = copy.space.fingerprint == space.fingerprint and again.shape == vectors.shape
    if not same or np.abs(again - vectors).max() > SAME * np.abs(vectors).max():
        raise ModelUnavailableError(
            f"the copy of {public!r} is not the same encoder: its fingerprint is {copy.space.fingerprint}, and "
            f"{space.fingerprint} before it was copied. " + step
        )


def _copy(file: Path | bytes, place: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file that was copied, or written; a link's content is copied."""
    place.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0

    def pieces() -> Iterator[bytes]:
        nonlocal size
        for piece in [file] if isinstance(file, bytes) else _read(file):
            digest.update(piece)
            size += len(piece)
            yield piece

    write_flushed(place, pieces())
    return size, digest.hexdigest()


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _remove_others(draft: Path, files: set[str]) -> None:
    """Take away what loading an encoder wrote beside it, as Python's caches of compiled code."""
    for above, _, names in os.walk(draft, topdown=False):
        for name in names:
            if Path(above, name).relative_to(draft).as_posix() not in files:
                Path(above, name).unlink()
        if not any(Path(above).iterdir()):
            Path(above).rmdir()
        else:
            sync_folder(Path(above))


def _notes(plan: BundlePlan, config: dict[str, Any]) -> list[str]:
    """Limits of the bundle."""
    notes = []
    if plan.without_target:
        rest = "its own head" if "head" in config else "no head: it embeds, and scores nothing"
        public = EncoderName.parse(plan.without_target).public
        notes.append(f"the target encoder {public} is not in it, so it reads no prompts; it has {rest}")
    for name in plan.names.values():
        if runs_python(name):
            notes.append(
                f"{EncoderName.parse(name).public} is Python code: its file alone is copied, what it imports must be "
                f"installed, and loading the bundle needs consent, of which its error tells"
            )
    return notes


def _card(config: dict[str, Any], plan: BundlePlan, notes: list[str]) -> str:
    """The card of the stitched folder, as it is there, and what is in the bundle."""
    own = plan.folder / CARD
    # an earlier version wrote paths into the folder's own
    text = without_folders(own.read_text("utf-8") if own.is_file() else card({**config, **plan.names}))
    encoders = [
        f"- `{EncoderName.parse(name).public}`: "
        + (f"{counted(len(plan.copies[key].files), 'file')} in `{plan.places[key]}`" if plan.copies[key].files else
           "in the package stitchkit")
        for key, name in plan.names.items()
    ]  # fmt: skip
    return "\n".join(
        [
            text.rstrip("\n"),
            "",
            "## This folder is a bundle",
            "",
            "It holds the files of its encoders, and loads without a network:",
            "",
            *encoders,
            *(f"- {note[0].upper()}{note[1:]}." for note in notes),
            "",
            "The weights of the encoders travel under their own licences, which this folder neither grants nor",
            "changes. Some ask to be accepted before a file is used, or forbid passing it on: read the licence at the",
            "source of each encoder before you give this folder to others.",
            "",
            f"`{MANIFEST}` lists every file with its SHA-256. Loading checks the size of the encoders' files, the",
            f"hash of those up to {SMALL // 2**20} MB, and the fingerprint of the weights; hash every file with",
            "`stitchkit bundle FOLDER --check`.",
            "",
        ]
    )
