"""Heads: scores of vectors, in any library, of the right encoder only."""

from __future__ import annotations

import numpy as np
import pytest

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
