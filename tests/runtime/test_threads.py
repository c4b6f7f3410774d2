"""BLAS gets one thread for small searches, and its own number back."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  its BLAS is one of those whose threads are counted
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import stitchkit as sk
import stitchkit.runtime.threads
from stitchkit.alignment import anchor_search
from stitchkit.evaluation.scores import probe as probes
from stitchkit.runtime.threads import is_small, one_blas_thread, one_thread


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
    ("rows", "columns", "small"),
    [(100, 512, True), (2000, 768, True), (10_000, 768, True), (500, 20_000, True), (100_000, 1024, False)],
)
def test_what_takes_seconds_on_one_thread_is_small(rows, columns, small):
    assert is_small(rows, columns) == small == is_small(columns, rows)


@pytest.mark.parametrize(("work", "seen"), [(1e9, {1}), (1e3, {2})])
@pytest.mark.parametrize(("solver", "step"), [("auto", "_search"), (sk.Ridge(), "_fit_solver")])
def test_a_fit_takes_one_thread_where_its_matrices_are_small(two, monkeypatch, work, seen, solver, step):
    def fit(*_):
        raise LookupError(threads())

    monkeypatch.setattr(anchor_search, step, fit)
    monkeypatch.setattr(stitchkit.runtime.threads, "WORK", work)
    rows = np.random.default_rng(0).normal(size=(60, 80))
    with pytest.raises(LookupError) as found:
        sk.align(rows, rows, solver=solver, anchor_hashes=False)
    assert found.value.args == (seen,)


@pytest.mark.parametrize(
    ("fit", "place"),
    [
        (lambda x: sk.align_many({"a": x, "b": x}), "stitchkit.alignment.align_many._fit"),
        (lambda x: sk.align_through((x, x), (x, x)), "stitchkit.solvers.hub.HubComposition.fit"),
        (lambda x: sk.align_without_pairs(x, x), "stitchkit.alignment.pools.align_without_pairs.match_clouds"),
        (lambda x: sk.compare(x, x, solvers=["ridge"]), "stitchkit.evaluation.retrieval.folded_pairs.align"),
        (lambda x: sk.learning_curve(x, x, solver="ridge"), "stitchkit.evaluation.retrieval.learning_curve.align"),
    ],
)
def test_so_do_maps_among_many_spaces_without_pairs_and_along_a_curve(two, monkeypatch, fit, place):
    def inner(*_, **__):
        raise LookupError(threads())

    monkeypatch.setattr(place, inner)
    with pytest.raises(LookupError) as found:
        fit(np.random.default_rng(0).normal(size=(120, 8)))
    assert found.value.args == ({1},)


LOADED_WITHIN = """
import numpy
from threadpoolctl import threadpool_info
from stitchkit.runtime.threads import one_blas_thread

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
    inner = probes.fit_columns
    monkeypatch.setattr(probes, "fit_columns", lambda *given: seen.append(threads()) or inner(*given))
    rows = np.random.default_rng(0).normal(size=(60, 800))
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


def test_the_last_of_several_that_leaves_restores_the_number(two):
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == {1}
    second.__exit__(None, None, None)
    assert threads() == {2}


def test_alignments_in_several_threads_leave_the_number_as_it_was(two):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 8))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: sk.align(x[:n], y[:n], solver="ridge", progress=False), [60, 20, 40, 30]))
    assert threads() == {2}
