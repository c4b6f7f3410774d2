"""Heads: scores of vectors, in any library, of the right encoder only."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from stitchkit.core import heads
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.maps import AffineMap
from stitchkit.core.space import Space

RNG = np.random.default_rng(11)
SPACE, COMMON = Space("s", 4, "fs"), Space("c", 3, "fc")
X = RNG.normal(size=(6, 4))
MAP = AffineMap(SPACE, COMMON, RNG.normal(size=4), RNG.normal(size=(4, 3)), np.zeros(3), 3)
POSITIVE, NEGATIVE = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in RNG.normal(size=(2, 2, 3)))
WEIGHTS = np.array([1.0, 0.5, 0.1])
LINEAR = LinearHead(SPACE, ("p", "q"), RNG.normal(size=(4, 2)), RNG.normal(size=2))


def literal(classes, weights):
    common = MAP(X)
    return np.array([[sum(weights * row * one) / np.linalg.norm(row) for one in classes] for row in common])


def test_a_linear_head_is_its_formula(library):
    scores = LINEAR.scores(library(X))
    np.testing.assert_allclose(scores.values, X @ LINEAR.weight + LINEAR.bias, rtol=1e-13)
    assert (scores.kind, scores.classes, scores.values.dtype) == ("logit", ("p", "q"), np.float64)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["cosine", "weighted"])
def test_a_zero_shot_head_is_its_formula(library, weights):
    ones = np.ones(3) if weights is None else weights
    alone = ZeroShotHead(MAP, ("p", "q"), POSITIVE, weights=weights).scores(library(X))
    np.testing.assert_allclose(alone.values, literal(POSITIVE, ones), atol=1e-13)
    assert alone.kind == "cosine"
    against = ZeroShotHead(MAP, ("p", "q"), POSITIVE, NEGATIVE, weights).scores(library(X))
    np.testing.assert_allclose(against.values, literal(POSITIVE, ones) - literal(NEGATIVE, ones), atol=1e-13)
    assert against.kind == "margin"


@pytest.mark.parametrize("head", [LINEAR, ZeroShotHead(MAP, ("p", "q"), POSITIVE)], ids=["linear", "zero-shot"])
def test_a_head_refuses_another_encoder_and_keeps_ids(head):
    ids = [*"abcdef"]
    assert head.space == SPACE
    assert head.scores(Embeddings(X, ids, SPACE)).ids.tolist() == ids
    with pytest.raises(SpaceMismatchError, match="'stranger'"):
        head.scores(Embeddings(X, ids, Space("stranger", 4, "fx")))
    with pytest.raises(SpaceMismatchError):
        head.scores(X[:, :3])


def test_only_one_of_many_is_predicted():
    head = ZeroShotHead(MAP, ("p", "q"), POSITIVE, multiclass=True)
    best = head.scores(X).values.argmax(axis=1)
    assert head.predict(X) == tuple("pq"[i] for i in best)
    with pytest.raises(InputError, match="several classes"):
        ZeroShotHead(MAP, ("p", "q"), POSITIVE).predict(X)


HEADS = {
    "linear": LINEAR,
    "cosine": ZeroShotHead(MAP, ("p", "q"), POSITIVE),
    "margin": ZeroShotHead(MAP, ("p", "q"), POSITIVE, NEGATIVE),
    "weighted margin": ZeroShotHead(MAP, ("p", "q"), POSITIVE, NEGATIVE, WEIGHTS),
    "one direction": ZeroShotHead(AffineMap(SPACE, COMMON, MAP.center, MAP.weight, MAP.bias, 1), ("p", "q"), POSITIVE),
}


@pytest.mark.parametrize("name", HEADS)
def test_scores_do_not_depend_on_how_many_rows_are_read_together(monkeypatch, library, name):
    given = Embeddings(library(X), [*"abcdef"], SPACE)
    whole = HEADS[name].scores(given)
    for rows in (1, 4):
        monkeypatch.setattr(heads, "ENTRIES", 4 * rows)
        parts = HEADS[name].scores(given)
        np.testing.assert_allclose(parts.values, whole.values, rtol=1e-13, atol=1e-13)
        assert (parts.ids.tolist(), parts.kind, parts.classes) == ([*"abcdef"], whole.kind, whole.classes)


@pytest.mark.parametrize("name", HEADS)
def test_no_items_have_no_scores(name):
    assert HEADS[name].scores(Embeddings(X[:0], [], SPACE)).values.shape == (0, 2)
    with pytest.raises(SpaceMismatchError, match="'stranger'"):
        HEADS[name].scores(Embeddings(X[:0], [], Space("stranger", 4, "fx")))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_centre_is_subtracted_in_the_inputs_precision(dtype):
    wide = Space("wide", 64, "fw")
    rng = np.random.default_rng(3)
    center = np.full(64, 1e3)
    to_common = AffineMap(wide, COMMON, center, rng.normal(size=(64, 3)), np.zeros(3), 3)
    x = (center + rng.normal(size=(50, 64))).astype(dtype)
    exact = ZeroShotHead(to_common, ("p", "q"), POSITIVE, NEGATIVE).scores(x.astype(np.float64)).values
    head = ZeroShotHead(to_common, ("p", "q"), POSITIVE.astype(np.float32), NEGATIVE.astype(np.float32))
    np.testing.assert_allclose(head.scores(x).values, exact, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_nothing_as_large_as_the_vectors_is_held(name):
    n, d = 120_000, 128
    space = Space("s", d, "fs")
    made = HEADS[name]
    weight = np.random.default_rng(0).normal(size=(d, 3))
    to_common = AffineMap(space, COMMON, np.zeros(d), weight, np.zeros(3), MAP.rank)
    if isinstance(made, LinearHead):
        head = LinearHead(space, made.classes, weight[:, :2], made.bias)
    else:
        head = ZeroShotHead(to_common, made.classes, made.positive, made.negative, made.weights)
    x = np.ones((n, d), dtype=np.float32)
    tracemalloc.start()
    try:
        scores = head.scores(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    chunk = 4 * heads.ENTRIES
    assert peak < scores.values.nbytes + scores.ids.nbytes + 3 * chunk  # x alone is 61 MB
    assert 3 * chunk < x.nbytes
