"""BLAS gets one thread for small searches, and its own number back."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import stitchkit as sk
from stitchkit.alignment import fitting
from stitchkit.evaluation import probes
from stitchkit.threads import SIDE, one_blas_thread, one_thread


def threads():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture
def two():
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("BLAS here takes one thread whatever it is told")
        yield


@pytest.mark.parametrize(("wanted", "inside"), [(True, {1}), (False, {2})])
def test_one_thread_inside_and_as_many_as_before_after(two, wanted, inside):
    with one_blas_thread(wanted):
        assert threads() == inside
    assert threads() == {2}


@pytest.mark.parametrize(
    ("anchors", "dim", "seen"), [(60, 2 * SIDE, {1}), (2 * SIDE, 8, {1}), (SIDE, SIDE, {2}), (3000, SIDE - 16, {2})]
)
def test_a_search_takes_one_thread_where_its_matrices_are_small(two, monkeypatch, anchors, dim, seen):
    def search(*_):
        raise LookupError(threads())

    monkeypatch.setattr(fitting, "_searched", search)
    rows = np.random.default_rng(0).normal(size=(anchors, dim))
    with pytest.raises(LookupError) as found:
        sk.align(rows, rows, anchor_hashes=False)
    assert found.value.args == (seen,)


LOADED_WITHIN = """
import numpy
from threadpoolctl import threadpool_info
from stitchkit.threads import one_blas_thread

def threads():
    return sorted(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")

with one_blas_thread():
    import scipy.optimize, sklearn.linear_model
    print(threads())
print(threads())
"""


def test_the_limit_reaches_a_blas_that_is_first_used_within():
    two = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", LOADED_WITHIN], env=two, capture_output=True, text=True, check=True)
    within, after = done.stdout.splitlines()
    if "2" not in after:
        pytest.skip("BLAS here takes one thread whatever it is told")
    assert set(within) & set("0123456789") == {"1"}


def test_a_probe_is_fitted_with_one_thread(two, monkeypatch):
    seen = []
    inner = probes.fitted_columns
    monkeypatch.setattr(probes, "fitted_columns", lambda *given: seen.append(threads()) or inner(*given))
    rows = np.random.default_rng(0).normal(size=(60, 2 * SIDE))
    sk.fit_probe(rows, sk.Labels((rows[:, :1] > 0).astype(float), [f"i{row}" for row in range(60)], ("a",)))
    assert seen
    assert set().union(*seen) == {1}


def test_torch_too_gets_one_thread_and_its_own_number_back(two):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert (torch.get_num_threads(), threads()) == (1, {1})
        assert (torch.get_num_threads(), threads()) == (2, {2})
        with pytest.raises(LookupError), one_thread():
            raise LookupError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
