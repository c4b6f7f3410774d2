"""The log of a run on disk, a line of JSON a step or a validation, and the same numbers as curves of TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stitchkit.core.errors import DataError, MissingExtraError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.file_errors import naming

LOG = "log.jsonl"


class Curves(Protocol):
    """A logger that draws numbers as curves, such as TensorBoard's of Lightning."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Some numbers after a step."""

    def save(self) -> None:
        """Put on disk what was given so far."""


def tensorboard(folder: Path) -> Curves:
    """TensorBoard's event files in ``folder/tensorboard``.

    Raises
    ------
    MissingExtraError
        Without TensorBoard.
    """
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    try:
        return TensorBoardLogger(folder, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "TensorBoard cannot be imported. Run: pip install tensorboard, or leave it out."
        ) from error


class RunLog:
    """Lines of JSON, one a step or a validation; what lies beyond the state a run goes on from is taken off.

    ``curves`` gets the same numbers.
    """

    def __init__(self, folder: Path, step: int, curves: Curves | None = None) -> None:
        self.path, self.curves = folder / LOG, curves
        kept = [line for line in _lines(self.path) if line["step"] <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, line: Mapping[str, Any]) -> None:
        """One more line."""
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line), allow_nan=False) + "\n")
        if self.curves is not None:
            with naming(self.path.parent / "tensorboard"):
                self.curves.log_metrics(dict(_numbers(line)), line["step"])

    def sync(self) -> None:
        """Make what was added last through a power cut."""
        if self.curves is not None:
            with naming(self.path.parent / "tensorboard"):
                self.curves.save()
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            os.fsync(file.fileno())


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    whole = path.read_bytes()
    lines = whole[: whole.rfind(b"\n") + 1].splitlines()  # a kill may cut the last one
    return [_line(line, f"line {number} of {path}") for number, line in enumerate(lines, start=1)]


def _line(text: bytes, where: str) -> dict[str, Any]:
    try:
        line = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where} is no JSON: {error}. Take it out, or move the file away.") from error
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        raise DataError(f"{where} is no line of a training log: it has no 'step'. Take it out, or move the file away.")
    return line


def _numbers(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{name}", number) for name, number in _numbers(value))
        elif isinstance(value, int | float) and key != "step":
            yield key, value
