"""Checkpoints on disk: what they must look like before they are opened, and their fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.errors import ModelUnavailableError
from stitchkit.core.strict_json import parse_json
from stitchkit.encoders.folder_kinds import ADAPTER, adapter, describe_folder
from stitchkit.storage.path_checks import checked_file

COUNT_LIMITS = (
    (re.compile(r"(^|_)(layers?|depths?|blocks?|stages?)$"), 1000),
    (re.compile(r"(^|_)(labels|classes)$"), 10**6),
)  # pattern of settings that count what is built one by one -> the largest number
WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt")  # in the order they are preferred


def fingerprint(state: Mapping[str, Any], settings: Mapping[str, Any], files: Iterable[bytes] = ()) -> str:
    """16 hex digits that change with the weights or with any setting.

    Parameters
    ----------
    state
        Name -> tensor, as loaded. Floats are hashed as float32, so device and precision do not matter.
    settings
        Preprocessing, pooling, layer, prompt prefix: values that can be written as JSON. None counts as absent.
    files
        Contents that decide the vectors too, such as source code.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        array = tensor.contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    digest.update(json.dumps(_plain(settings), sort_keys=True).encode())
    for content in files:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def check_folder(folder: Path, name: str) -> dict[str, Any]:
    """The config of the checkpoint in ``folder``, once its files look like a checkpoint.

    Raises
    ------
    ModelUnavailableError
        Naming the file that is missing or is something else, and the next step.
    """
    if folder.is_file():
        raise ModelUnavailableError(f"encoder {name!r} names the file {folder}. Give the folder that holds it.")
    if not folder.is_dir():
        raise ModelUnavailableError(f"encoder {name!r}: there is no folder {folder}. Check the path.")
    config = folder / "config.json"
    if (folder / ADAPTER).is_file():  # with peft installed transformers would load the adapter's base instead
        raise ModelUnavailableError(f"encoder {name!r}: {folder} is not a whole model. {adapter(folder)}")
    if not config.is_file():
        advice = describe_folder(folder) or "Copy the whole folder from its source, not the weights alone."
        raise ModelUnavailableError(
            f"encoder {name!r}: {folder} holds no config.json, so it is not a checkpoint of this family. {advice}"
        )
    _check_content(config)
    settings = settings_in(config)
    if not isinstance(settings, dict):
        raise ModelUnavailableError(f"{config} is not a JSON object. Copy it again from its source.")
    check_counts(settings, config)
    files = weight_files(folder)
    if not files or all(file.name.startswith("open_clip") for file in files):
        kind = describe_folder(folder)
        advice = kind if kind and "without" not in kind else "Copy the weights next to config.json."
        raise ModelUnavailableError(
            f"encoder {name!r}: {folder} holds no weights ({', '.join(WEIGHTS)}); they would be random. {advice}"
        )
    for file in files:
        check_weights(file)
    return settings


def settings_in(file: Path) -> Any:
    """The content of a JSON file of settings.

    Raises
    ------
    ModelUnavailableError
        If it is no JSON in UTF-8, or has one key twice, of which libraries take either.
    """
    try:
        return parse_json(checked_file(file, "a file of settings", ModelUnavailableError).read_bytes(), any_float=True)
    except ValueError as error:
        raise ModelUnavailableError(f"{file} is not JSON: {error}. Copy it again from its source.") from error


def check_counts(settings: Any, where: object) -> None:
    """Raise for settings that ask for more layers or classes than a model has, at any depth.

    Libraries build them one by one, so that a damaged number is a load without an end.

    Parameters
    ----------
    settings
        Content of a ``config.json``.
    where
        File or encoder that they come from, for the message.

    Raises
    ------
    ModelUnavailableError
        Naming the setting, its value and the limit.

    Examples
    --------
    >>> check_counts({"num_hidden_layers": 12, "text_config": {"depths": [2, 2, 6, 2]}}, "mine")
    >>> check_counts({"text_config": {"depths": [2, 200000]}}, "mine")
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.ModelUnavailableError: mine sets depths = 200000; no model has more than 1000. Copy it again \
from its source.
    """
    inside: list[tuple[str, Any]] = [("", settings)]  # a stack, not recursion: settings may be nested to any depth
    while inside:
        key, value = inside.pop()
        if isinstance(value, Mapping):
            inside.extend((str(name), one) for name, one in value.items())
        elif isinstance(value, list | tuple):
            inside.extend((key, one) for one in value)
        elif isinstance(value, int):
            _check_count(key, value, where)


def _check_count(key: str, count: int, where: object) -> None:
    limit = next((most for pattern, most in COUNT_LIMITS if pattern.search(key)), None)
    if limit is not None and count > limit:
        raise ModelUnavailableError(
            f"{where} sets {key} = {count}; no model has more than {limit}. Copy it again from its source."
        )


def weight_files(folder: Path) -> list[Path]:
    """The weights of the preferred kind in ``folder``; the main file alone where there is one."""
    for pattern in WEIGHTS:
        if files := sorted(folder.glob(pattern)):
            main = [file for file in files if file.stem in ("model", "pytorch_model")]
            return main or files
    return []


def check_weights(file: Path) -> None:
    """Raise if a weights file is empty, a web page, a git-LFS pointer, or a safetensors file cut short."""
    _check_content(file)
    if file.suffix != ".safetensors":
        return
    _tensors(file)


def tensor_names(file: Path) -> list[str]:
    """Names of the tensors of a safetensors file, by its header.

    Raises
    ------
    ModelUnavailableError
        If it is none, or cut short.
    """
    return list(_tensors(file))


def _tensors(file: Path) -> dict[str, Any]:
    """The header of a whole safetensors file, without what is no tensor."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length + 8 <= size else b""
    try:
        tensors = {key: entry for key, entry in parse_json(header).items() if key != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise _bad(file, f"is not a whole safetensors file ({size} bytes, its header cannot be read)") from error
    if 8 + length + end != size:
        raise _bad(file, f"has {size} bytes where its header announces {8 + length + end}; the copy was cut short")
    return tensors


def _check_content(file: Path) -> None:
    with checked_file(file, "a file", ModelUnavailableError).open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise _bad(file, "is empty")
    if start.startswith((b"<!doctype", b"<html")):
        raise _bad(file, "is a web page, not the file itself (a download link that asked for a login does this)")
    if start.startswith(b"version https://git-lfs"):
        raise _bad(file, "is a git-LFS pointer, not the file itself; 'git lfs pull' in its repository fetches it")


def _bad(file: Path, fault: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"{file} {fault}. Download it again and compare its size with the source.")


def _plain(value: Any) -> Any:
    """``value`` as JSON writes it, without entries that are None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
