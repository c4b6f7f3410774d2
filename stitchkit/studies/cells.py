"""Cells of a study: one method at one number of anchors in one draw, kept on disk as soon as it is known."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.plain_values import plain
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import counted
from stitchkit.storage.artefact_schemas import check_fields
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.digests import NO_DIGEST, check_digest, holds_own_digest, sha256_of, with_own_digest
from stitchkit.storage.file_errors import naming
from stitchkit.storage.path_checks import checked_file
from stitchkit.studies.cell_fields import CellFields

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
_DIGEST = "sha256"  # the name of the digest among kept arrays
_UNNOTICED = "so damage to them would not be noticed"
_REMEDY = "Run the study again, and the cell is worked out again."


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
        Number of anchors; None, the default, for all, 0 for a method that uses none.
    draw
        Number of the draw of them, default 0.
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
        count = {None: "all anchors", 0: "no anchors"}.get(
            self.anchors, f"{counted(self.anchors or 0, 'anchor')}, draw {self.draw}"
        )
        return ", ".join(one for one in (through, self.method, count) if one)


class CellLog:
    """The finished cells of a study in ``folder``: a line each in ``cells.jsonl``, their scores in ``scores/``.

    A cell is there entirely or not at all: its scores are in place before its line is written, and a line that a kill
    cut short is dropped when the log is opened again. A line holds its own SHA-256 and that of its scores; a cell whose
    line or scores are damaged is left out with a warning, so that the study works it out again.

    Raises
    ------
    DataError
        If a line is no JSON or no cell: it is named by its number.

    Warns
    -----
    UserWarning
        With the number of cells that are damaged, and of those that an earlier version wrote without digests.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        (self.folder / "scores").mkdir(parents=True, exist_ok=True)
        self.path = self.folder / LINES
        self.path.touch()
        self._unchecked_resamples = False
        self._lines = self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._lines[key]

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, key: str, cell: Cell, values: np.ndarray, facts: Mapping[str, Any]) -> None:
        """Keep the scores (n, c) of a cell, then its line.

        Parameters
        ----------
        facts
            ``kind`` of the scores, ``record``, ``seconds`` and ``parts``, as :class:`CellFields` has them.
        """
        buffer = io.BytesIO()
        np.save(buffer, values)
        content = buffer.getvalue()
        digests = {"sha256": NO_DIGEST, "scores_sha256": sha256_of(content)}  # the first zeros are the line's own
        whole = plain({**digests, "key": key, **asdict(cell), **facts})
        text = with_own_digest(json.dumps(whole, default=str, allow_nan=False).encode())
        line = json.loads(text)
        check_fields(line, CellFields)
        replace_file(self._scores(key), content)
        with naming(self.path), self.path.open("ab") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines[key] = line

    def read_arrays(self, name: str, names: Collection[str] = ()) -> dict[str, np.ndarray] | None:
        """Arrays that were computed from cells and are kept under ``name``.

        Parameters
        ----------
        names
            Arrays that must be among them.

        Returns
        -------
        dict or None
            None where nothing is kept; with a warning, where it is damaged.
        """
        path = self.folder / RESAMPLED / f"{name}.npz"
        if not path.exists():
            return None
        try:
            arrays: dict[str, np.ndarray] = _read_arrays(path, checked_file(path, "an array").read_bytes())
            digest = arrays.pop(_DIGEST, None)
            if digest is not None and str(digest) != _digest_of(name, arrays):
                raise DataError(f"{path} is damaged: its arrays do not have the SHA-256 on record.")
            if lost := sorted(set(names) - set(arrays)):
                raise DataError(f"{path} is damaged: {lost[0]!r} is missing.")
        except DataError as error:
            warnings.warn(f"{error} Its numbers are worked out again from the cells.", stacklevel=2)
            return None
        if digest is None and not self._unchecked_resamples:
            self._unchecked_resamples = True
            warnings.warn(f"files in {path.parent} were written without SHA-256 digests, {_UNNOTICED}.", stacklevel=2)
        return arrays

    def keep(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays that were computed from cells."""
        buffer = io.BytesIO()
        whole = {**arrays, _DIGEST: np.asarray(_digest_of(name, arrays))}
        np.savez(buffer, allow_pickle=False, **whole)
        (self.folder / RESAMPLED).mkdir(exist_ok=True)
        replace_file(self.folder / RESAMPLED / f"{name}.npz", buffer.getvalue())

    def scores(self, key: str) -> np.ndarray:
        """The scores (n, c) of a finished cell.

        Raises
        ------
        DataError
            If their file is damaged.
        """
        return self._scores_of(self._lines[key])

    def _scores_of(self, line: Mapping[str, Any]) -> np.ndarray:
        path = self._scores(line["key"])
        content = checked_file(path, "an array").read_bytes()
        if "scores_sha256" in line:
            check_digest(content, line["scores_sha256"], path, remedy=_REMEDY)
        scores: np.ndarray = _read_arrays(path, content)
        return scores

    def _scores(self, key: str) -> Path:
        return self.folder / "scores" / f"{key}.npy"

    def _read(self) -> dict[str, dict[str, Any]]:
        """The cells that are whole, by key; of several lines of one key the last."""
        lines, damaged = self._sound_lines()
        known = {line["key"]: line for line in lines}
        known = {key: line for key, line in known.items() if self._scores(key).exists()}  # deleted ones are done again
        unfit = {key for key, line in known.items() if not self._fits(line)}
        damaged += [str(self._scores(key)) for key in known if key in unfit]
        if damaged:
            _warn(
                f"{counted(len(damaged), 'cell')} of {self.folder} {'is' if len(damaged) == 1 else 'are'} "
                f"damaged and {'is' if len(damaged) == 1 else 'are'} worked out again: {damaged[0]} first."
            )
        if unchecked := sum("sha256" not in line for line in known.values()):
            _warn(
                f"{counted(unchecked, 'cell')} of {self.path} {'was' if unchecked == 1 else 'were'} written "
                f"without SHA-256 digests, {_UNNOTICED}."
            )
        return {key: line for key, line in known.items() if key not in unfit}

    def _sound_lines(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The lines that have their own digest or none, and names of the others, which are taken out of the file."""
        whole = checked_file(self.path, "a log of cells").read_bytes()
        sound, lines, damaged = [], [], []
        for number, text in enumerate(whole[: whole.rfind(b"\n") + 1].splitlines(keepends=True), start=1):
            line = self._line(number, text)
            if "sha256" not in line or holds_own_digest(text.rstrip(b"\r\n"), line["sha256"]):
                sound.append(text)
                lines.append(line)
            else:
                damaged.append(f"line {number} of {self.path}")
        kept = b"".join(sound)
        if len(kept) < len(whole):  # damage, or a kill in the middle of a line
            replace_file(self.path, kept)
        return lines, damaged

    def _line(self, number: int, text: bytes) -> dict[str, Any]:
        try:
            line: dict[str, Any] = parse_json(text)
        except ValueError as error:
            raise DataError(
                f"line {number} of {self.path} is no JSON: {error}. Take it out, or move the file away."
            ) from error
        try:
            check_fields(line, CellFields)
        except InputError as error:
            raise DataError(
                f"line {number} of {self.path} is no cell: {error}. Take it out, or move the file away."
            ) from error
        return line

    def _fits(self, line: Mapping[str, Any]) -> bool:
        """True if the scores of a line can be read, and have its digest if it has one."""
        try:
            self._scores_of(line)
        except DataError:
            return False
        return True


def _warn(note: str) -> None:
    warnings.warn(note, stacklevel=4)  # at the line that opens the log


def _digest_of(key: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays with their names, and of the name that they are kept under."""
    whole = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        whole.update(repr((name, array.dtype.str, array.shape)).encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _read_arrays(path: Path, content: bytes) -> Any:
    """The array of an ``.npy`` file, or those of an ``.npz`` by name; ``content`` is that of ``path``."""
    try:
        if path.suffix == ".npy":
            return _array(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged: {str(error).rstrip('.')}.") from error


def _array(content: bytes) -> np.ndarray:
    """The array of an ``.npy`` file's content."""
    if _HEADER.match(content) is None:  # numpy warns of some that it never writes, or of what Python 2 wrote
        raise ValueError("its header is none that numpy writes of numbers")
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
