"""What every test shares: no network, a cache of its own, array libraries, and the folder of real data."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

_CACHE = tempfile.mkdtemp(prefix="stitchkit-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(HF_HUB_OFFLINE="1", MPLBACKEND="Agg", STITCHKIT_CACHE=_CACHE)  # before any library reads them
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # of what is imported from here on
_ONE_THREAD = threadpool_limits(1)  # of numpy, which is here: the matrices of tests are small


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-data", metavar="DIR", default=None, help="folder of real data for the tests marked 'real'")
    parser.addoption("--keep-numbers", action="store_true", help="write the numbers that test_kept_numbers compares")
    parser.addoption("--fuzz-seconds", type=float, default=60.0, help="time of all tests marked 'fuzz' together")
    parser.addoption("--fuzz-seed", type=int, default=0, help="first seed of the tests marked 'fuzz'")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Libraries and tests are millions of objects that stay: no garbage collection walks through them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        gc.set_threshold(10_000, 20, 50)  # libraries imported later are walked through a few times, not fifty


@pytest.fixture(scope="session")
def real_data(pytestconfig: pytest.Config) -> Path:
    """The folder given by --real-data; without it the test is skipped."""
    given = pytestconfig.getoption("--real-data")
    if given is None:
        pytest.skip("needs real data: pass --real-data DIR")
    folder = Path(given).resolve()  # tests write it into tables that lie elsewhere
    if not folder.is_dir():
        pytest.fail(f"--real-data {given}: there is no such folder")
    return folder


@dataclass(frozen=True)
class Library:
    """An array library on one device: how numpy arrays get in."""

    name: str
    array: Callable[..., Any]

    def __call__(self, *arrays: Any) -> Any:
        """One array for one, a tuple for several."""
        made = tuple(self.array(np.array(one)) for one in arrays)  # copies: no library shares memory with another
        return made[0] if len(made) == 1 else made

    def __repr__(self) -> str:
        return self.name


def _numpy() -> Callable[..., Any]:
    return np.asarray


def _strict() -> Callable[..., Any]:
    import array_api_strict

    return array_api_strict.asarray


def _torch() -> Callable[..., Any]:
    import torch

    return torch.asarray


def _torch_cuda() -> Callable[..., Any]:
    import torch

    if not torch.cuda.is_available():
        raise ImportError("torch sees no CUDA device")
    return lambda array: torch.asarray(array, device="cuda")


def _cupy() -> Callable[..., Any]:
    import cupy

    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ImportError(f"cupy sees no CUDA device: {error}") from None
    return cupy.asarray


_LIBRARIES = {"numpy": _numpy, "array-api-strict": _strict, "torch": _torch, "torch-cuda": _torch_cuda, "cupy": _cupy}
_ON_GPU = ("torch-cuda", "cupy")


@cache
def _at_hand() -> tuple[dict[str, Callable[..., Any]], dict[str, str]]:
    """How arrays get into each library that is here, and why the others are not."""
    here, absent = {}, {}
    for name, way in _LIBRARIES.items():
        try:
            here[name] = way()
        except ImportError as error:
            absent[name] = str(error)
    return here, absent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of ``library`` once for each; they are imported here, so that xdist's controller does without."""
    if "library" in metafunc.fixturenames:
        params = [pytest.param(name, marks=pytest.mark.gpu if name in _ON_GPU else ()) for name in _at_hand()[0]]
        metafunc.parametrize("library", params, indirect=True, scope="session")


@pytest.fixture(scope="session")
def library(request: pytest.FixtureRequest) -> Library:
    """Each array library at hand in turn; ``library(x, y)`` brings numpy arrays in."""
    return Library(request.param, _at_hand()[0][request.param])


@pytest.fixture(scope="session")
def absent_libraries() -> dict[str, str]:
    """Array libraries that are not here, with the reason: ``test_array_libraries`` skips once for each."""
    return _at_hand()[1]


def quicken_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of one strength from here on, so that none is chosen by folds."""
    from stitchkit.evaluation.scores.probe import fit_probe

    monkeypatch.setitem(fit_probe.__kwdefaults__, "strengths", (1e-2,))


@pytest.fixture
def quick_probes(monkeypatch):
    """Probes of one strength, so that none is chosen by folds."""
    quicken_probes(monkeypatch)


@pytest.fixture(scope="session")
def quick_probes_within() -> Callable[[], Any]:
    """``with quick_probes_within():`` in fixtures that outlive a test."""

    @contextmanager
    def within() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            quicken_probes(monkeypatch)
            yield

    return within


class Undrawn:
    """A figure that takes every call and draws nothing."""

    axes = ()

    def __init__(self, **settings: Any) -> None:
        self.subplots = MagicMock()

    def findobj(self, kind: type) -> tuple[()]:
        return ()

    def savefig(self, file: Any, **settings: Any) -> None:
        file.write("<svg></svg>")


@pytest.fixture
def undrawn(monkeypatch):
    """Pages with empty figures: drawing them takes a third of a small study's time."""
    monkeypatch.setattr("matplotlib.figure.Figure", Undrawn)
