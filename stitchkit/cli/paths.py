"""Checks of input and output paths before any work, and writing in one step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stitchkit.core.errors import InputError
from stitchkit.storage.path_checks import resolved_path

PAGES = (".html", ".htm")
ARTEFACT = ("config.json", "model.safetensors")  # files of every folder that may be written again


def existing_path(path: str | Path, what: str) -> Path:
    """``path`` if something is there: a mistyped path is the caller's mistake, a bad file is not."""
    if not Path(path).exists():
        raise InputError(f"there is no {what} {path}. Check the path.")
    return Path(path)


def named_folder(source: str | Path) -> Path:
    """The folder that a path or a name of ours means: ``stitchkit:bound#modality=xray`` is ``bound/xray``.

    Examples
    --------
    >>> named_folder("stitched").name, named_folder("stitchkit:bound#modality=xray").as_posix()
    ('stitched', 'bound/xray')
    """
    if not str(source).startswith("stitchkit:"):
        return Path(source)
    from stitchkit.encoders.names import EncoderName

    name = EncoderName.parse(str(source))
    name.check_options(("modality",))
    return Path(name.id, *([name.options["modality"]] if "modality" in name.options else []))


def read_artefact(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and arrays of a folder of stitchkit; another folder was named by mistake."""
    from stitchkit.storage.folders import check_artefact, read_folder

    return read_folder(check_artefact(folder))


def new_file(path: Path, overwrite: bool, check: Callable[[Path], Path] | None = None) -> Path:
    """``path`` if a file may be written there; ``check`` knows the kind of file."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists. Choose another name, or pass --overwrite.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; one file is written. Name a file.")
    _check_writable(path)
    return check(path) if check else path


def new_folder(path: Path, overwrite: bool) -> Path:
    """``path`` if the folder of an artefact may be written there; another folder is never replaced."""
    folder_name(path)
    if path.is_dir() and any(path.iterdir()):
        if not all((path / file).is_file() for file in ARTEFACT):
            raise InputError(
                f"{path} is not empty: it holds something else, which is never overwritten. Choose another folder."
            )
        if not overwrite:
            raise InputError(f"{path} exists and is not empty. Choose another folder, or pass --overwrite.")
    _check_writable(path)
    return path


def new_page(path: Path, overwrite: bool, files: tuple[str, ...]) -> Path:
    """``path`` if the page's ``files`` may be written into that folder; other files in it are never touched."""
    folder_name(path)
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        if earlier := [name for name in files if (path / name).exists()]:
            raise InputError(
                f"{path} is not empty: it holds {' and '.join(earlier)}. Choose another folder, or pass --overwrite to "
                f"replace the page."
            )
        raise InputError(
            f"{path} is not empty: it holds other files. Choose another folder, or pass --overwrite to write "
            f"{' and '.join(files)} beside them."
        )
    _check_writable(path)
    return path


def folder_name(path: Path) -> Path:
    """``path`` if it can name a folder: neither a file nor a name that a page would have."""
    if path.exists() and not path.is_dir():
        kind = "a file" if path.is_file() else "a pipe or a device"
        raise InputError(f"{path} is {kind}; a folder is written. Choose another name.")
    if path.suffix.lower() in PAGES:
        raise InputError(
            f"{path} names a page; a folder is written, with the page in it. Give a folder, for example "
            f"{path.with_suffix('')}."
        )
    return path


def write_json(path: Path | None, document: Mapping[str, Any]) -> None:
    """Write a result's JSON document, if a file for it was named."""
    from stitchkit.cli.console import as_json

    if path is not None:
        write_text(path, as_json(document) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    from stitchkit.storage import atomic_writes

    atomic_writes.write_text(path, text)


def _check_writable(path: Path) -> None:
    above = next(one for one in resolved_path(path).parents if one.exists())
    if not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is a file. Choose another place.")
    if not os.access(above, os.W_OK):
        raise InputError(f"{path} cannot be written: no permission in {above}. Choose another place.")


@contextlib.contextmanager
def draft_beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, on the same disk, which is gone after the block."""
    resolved_path(path.parent).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder)
