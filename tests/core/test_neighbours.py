"""Nearest rows in tiles, and CSLS."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.core import neighbours
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.maps import unit
from stitchkit.core.neighbours import crowding, csls, nearest, soft_crowding

RNG = np.random.default_rng(0)
QUERIES, GALLERY = unit(RNG.normal(size=(37, 6))), unit(RNG.normal(size=(50, 6)))


def test_nearest_is_the_head_of_a_full_sort(library, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", 10)
    found = nearest(*library(QUERIES, GALLERY), 4)
    whole = QUERIES @ GALLERY.T
    order = np.argsort(-whole, axis=1)[:, :4]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.scores, np.take_along_axis(whole, order, axis=1), atol=1e-12)


def test_a_row_is_no_neighbour_of_itself(library, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", 10)
    rows = library(QUERIES)
    assert not (nearest(rows, rows, 5, skip_self=True).rows == np.arange(37)[:, None]).any()
    assert (nearest(rows, rows, 1).rows[:, 0] == np.arange(37)).all()


@pytest.mark.parametrize("k", [0, 51])
def test_more_neighbours_than_candidates_are_refused(k):
    with pytest.raises(InputError, match=f"{k} neighbours .* 50 candidates"):
        nearest(QUERIES, GALLERY, k)


def test_csls_takes_both_crowdings_off(library):
    whole = QUERIES @ GALLERY.T
    rows = np.sort(whole, axis=1)[:, -10:].mean(axis=1)
    columns = np.sort(whole, axis=0)[-10:, :].mean(axis=0)
    queries, gallery = library(QUERIES, GALLERY)
    found = csls(library(whole), crowding(queries, gallery), crowding(gallery, queries))
    np.testing.assert_allclose(to_numpy(found), 2 * whole - rows[:, None] - columns[None, :], atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.001])
def test_soft_crowding_is_the_literal_one_in_tiles(library, monkeypatch, temperature):
    monkeypatch.setattr(neighbours, "TILE", 10)
    monkeypatch.setattr(neighbours, "TEMPERATURE", temperature)
    scores = QUERIES @ GALLERY.T
    most = scores.max(axis=1, keepdims=True)
    expected = most[:, 0] + temperature * np.log(np.exp((scores - most) / temperature).mean(axis=1))
    found = soft_crowding(*library(QUERIES, GALLERY))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found <= scores.max(axis=1)).all()
    assert (found >= scores.mean(axis=1)).all()
