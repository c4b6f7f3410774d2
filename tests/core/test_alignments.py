"""Alignments: the similarity is the formula, the directed map is there or says that it is not."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core.alignments import Alignment, weighted_unit_rows
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import NoDirectedMapError, SpaceMismatchError
from stitchkit.core.maps import AffineMap, unit
from stitchkit.core.space import Space

RNG = np.random.default_rng(5)
S, T, COMMON = Space("s", 5, "fs"), Space("t", 4, "ft"), Space("s | t", 3, "fc")
A, B = RNG.normal(size=(6, 5)), RNG.normal(size=(7, 4))
WEIGHTS = np.array([0.9, 0.5, 0.0])


def affine(source, target=COMMON, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=source.dim), rng.normal(size=(source.dim, target.dim)), rng.normal(size=target.dim)
    return AffineMap(source, target, *parts, 3)


def literal(alignment, weights):
    a, b = alignment.source_map(A), alignment.target_map(B)
    out = np.zeros((len(A), len(B)))
    for i in range(len(A)):
        for j in range(len(B)):
            score = sum(weights[k] * a[i, k] * b[j, k] for k in range(3))
            out[i, j] = score / (np.sqrt(sum(a[i] ** 2)) * np.sqrt(sum(b[j] ** 2)))
    return out


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["cosine", "weighted"])
def test_similarity_is_the_formula(library, weights):
    alignment = Alignment(affine(S), affine(T, seed=1), weights)
    expected = literal(alignment, np.ones(3) if weights is None else weights)
    found = alignment.similarity(*library(A, B))
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-12, atol=1e-14)
    assert type(found) is type(library(A))


def test_similarity_takes_embeddings_and_keeps_the_sides_apart():
    alignment = Alignment(affine(S), affine(T, seed=1), WEIGHTS)
    a, b = Embeddings(A, [*"abcdef"], S), Embeddings(B, [*"abcdefg"], T)
    np.testing.assert_array_equal(alignment.similarity(a, b), alignment.similarity(A, B))
    with pytest.raises(SpaceMismatchError):
        alignment.similarity(b, a)
    with pytest.raises(SpaceMismatchError, match="fingerprint"):
        alignment.similarity(Embeddings(A, [*"abcdef"], Space("s", 5, "another")), b)


def test_similarity_takes_sides_of_different_libraries(library):
    alignment = Alignment(affine(S), affine(T, seed=1), WEIGHTS)
    found = alignment.similarity(library(A), B.astype(np.float32))
    np.testing.assert_allclose(to_numpy(found), alignment.similarity(A, B), atol=1e-5)


def test_a_vector_in_the_middle_is_similar_to_nothing():
    to_common = affine(S)
    centred = AffineMap(S, COMMON, A[2], to_common.weight, np.zeros(3), 3)
    alignment = Alignment(centred, affine(T, seed=1))
    assert not alignment.similarity(A, B)[2].any()
    assert not alignment.similarity(Embeddings(A, [*"abcdef"], S), B)[2].any()


def test_rows_come_to_length_one_and_zero_stays_zero(library):
    lengths = np.linalg.norm(to_numpy(unit(library(np.array([[3.0, 4.0], [0.0, 0.0], [1e-100, 0.0]])))), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1])
    left, right = weighted_unit_rows(library(np.eye(2)), library(np.zeros((1, 2))))
    assert (to_numpy(left).tolist(), to_numpy(right).tolist()) == ([[1, 0], [0, 1]], [[0, 0]])


def test_the_spaces_are_those_of_the_maps():
    alignment = Alignment(affine(S), affine(T))
    assert (alignment.source, alignment.target) == (S, T)


def test_a_missing_directed_map_says_what_to_do():
    with pytest.raises(NoDirectedMapError, match=r"'s' -> 't'.*purpose='head'"):
        Alignment(affine(S), affine(T)).to_target  # noqa: B018
    directed = affine(S, T)
    assert Alignment(affine(S), affine(T), directed=directed).to_target is directed


def test_an_alignment_prints_as_one_line():
    import stitchkit as sk

    x = np.random.default_rng(0).normal(size=(60, 4))
    told = repr(sk.align(x, x, solver="ridge"))
    assert told.startswith("Alignment('array' (4) -> 'array' (4), ridge, alpha=")
    assert "held-out mrr 1.000" in told
    assert repr(sk.Moments.of(x, x[:, :2])) == "Moments(60 pairs, weight 60, 'array' (4) and 'array' (2))"
    assert repr(sk.align_many({"a": x, "b": x})).startswith("JointAlignment('a' (4), 'b' (4), ")
