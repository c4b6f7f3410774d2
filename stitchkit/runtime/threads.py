"""The number of BLAS threads: for hundreds of small products and factors one is faster than several.

numpy and scipy each have a BLAS of their own, whose threads wait for the next product by spinning. Where calls to both
alternate, or another process is busy, the waiting threads take the processors from the working ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

WORK = 2e10  # multiplications in the scatter of a matrix, above which it is worth several threads: some seconds of one

FEW_PAIRS = 5000  # pairs; comparing so many of them is as fast on one thread, and much faster where other processes run

Undo = Callable[[], Any]


def is_small(rows: int, columns: int) -> bool:
    """True where work on matrices of this form gets one thread."""
    return rows * columns * min(rows, columns) < WORK


@dataclass(eq=False)
class SharedSetting:
    """A setting of the process, made by the first of several threads that enters and undone by the last that leaves.

    Parameters
    ----------
    begin
        Makes the setting and returns the function that undoes it.
    """

    begin: Callable[[], Undo]
    inside: int = 0
    undo: Undo | None = None
    lock: Any = field(default_factory=Lock)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The setting, for as long as anything is inside."""
        with self.lock:
            if not self.inside:
                self.undo = self.begin()
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside and self.undo is not None:
                    self.undo()


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """One thread for BLAS within it, where that is wanted; then as many as before.

    The limit is the process's: while several threads are within, it holds until the last has left. scipy has a BLAS of
    its own, which scikit-learn's optimisers use too. The limit reaches the libraries that are loaded at the first limit
    of the process; scipy is loaded for it.
    """
    with ExitStack() as stack:
        if wanted:
            stack.enter_context(_BLAS.entered())
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for BLAS and for torch within it: small networks and matrices, as the demo's."""
    with _TORCH.entered(), one_blas_thread():
        yield


@cache
def _blas_libraries() -> Any:
    """The libraries whose threads can be limited; finding them takes milliseconds."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _limit_blas() -> Undo:
    limiter = _blas_libraries().limit(limits=1, user_api="blas")
    undo: Undo = limiter.restore_original_limits
    return undo


def _limit_torch() -> Undo:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)


_BLAS, _TORCH = SharedSetting(_limit_blas), SharedSetting(_limit_torch)
