"""Relative representations and ASIF against literal versions, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from laws import evidence, paired, rotation

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import EvidenceError, InputError, NoDirectedMapError
from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers.relative import ASIF, Relative

N = 60
X, Y = paired(N, 6, 9)
NEW_X, NEW_Y = paired(20, 6, 9, seed=0)[0] + 0.3, paired(25, 6, 9, seed=3)[1]
EVERY = {
    "relative": Relative(),
    "relative, not centred": Relative(center=False),
    "asif": ASIF(),
    "asif 5": ASIF(keep=5, power=3),
    "asif, not centred": ASIF(keep=20, center=False),
}
over = pytest.mark.parametrize("solver", EVERY.values(), ids=EVERY.keys())


def literal(solver, x, y, a, b):
    """Similarity of queries ``a`` and gallery ``b``: cosines to the paired anchors, cut, raised, compared."""
    sides = []
    for anchors, rows in ((x, a), (y, b)):
        mean = anchors.mean(axis=0) if solver.center else 0
        anchors, rows = anchors - mean, rows - mean
        r = rows @ anchors.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(anchors, axis=1)
        if isinstance(solver, ASIF):
            for one in r:
                one[np.argsort(one)[: max(len(one) - solver.keep, 0)]] = 0
            r = np.maximum(r, 0) ** solver.power
        sides.append(r / np.linalg.norm(r, axis=1, keepdims=True))
    return sides[0] @ sides[1].T


@over
def test_the_similarity_is_the_literal_one(library, solver):
    alignment = solver.fit(evidence(*library(X, Y)))
    found = alignment.similarity(*library(NEW_X, NEW_Y))
    np.testing.assert_allclose(to_numpy(found), literal(solver, X, Y, NEW_X, NEW_Y), rtol=0, atol=1e-12)
    assert type(found) is type(library(X))


@over
def test_align_fits_it_with_the_anchor_rows(library, solver):
    alignment = sk.align(*library(X, Y), solver=solver)
    found = to_numpy(alignment.similarity(*library(NEW_X, NEW_Y)))
    np.testing.assert_allclose(found, literal(solver, X, Y, NEW_X, NEW_Y), rtol=0, atol=1e-12)
    assert alignment.record["chosen_by"] == "the caller"


@over
def test_single_precision_anchors_are_described_in_double(solver):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    exact = solver.fit(evidence(x.astype(np.float64), y.astype(np.float64)))
    found = solver.fit(evidence(x, y)).similarity(NEW_X, NEW_Y)
    np.testing.assert_allclose(found, exact.similarity(NEW_X, NEW_Y), rtol=0, atol=1e-12)


@over
def test_rotating_and_scaling_the_spaces_changes_nothing(solver):
    turned = solver.fit(evidence(2e3 * X @ rotation(6, 2), 1e-3 * Y @ rotation(9, 3)))
    found = turned.similarity(2e3 * NEW_X @ rotation(6, 2), 1e-3 * NEW_Y @ rotation(9, 3))
    np.testing.assert_allclose(found, solver.fit(evidence(X, Y)).similarity(NEW_X, NEW_Y), atol=1e-10)


@over
def test_moving_the_spaces_changes_nothing_where_the_mean_is_taken_off(solver):
    moved = solver.fit(evidence(X + 50, Y - 30)).similarity(NEW_X + 50, NEW_Y - 30)
    same = np.allclose(moved, solver.fit(evidence(X, Y)).similarity(NEW_X, NEW_Y), atol=1e-9)
    assert same == solver.center


@over
def test_the_order_of_the_anchors_is_irrelevant(solver):
    order = np.random.default_rng(1).permutation(N)
    found = solver.fit(evidence(X[order], Y[order])).similarity(NEW_X, NEW_Y)
    np.testing.assert_allclose(found, solver.fit(evidence(X, Y)).similarity(NEW_X, NEW_Y), atol=1e-10)


@over
def test_a_rotated_copy_of_a_space_is_matched_perfectly(solver):
    y = 3 * X @ rotation(6, 1) + (2 if solver.center else 0)
    alignment = solver.fit(evidence(X, y))
    similarity = alignment.similarity(NEW_X, 3 * NEW_X @ rotation(6, 1) + (2 if solver.center else 0))
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-9)
    assert (similarity.argmax(axis=1) == np.arange(20)).all()


def test_asif_that_keeps_all_at_power_one_is_relative_without_the_negatives():
    soft = ASIF(keep=N, power=1).fit(evidence(X, Y)).source_map(NEW_X)
    plain = Relative().fit(evidence(X, Y)).source_map(NEW_X)
    rows = np.maximum(plain, 0)
    np.testing.assert_allclose(soft, rows / rows.max(axis=1, keepdims=True), atol=1e-14)


def test_more_anchors_than_there_are_to_keep_are_said_to_be_kept_all():
    record = ASIF(keep=800).fit(evidence(X, Y)).record
    assert record["settings"] == {"keep": N, "power": 8.0, "center": True}
    assert "800 anchors were to be kept and there are 60" in record["notes"][0]
    assert ASIF(keep=N).fit(evidence(X, Y)).record["notes"] == []


@over
def test_the_record_is_plain_and_there_is_no_directed_map(solver):
    alignment = solver.fit(evidence(X, Y))
    record = json.loads(json.dumps(alignment.record))
    assert record["solver"] == ("asif" if isinstance(solver, ASIF) else "relative")
    assert (record["anchors"], record["rank"]) == (N, 6)
    assert alignment.source_map.target == alignment.target_map.target
    assert alignment.source_map.target.dim == N
    with pytest.raises(NoDirectedMapError, match="meets in a common space"):
        alignment.to_target  # noqa: B018


def test_common_spaces_of_different_anchors_are_told_apart():
    ids = np.arange(N)
    spaces = sk.Space("a", 6, "fa"), sk.Space("b", 9, "fb")
    y = sk.Embeddings(Y, ids, spaces[1])
    one, other = (sk.align(sk.Embeddings(x, ids, spaces[0]), y, solver=Relative()) for x in (X, X + np.eye(N, 6)))
    with pytest.raises(sk.StitchError, match="same width"):
        one.source_map.target.require(other.source_map.target, "a head")


@over
def test_a_head_over_the_common_space_reads_both_sides(solver):
    turn = rotation(6, 4)
    alignment = solver.fit(evidence(X, X @ turn))
    common = alignment.target_map.target
    head = sk.LinearHead(common, ("a",), np.arange(float(N))[:, None], np.zeros(1))
    ours = head.scores(alignment.source_map(NEW_X)).values
    np.testing.assert_allclose(ours, head.scores(alignment.target_map(NEW_X @ turn)).values, atol=1e-8)


@over
def test_what_cannot_be_described_is_refused(solver):
    with pytest.raises(EvidenceError, match="needs anchors"):
        solver.fit(evidence(X, Y, rows=False))
    with pytest.raises(InputError, match="got 1 anchor; this needs at least 2"):
        solver.fit(Evidence(Moments.of(X[:1], Y[:1]), None, (X[:1], Y[:1])))


def test_an_anchor_that_sits_on_the_mean_is_named():
    x = np.concatenate([X, X.mean(axis=0, keepdims=True)])
    y = np.concatenate([Y, Y[:1]])
    for scale in (1, 1e6):
        with pytest.raises(InputError, match=r"anchor 60 of 'array' sits exactly on .* 1 of 61 do"):
            Relative().fit(evidence(x * scale + 3, y))
    assert Relative(center=False).fit(evidence(x, y)).record["anchors"] == 61
    with pytest.raises(InputError, match=r"anchor 0 of 'array' sits exactly on .* 60 of 60 do"):
        ASIF().fit(evidence(X, np.full((N, 3), 0.1)))


@pytest.mark.parametrize("bad", [{"keep": 0}, {"keep": -3}, {"power": 0}, {"power": float("nan")}, {"power": -1.0}])
def test_bad_settings_are_refused_when_they_are_set(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        ASIF(**bad)
    with pytest.raises(InputError, match=next(iter(bad))):
        replace(ASIF(), **bad)


def test_torch_is_described_by_torch():
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(X.copy()), torch.asarray(Y.copy())
    alignment = ASIF(keep=5).fit(evidence(x, y))
    assert type(alignment.source_map.anchors) is type(x)
    half = alignment.similarity(x.to(torch.bfloat16), y.to(torch.bfloat16))
    assert half.dtype == torch.float32
