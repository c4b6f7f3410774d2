"""Artefacts with other contents than this package writes and right digests: only the content is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.storage import folders as store
from stitchkit.storage.tensor_files import OWN, read_tensors, tensor_bytes


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The folder with its config changed in place by ``change(config)``."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    version = config.pop("stitchkit_format")
    config.pop(OWN, None)
    change(config)
    path.write_text(json.dumps({"stitchkit_format": version, OWN: store.digest_of(config), **config}))


def with_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """The safetensors file with other arrays; its metadata stay unless others are given."""
    kept = read_tensors(path, DataError).metadata if metadata is None else metadata
    path.write_bytes(tensor_bytes(arrays, kept))
