"""Affine maps: composition, inverse, precision, library and the refusal of strangers."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.arrays import device_of, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.maps import AffineMap, JoinedMap, unit
from stitchkit.core.space import Space

RNG = np.random.default_rng(3)
A, B, C = Space("a", 5, "fa"), Space("b", 4, "fb"), Space("c", 3, "fc")
X = RNG.normal(size=(20, 5))


def affine(source, target, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    shape = source.dim, target.dim
    parts = rng.normal(size=shape[0]), rng.normal(size=shape), rng.normal(size=shape[1])
    return AffineMap(source, target, *parts, min(shape) if rank is None else rank)


def named(rows, space):
    return Embeddings(rows, [f"i{row}" for row in range(rows.shape[0])], space)


def test_the_formula_holds(library):
    f = affine(A, B)
    expected = (X - f.center) @ f.weight + f.bias
    np.testing.assert_allclose(to_numpy(f(library(X))), expected, rtol=1e-13, atol=1e-13)


def test_composition_is_one_map_after_the_other(library):
    f, g = affine(A, B, seed=1), affine(B, C, seed=2)
    both = f.then(g)
    x = library(X)
    np.testing.assert_allclose(to_numpy(both(x)), to_numpy(g(f(x))), rtol=1e-12, atol=1e-12)
    assert (both.source, both.target, both.rank) == (A, C, 3)
    assert f.then(affine(B, C, rank=1)).rank == 1


def test_composition_is_associative():
    f, g, h = affine(A, B, seed=1), affine(B, C, seed=2), affine(C, A, seed=3)
    np.testing.assert_allclose(f.then(g).then(h)(X), f.then(g.then(h))(X), rtol=1e-11, atol=1e-11)


def test_the_inverse_undoes_the_map(library):
    f = affine(A, Space("a2", 5, "f2"))
    back = f.inverse()
    assert (back.source, back.target) == (f.target, f.source)
    np.testing.assert_allclose(to_numpy(back(f(library(X)))), X, atol=1e-11)
    np.testing.assert_allclose(f.then(back)(X), X, atol=1e-11)


@pytest.mark.parametrize("f", [affine(A, B), affine(A, Space("a2", 5), rank=4)], ids=["not square", "low rank"])
def test_what_has_no_inverse_says_so(f):
    with pytest.raises(InputError, match="only a square map of full rank"):
        f.inverse()


def test_maps_that_do_not_meet_are_not_composed():
    with pytest.raises(SpaceMismatchError, match="'c' -> 'a'"):
        affine(A, B).then(affine(C, A))
    with pytest.raises(SpaceMismatchError, match="same width"):
        affine(A, B).then(affine(Space("b", 4, "another"), C))


def test_vectors_of_another_encoder_of_equal_width_are_refused():
    f = affine(A, B)
    with pytest.raises(SpaceMismatchError, match=r"'a'.*'stranger'.*Embed with 'a'"):
        f(named(X, Space("stranger", 5, "fx")))
    with pytest.raises(SpaceMismatchError, match=r"\(n, 5\).*\(n, 4\)"):
        f(X[:, :4])
    assert f(named(X, Space("renamed", 5, "fa"))).space == B


def test_embeddings_give_embeddings_and_arrays_give_arrays(library):
    f, x = affine(A, B), library(X)
    mapped = f(named(x, A))
    assert isinstance(mapped, Embeddings)
    assert mapped.space == B
    assert mapped.ids.tolist() == [f"i{row}" for row in range(20)]
    assert type(f(x)) is type(mapped.vectors) is type(x)
    assert device_of(f(x)) == device_of(x)


DTYPES = {"float64": "float64", "float32": "float32", "int64": "float64", "int32": "float64"}


def test_a_joined_map_takes_and_gives_what_its_members_do():
    parts = (affine(A, B), affine(A, Space("b2", 2, "f5")))
    joined = JoinedMap(parts, Space("joined", B.dim + 2, "f6"))
    x = np.random.default_rng(4).normal(size=(7, A.dim))
    given = Embeddings(x, np.arange(7), A)
    found = joined(given)
    assert (found.space, found.ids.tolist()) == (joined.target, given.ids.tolist())
    np.testing.assert_array_equal(found.vectors, joined(x))
    np.testing.assert_allclose(joined(x), np.concatenate([unit(one(x)) for one in parts], axis=1), rtol=1e-14)
    with pytest.raises(SpaceMismatchError, match=f"the map '{A.name}' -> 'joined' takes"):
        joined(Embeddings(x, np.arange(7), Space("stranger", A.dim, "f9")))


def test_weights_of_a_joined_map_are_those_of_its_members_in_the_mean_of_cosines(library):
    parts = (affine(A, B), affine(A, Space("b2", 2, "f5")))
    weighed = JoinedMap(parts, Space("joined", B.dim + 2, "f6"), (1.0, 3.0))
    x = np.random.default_rng(4).normal(size=(7, A.dim))
    cosines = [unit(one(x)) @ unit(one(x)).T for one in parts]
    rows = unit(to_numpy(weighed(library(x))))
    np.testing.assert_allclose(rows @ rows.T, (cosines[0] + 3 * cosines[1]) / 4, atol=1e-12)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_weights_that_are_none_are_refused(weights):
    parts = (affine(A, B), affine(A, Space("b2", 2, "f5")))
    with pytest.raises(InputError, match="2 members needs as many weights"):
        JoinedMap(parts, Space("joined", B.dim + 2, "f6"), weights)


@pytest.mark.parametrize("given", DTYPES)
def test_precision_is_kept_or_made_single(library, given):
    x = library((X * 10).astype(given))
    assert DTYPES[given] in str(affine(A, B)(x).dtype)


@pytest.mark.parametrize("given", ["float16", "bfloat16"])
def test_half_precision_gives_single(given):
    torch = pytest.importorskip("torch")
    x = torch.asarray(X).to(getattr(torch, given))
    mapped = affine(A, B)(x)
    assert mapped.dtype == torch.float32
    np.testing.assert_allclose(mapped.numpy(), affine(A, B)(x.double().numpy()), rtol=1e-4, atol=1e-5)
    assert affine(A, B)(X.astype(np.float16)).dtype == np.float32


def test_a_map_fitted_in_one_library_runs_in_another(library):
    x, y = library(X.astype(np.float32), affine(A, B)(X))
    f = affine(A, B)
    moved = AffineMap(A, B, *library(f.center, f.weight, f.bias), f.rank)
    np.testing.assert_allclose(moved(X), to_numpy(y), rtol=1e-13)
    assert type(f(x)) is type(x)


@pytest.mark.parametrize("ratio", [1e3, 1e5])
def test_single_precision_survives_a_mean_far_from_zero(library, ratio):
    sd = np.array([1.0, 2.0, 0.5, 1.0, 1.0])
    x = (X * sd + ratio).astype(np.float32)
    f = affine(A, B)
    f = AffineMap(A, B, x.astype(np.float64).mean(0), f.weight, f.bias, 4)
    exact = (x.astype(np.float64) - f.center) @ f.weight + f.bias
    mapped = f(library(x))
    assert "float32" in str(mapped.dtype)
    assert (abs(to_numpy(mapped) - exact) / exact.std(0)).max() < 2e-6


def test_the_mapped_rows_do_not_depend_on_their_neighbours(library):
    f, x = affine(A, B), library(X)
    for row in (0, 19):
        np.testing.assert_allclose(to_numpy(f(x[row : row + 1, :])), to_numpy(f(x))[row : row + 1], rtol=1e-13)


def test_a_vector_at_the_centre_maps_to_the_bias_and_may_map_to_zero():
    f = AffineMap(A, B, X[0], affine(A, B).weight, np.zeros(4), 4)
    assert not f(X)[0].any()
    assert not f(named(X, A)).vectors[0].any()  # embeddings are mapped like arrays


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_unit_rows_of_any_size_in_single_precision(library, size):
    rows = np.random.default_rng(0).normal(size=(5, 4))
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = to_numpy(unit(library((rows * size).astype(np.float32))))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert to_numpy(unit(library(np.zeros((2, 3), dtype=np.float32)))).tolist() == [[0] * 3] * 2


def test_tiny_single_precision_vectors_reach_huge_ones(library):
    x, y = np.float32([[1e-20, 2e-20], [3e-20, -1e-20]]), [[1e20, 2e20], [3e20, -1e20]]
    f = AffineMap(Space("a", 2), Space("b", 2), np.zeros(2), 1e40 * np.eye(2), np.zeros(2), 2)
    np.testing.assert_allclose(to_numpy(f(library(x))), y, rtol=1e-6)
