"""Phantoms in four renderings: the facts are the same, the drawings are not, and everything follows the seed."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.datasets.phantoms import FINDINGS, render
from stitchkit.datasets.phantoms.film import film_levels
from stitchkit.datasets.phantoms.renderings import NORMAL, RENDERINGS, rendered


@pytest.fixture(scope="module")
def drawn():
    return sk.make_renderings(40, seed=3, size=48)


def grey(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=-1) if images.ndim == 4 else images.astype(float)


def test_the_same_seed_draws_the_same_and_another_seed_does_not(drawn):
    again, other = sk.make_renderings(40, seed=3, size=48), sk.make_renderings(40, seed=4, size=48)
    for kind in RENDERINGS:
        assert (again.images[kind] == drawn.images[kind]).all()
        assert again.texts[kind] == drawn.texts[kind]
        assert (other.images[kind] != drawn.images[kind]).any()


def test_a_longer_draw_starts_with_the_shorter_one(drawn):
    few = sk.make_renderings(5, seed=3, size=48)
    assert few.ids.tolist() == drawn.ids[:5].tolist()
    assert (few.labels == drawn.labels[:5]).all()
    for kind in RENDERINGS:
        assert (few.images[kind] == drawn.images[kind][:5]).all()


def test_a_rendering_drawn_alone_is_the_one_that_is_drawn_with_others(drawn):
    alone = sk.make_renderings(4, seed=3, size=48, kinds=["smooth"])
    assert list(alone.images) == list(alone.texts) == ["smooth"]
    assert (alone.images["smooth"] == drawn.images["smooth"][:4]).all()


def test_every_phantom_has_one_class_and_its_facts_say_the_same(drawn):
    assert drawn.classes == (NORMAL, *FINDINGS)
    assert (drawn.labels.sum(axis=1) == 1).all()
    assert (drawn.labels.sum(axis=0) > 0).all()
    for row, phantom in enumerate(drawn.phantoms):
        present = [name for name, grade in zip(FINDINGS, phantom.severities, strict=True) if grade > 0]
        assert (
            present
            == [one for one, label in zip(drawn.classes, drawn.labels[row], strict=True) if label][: len(present)]
        )
        assert drawn.severity[row] == pytest.approx(max(phantom.severities))
    assert (drawn.severity[drawn.labels[:, 0] == 1] == 0).all()
    assert (drawn.severity[drawn.labels[:, 0] == 0] >= 0.35).all()


def test_all_classes_are_drawn_equally_often():
    labels = sk.make_renderings(800, seed=0, size=16, kinds=["film"]).labels
    assert np.abs(labels.mean(axis=0) - 1 / 8).max() < 4.5 * (1 / 8 * 7 / 8 / 800) ** 0.5


def test_the_film_is_what_the_phantom_looks_like(drawn):
    for image, phantom in zip(drawn.images["film"][:5], drawn.phantoms, strict=False):
        assert (image == render(phantom, 48)).all()


@pytest.mark.parametrize("kind", ["speckle", "smooth"])
def test_renderings_differ_more_than_phantoms_do(kind, drawn):
    film, other = grey(drawn.images["film"]), grey(drawn.images[kind])
    between = np.abs(film - other).mean()
    within = np.abs(film[1:] - film[:-1]).mean()
    assert between > within


@pytest.mark.parametrize("kind", RENDERINGS)
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_shows_in_every_rendering(kind, finding, drawn):
    """The change against the same drawing without it exceeds nothing: all else is drawn from the same numbers."""
    phantom = drawn.phantoms[0]
    bare = phantom.with_severity(**dict.fromkeys(FINDINGS, 0.0))
    changes = []
    for grade in (0.4, 0.9):
        with_it = bare.with_severity(**{finding: grade})
        one, other = (rendered(each, kind, film_levels(each, 96)).astype(float) for each in (with_it, bare))
        changes.append(np.abs(one - other).mean())
    assert 0 < changes[0] < changes[1]


def test_colour_is_tinted_and_the_tint_is_the_item_s_own(drawn):
    red, green, blue = drawn.images["colour"].astype(float).mean(axis=(1, 2)).T
    assert ((red > green + 10) & (green > blue)).all()
    assert np.std(red - blue) > 3  # grey levels


def test_smooth_is_bright_where_the_film_is_dark_and_speckle_ends_at_a_sector(drawn):
    film, smooth, speckle = (grey(drawn.images[kind]) for kind in ("film", "smooth", "speckle"))
    middle = slice(12, 36)
    pairs = zip(film[:, middle, middle], smooth[:, middle, middle], strict=True)
    assert np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]) < -0.7
    assert (speckle[:, :3, :3] == 0).all()
    fine = lambda images: np.abs(np.diff(images[:, middle, middle], axis=2)).mean()  # noqa: E731
    assert fine(speckle) > 2 * fine(film) > 2 * fine(smooth)


def test_a_rendering_at_twice_the_size_is_the_same_finer():
    fine, coarse = (sk.make_renderings(6, seed=5, size=size) for size in (192, 96))
    for kind in ("smooth", "colour"):
        a, b = grey(fine.images[kind]), grey(coarse.images[kind])
        merged = a.reshape(6, 96, 2, 96, 2).mean((2, 4))
        assert np.abs(merged - b).mean() < 3  # grey levels


def test_texts_name_the_rendering_and_say_the_same_of_the_phantom(drawn):
    kinds = list(RENDERINGS)
    for row in range(5):
        texts = [drawn.texts[kind][row] for kind in kinds]
        first, rest = zip(*(text.split(". ", 1) for text in texts), strict=True)
        assert len(set(first)) == len(kinds)
        assert len(set(rest)) == 1


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"n": -1}, InputError, "got -1"),
        ({"n": 2, "kinds": ()}, InputError, "at least one rendering"),
        ({"n": 2, "kinds": ("ultrasound",)}, UnknownNameError, "no rendering is called 'ultrasound'"),
    ],
)
def test_bad_requests_are_named(settings, error, said):
    with pytest.raises(error, match=said):
        sk.make_renderings(**{"seed": 0, **settings})


def test_no_phantoms_are_empty_arrays():
    none = sk.make_renderings(0, seed=0, size=32)
    assert none.images["film"].shape == (0, 32, 32)
    assert none.images["colour"].shape == (0, 32, 32, 3)
    assert none.labels.shape == (0, 8)
