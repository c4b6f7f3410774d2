"""Moments over Ray: two workers, the same sums; without Ray, what to install."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from stitchkit.core.errors import DataError, InputError, MissingExtraError
from stitchkit.core.moments.moments import Moments
from stitchkit.scale.ray_moments import moments_over_ray

N = 500
RNG = np.random.default_rng(2)
X = RNG.normal(size=(N, 6)) + 1e8
Y = RNG.normal(size=(N, 4))
BOUNDS = [(0, 100), (100, 101), (101, 101), (101, 350), (350, 500)]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[ray\]'"):
        moments_over_ray(BOUNDS, lambda part: None)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    ray = pytest.importorskip("ray", reason="ray is not installed (extra 'ray')")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own: deprecations, open files
        ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's own making
def test_two_workers_give_the_whole(two_workers):
    x, y = X, Y  # closed over: workers do not have this module

    def rows(part):
        return x[part[0] : part[1]], y[part[0] : part[1]]

    def stream(part):
        return (rows((i, min(i + 40, part[1]))) for i in range(*part, 40))  # of no chunk where the part is empty

    def some(part):
        return rows(part) if part[0] < part[1] else None

    whole = Moments.of(X, Y)
    size = np.sqrt(np.outer(np.diag(whole.scatter_ss), np.diag(whole.scatter_tt)))
    for read in (some, stream):
        found = moments_over_ray(BOUNDS, read)
        assert found.count == N
        assert (abs(found.scatter_st - whole.scatter_st) / size).max() < 1e-12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_fault_is_named_by_its_part(two_workers):
    x, y = X.copy(), Y
    x[120] = np.nan
    with pytest.raises(InputError, match=r"^part 3: in x of chunk 0 row 19 holds NaN"):
        moments_over_ray(BOUNDS, lambda b: (x[b[0] : b[1]], y[b[0] : b[1]]) if b[0] < b[1] else None)
    with pytest.raises(InputError, match="none of the parts has rows"):
        moments_over_ray(BOUNDS, lambda part: None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("when", ["at once", "on the way"])
def test_a_part_that_cannot_be_read_is_named(two_workers, when):
    x, y = X, Y

    def rows(part):
        if part[0] == 101 and when == "at once":
            raise FileNotFoundError("no such shard")

        def stream():
            yield x[part[0] : part[1]], y[part[0] : part[1]]
            if part[0] == 101:
                raise FileNotFoundError("no such shard")

        return stream()

    with pytest.raises(DataError, match=r"part 2 could not be read on its worker: FileNotFoundError: no such shard"):
        moments_over_ray([(0, 100), (100, 101), (101, 350)], rows)
