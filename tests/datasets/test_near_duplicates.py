"""Images that are the same: what is found, what is not, and that films which look alike are told apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from stitchkit import Items
from stitchkit.core.errors import DataError, InputError
from stitchkit.datasets import candidate_pairs, near_duplicates
from stitchkit.datasets.fingerprints import fingerprint
from stitchkit.datasets.near_duplicates import (
    FILE,
    LIKENESS,
    NEAR,
    PIXELS,
    ImageFingerprints,
    find_alike,
    fingerprints_of,
)
from stitchkit.datasets.phantoms import make_phantoms


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).copy()


def resized(image, factor):
    return image.resize([max(round(side * factor), 1) for side in image.size], Image.Resampling.BICUBIC)


def mapped(image, function):
    table = [min(max(round(255 * function(level / 255)), 0), 255) for level in range(256)]
    return image.point(table * len(image.getbands()))


def noisy(image, spread):
    grey = np.asarray(image, float) + np.random.default_rng(0).normal(0, spread, np.asarray(image).shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def cropped(image, share):
    width, height = image.size
    return image.crop((width * share, height * share, width * (1 - share), height * (1 - share)))


def boxed(image, width=20, height=10):
    """A white box, of a size given for 256 pixels, at a place that the image's own levels decide."""
    image, scale = image.copy(), image.width / 256
    rng = np.random.default_rng(int(np.asarray(image, int).sum()))
    width, height = max(round(width * scale), 1), max(round(height * scale), 1)
    x, y = int(rng.integers(0, image.width - width)), int(rng.integers(0, image.height - height))
    white = 255 if image.mode == "L" else (255,) * 3
    ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + height - 1), fill=white)
    return image


def padded(image, share, level):
    return ImageOps.expand(image, round(image.width * share), level if image.mode == "L" else (level,) * 3)


def labelled(image):
    image = image.copy()
    ImageDraw.Draw(image).text((3, 3), "PORTABLE", fill=255 if image.mode == "L" else (255,) * 3)
    return image


def windowed(image, low, high):
    return mapped(image, lambda grey: (grey - low) / (high - low))


SAME = {  # what find_alike says it finds
    "JPEG of quality 75": lambda image: jpeg(image, 75),
    "JPEG of quality 30": lambda image: jpeg(image, 30),
    "half the size": lambda image: resized(image, 0.5),
    "a quarter of the size": lambda image: resized(image, 0.25),
    "one and a half the size": lambda image: resized(image, 1.5),
    "a tenth brighter": lambda image: mapped(image, lambda grey: 1.1 * grey),
    "a tenth darker": lambda image: mapped(image, lambda grey: 0.9 * grey),
    "more contrast": lambda image: mapped(image, lambda grey: 0.5 + 1.1 * (grey - 0.5)),
    "gamma 1.2": lambda image: mapped(image, lambda grey: grey**1.2),
    "noise": lambda image: noisy(image, 5),
    "stored as colour": lambda image: image.convert("RGB"),
    "half, brighter, JPEG": lambda image: jpeg(resized(mapped(image, lambda grey: 1.1 * grey), 0.5), 50),
}
REGISTERED = {  # what it says it finds after a registration
    "white box": boxed,
    "two per cent of padding, black": lambda image: padded(image, 0.02, 0),
    "two per cent of padding, grey": lambda image: padded(image, 0.02, 128),
    "two per cent of padding, white": lambda image: padded(image, 0.02, 255),
    "five per cent of padding": lambda image: padded(image, 0.05, 0),
    "equalised": ImageOps.equalize,
    "window from .2 to .8": lambda image: windowed(image, 0.2, 0.8),
    "window from 0 to .8": lambda image: windowed(image, 0, 0.8),
    "gamma 0.7": lambda image: mapped(image, lambda grey: grey**0.7),
    "gamma 1.4": lambda image: mapped(image, lambda grey: grey**1.4),
    "cropped by one per cent a side": lambda image: cropped(image, 0.01),
    "cropped by three per cent a side": lambda image: cropped(image, 0.03),
    "cropped on the left": lambda image: image.crop((round(image.width * 0.04), 0, *image.size)),
    "turned by a degree": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
    "turned by two degrees back": lambda image: image.rotate(-2, Image.Resampling.BICUBIC),
    "text in a corner": labelled,
    "inverted": ImageOps.invert,
    "padded and equalised": lambda image: ImageOps.equalize(padded(image, 0.02, 0)),
}
OTHER = {  # and what it says it does not
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
}


@pytest.fixture(scope="module")
def phantoms():
    return make_phantoms(40, seed=11)


@pytest.fixture(scope="module")
def films(phantoms):
    return [Image.fromarray(image) for image in phantoms.images[:30]]


@pytest.fixture(scope="module")
def looks(films):
    return looks_of(films)


def looks_of(values, ids=None):
    items = Items(ids or [f"i{i}" for i in range(len(values))], values, "image")
    return ImageFingerprints.of(items.ids, list(fingerprints_of(items)))


@pytest.mark.parametrize("change", SAME)
def test_the_same_film_is_found_after(films, looks, change):
    found, complete = find_alike(looks, looks_of([SAME[change](film) for film in films[:14]]))
    assert complete
    assert {(one.first, one.second) for one in found} == {(i, i) for i in range(14)}
    assert min(one.likeness for one in found) > 0.975


@pytest.mark.parametrize("change", REGISTERED)
def test_the_same_film_is_found_by_registration_after(films, looks, change):
    found, complete = find_alike(looks, looks_of([REGISTERED[change](film) for film in films[:14]]))
    assert complete
    assert all(one.first == one.second for one in found)
    assert len(found) >= 0.85 * 14  # films of 96 pixels, as alike as one program draws them


@pytest.mark.parametrize("change", OTHER)
def test_not_found_as_it_is_said(films, looks, change):
    assert find_alike(looks, looks_of([OTHER[change](film) for film in films])) == ([], True)


def test_films_of_one_program_are_told_apart():
    """20,000 pairs that look more alike than any films do."""
    looks = looks_of(list(make_phantoms(200, seed=11).images))
    assert find_alike(looks) == ([], True)
    closest = np.triu(looks.prints @ looks.prints.T, 1).max()
    assert 0.9 < closest < LIKENESS


def test_sixteen_bits_and_eight_look_the_same(phantoms, tmp_path):
    deep = phantoms.images[3].astype(np.uint16) * 16  # twelve bits in sixteen
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(phantoms.images[3]).save(tmp_path / "film.png")
    ((first, second, kind, cosine),), _ = find_alike(looks_of([tmp_path / "deep.png", tmp_path / "film.png"]))
    assert (first, second, kind) == (0, 1, NEAR)
    assert cosine > 0.9999


def test_the_fingerprint_is_the_rooted_cosine_transform():
    from scipy.fft import dctn

    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)  # its own thumbnail
    waves = dctn(np.asarray(image, float), type=2)[:16, :16]
    expected = [
        np.sign(waves[u, v]) * np.sqrt(abs(waves[u, v]) * np.hypot(u, v)) for u in range(16) for v in range(16) if u + v
    ]
    # scipy's transform is unnormalised as well, but counts every wave twice
    np.testing.assert_allclose(fingerprint(image), np.asarray(expected) / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_read_like_images(phantoms, channels):
    film = phantoms.images[0]
    stacked = np.stack([film] * 3 + [np.full_like(film, 255)], axis=2)[..., :channels]
    assert fingerprint(stacked) @ fingerprint(Image.fromarray(film)) == pytest.approx(1, abs=1e-5)


def test_copies_are_told_from_what_is_near(phantoms, tmp_path):
    film = Image.fromarray(phantoms.images[0])
    film.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    film.save(tmp_path / "c.bmp")
    film.save(tmp_path / "d.jpg", quality=60)
    Image.fromarray(phantoms.images[1]).save(tmp_path / "e.png")
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.bmp", "d.jpg", "e.png")]
    found, _ = find_alike(looks_of(paths))
    assert [(one.first, one.second, one.kind) for one in found] == [(0, 1, FILE), (0, 2, PIXELS), (0, 3, NEAR)]
    found, _ = find_alike(looks_of(paths[:1]), looks_of(paths[1:]))
    assert [(one.first, one.second, one.kind) for one in found] == [(0, 0, FILE), (0, 1, PIXELS), (0, 2, NEAR)]


def test_of_equal_images_the_first_stands_for_all(phantoms):
    film, other = phantoms.images[0], np.asarray(jpeg(Image.fromarray(phantoms.images[0]), 60))
    found, _ = find_alike(looks_of([film, film, film, other, other]))
    assert [(one.first, one.second, one.kind) for one in found] == [
        (0, 1, FILE), (0, 2, FILE), (3, 4, FILE), (0, 3, NEAR),
    ]  # fmt: skip


def test_a_copy_of_one_image_is_near_to_its_other_versions_as_well(phantoms):
    film = Image.fromarray(phantoms.images[0])
    found, _ = find_alike(looks_of([film, jpeg(film, 60)]), looks_of([film]))
    assert [(one.first, one.second, one.kind) for one in found] == [(0, 0, FILE), (1, 0, NEAR)]


def test_blank_images_are_near_nothing(tmp_path):
    blank = [np.zeros((40, 40), np.uint8), np.full((40, 40), 90, np.uint8), np.zeros((40, 40), np.uint8)]
    looks = looks_of(blank)
    assert looks.blank == 3
    assert [(one.first, one.second, one.kind) for one in find_alike(looks)[0]] == [(0, 2, FILE)]


def test_an_array_with_nan_shows_nothing():
    hole = np.random.default_rng(0).random((40, 40))
    hole[3, 3] = np.nan
    looks = looks_of([hole, np.random.default_rng(0).random((40, 40))])
    assert looks.blank == 1
    assert np.isfinite(looks.prints).all()
    assert find_alike(looks) == ([], True)


def test_many_rows_are_compared_in_tiles(phantoms, monkeypatch):
    films = [Image.fromarray(image) for image in phantoms.images[:40]]
    looks = looks_of([*films, *(jpeg(film, 60) for film in films)])
    whole, _ = find_alike(looks)
    monkeypatch.setattr("stitchkit.datasets.fingerprints.TILE", 7)
    tiled, _ = find_alike(looks)
    assert {one[:3] for one in tiled} == {one[:3] for one in whole} == {(i, 40 + i, NEAR) for i in range(40)}


def test_too_many_near_duplicates_are_cut_off_and_it_is_said(phantoms, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST", 5)
    film = Image.fromarray(phantoms.images[0])
    found, complete = find_alike(looks_of([mapped(film, lambda grey, k=k: grey * (1 - k / 100)) for k in range(6)]))
    assert (len(found), complete) == (5, False)


def test_no_images_are_no_pairs():
    assert find_alike(looks_of([]), looks_of([])) == ([], True)


@pytest.mark.parametrize("likeness", [0, -0.5, 1.01, float("nan")])
def test_an_impossible_likeness_is_refused(phantoms, likeness):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        find_alike(looks_of(list(phantoms.images[:2])), likeness=likeness)


def test_texts_and_broken_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="the items are texts"):
        list(fingerprints_of(Items(["a"], ["No effusion."], "text")))
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"cut\.png"):
        list(fingerprints_of(Items(["a"], [tmp_path / "cut.png"], "image")))


def table_of(folder):
    import stitchkit as sk

    anchors = sk.read_anchors(folder / "manifest.csv")
    looks = ImageFingerprints.of(anchors.ids, list(fingerprints_of(anchors.source_items)))
    return anchors, looks


@pytest.mark.real
def test_of_978_chest_films_only_the_one_pair_is_the_same(real_data):
    anchors, looks = table_of(real_data / "cxr_nih")
    (only,), _ = find_alike(looks)
    assert [anchors.ids[row] for row in only[:2]] == ["images/00002658_001.jpg", "images/00002658_002.jpg"]
    assert only.kind == FILE
    cosines = looks.prints @ looks.prints.T
    assert cosines[anchors.groups[:, None] != anchors.groups].max() < 0.8  # 477,334 pairs of different patients


@pytest.mark.real
@pytest.mark.parametrize("folder", ["cxr_nih", "us_busi", "mri_brain", "derm_ham"])
def test_real_images_are_found_again(real_data, folder):
    anchors, looks = table_of(real_data / folder)
    some = range(0, len(anchors), max(len(anchors) // 60, 1))
    for name, change in SAME.items():
        if name == "noise":
            continue  # written for grey images
        found = [
            float(fingerprint(change(Image.open(anchors.source_items.values[row]))) @ looks.prints[row]) for row in some
        ]
        assert np.mean(np.asarray(found) >= LIKENESS) > 0.95, (name, min(found))


@pytest.mark.real
def test_the_ultrasound_copy_is_found_and_lesions_are_told_apart(real_data):
    anchors, looks = table_of(real_data / "us_busi")
    copies = {(anchors.ids[one.first], anchors.ids[one.second]) for one in find_alike(looks)[0] if one.kind == FILE}
    assert ("images/benign__433_.jpg", "images/malignant__145_.jpg") in copies
    moles, looks = table_of(real_data / "derm_ham")
    assert all(moles.groups[one.first] == moles.groups[one.second] for one in find_alike(looks)[0])


@pytest.mark.real
@pytest.mark.parametrize("half", [0, 1])
def test_altered_chest_films_are_found_and_no_film_of_another_patient(real_data, half):
    """Each half of the patients by itself."""
    anchors, looks = table_of(real_data / "cxr_nih")
    patients = np.unique(anchors.groups)[half::2]
    rows = np.flatnonzero(np.isin(anchors.groups, patients))[::2]
    for name in REGISTERED:
        films = [REGISTERED[name](Image.open(anchors.source_items.values[row])) for row in rows]
        found, _ = find_alike(looks, looks_of(films))
        assert all(anchors.groups[one.first] == anchors.groups[rows[one.second]] for one in found), name
        again = {one.second for one in found if anchors.ids[one.first] == anchors.ids[rows[one.second]]}
        assert len(again) >= 0.95 * len(rows), (name, len(again) / len(rows))


def test_many_images_that_are_alike_leave_the_closest_of_each():
    """Frames of one series: all pairs are candidates, and each image keeps its few closest."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (64, 64))
    frames = np.stack([np.clip(base + rng.integers(0, 5 + i, (64, 64)), 0, 255) for i in range(60)]).astype(np.uint8)
    quick = candidate_pairs.candidate_pairs(frames)
    whole = dict.fromkeys(zip(quick["first"].tolist(), quick["second"].tolist(), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidate_pairs, "MANY", 10**6)
        slow = candidate_pairs.candidate_pairs(frames)
    assert list(whole) == list(zip(slow["first"].tolist(), slow["second"].tolist(), strict=True))
    assert len(quick) < 60 * candidate_pairs.CLOSEST
