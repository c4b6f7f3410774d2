"""How many threads BLAS takes: for hundreds of small products and factors one is faster than several.

numpy and scipy each have a BLAS of their own, whose threads wait for the next product by spinning. Where calls to both
alternate, or another process is busy, the waiting threads take the processors from the working ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

WORK = 2e10  # multiplications in the scatter of a matrix, above which it is worth several threads: some seconds of one
FEW_PAIRS = 5000  # pairs; comparing so many of them is as fast on one thread, and much faster where other processes run


def is_small(rows: int, columns: int) -> bool:
    """Whether work on matrices of this form gets one thread."""
    return rows * columns * min(rows, columns) < WORK


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """One thread for BLAS within it, where that is wanted; then as many as before.

    scipy has a BLAS of its own, which scikit-learn's optimisers use too. The limit reaches libraries that are loaded
    when it is set, so scipy is loaded first.
    """
    if not wanted:
        yield
        return
    with _loaded().limit(limits=1, user_api="blas"):
        yield


@cache
def _loaded() -> Any:
    """The libraries whose threads can be limited; finding them takes milliseconds."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for BLAS and for torch within it: small networks and matrices, as the demo's."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        torch.set_num_threads(before)
