"""What every test shares: no network, a cache of its own, array libraries, and the folder of real data."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    return pytest.importorskip("array_api_strict", reason="array-api-strict is not installed").asarray


def _torch() -> Callable[..., Any]:
    return pytest.importorskip("torch", reason="torch is not installed").asarray


def _torch_cuda() -> Callable[..., Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return lambda array: torch.asarray(array, device="cuda")


def _cupy() -> Callable[..., Any]:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"cupy sees no CUDA device: {error}")
    return cupy.asarray


_LIBRARIES = {"numpy": _numpy, "array-api-strict": _strict, "torch": _torch, "torch-cuda": _torch_cuda, "cupy": _cupy}
_ON_GPU = ("torch-cuda", "cupy")


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.gpu if name in _ON_GPU else ()) for name in _LIBRARIES],
)
def library(request: pytest.FixtureRequest) -> Library:
    """Each array library in turn; ``library(x, y)`` brings numpy arrays in."""
    return Library(request.param, _LIBRARIES[request.param]())
