"""Relative maps: the formula, what is kept, tiles, precision, and the refusal of strangers."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core import relative
from stitchkit.core.arrays import device_of, kth_largest, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.relative import RelativeMap
from stitchkit.core.space import Space

RNG = np.random.default_rng(5)
D, M = 6, 15
SOURCE, COMMON = Space("a", D, "fa"), Space("a ~ b", M, "fc")
CENTER = RNG.normal(size=D)
ANCHORS = RNG.normal(size=(M, D))
ANCHORS /= np.linalg.norm(ANCHORS, axis=1, keepdims=True)
X = RNG.normal(size=(23, D)) + CENTER


def made(keep=None, power=1.0, anchors=ANCHORS, center=CENTER):
    return RelativeMap(SOURCE, Space("a ~ b", len(anchors), "fc"), anchors, center, keep, power)


def literal(x, anchors, center, keep, power):
    """Row by row, with a stable sort."""
    rows = []
    for vector in x - center:
        cosine = anchors @ vector / np.linalg.norm(vector)
        if keep is not None:
            cosine[np.argsort(-cosine, kind="stable")[keep:]] = 0
        if keep is not None or power != 1:
            cosine = np.maximum(cosine, 0)
            cosine = (cosine / max(cosine.max(), 1e-300)) ** power
        rows.append(cosine)
    return np.asarray(rows)


@pytest.mark.parametrize("power", [1, 2, 3, 8, 0.5, 2.5])
@pytest.mark.parametrize("keep", [None, 1, 4, M - 1, M])
def test_the_formula_holds(library, keep, power):
    found = to_numpy(made(keep, power)(library(X)))
    np.testing.assert_allclose(found, literal(X, ANCHORS, CENTER, keep, power), rtol=1e-12, atol=1e-13)


def test_without_a_centre_vectors_are_taken_as_they_are(library):
    found = to_numpy(made(center=None)(library(X)))
    np.testing.assert_allclose(found, literal(X, ANCHORS, 0, None, 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("keep", [1, 2, 3, 5, 8])
def test_of_equal_entries_the_first_are_kept_and_never_more_than_asked(library, keep):
    corners = np.eye(3)[[0, 1, 0, 0, 2, 1, 0, 2]]  # the cosines of equal anchors are equal to the last bit
    f = RelativeMap(Space("a", 3), Space("r", 8), corners, None, keep, 2)
    x = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [1.0, -1.0, 2.0], [-1.0, -1.0, -2.0]])
    found = to_numpy(f(library(x)))
    np.testing.assert_allclose(found, literal(x, corners, 0, keep, 2), rtol=1e-14)
    assert ((found > 0).sum(axis=1) <= keep).all()
    assert not found[3].any()  # nothing alike: nothing is kept


def test_a_row_does_not_depend_on_the_tile_it_is_in(library, monkeypatch):
    f = made(4, 8)
    whole = to_numpy(f(library(X)))
    for rows in (1, 5, 23):
        monkeypatch.setattr(relative, "TILE", rows * M)
        np.testing.assert_allclose(to_numpy(f(library(X))), whole, rtol=1e-13, atol=1e-15)


def test_a_high_power_does_not_underflow_in_single_precision(library):
    x = library((X * 1e-3 + CENTER).astype(np.float32))
    far = np.linalg.qr(ANCHORS[:5].T)[0].T[:2] * 1.0  # two anchors, so that many rows are like neither
    f = made(2, 60, anchors=far)
    found = to_numpy(f(x))
    alike = (to_numpy(made(anchors=far)(x)) > 1e-3).any(axis=1)
    assert alike.sum() > 5
    assert (found[alike].max(axis=1) == 1).all()
    assert np.isfinite(found).all()


def test_a_vector_on_the_centre_is_like_nothing(library):
    rows = np.stack([CENTER, X[0]])
    for f in (made(), made(3, 8)):
        found = to_numpy(f(library(rows)))
        assert not found[0].any()
        assert found[1].any()
        assert not f(Embeddings(rows, ["x", "y"], SOURCE)).vectors[0].any()


DTYPES = {"float64": "float64", "float32": "float32", "float16": "float32", "int64": "float64"}


@pytest.mark.parametrize("given", DTYPES)
def test_precision_and_library_are_kept(library, given):
    if given == "float16" and library.name == "array-api-strict":
        pytest.skip("the standard has no float16")
    x = library((X * 10).astype(given))
    found = made(5, 8)(x)
    assert DTYPES[given] in str(found.dtype)
    assert type(found) is type(x)
    assert device_of(found) == device_of(x)


@pytest.mark.parametrize("ratio", [1e3, 1e5])
def test_single_precision_survives_a_mean_far_from_zero(library, ratio):
    center = CENTER + ratio + 0.123456
    x = (X + ratio).astype(np.float32)
    exact = literal(x.astype(np.float64), ANCHORS, center, None, 1)
    found = to_numpy(made(center=center)(library(x)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-6)


def test_a_map_made_in_one_library_runs_in_another(library):
    moved = RelativeMap(SOURCE, COMMON, *library(ANCHORS, CENTER), 4, 8)
    np.testing.assert_allclose(moved(X), made(4, 8)(X), rtol=1e-13)
    assert type(made(4, 8)(library(X))) is type(library(X))


def test_embeddings_give_embeddings_and_strangers_are_refused():
    f, ids = made(), [f"i{row}" for row in range(len(X))]
    found = f(Embeddings(X, ids, SOURCE))
    assert (found.space, found.ids.tolist()) == (COMMON, ids)
    with pytest.raises(SpaceMismatchError, match=r"'a'.*'stranger'.*Embed with 'a'"):
        f(Embeddings(X, ids, Space("stranger", D, "fx")))
    with pytest.raises(SpaceMismatchError, match=r"\(n, 6\).*\(n, 5\)"):
        f(X[:, :5])


def test_the_rank_is_what_the_anchors_can_tell_apart():
    assert made().rank == D
    assert made(anchors=ANCHORS[:3]).rank == 3


BAD = {
    "anchors of another width": ({"anchors": ANCHORS[:, :5]}, r"needs anchors \(15, 6\) .*got \(15, 5\)"),
    "a centre of another width": ({"center": CENTER[:5]}, r"a centre \(6,\); got \(15, 6\) and \(5,\)"),
    "anchors not of length one": ({"anchors": np.vstack([ANCHORS[:2], 2 * ANCHORS[2:]])}, "row 2 is not"),
    "an anchor of zeros": ({"anchors": np.vstack([ANCHORS[:4], np.zeros((1, D))])}, "row 4 is not"),
    "an anchor of NaN": ({"anchors": np.vstack([ANCHORS[:4], np.full((1, D), np.nan)])}, "length 1"),
    "keep 0": ({"keep": 0}, "keeps 1 to 15 of its anchors; got keep=0"),
    "keep beyond the anchors": ({"keep": 16}, "keep=16"),
    "power 0": ({"power": 0}, "power above 0; got 0"),
    "power NaN": ({"power": float("nan")}, "power above 0; got nan"),
    "power infinite": ({"power": float("inf")}, "power above 0; got inf"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_relative_map_is_refused(case):
    settings, words = BAD[case]
    with pytest.raises(InputError, match=words):
        made(**settings)


@pytest.mark.parametrize("k", [1, 2, 7, 14])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kth_largest_and_the_next_are_those_of_a_sort(library, k, dtype):
    rows = RNG.normal(size=(9, M)).astype(dtype)
    rows[3] = 1.5
    ordered = -np.sort(-rows, axis=1)
    last, following = kth_largest(library(rows), k)
    np.testing.assert_array_equal(to_numpy(last), ordered[:, k - 1 : k])
    np.testing.assert_array_equal(to_numpy(following), ordered[:, k : k + 1])
    assert type(last) is type(library(rows))


@pytest.mark.parametrize("value", [1e308, -1e200, 3.0, np.inf, np.nan])
def test_anchors_of_any_other_length_are_refused_without_an_overflow(value):
    anchors = np.eye(3)
    anchors[1, 2] = value
    with pytest.raises(InputError, match="rows of length 1"):
        RelativeMap(Space("a", 3), Space("r", 3), anchors)
