"""Cells of a study: one method at one number of anchors in one draw, kept on disk as soon as it is known."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.strict_json import parsed
from stitchkit.file_errors import naming
from stitchkit.reports.pages import finite
from stitchkit.store import replace_file

_DAMAGED = (  # what numpy and zipfile raise of damaged files
    ValueError, TypeError, LookupError, EOFError, OSError, RuntimeError, MemoryError, SyntaxError, OverflowError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
_HEADER = re.compile(
    rb"\x93NUMPY[\x01-\x03]\0.{2,4}?\{'descr': '[<>|=]?[fiubU]\d{1,3}', 'fortran_order': (False|True), "
    rb"'shape': \([\d, ]*\), \} *\n",
    re.DOTALL,
)
LINES, RESAMPLED = "cells.jsonl", "resampled"  # in a folder of a study


@dataclass(frozen=True, slots=True)
class Cell:
    """One fit or baseline of a study: a line of its log.

    Parameters
    ----------
    source, target
        Encoders; empty for what does not look through one.
    method
        A solver, or a baseline.
    anchors
        How many; None for all, 0 for a method that uses none.
    draw
        Which draw of them.
    """

    source: str
    target: str
    method: str
    anchors: int | None = None
    draw: int = 0

    def key(self, circumstances: Mapping[str, Any]) -> str:
        """A name for the result: another one as soon as anything that decides it is another."""
        whole = json.dumps([asdict(self), circumstances], sort_keys=True, default=str)
        return hashlib.sha256(whole.encode()).hexdigest()[:24]

    def __str__(self) -> str:
        through = " -> ".join(one for one in (self.source, self.target) if one)
        count = {None: "all anchors", 0: "no anchors"}.get(self.anchors, f"{self.anchors} anchors, draw {self.draw}")
        return ", ".join(one for one in (through, self.method, count) if one)


class CellLog:
    """The finished cells of a study in ``folder``: a line each in ``cells.jsonl``, their scores in ``scores/``.

    A cell is there entirely or not at all: its scores are in place before its line is written, and a line that a kill
    cut short is dropped when the log is opened again.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        (self.folder / "scores").mkdir(parents=True, exist_ok=True)
        self.path = self.folder / LINES
        self.path.touch()
        self._lines = {line["key"]: line for line in self._read()}

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._lines[key]

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, key: str, cell: Cell, values: np.ndarray, facts: Mapping[str, Any]) -> None:
        """Keep the scores (n, c) of a cell, then its line."""
        buffer = io.BytesIO()
        np.save(buffer, values)
        replace_file(self._scores(key), buffer.getvalue())
        text = json.dumps(finite({"key": key, **asdict(cell), **facts}), default=_plain, allow_nan=False) + "\n"
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._lines[key] = json.loads(text)

    def kept(self, mark: str) -> dict[str, np.ndarray] | None:
        """Arrays that were computed from cells and are kept under ``mark``."""
        path = self.folder / RESAMPLED / f"{mark}.npz"
        if not path.exists():
            return None
        kept: dict[str, np.ndarray] = _loaded(path)
        return kept

    def keep(self, mark: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was worked out from cells."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        (self.folder / RESAMPLED).mkdir(exist_ok=True)
        replace_file(self.folder / RESAMPLED / f"{mark}.npz", buffer.getvalue())

    def scores(self, key: str) -> np.ndarray:
        """The scores (n, c) of a finished cell.

        Raises
        ------
        DataError
            If their file is damaged.
        """
        scores: np.ndarray = _loaded(self._scores(key))
        return scores

    def _scores(self, key: str) -> Path:
        return self.folder / "scores" / f"{key}.npy"

    def _read(self) -> Iterator[dict[str, Any]]:
        whole = self.path.read_bytes()
        sound = whole[: whole.rfind(b"\n") + 1]
        if len(sound) < len(whole):  # a kill in the middle of a line
            replace_file(self.path, sound)
        for number, text in enumerate(sound.splitlines(), start=1):
            try:
                line = parsed(text)
            except ValueError as error:
                raise DataError(
                    f"line {number} of {self.path} is no JSON: {error}. Take it out, or move the file away."
                ) from error
            if not _is_cell(line):
                raise DataError(f"line {number} of {self.path} is no cell. Take it out, or move the file away.")
            if self._scores(line["key"]).exists():  # a line whose scores were deleted is done again
                yield line


def _is_cell(line: Any) -> bool:
    """True if a line holds a key that may name a file, and the fields of a cell."""
    return (
        isinstance(line, dict)
        and isinstance(line.get("key"), str)
        and re.fullmatch(r"[0-9A-Za-z_-]{1,64}", line["key"]) is not None
        and all(isinstance(line.get(name), str) for name in ("source", "target", "method"))
        and type(line.get("draw")) is int
        and type(line.get("anchors", "")) in (int, type(None))
    )


def _loaded(path: Path) -> Any:
    """The array of an ``.npy`` file, or those of an ``.npz`` by name."""
    content = path.read_bytes()
    try:
        if path.suffix == ".npy":
            return _array(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged: {error}. Move it away, and it is made again.") from error


def _array(content: bytes) -> np.ndarray:
    """The array of an ``.npy`` file's content."""
    if _HEADER.match(content) is None:  # numpy warns of some that it never writes, or of what Python 2 wrote
        raise ValueError("its header is none that numpy writes of numbers")
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
