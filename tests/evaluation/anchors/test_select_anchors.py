"""Anchors chosen apart from a test."""

from __future__ import annotations

import json

import numpy as np
import pytest

import stitchkit as sk
from stitchkit import AnchorSet, Items
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets.phantoms import make_phantoms
from stitchkit.evaluation.anchors.check import check_anchors
from stitchkit.evaluation.anchors.select import candidates_of, check_selection, compared_items, select_anchors


@pytest.fixture(scope="module")
def films():
    return make_phantoms(60, seed=31)


def pairs_of(films, images=None, patients=None):
    pictures = Items(films.ids, list(films.images) if images is None else images, "image")
    texts = Items(films.ids, films.reports, "text")
    return AnchorSet(films.ids, pictures, texts, films.patients if patients is None else patients)


@pytest.fixture(scope="module")
def test_set(films):
    """A test that shares an id, a patient and two images with the anchors."""
    images = list(make_phantoms(6, seed=32).images)
    images[2], images[3] = films.images[30], films.images[31].repeat(2, axis=0).repeat(2, axis=1)
    ids = [films.ids[10], "b", "c", "d", "e", "f"]
    return AnchorSet(
        ids, Items(ids, images, "image"), Items(ids, ["A film."] * 6, "text"),
        ["u", films.patients[20], "v", "w", "x", "y"],
    )  # fmt: skip


def test_what_check_calls_leakage_is_left_out(films, test_set):
    anchors = pairs_of(films)
    found = candidates_of(anchors, test_set, progress=False)
    gone = set(range(60)) - set(found.rows.tolist())
    same_patient = set(np.flatnonzero(films.patients == films.patients[20]).tolist())
    assert gone == {10, 30, 31} | same_patient
    assert found.excluded == len(gone)
    assert not check_anchors(anchors, test=test_set, progress=False).passed
    assert check_anchors(anchors.take(found.rows), test=test_set, progress=False).passed


def test_every_copy_of_a_leaking_image_is_left_out(films, test_set):
    images = list(films.images)
    images[40] = images[30]
    images[41] = images[31]
    found = candidates_of(pairs_of(films, images), test_set, progress=False)
    assert not {30, 31, 40, 41} & set(found.rows.tolist())


def test_without_a_test_all_rows_may_be_chosen(films):
    found = candidates_of(pairs_of(films), None)
    assert found.rows.tolist() == list(range(60))
    assert (found.excluded, found.notes) == (0, ())


def test_what_was_not_looked_for_is_said(films):
    found = candidates_of(pairs_of(films), [films.ids[0]], progress=False)
    assert found.excluded == 1
    assert len(found.notes) == 3


def test_images_that_all_look_the_same_are_refused(films, monkeypatch):
    monkeypatch.setattr("stitchkit.datasets.near_duplicates.MOST", 3)
    film = films.images[0]
    anchors = pairs_of(films, [film - np.uint8(i % 5) for i in range(60)])
    test = Items(["t"], [film // 2], "image")
    with pytest.raises(DataError, match="nearly empty"):
        candidates_of(anchors, test, progress=False)


def test_if_nothing_is_left_it_is_refused(films):
    anchors = pairs_of(films)
    with pytest.raises(DataError, match="all 60 anchors share"):
        candidates_of(anchors, anchors, progress=False)


def test_rows_are_those_of_choose_anchors_among_the_candidates(films, test_set):
    anchors = pairs_of(films)
    found = candidates_of(anchors, test_set, progress=False)
    vectors = np.random.default_rng(0).normal(size=(len(found.rows), 5))
    chosen = select_anchors(anchors, 12, found, method="farthest", vectors=vectors, seed=4)
    picked = sk.choose_anchors(vectors, 12, method="farthest", groups=films.patients[found.rows], seed=4)
    assert chosen.rows.tolist() == found.rows[picked].tolist()
    assert chosen.patients == 12
    texts = select_anchors(anchors, 12, found, method="diverse-text", vectors=vectors, seed=4)
    assert texts.rows.tolist() == chosen.rows.tolist()


def test_without_vectors_equal_images_are_picked_last(films):
    images = [films.images[0]] * 30 + list(films.images[30:])
    anchors = pairs_of(films, images, patients=np.arange(60))
    chosen = select_anchors(anchors, 31, candidates_of(anchors, None), method="random")
    assert (chosen.rows < 30).sum() == 1


def test_balanced_takes_of_each_class(films):
    anchors = pairs_of(films)
    classes = np.where(np.arange(60) < 6, "rare", "common")
    chosen = select_anchors(anchors, 10, candidates_of(anchors, None), method="balanced", classes=classes)
    assert (chosen.rows < 6).sum() == 5


def test_too_many_are_refused(films):
    anchors = pairs_of(films)
    with pytest.raises(InputError, match="61 anchors were asked of 60 rows"):
        select_anchors(anchors, 61, candidates_of(anchors, None), method="random")


def test_it_tells_neither_ids_nor_patients(films, test_set):
    anchors = pairs_of(films)
    chosen = select_anchors(anchors, 5, candidates_of(anchors, test_set, progress=False), method="random")
    told = str(chosen) + json.dumps(chosen.to_dict())
    assert not [name for name in (*films.ids, *films.patients) if name in told]
    assert "5 of " in told


REFUSED = {
    "unknown": (("kmean", True, False), UnknownNameError, "nearest: kmeans"),
    "without vectors": (("kmeans", False, False), InputError, "compares vectors: pass vectors=. random and balanced"),
    "without classes": (("balanced", False, False), InputError, "method='balanced' needs each row's class"),
    "classes of no use": (("random", False, True), InputError, "method='random' reads no class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_method_reads_is_checked(films, case):
    (method, vectors, classes), error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        check_selection(method, vectors=vectors, classes=classes)
    anchors, some = pairs_of(films), np.arange(60.0)
    with pytest.raises(error, match=words):
        select_anchors(
            anchors, 5, candidates_of(anchors, None), method=method,
            vectors=some[:, None] if vectors else None, classes=some if classes else None,
        )  # fmt: skip


def test_texts_are_compared_by_a_text_encoder_and_items_are_of_its_side(films):
    images = pairs_of(films)
    medical, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("medical", "text"))
    assert compared_items("kmeans", images, medical) is images.source_items
    with pytest.raises(InputError, match="compares texts; demo:medical reads images"):
        compared_items("diverse-text", images, medical)
    only_images = sk.AnchorSet(images.ids, images.source_items, images.source_items)
    with pytest.raises(InputError, match="demo:text reads texts, and neither side"):
        compared_items("diverse-text", only_images, text)
