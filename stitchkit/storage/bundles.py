"""Bundles: artefact folders that hold their encoders' files, listed with sizes and SHA-256 in ``bundle.json``.

Loading an encoder of a bundle checks that every file under ``encoders/`` has its size, and the SHA-256 of files up to
:data:`SMALL` bytes. Larger ones are weights, which the encoder's fingerprint covers once they are loaded; hashing
gigabytes at every load would take longer than the load. Config and arrays hold digests of themselves.
:func:`check_bundle` with ``every`` hashes all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.atomic_writes import write_flushed
from stitchkit.storage.digests import (
    NO_DIGEST,
    holds_own_digest,
    is_digest,
    sha256_of,
    sha256_of_file,
    with_own_digest,
)
from stitchkit.storage.folders import MANIFEST, config_text, whole_folder
from stitchkit.storage.path_checks import resolved_path

FORMAT_KEY, FORMAT = "stitchkit_bundle", 1
ENCODERS = "encoders"  # folder of the encoders' files
SMALL = 16 * 2**20  # bytes of a file that is hashed at every load: a tenth of a second for the largest
_COPY = "Copy the whole bundle again."
_SKIPPED = "__pycache__"  # what Python writes beside the file of a python: encoder


def is_bundle(folder: str | Path) -> bool:
    """True for a folder with the list of a bundle's files."""
    return Path(folder, MANIFEST).is_file()


def manifest_text(files: Mapping[str, tuple[int, str]], encoders: Mapping[str, Any]) -> bytes:
    """The content of ``bundle.json``.

    Parameters
    ----------
    files
        Place in the bundle, with slashes -> bytes and SHA-256.
    encoders
        Names of the encoders before they were copied, by their key in the config.
    """
    listed = {place: {"bytes": size, "sha256": digest} for place, (size, digest) in sorted(files.items())}
    whole = {FORMAT_KEY: FORMAT, "sha256": NO_DIGEST, "encoders": dict(encoders), "files": listed}
    return with_own_digest((json.dumps(whole, indent=2) + "\n").encode())


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The list of a bundle's files: ``files`` with ``bytes`` and ``sha256`` of each, and ``encoders``.

    Raises
    ------
    InputError
        If the folder is no bundle.
    ModelUnavailableError
        If the list is damaged, or of another version.
    """
    path = Path(folder, MANIFEST)
    if not path.is_file():
        raise InputError(f"{folder} is no bundle: it holds no {MANIFEST}. Make one with 'stitchkit bundle FOLDER'.")
    text = path.read_bytes()
    try:
        manifest: dict[str, Any] = parse_json(text)
    except ValueError as error:
        raise ModelUnavailableError(f"{path} cannot be parsed: {error}. {_COPY}") from error
    version = manifest.get(FORMAT_KEY) if isinstance(manifest, dict) else None
    if version != FORMAT or isinstance(version, bool):
        raise ModelUnavailableError(
            f"{path} has bundle format {version!r}; this version of stitchkit reads {FORMAT}. Update stitchkit."
        )
    files = manifest.get("files")
    if not holds_own_digest(text, manifest.get("sha256", "")) or not isinstance(files, dict):
        raise ModelUnavailableError(f"{path} is damaged or was edited: it has not the SHA-256 that it holds. {_COPY}")
    for place, facts in files.items():
        if not _is_inside(place) or not isinstance(facts, dict) or not is_digest(facts.get("sha256")):
            raise ModelUnavailableError(f"{path} lists {place!r}, which is no file of a bundle. {_COPY}")
    return manifest


def check_bundle(folder: str | Path, *, every: bool = False) -> int:
    """Raise unless a bundle's files are there and whole; the number of files that were hashed comes back.

    Parameters
    ----------
    folder
        The bundle.
    every
        Hash every file; by default those under ``encoders/`` up to :data:`SMALL` bytes, of which larger ones must have
        their size.

    Raises
    ------
    InputError
        If the folder is no bundle.
    ModelUnavailableError
        Naming the first file that is missing, damaged or, with ``every``, not on the list.
    """
    files, hashed = read_manifest(folder)["files"], 0
    for place, facts in files.items():
        if not every and not place.startswith(f"{ENCODERS}/"):
            continue
        path = Path(folder, place)
        if not path.is_file():
            raise ModelUnavailableError(f"the bundle {folder} lacks {place}. {_COPY}")
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise ModelUnavailableError(
                f"{path} is damaged or was edited: it has {size} bytes and {facts['bytes']} are on record. {_COPY}"
            )
        if every or size <= SMALL:
            digest, hashed = sha256_of_file(path), hashed + 1
            if digest != facts["sha256"]:
                raise ModelUnavailableError(
                    f"{path} is damaged or was edited: its SHA-256 is {digest[:12]}... and "
                    f"{facts['sha256'][:12]}... is on record. {_COPY}"
                )
    if every and (strange := sorted(_files_in(Path(folder, ENCODERS)) - files.keys())):
        raise ModelUnavailableError(
            f"the bundle {folder} holds {strange[0]}, which is not on its list. Remove that file, or copy the whole "
            f"bundle again."
        )
    return hashed


def change_bundle(folder: Path, out: Path, config: Mapping[str, Any], card: str, *, overwrite: bool = False) -> Path:
    """A copy of a bundle with another config and card, its encoders' files and arrays as they are.

    Parameters
    ----------
    folder, out
        The bundle, and the folder to write, which may be the same with ``overwrite``.
    config
        Values of the new ``config.json``, encoders named by the place in the bundle.
    card
        Markdown for ``README.md``.
    overwrite
        Replace an earlier bundle at ``out``.

    Raises
    ------
    InputError
        If ``out`` holds something (with ``overwrite``: something else than a bundle).
    ModelUnavailableError
        If a file of the bundle is missing or damaged.
    """
    out = resolved_path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (overwrite and is_bundle(out))):
        raise InputError(f"{out} exists and is no bundle that may be replaced. Choose another folder.")
    check_bundle(folder, every=True)
    manifest = read_manifest(folder)
    written = {"config.json": config_text(config, out.name), "README.md": card.encode()}
    with whole_folder(out) as draft:
        files = {}
        for place, facts in manifest["files"].items():
            target = draft / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if place in written:
                write_flushed(target, written[place])
                files[place] = len(written[place]), sha256_of(written[place])
            else:
                shutil.copyfile(folder / place, target)
                files[place] = facts["bytes"], facts["sha256"]
        write_flushed(draft / MANIFEST, manifest_text(files, manifest["encoders"]))
        check_bundle(draft, every=True)
    return out


def _files_in(folder: Path) -> set[str]:
    """Places of all files of a bundle's ``encoders``, as its list has them."""
    return {
        Path(above, name).relative_to(folder.parent).as_posix()
        for above, _, names in os.walk(folder)
        if _SKIPPED not in Path(above).parts
        for name in names
    }


def _is_inside(place: object) -> bool:
    """True for the place of a file inside a bundle."""
    parts = PurePosixPath(place).parts if isinstance(place, str) and "\\" not in place else ()
    return bool(parts) and parts[0] != "/" and ".." not in parts and ":" not in parts[0]
