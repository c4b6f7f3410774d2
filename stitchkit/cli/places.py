"""Checks of output and input paths before any work, and writing in one step."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stitchkit.core.errors import InputError

T = TypeVar("T")


def there(path: str | Path, what: str) -> Path:
    """``path`` if something is there: a mistyped path is the caller's mistake, a bad file is not."""
    if not Path(path).exists():
        raise InputError(f"there is no {what} {path}. Check the path.")
    return Path(path)


def new_file(path: Path, overwrite: bool, check: Callable[[Path], Path] | None = None) -> Path:
    """``path`` if a file may be written there; ``check`` knows the kind of file."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists. Choose another name, or pass --overwrite.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; one file is written. Name a file.")
    _check_writable(path)
    return check(path) if check else path


def new_folder(path: Path, overwrite: bool, marks: tuple[str, ...] = ("config.json", "model.safetensors")) -> Path:
    """``path`` if a folder may be written there; what lacks one of the files ``marks`` is never replaced."""
    if path.is_file():
        raise InputError(f"{path} is a file; a folder is written. Choose another name.")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise InputError(f"{path} exists and is not empty. Choose another folder, or pass --overwrite.")
        if not all((path / mark).is_file() for mark in marks):
            raise InputError(f"{path} holds something else, which is never overwritten. Choose another folder.")
    _check_writable(path)
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    from stitchkit.store import replace_file

    replace_file(path, text.encode())


def _check_writable(path: Path) -> None:
    above = next(one for one in path.resolve().parents if one.exists())
    if not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is a file. Choose another place.")
    if not os.access(above, os.W_OK):
        raise InputError(f"{path} cannot be written: no permission in {above}. Choose another place.")
