"""How many threads BLAS takes: for hundreds of small products and factors one is faster than several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SIDE, ENTRIES = 400, 1_000_000  # of matrices that gain nothing from a second thread (OpenBLAS, two cores)

FEW_PAIRS = 5000  # pairs; comparing so many of them is as fast on one thread, and much faster where other processes run


def is_small(rows: int, columns: int) -> bool:
    """Whether matrices of this form are faster on one thread."""
    return min(rows, columns) < SIDE and rows * columns < ENTRIES


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """One thread for BLAS within it, where that is wanted; then as many as before.

    scipy has a BLAS of its own, which scikit-learn's optimisers use too. The limit reaches libraries that are loaded
    when it is set, so scipy is loaded first.
    """
    if not wanted:
        yield
        return
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


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
