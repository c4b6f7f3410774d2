"""Values on disk: artefact folders and files of embeddings, never half-written.

An artefact folder is ``config.json`` (plain values), ``model.safetensors`` (arrays) and ``README.md`` (its card).
Whatever is written goes to a temporary neighbour first, is flushed to disk, and takes its name in one step. Config and
arrays hold SHA-256 digests of themselves, which are checked when they are read.
"""

from __future__ import annotations

import json
import secrets
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError, StitchError
from stitchkit.core.space import Space
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import setting
from stitchkit.storage.atomic_writes import replace_file, sync_folder, write_flushed
from stitchkit.storage.digests import sha256_of
from stitchkit.storage.file_errors import naming
from stitchkit.storage.path_checks import checked_file, checked_path, resolved_path
from stitchkit.storage.tensor_files import OWN, Tensors, read_tensors, tensor_bytes

FORMAT = 2  # of artefact folders and of embedding files; raise it when an old reader would misread a new file
UNCHECKED = 1  # the format without digests, which is read with a warning
_FORMAT_KEY = "stitchkit_format"
RESERVED = (_FORMAT_KEY, OWN)  # keys of every config
# not under the digest, so that a checkpoint may move: the fingerprints of both spaces tell whether it is the same
EDITABLE = ("encoder", "target_encoder")
_CONFIG, _ARRAYS, _CARD = "config.json", "model.safetensors", "README.md"
_LOST = "has lost the SHA-256 digests that a file of this format holds"
_STRANGERS = {
    b"<!doctype": "is a web page: the download needs a login or another link",
    b"<html": "is a web page: the download needs a login or another link",
    b"version https://git-lfs": "is a Git LFS pointer: run 'git lfs pull'",
}


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    card: str,
    *,
    overwrite: bool = False,
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
    text = _config_text(config, folder.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    with naming(folder, draft):
        draft.mkdir()
        try:
            write_flushed(draft / _CONFIG, text)
            write_flushed(draft / _ARRAYS, tensor_bytes(arrays))
            write_flushed(draft / _CARD, card.encode())
            sync_folder(draft)
            _swap(draft, folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    return folder


def refresh_folder(folder: str | Path, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], card: str) -> Path:
    """Write an artefact into a folder that holds more, each file in one step; parameters as in :func:`write_folder`.

    For arrays that are replaced again and again under a config that fits them all.
    """
    folder = Path(folder)
    text = _config_text(config, folder.name)
    resolved_path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in ((_ARRAYS, tensor_bytes(arrays)), (_CARD, card.encode()), (_CONFIG, text)):
        replace_file(folder / name, content)
    return folder


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and arrays of an artefact folder.

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
    return config, tensors.arrays


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
    return not isinstance(config, dict) or _FORMAT_KEY not in config


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


def _read_config(folder: Path) -> tuple[dict[str, Any], bool]:
    """The config of a folder, and whether it is of the format with digests."""
    path = folder / _CONFIG
    text = path.read_bytes()
    try:
        config = parse_json(text)
    except ValueError as error:
        kind = _kind(path, ModelUnavailableError) or f"cannot be parsed: {error}"
        raise ModelUnavailableError(f"{path} {kind}. Copy or save the folder again.") from error
    version = config.pop(_FORMAT_KEY, None) if isinstance(config, dict) else None
    if version not in (UNCHECKED, FORMAT) or isinstance(version, bool):
        raise ModelUnavailableError(
            f"{folder} has artefact format {version}; this version of stitchkit reads format {FORMAT}. "
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


def write_embeddings(path: str | Path, embeddings: Embeddings) -> Path:
    """Write embeddings to one ``.safetensors`` file; an earlier file of embeddings there is replaced.

    The file holds ``vectors`` (n, d) in float16, float32 or float64 as given, ``ids`` as UTF-8 JSON in a uint8
    tensor, and name, width and fingerprint of the space in its metadata.

    Raises
    ------
    InputError
        If ``path`` does not end in ``.safetensors`` or is another kind of file.

    Examples
    --------
    >>> import tempfile
    >>> mine = Embeddings(np.ones((1, 2), np.float16), ["scan 1"], Space("demo", 2, "f1"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = read_embeddings(write_embeddings(f"{folder}/mine.safetensors", mine))
    >>> back.ids.tolist(), back.vectors.dtype.name, back.space.fingerprint
    (['scan 1'], 'float16', 'f1')
    """
    path = check_embeddings_path(path)
    vectors = to_numpy(embeddings.vectors)
    if vectors.dtype not in (np.float16, np.float32, np.float64):
        vectors = vectors.astype(np.float64)
    space = embeddings.space
    metadata = {"kind": "embeddings", _FORMAT_KEY: str(FORMAT), "space": space.name, "dim": str(space.dim)}
    if space.fingerprint is not None:
        metadata["fingerprint"] = space.fingerprint
    # escaped, for file names on disk need not be Unicode: halves of surrogate pairs come back as they were
    ids = np.frombuffer(json.dumps(embeddings.ids.tolist()).encode(), dtype=np.uint8)
    return replace_file(path, tensor_bytes({"vectors": vectors, "ids": ids}, metadata))


def read_embeddings(path: str | Path) -> Embeddings:
    """Embeddings from a file of :func:`write_embeddings`.

    Raises
    ------
    DataError
        If the file is missing, damaged, not of embeddings, or of another format version.

    Warns
    -----
    UserWarning
        If the file is of the earlier format without digests.
    """
    path = checked_file(path, "a file of embeddings")
    if not path.is_file():
        raise DataError(f"there is no file of embeddings {path}. Check the path.")
    tensors = read_arrays(path, DataError)
    arrays, metadata = tensors.arrays, tensors.metadata
    if metadata.get("kind") != "embeddings" or not {"vectors", "ids"} <= set(arrays):
        raise DataError(f"{path} is a safetensors file but holds no embeddings of stitchkit. Was another file meant?")
    check_format(path, metadata.get(_FORMAT_KEY), tensors.digested)
    try:
        ids = parse_json(arrays["ids"].tobytes())
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError("its ids are no list of texts")
        space = Space(metadata["space"], int(metadata["dim"]), metadata.get("fingerprint"))
        return Embeddings(arrays["vectors"], np.asarray(ids, dtype=np.str_), space)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} does not hold embeddings together: {str(error).rstrip('.')}. Write them again."
        ) from error


def check_embeddings_path(path: str | Path) -> Path:
    """``path`` if :func:`write_embeddings` may write there, to be checked before the work.

    Raises
    ------
    InputError
        As of :func:`check_file_path`.
    """
    return check_file_path(path, "embeddings")


def check_file_path(path: str | Path, kind: str) -> Path:
    """``path``, absolute, if a ``.safetensors`` file of ``kind`` may be written there.

    Raises
    ------
    InputError
        For another ending, a folder, or a file there that is of another kind.
    """
    path = resolved_path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{kind} are written to a .safetensors file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; {kind} are written to one file. Name a file.")
    if path.exists() and (there := stated_kind(path)) != kind:
        raise InputError(f"{path} exists and is {there}, not {kind}; it was left alone. Choose another name.")
    return path


def stated_kind(path: Path) -> str:
    """The kind that the metadata of a safetensors file states, such as ``"embeddings"``."""
    try:
        return read_arrays(path, DataError).metadata.get("kind", "another safetensors file")
    except DataError:
        return "unreadable"


def read_arrays(path: Path, error_class: type[StitchError]) -> Tensors:
    """Arrays and metadata of a safetensors file; one that is none, or damaged, is an ``error_class`` that says so."""
    try:
        if kind := _kind(path, error_class):
            raise error_class(f"{path} {kind}. Copy or download it again.")
        return read_tensors(path, error_class)
    except OSError as error:
        raise error_class(f"{path} cannot be read: {error.strerror or error}. Check the file.") from error


def _kind(path: Path, error_class: type[StitchError]) -> str:
    """Kind of a file by its first bytes, for what is often downloaded instead of weights; else empty."""
    with checked_file(path, "a file", error_class).open("rb") as file:
        start = file.read(64).lstrip().lower()
    return next((what for magic, what in _STRANGERS.items() if start.startswith(magic)), "")


def _config_text(config: Mapping[str, Any], name: str) -> bytes:
    """The content of ``config.json``."""
    if taken := [key for key in RESERVED if key in config]:
        raise InputError(f"the config key {taken[0]!r} is reserved. Rename it.")
    try:
        plain = json.loads(json.dumps(dict(config), default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"the config of {name!r} cannot be written as JSON: {error}.") from error
    whole = {_FORMAT_KEY: FORMAT, OWN: digest_of(plain), **plain}
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
    if folder.is_file():
        raise InputError(f"{folder} is a file; an artefact is a folder. Choose another name.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"{folder} exists and is not empty. Choose another folder, or pass " + setting("overwrite", True) + "."
        )
    # overwrite=True on a home folder must not empty it
    if not ((folder / _CONFIG).is_file() and (folder / _ARRAYS).is_file()):
        raise InputError(f"{folder} holds something else than an artefact and was left alone. Choose another folder.")


def _swap(draft: Path, folder: Path) -> None:
    """Give ``draft`` the name ``folder``; what was there goes only once the new one stands."""
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
