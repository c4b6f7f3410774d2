"""The state of a run on disk: one file that is there entirely or not at all."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.artefact_schemas import Count, Size, check_fields
from stitchkit.storage.atomic_writes import exclusive_lock, replace_file
from stitchkit.storage.digests import check_digest, sha256_of
from stitchkit.training.optimizer_states import check_optimizer, check_precision
from stitchkit.training.validation import Validation

RUN = "run"  # below the encoder's folder: state and log
IN_FILE = {"network.size": "network.features"}  # keys that are called otherwise in a recipe's file
STATE = "last.pt"
_BROKEN = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError)
HEADER = b"stitchkit state 2\n"  # begins the file; the SHA-256 of the rest follows in a line of its own


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state in one step; what was there stays until the new one is whole."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    replace_file(folder / STATE, HEADER + sha256_of(content).encode() + b"\n" + content)


def check_run(folder: Path) -> None:
    """Raise for a folder that holds something else than the state of a run.

    Raises
    ------
    InputError
        Naming it: it is neither written into nor removed.
    """
    if folder.exists() and not (folder.is_dir() and {one.name for one in folder.iterdir()} <= {STATE}):
        raise InputError(f"{folder}, where the state of the run would stand, holds something else. Move it away.")


def forget_run(folder: Path) -> None:
    """Remove the state of a run that is done, and its folder if nothing else is in it."""
    (folder / STATE).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state that a run left, or None.

    Raises
    ------
    DataError
        If the file is damaged or cannot be read.

    Warns
    -----
    UserWarning
        If the file was written without a digest, by an earlier version.
    """
    import torch

    path = folder / STATE
    if path.is_dir():
        raise DataError(f"{path} is a folder, where the state of a run belongs. Move it away to begin again.")
    if not path.is_file():
        return None
    content = _without_digest(path.read_bytes(), path)
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read: {error}. Move it away to begin again.") from error
    return state


class StateFields(msgspec.Struct):
    """The state of a training run; ``best`` and ``recipe`` are JSON."""

    network: dict[str, Any]
    objective: dict[str, Any]
    optimizer: dict[str, Any]
    precision: dict[str, Any]
    step: Count
    since: Count
    world: Size
    best: str
    recipe: str
    pairs: str


@dataclass(frozen=True, slots=True)
class RunState:
    """State of a run that was stopped, as read from its file.

    Parameters
    ----------
    network, objective, optimizer, precision
        States for torch to load, within :func:`restoring`.
    step, since, world
        Steps made, validations since the best one, processes.
    best
        The best validation, or None.
    recipe
        The recipe in plain values.
    pairs
        Digest of the pairs.
    """

    network: dict[str, Any]
    objective: dict[str, Any]
    optimizer: dict[str, Any]
    precision: dict[str, Any]
    step: int
    since: int
    world: int
    best: Validation | None
    recipe: Mapping[str, Any]
    pairs: str


def read_run_state(folder: Path) -> RunState | None:
    """The state in which the run in ``folder`` was stopped, or None.

    Raises
    ------
    DataError
        If the file of its state is damaged, or holds something else.
    """
    state = read_state(folder)
    if state is None:
        return None
    try:
        fields = check_fields(state, StateFields)
        best, recipe = parse_json(fields.best), parse_json(fields.recipe)
        check_optimizer(fields.optimizer)
        check_precision(fields.precision)
        known = None if best is None else Validation.of_dict(check_fields(best, dict[str, Any]))
        return RunState(
            network=state["network"], objective=state["objective"],  # as torch made them
            optimizer=state["optimizer"], precision=state["precision"],
            step=fields.step, since=fields.since, world=fields.world, best=known,
            recipe=check_fields(recipe, dict[str, Any]), pairs=fields.pairs,
        )  # fmt: skip
    except (InputError, ValueError) as error:
        raise DataError(
            f"{folder / STATE} holds no state of a run: {str(error).rstrip('.')}. Move it away to begin again."
        ) from error


@contextmanager
def alone_in_run(folder: Path) -> Iterator[None]:
    """Alone among the processes that train in ``folder`` inside the block.

    Raises
    ------
    InputError
        If another process trains there now.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(folder / RUN, wait=False))
        except BlockingIOError as error:
            raise InputError(
                f"another process is training in {folder}. Wait for it, or name another folder."
            ) from error
        yield


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Turn what torch raises inside the block, on the state of another network or optimizer, into a DataError.

    Raises
    ------
    DataError
        Naming the file, with the first two lines of what torch says: the second names the tensor.
    """
    try:
        yield
    except _BROKEN as error:
        lines = str(error).split("\n")[:2] if str(error).strip() else [type(error).__name__]
        reason = " ".join(line.strip() for line in lines)[:300].rstrip(".: ")
        raise DataError(
            f"{folder / STATE} does not fit this run's network: {reason}. Move it away to begin again."
        ) from error


def _without_digest(content: bytes, path: Path) -> bytes:
    """The bytes that torch wrote, without the digest before them, by which they are checked."""
    if not content.startswith(HEADER):
        if not content.startswith(b"PK"):  # a ZIP archive, as torch writes
            raise DataError(f"{path} cannot be read: it is no state of a run. Move it away to begin again.")
        warnings.warn(
            f"{path} was written without a SHA-256 digest, so damage to it would not be noticed. The next state of "
            f"this run has one.",
            stacklevel=3,
        )
        return content
    digest, _, rest = content[len(HEADER) :].partition(b"\n")
    check_digest(rest, digest.decode("latin-1"), path, remedy="Move it away to begin again.")
    return rest


def check_same(recipe: Mapping[str, Any], before: Mapping[str, Any], folder: Path) -> None:
    """Raise where a run is to go on with another recipe, naming what differs."""
    now, then = _flat(recipe), _flat(before)
    differing = [key for key in {**then, **now} if now.get(key) != then.get(key)]
    if "objective.name" in differing:  # whose other keys are its own
        differing = [key for key in differing if key == "objective.name" or not key.startswith("objective.")]
    if differing:
        changes = "; ".join(
            f"{IN_FILE.get(key, key)} was {then.get(key)!r} and is {now.get(key)!r}" for key in differing[:5]
        )
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise InputError(
            f"the run in {folder} was begun with another recipe: {changes}{more}. Restore it, or name another folder."
        )


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
