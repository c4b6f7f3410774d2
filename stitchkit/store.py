"""Values on disk: artefact folders and files of embeddings, never half-written.

An artefact folder is ``config.json`` (plain values), ``model.safetensors`` (arrays) and ``README.md`` (its card).
Whatever is written goes to a temporary neighbour first, is flushed to disk, and takes its name in one step.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError
from stitchkit.core.space import Space

FORMAT = 1  # of artefact folders and of embedding files; raise it when an old reader would misread a new file
_FORMAT_KEY = "stitchkit_format"
_CONFIG, _ARRAYS, _CARD = "config.json", "model.safetensors", "README.md"
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
        Where it goes; its parent is made if need be.
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
    folder = Path(folder).resolve()
    _check_free(folder, overwrite)
    text = _config_text(config, folder.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    draft.mkdir()
    try:
        _write(draft / _CONFIG, text)
        _write(draft / _ARRAYS, packed(arrays))
        _write(draft / _CARD, card.encode())
        _sync_folder(draft)
        _swap(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync_folder(folder.parent)
    return folder


def refresh_folder(folder: str | Path, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], card: str) -> Path:
    """Write an artefact into a folder that holds more, each file in one step; parameters as in :func:`write_folder`.

    For arrays that are replaced again and again under a config that fits them all.
    """
    folder = Path(folder)
    text = _config_text(config, folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((_ARRAYS, packed(arrays)), (_CARD, card.encode()), (_CONFIG, text)):
        replace_file(folder / name, content)
    return folder


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and arrays of an artefact folder.

    Raises
    ------
    ModelUnavailableError
        If the folder or a file in it is missing, cut off, not what its name says, or of another format version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelUnavailableError(f"there is no artefact folder {folder}. Check the path.")
    for name in (_CONFIG, _ARRAYS):
        if not (folder / name).is_file():
            raise ModelUnavailableError(
                f"{folder} has no {name}, so it is not a complete artefact. Copy the whole folder, or save it again."
            )
    try:
        config = json.loads((folder / _CONFIG).read_text("utf-8"))
    except ValueError as error:
        kind = _kind(folder / _CONFIG) or f"cannot be parsed: {error}"
        raise ModelUnavailableError(f"{folder / _CONFIG} {kind}. Copy or save the folder again.") from error
    version = config.pop(_FORMAT_KEY, None) if isinstance(config, dict) else None
    if version != FORMAT:
        raise ModelUnavailableError(
            f"{folder} has artefact format {version}; this version of stitchkit reads format {FORMAT}. "
            + ("Update stitchkit." if isinstance(version, int) and version > FORMAT else "Was it saved by stitchkit?")
        )
    return config, unpacked(folder / _ARRAYS, ModelUnavailableError)[0]


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
    ids = np.frombuffer(json.dumps(embeddings.ids.tolist(), ensure_ascii=False).encode(), dtype=np.uint8)
    return replace_file(path, packed({"vectors": vectors, "ids": ids}, metadata))


def read_embeddings(path: str | Path) -> Embeddings:
    """Embeddings from a file of :func:`write_embeddings`.

    Raises
    ------
    DataError
        If the file is missing, cut off, not of embeddings, or of another format version.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file of embeddings {path}. Check the path.")
    arrays, metadata = unpacked(path, DataError)
    if metadata.get("kind") != "embeddings" or not {"vectors", "ids"} <= set(arrays):
        raise DataError(f"{path} is a safetensors file but holds no embeddings of stitchkit. Was another file meant?")
    if metadata.get(_FORMAT_KEY) != str(FORMAT):
        raise DataError(
            f"{path} has format {metadata.get(_FORMAT_KEY)}; this version reads {FORMAT}. Update stitchkit."
        )
    ids = np.asarray(json.loads(arrays["ids"].tobytes().decode()), dtype=np.str_)
    space = Space(metadata["space"], int(metadata["dim"]), metadata.get("fingerprint"))
    return Embeddings(arrays["vectors"], ids, space)


def check_embeddings_path(path: str | Path) -> Path:
    """``path`` if :func:`write_embeddings` may write there, else an error; for asking before the work."""
    return check_file_path(path, "embeddings")


def check_file_path(path: str | Path, kind: str) -> Path:
    """``path``, absolute, if a ``.safetensors`` file of ``kind`` may be written there, else an error."""
    path = Path(path).resolve()
    if path.suffix != ".safetensors":
        raise InputError(f"{kind} are written to a .safetensors file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; {kind} are written to one file. Name a file.")
    if path.exists() and (there := kind_of(path)) != kind:
        raise InputError(f"{path} exists and is {there}, not {kind}; it was left alone. Choose another name.")
    return path


def replace_file(path: str | Path, content: bytes) -> Path:
    """Write ``content`` to ``path``, all of it or nothing; its folder is made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return path


def kind_of(path: Path) -> str:
    """What the metadata of a safetensors file says it holds."""
    try:
        return unpacked(path, DataError)[1].get("kind", "another safetensors file")
    except DataError:
        return "unreadable"


def packed(arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file of ``arrays``."""
    from safetensors.numpy import save

    # order="C": safetensors writes the buffer as it lies, so a transposed view would come back scrambled
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=metadata)


def unpacked(path: Path, error_class: type[Exception]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file; one that is none, or cut off, is an ``error_class`` that says so."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        kind = _kind(path) or f"is cut off or no safetensors file ({path.stat().st_size} bytes: {error})"
        raise error_class(f"{path} {kind}. Copy or download it again.") from error


def _kind(path: Path) -> str:
    """What a file is by its first bytes, if it is one of the things people get instead of weights."""
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    return next((what for magic, what in _STRANGERS.items() if start.startswith(magic)), "")


def _config_text(config: Mapping[str, Any], name: str) -> bytes:
    """The content of ``config.json``."""
    if _FORMAT_KEY in config:
        raise InputError(f"the config key {_FORMAT_KEY!r} is reserved. Rename it.")
    try:
        return (json.dumps({_FORMAT_KEY: FORMAT, **config}, indent=2, default=_plain, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"the config of {name!r} cannot be written as JSON: {error}.") from error


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
        raise InputError(f"{folder} exists and is not empty. Choose another folder, or pass overwrite=True.")
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


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make names in ``folder`` last through a power cut; Windows cannot open folders and does without."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
