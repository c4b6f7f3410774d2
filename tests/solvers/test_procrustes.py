"""Procrustes against scipy, padded against thin, and lengths on the anchors' span."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from laws import fit, paired, rotation
from scipy.spatial.transform import Rotation

from stitchkit.core.arrays import to_numpy
from stitchkit.solvers.procrustes import Procrustes


def isometry(alignment):
    return alignment.source_map.weight @ alignment.target_map.weight.T


def test_scipy_finds_the_same_rotation_and_scale():
    x, y = paired(60, 5, 5, noise=0.5)
    a, b = x - x.mean(0), y - y.mean(0)
    reference, trace = scipy.linalg.orthogonal_procrustes(a, b)
    alignment = fit(Procrustes(), x, y)
    np.testing.assert_allclose(isometry(alignment), reference, atol=1e-10)
    np.testing.assert_allclose(alignment.to_target.weight, trace / (a**2).sum() * reference, atol=1e-10)


@pytest.mark.parametrize(("d_s", "d_t"), [(5, 3), (3, 5), (4, 4)])
def test_padding_with_zeros_gives_the_same_map(d_s, d_t):
    x, y = paired(60, d_s, d_t, noise=0.5)
    wide = max(d_s, d_t)
    a, b = (np.pad(rows - rows.mean(0), ((0, 0), (0, wide - rows.shape[1]))) for rows in (x, y))
    padded = scipy.linalg.orthogonal_procrustes(a, b)[0][:d_s, :d_t]
    np.testing.assert_allclose(isometry(fit(Procrustes(), x, y)), padded, atol=1e-10)


def test_lengths_and_angles_are_kept_on_the_anchors_span():
    x = paired(7, 12, 12)[0]
    y = x @ rotation(12, 1)
    mapped = fit(Procrustes(), x, y).to_target(x)
    np.testing.assert_allclose(mapped, y, atol=1e-10)
    centred = x - x.mean(0)
    mapped = mapped - mapped.mean(0)
    np.testing.assert_allclose(mapped @ mapped.T, centred @ centred.T, atol=1e-10)


def test_reflections_are_allowed():
    x = paired(60, 4, 4)[0]
    y = x * [1, 1, 1, -1]
    assert np.linalg.det(isometry(fit(Procrustes(), x, y))) == pytest.approx(-1)


def test_the_rank_asked_for_is_kept_and_no_more():
    x, y = paired(60, 6, 5)
    assert fit(Procrustes(rank=2), x, y).record["rank"] == 2
    assert fit(Procrustes(rank=50), x, y).record["rank"] == 5
    low = fit(Procrustes(rank=2), x, y)
    u, s, vh = np.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    stretch = s[:2].sum() / np.trace(u[:, :2].T @ (x - x.mean(0)).T @ (x - x.mean(0)) @ u[:, :2])
    np.testing.assert_allclose(low.to_target.weight, stretch * u[:, :2] @ vh[:2], atol=1e-10)


def test_without_stretch_the_directed_map_is_the_isometry_itself():
    x, y = paired(60, 5, 5, noise=0.5)
    stretched, rigid = fit(Procrustes(), x, y), fit(Procrustes(stretch=False), x, y)
    reference, _ = scipy.linalg.orthogonal_procrustes(x - x.mean(0), y - y.mean(0))
    np.testing.assert_allclose(rigid.to_target.weight, reference, atol=1e-10)
    np.testing.assert_allclose(rigid.similarity(x, y), stretched.similarity(x, y), atol=1e-12)
    assert (rigid.record["stretch"], rigid.record["settings"]["stretch"]) == (1.0, False)
    ratio = stretched.to_target.weight / rigid.to_target.weight
    np.testing.assert_allclose(ratio, stretched.record["stretch"], rtol=1e-9)


def kabsch(x, y):
    """The proper rotation nearest to carrying centred x onto centred y, and its trace."""
    a, b = x - x.mean(0), y - y.mean(0)
    u, s, vh = np.linalg.svd(a.T @ b)
    signs = np.ones(len(s))
    signs[-1] = np.sign(np.linalg.det(u @ vh))
    return (u * signs) @ vh, (s * signs).sum() / (a**2).sum()


@pytest.mark.parametrize("d", [2, 3, 6])
@pytest.mark.parametrize("mirrored", [False, True])
def test_without_reflections_it_is_kabsch(library, d, mirrored):
    x = paired(40, d, d)[0]
    turn = rotation(d, 1)
    turn[:, 0] *= np.linalg.det(turn) * (-1 if mirrored else 1)
    y = x @ turn + 0.3 * np.random.default_rng(2).normal(size=x.shape)
    alignment = fit(Procrustes(reflections=False), *library(x, y))
    reference, stretch = kabsch(x, y)
    np.testing.assert_allclose(to_numpy(isometry(alignment)), reference, atol=1e-9)
    np.testing.assert_allclose(to_numpy(alignment.to_target.weight), stretch * reference, atol=1e-9)
    assert np.linalg.det(reference) == pytest.approx(1)
    assert alignment.record["notes"] == []
    assert alignment.record["settings"]["reflections"] is False


def test_scipy_aligns_vectors_of_space_with_the_same_rotation():
    x = paired(40, 3, 3)[0]
    y = x * [1, 1, -1] + 0.3 * np.random.default_rng(2).normal(size=x.shape)
    reference, _ = Rotation.align_vectors(y - y.mean(0), x - x.mean(0))
    found = fit(Procrustes(reflections=False, stretch=False), x, y).to_target.weight
    np.testing.assert_allclose(found.T, reference.as_matrix(), atol=1e-6)


@pytest.mark.parametrize(
    ("solver", "shape"),
    [
        (Procrustes(reflections=False), (60, 4, 6)),
        (Procrustes(reflections=False), (60, 6, 4)),
        (Procrustes(reflections=False), (4, 5, 5)),
        (Procrustes(reflections=False, rank=3), (60, 5, 5)),
        (Procrustes(reflections=False, pca=3), (60, 5, 5)),
    ],
    ids=str,
)
def test_a_map_of_lower_rank_has_nothing_to_flip_and_says_so(solver, shape):
    x, y = paired(*shape)
    found, plain = fit(solver, x, y), fit(replace(solver, reflections=True), x, y)
    np.testing.assert_allclose(found.to_target.weight, plain.to_target.weight, atol=1e-12)
    assert "part of a proper rotation" in found.record["notes"][0]
    assert plain.record["notes"] == []
    # the claim: the partial isometry is a block of a proper rotation of a space wide enough
    u, v = found.source_map.weight, found.target_map.weight
    wide = max(shape[1:])
    left, right = (np.pad(side, ((0, wide - len(side)), (0, 0))) for side in (u, v))
    left, right = (np.hstack([side, scipy.linalg.null_space(side.T)]) for side in (left, right))
    left[:, -1] *= np.linalg.det(left) * np.linalg.det(right)
    whole = left @ right.T
    assert np.linalg.det(whole) == pytest.approx(1)
    if found.record["rank"] == min(shape[1:]):
        np.testing.assert_allclose(whole[: shape[1], : shape[2]], u @ v.T, atol=1e-10)


def test_in_one_dimension_a_mirrored_pair_is_not_mirrored_by_a_negative_scale():
    x = paired(30, 1, 1)[0]
    alignment = fit(Procrustes(reflections=False), x, -x)
    np.testing.assert_allclose(isometry(alignment), [[1.0]])
    np.testing.assert_allclose(alignment.to_target.weight, [[0.0]])


def test_a_flip_that_is_not_determined_is_said():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    x = np.linalg.qr(x - x.mean(0))[0]  # all singular values are one
    record = fit(Procrustes(reflections=False), x, x * [1, 1, -1]).record
    assert "which direction is flipped is not determined" in record["notes"][0]


def test_the_record_tells_how_well_the_last_direction_is_identified():
    x, y = paired(60, 6, 5)
    s = np.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))[1]
    assert fit(Procrustes(), x, y).record["rcond"] == pytest.approx(s[-1] / s[0])
    assert fit(Procrustes(rank=2), x, y).record["rcond"] == pytest.approx(s[1] / s[0])
