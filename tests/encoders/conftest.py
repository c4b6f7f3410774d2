"""No network: the switches are set before any library reads them."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import TEXTS
from tiny_pairs import ALL_BUILDERS as BUILDERS
from tiny_pairs import ALL_TABLE as TABLE


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """One torch thread: tiny models on busy cores are three times slower with more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint by its builder's name, written once."""
    made: dict[str, Path] = {}

    def folder(builder: str) -> Path:
        if builder not in made:
            made[builder] = BUILDERS[builder](tmp_path_factory.mktemp("tiny") / builder)
        return made[builder]

    return folder


@pytest.fixture
def tiny_name(checkpoint: Callable[[str], Path]) -> Callable[[str], str]:
    """The full encoder name of a row of the table."""

    def named(row: str) -> str:
        pattern, builder, _ = TABLE[row]
        return pattern.format(folder=checkpoint(builder))

    return named


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Five grey images of noise, of different sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + 3 * i, 48 + i), dtype=np.uint8) for i in range(5)]


@pytest.fixture(scope="session")
def items(images: list[np.ndarray]) -> Callable[[str], list]:
    """Items of a modality."""
    return lambda modality: list(images) if modality == "image" else list(TEXTS)
