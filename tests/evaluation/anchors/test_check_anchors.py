"""Checking anchor sets: what leaks, what repeats, what is covered, what metadata give away, and what is never told."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit import AnchorSet, Items, Labels
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms
from stitchkit.evaluation.anchors.check import check_anchors
from stitchkit.evaluation.anchors.overlap import Side
from stitchkit.evaluation.anchors.shortcuts import find_shortcuts

QUICK = {"progress": False}


def pairs_of(films, images=None, ids=None, patients=None):
    ids = films.ids if ids is None else ids
    pictures = Items(ids, list(films.images) if images is None else images, "image")
    return AnchorSet(ids, pictures, Items(ids, films.reports, "text"), films.patients if patients is None else patients)


def labels_of(films, columns=None, classes=("effusion", "opacity")):
    whole = Labels(films.labels.astype(float), films.ids, FINDINGS, films.patients, columns or {})
    return whole.of_classes(classes)


@pytest.fixture(scope="module")
def films():
    return make_phantoms(80, seed=21)


@pytest.fixture(scope="module")
def others():
    return make_phantoms(40, seed=22)


@pytest.fixture(scope="module")
def anchors(films):
    return pairs_of(films)


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60)
    return Image.open(buffer).copy()


# leakage


def test_a_test_of_its_own_passes(anchors, others):
    found = check_anchors(anchors, test=pairs_of(others), progress=False)
    assert found.passed
    assert (found.leakage, found.leaked, found.duplicates) == ((), (), ())
    assert (found.anchors, found.test) == (80, 40)
    assert found.notes == ()


def test_ids_and_patients_on_both_sides_are_leakage(anchors, films, others):
    ids, patients = others.ids.copy(), others.patients.copy()
    ids[3], patients[:2] = films.ids[0], films.patients[5]
    found = check_anchors(anchors, test=pairs_of(others, ids=ids, patients=patients), progress=False)
    assert not found.passed
    assert found.leakage == ("1 item is both anchors and test items", "1 patient has both anchors and test items")


def test_images_under_other_names_are_leakage(anchors, films, others):
    images = list(others.images)
    images[0], images[1] = films.images[7], jpeg(films.images[9])
    found = check_anchors(anchors, test=pairs_of(others, images), progress=False)
    assert found.leakage == (
        "1 test image is a copy of anchors' images under other ids",
        "1 pair of an anchor's and a test item's image are near duplicates under other ids",
    )
    named = [(one.first, one.second, one.kind, one.same_patient) for one in found.leaked]
    assert named == [
        (films.ids[7], others.ids[0], "same file", False), (films.ids[9], others.ids[1], "near", False),
    ]  # fmt: skip


def test_an_item_under_its_own_id_is_counted_once(anchors):
    found = check_anchors(anchors, test=anchors.take(np.arange(3)), progress=False)
    assert found.leakage[0] == "3 items are both anchors and test items"
    assert found.leaked == ()


def test_items_and_ids_can_be_the_test(anchors, films, others):
    items = Items(others.ids, list(others.images), "image")
    found = check_anchors(anchors, test=items, test_groups=[films.patients[0], *others.patients[1:]], progress=False)
    assert found.leakage == ("1 patient has both anchors and test items",)
    found = check_anchors(anchors, test=[films.ids[2], "unknown"], progress=False)
    assert found.leakage == ("1 item is both anchors and test items",)
    assert found.notes == (
        "patients are not known on both sides, so overlap of patients was not checked",
        "images are not known on both sides, so copies of images in the test were not looked for",
    )


def test_without_a_test_it_is_said(anchors):
    found = check_anchors(anchors, progress=False)
    assert found.passed
    assert found.notes == ("no test was given, so nothing is known of leakage",)


# repeats


def test_repeats_among_anchors_are_listed_and_do_not_fail(films):
    images = list(films.images)
    images[11] = images[10]
    images[13] = jpeg(images[12])
    found = check_anchors(pairs_of(films, images), progress=False)
    assert found.passed
    assert [(one.first, one.second, one.kind) for one in found.duplicates] == [
        (films.ids[10], films.ids[11], "same file"), (films.ids[12], films.ids[13], "near"),
    ]  # fmt: skip


def test_copies_with_opposite_labels_are_a_contradiction(films):
    images = list(films.images)
    images[1] = images[0]
    values = np.zeros((80, 3))
    values[0] = [1, 0, np.nan]
    values[1] = [0, 0, 1]
    labels = Labels(values, films.ids, ("edema", "mass", "nodule"), films.patients)
    found = check_anchors(pairs_of(films, images), labels=labels, **QUICK)
    assert [one.opposite for one in found.duplicates] == [("edema",)]
    assert any(one.startswith("CONTRADICTION: 1 pair") for one in found.warnings)
    assert "opposite labels: edema" in str(found)


def test_two_images_of_a_pair_are_both_looked_at(films):
    """Frontal and lateral view: the second column leaks as well; the same column twice is looked at once."""
    ids = films.ids[:10]
    front, side = (Items(ids, list(films.images[a : a + 10]), "image") for a in (0, 10))
    test = Items(["elsewhere"], [films.images[15]], "image")
    found = check_anchors(AnchorSet(ids, front, side), test=test, progress=False)
    assert [(one.first, one.second) for one in found.leaked] == [(ids[5], "elsewhere")]
    assert len(Side.of(AnchorSet(ids, front, front)).images) == 1
    assert check_anchors(AnchorSet(ids, front, Items(ids, list(front.values), "image")), progress=False).texts is None


def test_texts_are_counted_case_and_white_space_aside(anchors):
    texts = Items(anchors.ids, ["No  Edema.", "no edema."] + [f"text {i}" for i in range(78)], "text")
    one = AnchorSet(anchors.ids, texts, texts, anchors.groups)
    test = Items(["t1", "t2", "t3"], ["NO EDEMA.", "text 3", "else"], "text")
    found = check_anchors(one, test=test, progress=False).texts
    assert (found.n, found.distinct, found.most, found.shared) == (80, 79, 2, 2)


def test_label_templates_are_called_what_they_are(anchors):
    few = Items(anchors.ids, ["Normal."] * 70 + ["Edema."] * 10, "text")
    found = check_anchors(AnchorSet(anchors.ids, few, few), progress=False)
    assert any(one.startswith("FEW TEXTS: 2 different ones; a map to them has a rank of at most 1") for one in
               found.warnings)  # fmt: skip


# coverage


def test_classes_are_counted_and_bare_ones_named(anchors, films):
    values = films.labels.astype(float)
    values[:, 0] = 0
    values[:5, 1] = np.nan
    labels = Labels(values[:70], films.ids[:70], FINDINGS, films.patients[:70])
    found = check_anchors(anchors, labels=labels, **QUICK)
    first, second = found.classes[:2]
    assert (first.present, first.absent, first.unknown, first.patients) == (0, 70, 0, 0)
    assert (second.present + second.absent, second.unknown) == (65, 5)
    assert second.patients == len(set(films.patients[:70][values[:70, 1] == 1]))
    assert f"NOT COVERED: no labelled anchor shows {FINDINGS[0]}: zero-shot stays at chance there" in found.warnings
    assert "10 of 80 anchors have no labels" in found.notes


def test_a_finding_that_no_report_says_is_named():
    silent = make_phantoms(60, seed=23, silent=("nodule",))
    found = check_anchors(pairs_of(silent), prompts="phantom", progress=False)
    said = {one.name: one.mentions for one in found.words}
    assert said["nodule"] == 0
    assert min(count for name, count in said.items() if name != "nodule") > 3
    (warning,) = [one for one in found.warnings if one.startswith("NOT SAID")]
    assert "no anchor text says nodule in" in warning
    assert "nodule: density, nodular, nodule" in str(found)


def test_labels_of_other_items_are_refused(anchors):
    with pytest.raises(DataError, match="none of the 80 anchors is among the 2 labelled items"):
        check_anchors(anchors, labels=Labels(np.ones((2, 1)), ["x", "y"], ("edema",)))


# shortcuts


def test_a_column_that_tells_the_label_is_a_shortcut(anchors, films):
    c = FINDINGS.index("effusion")
    site = np.where(films.labels[:, c] == 1, "emergency", "clinic")
    noise = np.random.default_rng(0).choice(["a", "b"], len(films))
    found = check_anchors(
        anchors, labels=labels_of(films, {"site": site, "noise": noise}), metadata=["site", "noise"], **QUICK
    )
    by_name = {one.name: one for one in found.shortcuts}
    assert by_name["effusion"].found
    assert by_name["effusion"].auroc.value == 1
    assert 0.85 < by_name["effusion"].auroc.low < 1
    assert found.columns == ("site", "noise")
    assert any(one.startswith("SHORTCUT") and "effusion" in one for one in found.warnings)
    plain = check_anchors(anchors, labels=labels_of(films, {"noise": noise}), metadata=["noise"], **QUICK)
    assert not any(one.found for one in plain.shortcuts)


def test_the_size_of_the_files_is_looked_at_unasked(films, tmp_path):
    c = FINDINGS.index("opacity")
    paths = []
    for i, image in enumerate(films.images):
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(image).save(paths[-1], quality=95 if films.labels[i, c] else 40)
    found = check_anchors(pairs_of(films, paths), labels=labels_of(films), **QUICK)
    assert "file_bytes" in found.columns
    assert {one.name: one.found for one in found.shortcuts}["opacity"]


def test_patients_stay_in_one_fold():
    """A column that names the patient tells nothing of patients that were left out."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    ill = rng.permutation(np.arange(40) < 16)[patients].astype(float)
    labels = Labels(
        ill[:, None], [f"i{i}" for i in range(120)], ("ill",), patients, {"who": np.char.add("p", patients.astype(str))}
    )
    settings = {"min_positives": 10, "folds": 5, "seed": 0}
    (grouped,), _ = find_shortcuts(labels, ["who"], {}, **settings)
    alone = Labels(labels.values, labels.ids, labels.classes, None, labels.columns)
    (split,), _ = find_shortcuts(alone, ["who"], {}, **settings)
    assert not grouped.found
    assert grouped.auroc.value < 0.6
    assert split.found


def test_metadata_have_the_interval_of_placements_over_patients(monkeypatch):
    from stitchkit.evaluation.anchors import shortcuts as anchor_shortcuts
    from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals

    rng = np.random.default_rng(0)
    values = (rng.random((120, 2)) < 0.3).astype(float)
    values[:9, 1] = np.nan
    column = values[:, 0] + rng.normal(size=120)
    labels = Labels(values, [f"i{i}" for i in range(120)], ("a", "b"), np.arange(120) // 2, {"x": column})
    seen, real = [], anchor_shortcuts._held_out
    monkeypatch.setattr(anchor_shortcuts, "_held_out", lambda *given: (seen.append(real(*given)), seen[0])[1])
    found, used = find_shortcuts(labels, ["x"], {}, min_positives=5, folds=5, seed=0)
    assert used == ("x",)
    assert [one.auroc for one in found] == auroc_intervals(AurocPulls.of(seen[0][0], values, labels.groups))


def test_a_class_that_one_patient_holds_is_not_judged():
    rng = np.random.default_rng(0)
    people = np.r_[np.zeros(60), np.arange(1, 13), np.arange(20, 80)]
    values = (people < 13).astype(float)[:, None]
    labels = Labels(values, [f"i{i}" for i in range(132)], ("held",), people, {"x": rng.random(132)})
    (found,), _ = find_shortcuts(labels, ["x"], {}, min_positives=10, folds=5, seed=0)
    assert found.auroc is None
    assert found.why == "13 positive patients count as 1.4, fewer than 3"


def test_classes_that_cannot_be_judged_say_why():
    rng = np.random.default_rng(0)
    values = np.zeros((60, 2))
    values[:4, 0] = 1
    values[:20, 1] = 1
    patients = np.concatenate([np.zeros(20), np.arange(1, 41)])
    labels = Labels(values, [f"i{i}" for i in range(60)], ("rare", "one patient"), patients, {"x": rng.random(60)})
    found, _ = find_shortcuts(labels, ["x"], {}, min_positives=10, folds=5, seed=0)
    assert [one.auroc for one in found] == [None, None]
    assert found[0].why == "4 positives and 56 negatives, of 1 and 41 patients, fewer than 10"
    assert found[1].why == "20 positives and 40 negatives, of 1 and 40 patients, fewer than 10"
    found, _ = find_shortcuts(labels, ["x"], {}, min_positives=1, folds=5, seed=0)
    assert found[1].why.endswith("fewer than 5")


def test_where_nothing_varies_it_is_said(anchors, films):
    found = check_anchors(anchors, labels=labels_of(films), **QUICK)
    assert found.shortcuts == ()
    assert any(one.startswith("no check for shortcuts") for one in found.notes)


# what is told


def test_neither_texts_nor_patients_are_told(films, others):
    images = list(others.images)
    images[0] = films.images[7]
    found = check_anchors(
        pairs_of(films), test=pairs_of(others, images, patients=films.patients[:40]), labels=labels_of(films),
        prompts="phantom", **QUICK,
    )  # fmt: skip
    told = str(found) + json.dumps(found.to_dict())
    assert not [patient for patient in films.patients if patient in told]
    assert not [report for report in (*films.reports, *others.reports) if report in told]


def test_the_document_is_plain_and_complete(films, others):
    found = check_anchors(pairs_of(films), test=pairs_of(others), labels=labels_of(films), prompts="phantom", **QUICK)
    document = json.loads(json.dumps(found.to_dict()))
    assert set(document) == {"passed", *(name for name in found.__dataclass_fields__)}
    assert document["settings"]["likeness"] == 0.97
    assert len(document["words"]) == len(FINDINGS)
    assert [one["name"] for one in document["classes"]] == ["effusion", "opacity"]


def test_many_pairs_are_cut_in_print_only(films):
    images = [films.images[0]] * 30 + list(films.images[30:])
    found = check_anchors(pairs_of(films, images), progress=False)
    assert len(found.duplicates) == 29
    assert "and 19 more" in str(found)


WRONG = {
    "metadata without labels": ({"metadata": ["age"]}, InputError, "there are no labels"),
    "metadata as a text": ({"metadata": "age"}, InputError, "a list of columns"),
    "one fold": ({"folds": 1}, InputError, "folds must be at least 2; got 1"),
    "no positive": ({"min_positives": 0}, InputError, "min_positives must be at least 1; got 0"),
    "an unknown prompt set": ({"prompts": "phantoms"}, UnknownNameError, "nearest: phantom"),
    "a test that is a path": ({"test": "test.csv"}, InputError, "Read the table"),
    "an impossible likeness": ({"likeness": 2.0}, InputError, "up to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_checked_is_refused(anchors, case):
    settings, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        check_anchors(anchors, progress=False, **settings)


def test_more_refusals(anchors, films):
    with pytest.raises(InputError, match="its own groups"):
        check_anchors(anchors, test=anchors, test_groups=films.patients)
    images = AnchorSet(anchors.ids, anchors.source_items, anchors.source_items)
    with pytest.raises(InputError, match="neither side holds texts"):
        check_anchors(images, prompts="phantom")
    with pytest.raises(UnknownNameError, match="metadata column"):
        check_anchors(anchors, labels=labels_of(films), metadata=["age"], **QUICK)


# real data


@pytest.fixture(scope="module")
def chest(real_data):
    table = real_data / "cxr_nih" / "manifest.csv"
    classes = ("Pneumonia", "Infiltration", "Effusion", "No_Finding")
    labels = sk.read_labels(table, classes=classes, columns=("subset", "split", "orig_png_bytes"))
    return sk.read_anchors(table), labels


@pytest.mark.real
def test_metadata_expose_the_confounded_films_and_spare_the_honest_ones(chest):
    anchors, labels = chest
    train = labels.columns["split"] == "train"
    talo = np.flatnonzero((labels.columns["subset"] == "talo") & train)
    honest = np.flatnonzero(np.isin(labels.columns["subset"], ["starter", "both"]) & train)
    found = {}
    for name, rows in (("talo", talo), ("honest", honest)):
        for columns in ((), ("orig_png_bytes",)):
            audit = check_anchors(anchors.take(rows), labels=labels, metadata=columns, progress=False)
            found[name, columns] = {one.name: one for one in audit.shortcuts}
            print(f"\n{name}, {columns}\n{audit}")
    for told in ("Pneumonia", "No_Finding"):
        assert found["talo", ("orig_png_bytes",)][told].auroc.value > 0.85
        assert found["talo", ("orig_png_bytes",)][told].found
    assert not any(one.found for columns in ((), ("orig_png_bytes",)) for one in found["honest", columns].values())


@pytest.mark.real
def test_a_copy_with_opposite_labels_is_found(real_data):
    table = real_data / "us_busi" / "manifest.csv"
    found = check_anchors(sk.read_anchors(table), labels=sk.read_labels(table, label="label"), progress=False)
    against = {(one.first, one.second, one.kind) for one in found.duplicates if one.opposite}
    assert ("images/benign__433_.jpg", "images/malignant__145_.jpg", "same file") in against
    assert any(one.startswith("CONTRADICTION") for one in found.warnings)


def test_without_findings_it_is_said_what_was_checked():
    films = make_phantoms(6, seed=5, size=32)
    images = sk.Items(films.ids, list(films.images), "image")
    texts = sk.Items(films.ids, [f"film {i}" for i in range(6)], "text")
    alone = check_anchors(sk.AnchorSet(films.ids, texts, texts), progress=False)
    last = str(alone).splitlines()[-1]
    assert last.startswith("no fault found; checked: ")
    assert "images" not in last
    assert "test items" not in last
    seen = check_anchors(sk.AnchorSet(films.ids, images, texts), progress=False)
    assert "images that are or look the same" in str(seen).splitlines()[-1]
    again = sk.Items([f"t{one}" for one in films.ids], list(films.images), "image")
    assert "no fault found" not in str(
        check_anchors(sk.AnchorSet(films.ids, images, texts), test=again, progress=False)
    )
