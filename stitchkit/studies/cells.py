"""Cells of a study: one method at one number of anchors in one draw, kept on disk as soon as it is known."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.file_errors import naming
from stitchkit.reports.pages import finite
from stitchkit.store import replace_file

LINES, RESAMPLED = "cells.jsonl", "resampled"  # in a folder of a study


@dataclass(frozen=True, slots=True)
class Cell:
    """What one line of a study's log is about.

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
        """What was worked out from cells and kept under ``mark``."""
        path = self.folder / RESAMPLED / f"{mark}.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def keep(self, mark: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was worked out from cells."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        (self.folder / RESAMPLED).mkdir(exist_ok=True)
        replace_file(self.folder / RESAMPLED / f"{mark}.npz", buffer.getvalue())

    def scores(self, key: str) -> np.ndarray:
        """The scores (n, c) of a finished cell."""
        found: np.ndarray = np.load(self._scores(key), allow_pickle=False)
        return found

    def _scores(self, key: str) -> Path:
        return self.folder / "scores" / f"{key}.npy"

    def _read(self) -> Iterator[dict[str, Any]]:
        whole = self.path.read_bytes()
        sound = whole[: whole.rfind(b"\n") + 1]
        if len(sound) < len(whole):  # a kill in the middle of a line
            replace_file(self.path, sound)
        for number, text in enumerate(sound.decode().splitlines(), start=1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"line {number} of {self.path} is no JSON: {error}. Take it out, or move the file away."
                ) from error
            if self._scores(line["key"]).exists():  # a line whose scores were deleted is done again
                yield line


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
