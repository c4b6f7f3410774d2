"""Labels, anchors and test items of one set whose tables name the files from different folders."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.core.errors import DataError, LeakageError

N = 60
VALUES = (np.arange(N) % 2).astype(float)[:, None]
NAMES = [f"{i:03d}.png" for i in range(N)]


def labels(prefix="", groups=None, **columns):
    return sk.Labels(VALUES, [prefix + one for one in NAMES], ("edema",), groups, columns)


def scores(ids, rows=slice(0, N)):
    return sk.Scores(VALUES[rows] + np.random.default_rng(0).normal(size=VALUES[rows].shape), "logit", ids, ("edema",))


def judged(*args, **settings):
    return sk.evaluate(*args, replicates=20, min_positives=5, **settings)


@pytest.mark.parametrize("prefix", ["scans/", "./scans/", "C:\\films\\", "/data/films/"])
def test_items_are_found_by_file_name_where_folders_differ(prefix):
    found = judged(scores(NAMES), labels(prefix))
    plain = judged(scores(NAMES), labels())
    assert found.methods[0].macro == plain.methods[0].macro
    assert (
        found.notes[0]
        == f"60 items were matched by file name, for example '000.png' is {prefix + '000.png'!r} of the labels"
    )


def test_file_names_that_stand_twice_are_not_matched():
    two = [*(f"a/{one}" for one in NAMES[:30]), *(f"b/{one}" for one in NAMES[:30])]
    known = sk.Labels(VALUES, two, ("edema",))
    with pytest.raises(DataError, match=r"30 of 30 items have no label, .*'000\.png'; .* 'a/000\.png'"):
        judged(scores(NAMES[:30], slice(0, 30)), known)


AMBIGUOUS = {
    "two folders of the labels": (["000.png"], ["a/000.png", "b/000.png"]),
    "a folder and the bare name below it": (["000.png"], ["a/000.png", "a/b/000.png"]),
    "two separators": (["000.png"], ["a\\000.png", "b/000.png"]),
    "two cases": (["000.png"], ["a/000.png", "b/000.PNG"]),
    "two forms of Unicode": (["caf\u00e9.png"], ["a/caf\u00e9.png", "b/cafe\u0301.png"]),
    "two items of one name": (["000.png", "x/000.png"], ["b/000.png"]),
    "two items and two labels": (["000.png", "x/000.png"], ["y/000.png", "z/000.png"]),
    "another folder": (["a/000.png"], ["b/000.png"]),
    "another folder of the same end": (["sitea/000.png"], ["a/000.png"]),
    "a name that ends another": (["0.png"], ["a/000.png"]),
    "row numbers": (["1"], ["a/1"]),
    "a folder": (["a/"], ["b/a/"]),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_file_name_that_may_mean_two_files_is_refused_both_ways(case):
    rest = [f"same/{one}" for one in NAMES[1:]]
    for items, known in (AMBIGUOUS[case], AMBIGUOUS[case][::-1]):
        ids, of_labels = [*items, *rest], [*known, *rest]
        table = sk.Labels((np.arange(len(of_labels)) % 2).astype(float)[:, None], of_labels, ("edema",))
        values = np.random.default_rng(0).normal(size=(len(ids), 1))
        with pytest.raises(DataError, match=f"^{len(items)} of {len(ids)} items have no label, the first is") as error:
            judged(sk.Scores(values, "logit", ids, ("edema",)), table)
        assert repr(items[0]) in str(error.value)
        assert repr(known[0]) in str(error.value)


def test_names_that_are_unique_are_found_beside_ambiguous_ones_and_only_those_are_refused():
    known = sk.Labels(VALUES, [*(f"a/{one}" for one in NAMES[:59]), "b/000.png"], ("edema",))
    with pytest.raises(DataError, match=r"1 of 30 items have no label, the first is '000\.png'; .* 'a/000\.png'"):
        judged(scores(NAMES[:30], slice(0, 30)), known)
    found = judged(scores(NAMES[1:31], slice(1, 31)), known)
    assert found.notes[0] == "30 items were matched by file name, for example '001.png' is 'a/001.png' of the labels"


def test_an_exact_id_comes_first():
    known = sk.Labels(VALUES, [*NAMES[:30], *(f"b/{one}" for one in NAMES[:30])], ("edema",))
    found = judged(scores(NAMES[:30], slice(0, 30)), known)
    assert found.notes[0] == "30 of 60 labelled items are not scored"


def test_anchors_are_found_among_the_labels_by_file_name():
    known = labels("films/", age=np.arange(N) % 7)
    found = judged(scores(NAMES[30:], slice(30, N)), known, anchors=NAMES[:30], metadata=("age",))
    assert [one.name for one in found.methods] == ["scores", "chance", "metadata only"]


def test_an_anchors_file_under_another_name_is_leakage_even_where_no_anchor_is_labelled(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("films", "test"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(NAMES):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "test" / name)
        if i < 20:
            (tmp_path / "films" / f"f{i}.png").write_bytes((tmp_path / "test" / name).read_bytes())
    ids = [f"films/f{i}.png" for i in range(20)]
    images = sk.Items(ids, [tmp_path / one for one in ids], "image")
    anchors = sk.AnchorSet(ids, images, images)
    items = sk.Items(NAMES, [tmp_path / "test" / one for one in NAMES], "image")
    with pytest.raises(LeakageError, match="20 test items are anchors' own files under other ids"):
        judged(scores(NAMES), labels(), anchors=anchors, items=items)
    found = judged(scores(NAMES), labels(), anchors=anchors, items=items, allow_leakage=True)
    assert any("LEAKAGE: 20 test items" in note for note in found.notes)


def test_metadata_that_do_not_vary_are_named():
    known = sk.Labels(VALUES, NAMES, ("edema",), columns={"age": np.where(np.arange(N) < 30, np.nan, 50.0)})
    found = judged(scores(NAMES[30:], slice(30, N)), known, anchors=NAMES[:30], metadata=("age",))
    assert "no metadata-only baseline: age does not vary among the anchors" in found.notes


def test_one_patient_with_all_positives_is_the_reason_that_is_named_or_there_is_no_interval():
    values = np.zeros((40, 1))
    values[:3] = 1
    groups = [0] * 3 + list(range(1, 38))
    known = sk.Labels(values, [str(k) for k in range(40)], ("A",), groups)
    scores = sk.Scores(values + 0.1, "logit", known.ids, ("A",))
    with pytest.raises(DataError, match="A: 3 positives and 37 negatives, of 1 and 37 patients, fewer than 2"):
        sk.evaluate(scores, known, min_positives=2)
    found = sk.evaluate(scores, known, min_positives=1, replicates=10)
    assert found.main.macro.value == 1
    assert not found.main.macro.has_ends
    assert "A (1 positive patient)" in "".join(found.notes)


def test_equal_file_names_in_different_folders_are_different_items():
    known = labels("siteB/")
    for ids in ([f"siteA/{one}" for one in NAMES], [f"x/siteA/{one}" for one in NAMES]):
        with pytest.raises(DataError, match="60 of 60 items have no label"):
            judged(scores(ids), known)


def test_test_items_that_are_called_like_anchors_are_a_note():
    found = judged(scores(NAMES[30:], slice(30, N)), labels(), anchors=[f"films/{one}" for one in NAMES[25:35]])
    assert any("5 anchors and test items have the same file names" in note for note in found.notes)


ANCHORS = {
    "in a folder": ("anchors/{}", "{}"),
    "with the test in a folder": ("{}", "scans/{}"),
    "with a Windows folder": ("C:\\films\\{}", "{}"),
    "with a dot in front": ("./films/{}", "{}"),
}


@pytest.mark.parametrize("case", ANCHORS)
def test_items_whose_only_label_is_that_of_an_anchor_of_the_same_name_are_leakage(case):
    anchor, item = ANCHORS[case]
    known = sk.Labels(VALUES, [anchor.format(one) for one in NAMES], ("edema",), columns={"age": np.arange(N) % 7})
    scored = scores([item.format(one) for one in NAMES])
    apart = known.ids[:40]
    said = (
        rf"^40 items are both anchors and test items .*{re.escape(repr(str(scored.ids[0])))}.* Score only other items"
    )
    with pytest.raises(LeakageError, match=said):
        judged(scored, known, anchors=apart)
    found = judged(scored, known, anchors=apart, allow_leakage=True, metadata=("age",))
    assert any(note.startswith("LEAKAGE: 40 items are both anchors and test items") for note in found.notes)
    assert not any("neither scored" in note for note in found.notes)
    assert [one.name for one in found.methods] == ["scores", "chance", "metadata only"]
    assert found.methods[0].macro == judged(scored, known).methods[0].macro


def test_items_without_any_label_are_named_apart_from_those_that_are_anchors():
    known = sk.Labels(VALUES[:50], [f"films/{one}" for one in NAMES[:50]], ("edema",))
    with pytest.raises(LeakageError, match="20 items are both anchors and test items"):
        judged(scores(NAMES), known, anchors=known.ids[:20])
    with pytest.raises(DataError, match=r"10 of 60 items have no label, the first is '050\.png'"):
        judged(scores(NAMES), known, anchors=known.ids[:20], allow_leakage=True)


def test_a_label_of_its_own_comes_before_that_of_an_anchor_of_the_same_name():
    both = [*(f"films/{one}" for one in NAMES[:30]), *NAMES[:30]]
    known = sk.Labels(VALUES, both, ("edema",))
    found = judged(scores(NAMES[:30], slice(0, 30)), known, anchors=both[:30])
    assert not any("LEAKAGE" in note for note in found.notes)


@pytest.mark.parametrize("verb", [sk.calibrate, sk.choose_thresholds])
def test_calibration_items_that_are_anchors_by_their_file_names_are_leakage(verb):
    known = labels("films/")
    with pytest.raises(LeakageError, match="40 items are both anchors and calibration items"):
        verb(scores(NAMES), known, anchors=known.ids[:40])
    fitted = verb(scores(NAMES), known, anchors=known.ids[:40], allow_leakage=True)
    assert any("LEAKAGE: 40 items are both anchors and calibration items" in note for note in fitted.notes)


SPELLED = {
    "capitals of the suffix": ("{}.jpg", "scans/{}.JPG"),
    "capitals of the name": ("x{}.jpg", "scans/X{}.jpg"),
    "no suffix": ("x{}.jpg", "x{}"),
    "another suffix": ("s/{}.jpg", "{}.png"),
    "items without a suffix": ("f{}", "scans/f{}.jpg"),
}


@pytest.mark.parametrize("case", SPELLED)
def test_a_label_that_differs_in_capitals_or_suffix_is_named(case):
    item, label = SPELLED[case]
    ids, known = ([one.format(f"{i:03d}") for i in range(N)] for one in (item, label))
    with pytest.raises(DataError, match="60 of 60 items have no label") as caught:
        judged(scores(ids), sk.Labels(VALUES, known, ("edema",)))
    assert f"{ids[0]!r} is {known[0]!r} of the labels but for capitals or suffix" in str(caught.value)
    assert "write the same file names" in str(caught.value)


TWINS = {
    "two items and a bare label": (["a/1.jpg", "b/1.jpg"], ["1.jpg"]),
    "two items below a folder": (["a/x/1.jpg", "b/x/1.jpg"], ["x/1.jpg"]),
    "a bare item and two labels": (["1.jpg"], ["a/1.jpg", "b/1.jpg"]),
    "capitals": (["a/1.jpg", "b/1.JPG"], ["1.jpg"]),
    "Windows": (["a\\1.jpg", "b\\1.jpg"], ["1.jpg"]),
}


@pytest.mark.parametrize("case", TWINS)
def test_a_name_that_fits_two_files_is_said_with_both(case):
    items, known = TWINS[case]
    rest = [f"same/{one}" for one in NAMES[1:]]
    values = np.arange(len(rest) + 2) % 2.0
    ids, of_labels = [*rest, *items], [*rest, *known]
    table = sk.Labels(values[: len(of_labels), None], of_labels, ("edema",))
    with pytest.raises(DataError, match="fits two files") as caught:
        judged(sk.Scores(values[: len(ids), None], "logit", ids, ("edema",)), table)
    for one in (*items, *known):
        assert repr(one) in str(caught.value)
