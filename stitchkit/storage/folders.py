"""Artefact folders: values on disk, never half-written.

An artefact folder is ``config.json`` (plain values), ``model.safetensors`` (arrays) and ``README.md`` (its card).
Whatever is written goes to a temporary neighbour first, is flushed to disk, and takes its name in one step. Config and
arrays hold SHA-256 digests of themselves, which are checked when they are read.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import setting
from stitchkit.storage.atomic_writes import replace_file, sync_folder, write_flushed
from stitchkit.storage.digests import sha256_of
from stitchkit.storage.file_errors import naming
from stitchkit.storage.path_checks import checked_file, checked_path, resolved_path
from stitchkit.storage.tensor_files import OWN, foreign_kind, read_arrays, tensor_bytes

FORMAT = 2  # of artefact folders and of embedding files; raise it when an old reader would misread a new file
UNCHECKED = 1  # the format without digests, which is read with a warning
FORMAT_KEY = "stitchkit_format"
RESERVED = (FORMAT_KEY, OWN)  # keys of every config
# not under the digest, so that a checkpoint may move: the fingerprints of both spaces tell whether it is the same
EDITABLE = ("encoder", "target_encoder")
MANIFEST = "bundle.json"  # list of the files of a folder that holds its encoders (bundles.py)
HERE = "{folder}"  # in a name under EDITABLE: the folder of this config, wherever it lies now
_CONFIG, _ARRAYS, _CARD = "config.json", "model.safetensors", "README.md"
_LOST = "has lost the SHA-256 digests that a file of this format holds"


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    card: str,
    *,
    overwrite: bool = False,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write an artefact folder, all of it or nothing.

    Parameters
    ----------
    folder
        Folder to write; its parent is made if need be.
    config
        Plain values that JSON can hold; numpy numbers are turned into Python's.
    arrays
        Name -> array of any shape.
    card
        Markdown for ``README.md``.
    overwrite
        Replace an earlier artefact at ``folder``, with everything in it.
    fill
        Writes further files and folders into the new folder, which it is given, before that takes its name.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If ``folder`` is a file or holds something (with ``overwrite``: something that is no artefact), or if
        ``config`` holds what JSON cannot, such as NaN.
    """
    folder = resolved_path(folder)
    _check_free(folder, overwrite)
    text = config_text(config, folder.name)
    with whole_folder(folder) as draft:
        write_flushed(draft / _CONFIG, text)
        write_flushed(draft / _ARRAYS, tensor_bytes(arrays))
        write_flushed(draft / _CARD, card.encode())
        if fill is not None:
            fill(draft)
    return folder


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder``, which takes its name once the block has filled it.

    What was there goes then, and nothing is left of the new folder if the block raises.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    with naming(folder, draft):
        draft.mkdir()
        try:
            yield draft
            sync_folder(draft)
            _swap(draft, folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(folder.parent)


def refresh_folder(folder: str | Path, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], card: str) -> Path:
    """Write an artefact into a folder that holds more, each file in one step; parameters as in :func:`write_folder`.

    For arrays that are replaced again and again under a config that fits them all.
    """
    folder = Path(folder)
    text = config_text(config, folder.name)
    resolved_path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in ((_ARRAYS, tensor_bytes(arrays)), (_CARD, card.encode()), (_CONFIG, text)):
        replace_file(folder / name, content)
    return folder


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and arrays of an artefact folder; encoders that lie inside it are named by the place it has now.

    Raises
    ------
    ModelUnavailableError
        If the folder or a file in it is missing, damaged, not what its name says, or of another format version.

    Warns
    -----
    UserWarning
        If the folder is of the earlier format without digests.
    """
    folder = checked_path(folder, ModelUnavailableError)
    if not folder.is_dir():
        raise ModelUnavailableError(f"there is no artefact folder {folder}. Check the path.")
    for name in (_CONFIG, _ARRAYS):
        if not (folder / name).is_file():
            raise ModelUnavailableError(
                f"{folder} has no {name}, so it is not a complete artefact. Copy the whole folder, or save it again."
            )
    config, digested = _read_config(folder)
    tensors = read_arrays(folder / _ARRAYS, ModelUnavailableError)
    if digested and not tensors.digested:
        raise ModelUnavailableError(f"{folder / _ARRAYS} {_LOST}. Copy or save the folder again.")
    return _with_place(config, folder), tensors.arrays


def _with_place(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``config`` with the folder's path in names of encoders that lie inside it."""
    for key in EDITABLE:
        if isinstance(config.get(key), str):
            config[key] = placed_name(config[key], folder)
    return config


def placed_name(name: str, folder: Path) -> str:
    """An encoder's name with the path of ``folder`` for :data:`HERE`.

    Examples
    --------
    >>> placed_name("hf:local-dir:{folder}/encoders/source#pool=cls", Path("/models/#1"))
    'hf:local-dir:/models/#1/encoders/source#pool=cls'
    >>> placed_name("demo:text", Path("/models"))
    'demo:text'
    """
    if HERE not in name:
        return name
    place = resolved_path(folder, ModelUnavailableError).as_posix()
    start, sign, options = name.partition("#")
    escaped = place.replace("%", "%25").replace("&", "%26").replace("#", "%23")  # as encoders/names.py has options
    return start.replace(HERE, place) + sign + options.replace(HERE, escaped)


def raw_config(folder: Path) -> dict[str, Any]:
    """The values of a checked folder's ``config.json`` with encoders named as they stand there, without digests."""
    config: dict[str, Any] = parse_json((folder / _CONFIG).read_bytes())
    return {key: value for key, value in config.items() if key not in RESERVED}


def config_naming(folder: Path, names: Mapping[str, str]) -> bytes:
    """The ``config.json`` of ``folder`` with other names under the keys that may be edited; all else stays as it is.

    Raises
    ------
    InputError
        For another key.
    """
    if others := [key for key in names if key not in EDITABLE]:
        raise InputError(f"the config key {others[0]!r} is under a digest. Only {' and '.join(EDITABLE)} may change.")
    config = parse_json((folder / _CONFIG).read_bytes())
    return (json.dumps({**config, **names}, indent=2) + "\n").encode()


NO_ARTEFACT = "is no alignment or stitched folder: give what 'stitchkit align' or 'stitchkit stitch' wrote"


def is_foreign(folder: Path) -> bool:
    """True for a file, and for a folder that stitchkit did not write: neither complete nor damaged, but something else.

    A checkpoint of another library has a ``config.json`` and weights as well.
    """
    if not folder.is_dir():
        return True
    if not checked_file(folder / _CONFIG, "a file of settings").is_file():
        return not (folder / _ARRAYS).is_file()
    try:
        config = parse_json((folder / _CONFIG).read_bytes(), any_float=True)
    except (OSError, ValueError):
        return False
    return not isinstance(config, dict) or FORMAT_KEY not in config


def check_artefact(folder: Path) -> Path:
    """``folder``; raises for one that stitchkit did not write, which was named by mistake.

    Raises
    ------
    InputError
        If it is a file, or something else's folder.
    """
    if is_foreign(folder):
        raise InputError(f"{folder} {NO_ARTEFACT}.")
    return folder


def kind_of_folder(folder: Path) -> str:
    """The kind that the config of a folder of this package names; empty where there is none, or no such folder."""
    if not folder.is_dir() or is_foreign(folder):
        return ""
    try:
        kind = parse_json((folder / _CONFIG).read_bytes(), any_float=True).get("kind")
    except (OSError, ValueError):
        return ""
    return kind if isinstance(kind, str) else ""


def _read_config(folder: Path) -> tuple[dict[str, Any], bool]:
    """The config of a folder, and whether it is of the format with digests."""
    path = folder / _CONFIG
    text = path.read_bytes()
    try:
        config = parse_json(text)
    except ValueError as error:
        kind = foreign_kind(path, ModelUnavailableError) or f"cannot be parsed: {error}"
        raise ModelUnavailableError(f"{path} {kind}. Copy or save the folder again.") from error
    version = config.pop(FORMAT_KEY, None) if isinstance(config, dict) else None
    if version not in (UNCHECKED, FORMAT) or isinstance(version, bool):
        raise ModelUnavailableError(
            f"{folder} has artefact format {version!r}; this version of stitchkit reads format {FORMAT}. "
            + ("Update stitchkit." if isinstance(version, int) and version > FORMAT else "Was it saved by stitchkit?")
        )
    digest = config.pop(OWN, None)
    if version == UNCHECKED and digest is None:
        _warn_of_no_digest(folder)
        return config, False
    if digest != digest_of(config):
        raise ModelUnavailableError(
            f"{path} is damaged or was edited: its values do not have the SHA-256 that it holds. Copy or save the "
            f"folder again; only {' and '.join(EDITABLE)} may be edited."
        )
    return config, True


def digest_of(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a config's values, whatever their order and layout in the file."""
    covered = {key: value for key, value in config.items() if key not in (*RESERVED, *EDITABLE)}
    return sha256_of(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode())


def check_format(path: Path, version: str | None, digested: bool) -> None:
    """Raise unless a file of ``version`` is read by this version; warn of one that was written without digests.

    Raises
    ------
    DataError
        For a version that is not known, or digests that are missing where the version has them.

    Warns
    -----
    UserWarning
        For a file of the earlier format without digests.
    """
    if version == str(FORMAT) and not digested:
        raise DataError(f"{path} {_LOST}. Copy or download it again.")
    if version not in (str(UNCHECKED), str(FORMAT)):
        raise DataError(f"{path} has format {version}; this version reads {FORMAT}. Update stitchkit.")
    if not digested:
        _warn_of_no_digest(path)


def _warn_of_no_digest(path: Path) -> None:
    warnings.warn(
        f"{path} was written without SHA-256 digests, so damage to it would not be noticed. Save it again to add them.",
        stacklevel=4,
    )


def config_text(config: Mapping[str, Any], name: str) -> bytes:
    """The content of ``config.json``."""
    if taken := [key for key in RESERVED if key in config]:
        raise InputError(f"the config key {taken[0]!r} is reserved. Rename it.")
    try:
        plain = json.loads(json.dumps(dict(config), default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"the config of {name!r} cannot be written as JSON: {error}.") from error
    whole = {FORMAT_KEY: FORMAT, OWN: digest_of(plain), **plain}
    return (json.dumps(whole, indent=2) + "\n").encode()


def _plain(value: Any) -> Any:
    """Numpy's numbers, paths and sets for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"a {type(value).__name__} is not a plain value")


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        kind = "a file" if folder.is_file() else "a pipe or a device"
        raise InputError(f"{folder} is {kind}; an artefact is a folder. Choose another name.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"{folder} exists and is not empty. Choose another folder, or pass " + setting("overwrite", True) + "."
        )
    if (folder / MANIFEST).is_file():
        raise InputError(
            f"{folder} is a bundle, which holds the files of encoders, and was left alone. Choose another folder."
        )
    # overwrite=True on a home folder must not empty it
    if not ((folder / _CONFIG).is_file() and (folder / _ARRAYS).is_file()):
        raise InputError(f"{folder} holds something else than an artefact and was left alone. Choose another folder.")


def _swap(draft: Path, folder: Path) -> None:
    """Give ``draft`` the name ``folder``; what was there goes only once the new one stands.

    Raises
    ------
    InputError
        If a file, a pipe or a device is there.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is no folder and was left alone. Choose another name.")
    if not folder.exists():
        draft.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    folder.rename(old)
    try:
        draft.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
