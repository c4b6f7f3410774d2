"""Each layout of a downstream evaluation set on a miniature copy: ids, patients, labels, splits and texts."""

import io
import json
import sys

import numpy as np
import pytest
from evaluation_copies import (
    FOLDERS,
    SICAP,
    deepeyenet,
    folders,
    ham10000,
    medmnist,
    pad_ufes_20,
    path_vqa,
    pcam,
    sicap,
    spreadsheet,
    vindr_mammo,
    vqa_rad,
)
from PIL import Image
from published_copies import picture, write

from stitchkit.core.errors import DataError, InputError, MissingExtraError, UnknownNameError
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.datasets.embeddable_items import as_items


def of_class(cohort, name):
    return cohort.labels.values[:, cohort.labels.classes.index(name)].tolist()


# one folder a class


def test_each_folder_is_a_class_of_the_images_that_lie_in_it(tmp_path):
    cohort = read_cohort("folders", folders(tmp_path), folders=FOLDERS)
    assert cohort.images.ids.tolist() == [
        "Photos/Benign/b001.tif", "Photos/Benign/b002.tif", "Photos/Normal/n001.tif", "More/Normal/n001.tif",
    ]  # fmt: skip
    assert cohort.labels.classes == ("Benign", "Normal")
    np.testing.assert_array_equal(cohort.labels.values, [[1, 0], [1, 0], [0, 1], [0, 1]])
    assert (cohort.labels.groups, cohort.split, cohort.texts) == (None, None, None)
    assert cohort.card["header"] == {"folders": "Benign: Photos/Benign; Normal: Photos/Normal, More/Normal"}


def test_without_names_every_folder_of_a_split_is_a_class(tmp_path):
    for split in ("NCT-CRC-HE-100K", "CRC-VAL-HE-7K"):
        for label in ("TUM", "ADI"):
            picture(tmp_path / split / label / f"{label}-{split}.tif")
    picture(tmp_path / "NCT-CRC-HE-100K" / ".cache" / "a.tif")
    cohort = read_cohort("folders", tmp_path, splits={"train": ["NCT-CRC-HE-100K"], "test": "CRC-VAL-HE-7K"})
    assert cohort.labels.classes == ("ADI", "TUM")
    assert cohort.split.tolist() == ["train", "train", "test", "test"]
    assert of_class(cohort, "TUM") == [0, 1, 0, 1]
    assert cohort.part("test").images.ids.tolist() == [
        "CRC-VAL-HE-7K/ADI/ADI-CRC-VAL-HE-7K.tif", "CRC-VAL-HE-7K/TUM/TUM-CRC-VAL-HE-7K.tif",
    ]  # fmt: skip
    assert "CRC-VAL-HE-7K is 'test'" in cohort.card["split"]
    named = {"fat": "ADI"}
    fat = read_cohort("folders", tmp_path, folders=named, splits={"train": "NCT-CRC-HE-100K"})
    assert fat.images.ids.tolist() == ["NCT-CRC-HE-100K/ADI/ADI-NCT-CRC-HE-100K.tif"]
    (tmp_path / "CRC-VAL-HE-7K" / "TUM").rename(tmp_path / "TUM")
    with pytest.raises(DataError, match=r"no folder .*TUM of the class 'TUM'"):
        read_cohort("folders", tmp_path, splits={"train": ["NCT-CRC-HE-100K"], "test": "CRC-VAL-HE-7K"})


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"folders": {"A": "Photos/Bening"}}, DataError, "no folder .*Bening of the class 'A'"),
        ({"folders": {"A": "Photos"}}, DataError, "holds no image among 0 files"),
        ({"folders": {"A": "Photos/Benign", "B": "Photos//Benign"}}, InputError, "under 'A' and 'B'"),
        ({"folders": {}}, InputError, "Name at least one"),
        ({"folders": {"A": []}}, InputError, "Name at least one"),
        ({"folders": {"A": 3}}, InputError, "a table from a name to a list of folders"),
        ({"folders": ["Photos/Benign"]}, InputError, "a table from a name to a list of folders"),
        ({"splits": {"train": "Foto"}}, DataError, "there is no folder .*Foto"),
        ({"splits": {"train": "Photos/Benign"}}, DataError, "holds no folders"),
        ({"splits": {"train": "Photos", "test": "Photos"}}, InputError, "under 'train' and 'test'"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, settings, kind, says):
    with pytest.raises(kind, match=says):
        read_cohort("folders", folders(tmp_path), **settings)


# MedMNIST


def test_an_archive_of_medmnist_gives_arrays_with_their_split_and_class(tmp_path):
    cohort = read_cohort("medmnist", medmnist(tmp_path), classes=["nevus", "melanoma", "keratosis"])
    assert cohort.images.ids.tolist()[:5] == ["train 0", "train 1", "train 2", "train 3", "val 0"]
    assert cohort.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    assert of_class(cohort, "melanoma") == [0, 1, 0, 0, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(cohort.labels.values.sum(axis=1), 1)
    assert [int(image.max()) for image in cohort.part("test").images] == [0, 1, 2]
    assert {image.shape for image in as_items(cohort.images, "image")} == {(6, 6, 3)}
    assert "train_images (4, 6, 6, 3) uint8" in cohort.card["header"]["dermamnist_224.npz"]
    assert cohort.name == "dermamnist_224"


def test_labels_of_chestmnist_are_read_as_they_stand_and_a_split_may_be_missing(tmp_path):
    medmnist(tmp_path, "chestmnist.npz", labels=5)
    cohort = read_cohort("medmnist", tmp_path, file="chestmnist.npz")
    assert cohort.labels.classes == ("0", "1", "2", "3", "4")
    np.testing.assert_array_equal(cohort.part("train").labels.values[:2], [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]])
    np.savez(tmp_path / "two.npz", val_images=np.zeros((2, 4, 4), np.uint8), val_labels=np.asarray([1, 0]))
    assert read_cohort("medmnist", tmp_path, file="two.npz").split.tolist() == ["val", "val"]
    with pytest.raises(DataError, match=r"holds 2 files .npz \(chestmnist.npz, two.npz\)"):
        read_cohort("medmnist", tmp_path)
    with pytest.raises(DataError, match="5 labels an image and 2 different names"):
        read_cohort("medmnist", tmp_path, file="chestmnist.npz", classes=["a", "b"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"val_labels": np.asarray([[1], [7]])}, "row 1 of val_labels: the label is 7; labels are 0 to 2"),
        ({"val_labels": np.asarray([[1], [-1]])}, "row 1 of val_labels: the label is -1"),
        ({"val_labels": np.asarray([[1.0], [0.5]])}, "val_labels is .* of float64"),
        ({"val_labels": np.asarray([[1]])}, r"val_labels is \(1, 1\) .*for 2 images"),
        ({"val_labels": np.asarray([[1, 0], [0, 1]])}, "labels of one shape"),
        ({"val_images": np.zeros((2, 4, 4, 4), np.uint8)}, "Volumes of MedMNIST 3D are not read"),
        ({"val_images": np.zeros((2, 4, 4), np.float32)}, "of uint8"),
        ({"val_labels": np.asarray([["a"], [None]], dtype=object)}, "archive of plain arrays"),
    ],
)
def test_arrays_that_are_no_medmnist_are_refused(tmp_path, changed, says):
    medmnist(tmp_path, **changed)
    with pytest.raises(DataError, match=says):
        read_cohort("medmnist", tmp_path, classes=["a", "b", "c"])


def test_a_file_that_is_no_archive_of_arrays_is_refused(tmp_path):
    for content in (b"", b"PK\x03\x04 cut", b"<html>"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match="downloaded completely"):
            read_cohort("medmnist", tmp_path)
    np.savez(tmp_path / "a.npz", vectors=np.zeros(3))
    with pytest.raises(DataError, match="needed are train_images"):
        read_cohort("medmnist", tmp_path)
    (tmp_path / "a.npz").unlink()
    with pytest.raises(DataError, match=r"holds no file \.npz"):
        read_cohort("medmnist", tmp_path)
    with pytest.raises(DataError, match="there is no archive"):
        read_cohort("medmnist", tmp_path, file="b.npz")


@pytest.mark.real
def test_the_real_pneumonia_films_of_medmnist_are_a_cohort(real_data):
    cohort = read_cohort("medmnist", real_data / "pneumoniamnist", classes=["normal", "pneumonia"])
    assert [int((cohort.split == split).sum()) for split in ("train", "val")] == [4682, 524]
    np.testing.assert_array_equal(cohort.labels.values.sum(axis=1), 1)


# skin


def test_images_of_one_lesion_of_ham10000_are_a_group(tmp_path):
    root = ham10000(tmp_path)
    cohort = read_cohort("ham10000", root)
    assert cohort.images.ids.tolist() == ["ISIC_0027419", "ISIC_0025030", "ISIC_0026769"]
    assert cohort.labels.groups.tolist() == ["HAM_0000118", "HAM_0000118", "HAM_0002730"]
    assert of_class(cohort, "bkl") == [1, 1, 0]
    np.testing.assert_array_equal(cohort.labels.values.sum(axis=1), 1)
    np.testing.assert_array_equal(cohort.labels.columns["age"], [80, 80, np.nan])
    assert cohort.labels.columns["localization"].tolist() == ["scalp", "scalp", "unknown"]
    assert cohort.split is None
    both = ["HAM10000_images_part_1", "HAM10000_images_part_2"]
    assert list(read_cohort("ham10000", root, images=both).images) == list(cohort.images)
    with pytest.raises(DataError, match=r"no folder .*part_3"):
        read_cohort("ham10000", root, images="HAM10000_images_part_3")
    path = root / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace(",nv,", ",nevus,"))
    with pytest.raises(DataError, match="row 4, column 'dx': the cell is none of akiec, bcc"):
        read_cohort("ham10000", root)
    for name in both:
        (root / name).rename(root / f"moved_{name}")
    with pytest.raises(DataError, match=r"holds no folder .* of images"):
        read_cohort("ham10000", root)


def test_photographs_of_one_patient_of_pad_ufes_are_a_group(tmp_path):
    cohort = read_cohort("pad-ufes-20", pad_ufes_20(tmp_path))
    assert cohort.labels.groups.tolist() == ["PAT_1516", "PAT_46", "PAT_46"]
    assert (of_class(cohort, "NEV"), of_class(cohort, "BCC"), of_class(cohort, "ACK")) == (
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    )
    np.testing.assert_array_equal(cohort.labels.columns["fitzpatrick"], [np.nan, 3, 3])
    assert cohort.labels.columns["sex"].tolist() == ["", "FEMALE", "FEMALE"]
    assert cohort.labels.columns["lesion"].tolist() == ["1765", "881", "882"]


# mammograms


def test_findings_of_a_mammogram_are_gathered_over_its_boxes(tmp_path):
    root = vindr_mammo(tmp_path)
    cohort = read_cohort("vindr-mammo", root)
    assert cohort.images.ids.tolist() == ["a1", "a2", "b1"]
    assert (of_class(cohort, "Mass"), of_class(cohort, "Skin Retraction")) == ([0, 1, 0], [0, 1, 0])
    assert of_class(cohort, "No Finding") == [1, 0, 0]
    assert cohort.labels.groups.tolist() == ["s1", "s1", "s2"]
    assert cohort.split.tolist() == ["train", "train", "test"]
    assert set(cohort.labels.columns) == {"laterality", "view", "birads", "density"}
    assert cohort.card["counts"]["DICOM images"] == 1
    test = read_cohort("vindr-mammo", root, splits="test")
    assert test.images.ids.tolist() == ["b1"]
    assert test.card["left_out"] == {"other split": 2, "no row of findings": 1}
    with pytest.raises(UnknownNameError, match="split of VinDr-Mammo"):
        read_cohort("vindr-mammo", root, splits="training")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("['Suspicious Calcification']", "['Calcification']", "row 4, column 'finding_categories': .* list such as"),
        ("['Suspicious Calcification']", "open('a')", "row 4, column 'finding_categories': .* list such as"),
        ("['Suspicious Calcification']", "[", "row 4, column 'finding_categories': .* list such as"),
        ("\"['Mass', 'Skin Retraction']\"", "['No Finding']", "row 5, .*has findings and 'No Finding'"),
    ],
)
def test_findings_that_are_no_list_of_known_names_are_refused(tmp_path, old, new, says):
    path = vindr_mammo(tmp_path) / "finding_annotations.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=says):
        read_cohort("vindr-mammo", tmp_path)


# sections of tissue


@pytest.fixture
def openpyxl():
    return pytest.importorskip("openpyxl", reason="spreadsheets need openpyxl: pip install 'stitchkit[exam]'")


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="HDF5 needs h5py: pip install 'stitchkit[exam]'")


@pytest.mark.usefixtures("openpyxl")
def test_patches_of_sicap_have_grades_slides_and_patients(tmp_path):
    root = sicap(tmp_path)
    cohort = read_cohort("sicap", root)
    assert cohort.split.tolist() == ["train", "train", "test", "test"]
    assert cohort.labels.classes == ("NC", "G3", "G4", "G5")
    np.testing.assert_array_equal(cohort.labels.values, [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    assert cohort.labels.groups.tolist() == ["7", "7", "8", "8"]
    assert cohort.labels.columns["slide"].tolist() == ["16B1", "16B1", "16B2", "16B2"]
    np.testing.assert_array_equal(cohort.labels.columns["cribriform"], [0, 1, 0, 0])
    assert list(cohort.card["header"].values())[:2] == [",".join(SICAP)] * 2
    assert "wsi_labels.xlsx" in cohort.card["header"]
    spreadsheet(root / "wsi_labels.xlsx", ("slide_id", "patient_id"), ("16B1", 7))
    with pytest.raises(
        DataError, match=r"row 2, column 'image_name': wsi_labels.xlsx has no row .* \(2 of 2 patches\)"
    ):
        read_cohort("sicap", root, splits="test")
    (root / "wsi_labels.xlsx").unlink()
    alone = read_cohort("sicap", root, splits="test")
    assert alone.labels.groups.tolist() == ["16B2", "16B2"]
    assert "the slide stands for a patient" in alone.card["patients"]
    with pytest.raises(UnknownNameError, match="split of SICAPv2"):
        read_cohort("sicap", root, splits=["val"])


@pytest.mark.usefixtures("openpyxl")
def test_a_spreadsheet_that_is_wider_or_has_empty_rows_is_read_and_a_damaged_one_refused(tmp_path):
    path = sicap(tmp_path) / "partition/Test/Test.xlsx"
    name = "16B2_Block_Region_1_5_26_xini_35472_yini_8051.jpg"
    spreadsheet(
        path, SICAP, (), (name, 0, 1.0, 0, 0, 0, None), (None, "", None), (name.replace("_1_", "_2_"), 0, 0, 0, 1, 0)
    )
    assert len(read_cohort("sicap", tmp_path, splits="test")) == 2
    spreadsheet(path, SICAP, (name, 0, 2, 0, 0, 0))
    with pytest.raises(DataError, match="row 2, column 'G3': the cell is no label"):
        read_cohort("sicap", tmp_path)
    spreadsheet(path, SICAP[:-1], (name, 0, 1, 0, 0))
    with pytest.raises(DataError, match=r"Test.xlsx has no column 'G4C'.*published header"):
        read_cohort("sicap", tmp_path)
    spreadsheet(path)
    with pytest.raises(DataError, match="has no column"):
        read_cohort("sicap", tmp_path)
    for content in (b"", b"PK\x03\x04 cut", b"image_name,NC"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as a spreadsheet"):
            read_cohort("sicap", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"holds no partition/Test/Test.xlsx"):
        read_cohort("sicap", tmp_path)


@pytest.mark.usefixtures("h5py")
@pytest.mark.parametrize("chunks", [False, True])
def test_patches_of_pcam_are_rows_of_the_file_with_their_slide(tmp_path, chunks):
    cohort = read_cohort("pcam", pcam(tmp_path, chunks))
    assert cohort.images.ids.tolist() == ["train 0", "train 1", "train 2", "test 0", "test 1"]
    assert [int(image.max()) for image in cohort.images] == [0, 1, 2, 0, 1]
    assert {image.shape for image in as_items(cohort.images, "image")} == {(8, 8, 3)}
    assert of_class(cohort, "tumor") == [0, 1, 0, 0, 1]
    assert cohort.labels.groups.tolist() == [
        *["camelyon16_train_0"] * 2,
        "camelyon16_train_1",
        *["camelyon16_test_0"] * 2,
    ]
    (tmp_path / "camelyonpatch_level_2_split_train_meta.csv").unlink()
    assert read_cohort("pcam", tmp_path).labels.groups is None
    assert read_cohort("pcam", tmp_path, splits="test").labels.groups.tolist() == ["camelyon16_test_0"] * 2


@pytest.mark.usefixtures("h5py")
def test_patches_of_pcam_that_are_stored_in_one_piece_stay_on_disk(tmp_path):
    images = read_cohort("pcam", pcam(tmp_path), splits="train").images.values
    base = images[0]
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert type(base).__name__ == "mmap"
    assert not images[0].flags.writeable


@pytest.mark.usefixtures("h5py")
def test_files_of_pcam_that_do_not_belong_together_are_refused(tmp_path, h5py):
    stem = pcam(tmp_path) / "camelyonpatch_level_2_split_test"
    with pytest.raises(UnknownNameError, match="split of PatchCamelyon"):
        read_cohort("pcam", tmp_path, splits="valid")
    with pytest.raises(DataError, match=r"no file .*valid_x.h5. Unpack"):
        read_cohort("pcam", tmp_path, splits="val")
    for labels, says in (([[0], [2]], "0 or 1 an image"), ([[0]], r"y is \(1, 1\) for 2 images")):
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file.create_dataset("y", data=np.asarray(labels, dtype=np.uint8))
        with pytest.raises(DataError, match=says):
            read_cohort("pcam", tmp_path)
    pcam(tmp_path)
    write(tmp_path / f"{stem.name}_meta.csv", ",wsi", "0,a")
    with pytest.raises(DataError, match=r"has 1 rows and .* 2 images"):
        read_cohort("pcam", tmp_path)
    for key in ("y", "z"):
        with h5py.File(f"{stem}_x.h5", "w") as file:
            file.create_dataset(key, data=np.zeros((2, 8, 8), np.uint8))
        with pytest.raises(DataError, match="holds no array 'x'"):
            read_cohort("pcam", tmp_path)
    (tmp_path / f"{stem.name}_x.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="holds no array 'x'"):
        read_cohort("pcam", tmp_path)
    with h5py.File(f"{stem}_x.h5", "w") as file:
        file.create_dataset("x", data=np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(DataError, match="pictures are"):
        read_cohort("pcam", tmp_path)


@pytest.mark.parametrize(
    ("layout", "reader", "file"),
    [
        ("sicap", "openpyxl", "wsi_labels.xlsx"),
        ("pcam", "h5py", "camelyonpatch_level_2_split_test_x.h5"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch, layout, reader, file):
    (tmp_path / "images").mkdir()
    (tmp_path / file).touch()
    monkeypatch.setitem(sys.modules, reader, None)
    with pytest.raises(MissingExtraError, match=rf"{reader} cannot be imported.*pip install 'stitchkit\[exam\]'"):
        read_cohort(layout, tmp_path)


# JSON


def changed(path, change):
    """The list in a JSON file, rewritten after ``change`` worked on it."""
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


def test_images_of_deepeyenet_have_a_description_or_keywords(tmp_path):
    root = deepeyenet(tmp_path)
    cohort = read_cohort("deepeyenet", root)
    assert cohort.images.ids.tolist() == [
        f"eyenet0420/{name}.jpg" for name in ("train_set/fundus1", "val_set/fundus3", "test_set/fundus4")
    ]
    assert list(cohort.texts) == ["48-year-old woman with a hole.", "Drusen of both eyes.", "A hole, closed."]
    assert cohort.split.tolist() == ["train", "val", "test"]
    assert cohort.labels.classes == ()
    words = read_cohort("deepeyenet", root, text="keywords", classes={"hole": ["macular hole"], "drusen": ["drusen"]})
    assert list(words.texts)[:2] == ["macular hole, oct", "Drusen"]
    assert (of_class(words, "hole"), of_class(words, "drusen")) == ([1, 0, 0, 1], [0, 1, 1, 0])
    with pytest.raises(UnknownNameError, match=r"nearest: [Dd]rusen"):
        read_cohort("deepeyenet", root, classes=["druse"])
    with pytest.raises(UnknownNameError, match="text of DeepEyeNet"):
        read_cohort("deepeyenet", root, text="description")
    changed(root / "DeepEyeNet_test.json", lambda entries: entries.append({"a.jpg": {}, "b.jpg": {}}))
    with pytest.raises(DataError, match=r"DeepEyeNet_test.json, row 2: the entry is no path"):
        read_cohort("deepeyenet", root)
    for name in ("train", "valid", "test"):
        (root / f"DeepEyeNet_{name}.json").unlink()
    with pytest.raises(DataError, match=r"holds no DeepEyeNet_train.json"):
        read_cohort("deepeyenet", root)


def test_questions_of_vqa_rad_are_items_with_their_image_as_group(tmp_path):
    root = vqa_rad(tmp_path)
    cohort = read_cohort("vqa-rad", root)
    assert cohort.images.ids.tolist() == ["0", "1", "2"]
    assert [path.name for path in cohort.images] == ["synpic1.jpg", "synpic1.jpg", "synpic2.jpg"]
    assert next(iter(cohort.texts)) == "Is there an effusion?"
    assert cohort.split.tolist() == ["train", "test", "test"]
    assert cohort.labels.columns["answer"].tolist() == ["Yes", "yes", "3"]
    assert cohort.labels.columns["answer_type"].tolist() == ["CLOSED", "CLOSED", "OPEN"]
    assert cohort.labels.classes == ()
    assert cohort.card["counts"]["patients in several splits"] == 1  # one image has questions in both
    path = root / "VQA_RAD Dataset Public.json"
    changed(path, lambda entries: entries[2].update(phrase_type="spoken"))
    with pytest.raises(DataError, match="row 3, column 'phrase_type': the cell is none of freeform"):
        read_cohort("vqa-rad", root)
    for content, says in (("{}", "is no list"), ("[]", "is no list"), ("[1]", "row 1: the entry"), ("[", "is no JSON")):
        path.write_text(content)
        with pytest.raises(DataError, match=says):
            read_cohort("vqa-rad", root)
    path.unlink()
    with pytest.raises(DataError, match="holds no VQA_RAD Dataset"):
        read_cohort("vqa-rad", root)


def test_questions_of_path_vqa_are_read_of_json_by_split(tmp_path):
    cohort = read_cohort("path-vqa", path_vqa(tmp_path))
    assert cohort.images.ids.tolist() == ["train 1", "train 2", "test 1"]
    assert cohort.labels.groups.tolist() == ["train_0001", "train_0001", "test_0007"]
    assert cohort.labels.columns["answer_type"].tolist() == ["OPEN", "CLOSED", "OPEN"]
    assert list(cohort.texts)[1] == "Is it liver?"
    assert read_cohort("path-vqa", tmp_path, splits="test").images.ids.tolist() == ["test 1"]
    with pytest.raises(UnknownNameError, match="split of PathVQA"):
        read_cohort("path-vqa", tmp_path, splits="validation")
    (tmp_path / "qas" / "val").mkdir()
    (tmp_path / "qas" / "val" / "val_qa.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no qas/val/val_qa.json .* pickled lists are not read"):
        read_cohort("path-vqa", tmp_path, splits=["val", "test"])


def test_questions_of_path_vqa_are_read_of_parquet_with_equal_images_as_one_group(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'stitchkit[parquet]'")
    from pyarrow import parquet

    def image(level):
        packed = io.BytesIO()
        Image.new("L", (4, 4), level).save(packed, "PNG")
        return {"bytes": packed.getvalue(), "path": None}

    def shard(name, *rows):
        path = tmp_path / "data" / f"{name}-of-00002.parquet"
        path.parent.mkdir(exist_ok=True)
        columns = dict(zip(("image", "question", "answer"), map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(arrow.table(columns), path)

    shard("validation-00000", (image(1), "What?", "a cell"), (image(2), "Is it?", "yes"))
    shard("validation-00001", (image(1), "Where?", "here"))
    cohort = read_cohort("path-vqa", tmp_path)
    assert cohort.images.ids.tolist() == ["val 1", "val 2", "val 3"]
    first, second, third = cohort.labels.groups.tolist()
    assert first == third != second
    assert [one.getpixel((0, 0)) for one in cohort.images] == [1, 2, 1]
    assert len(as_items(cohort.images, "image")) == 3
    shard("test-00000", ({"bytes": b"no image", "path": "a"}, "What?", "a"))
    with pytest.raises(DataError, match="is damaged"):
        read_cohort("path-vqa", tmp_path, splits="test")
    shard("test-00000", ({"bytes": None, "path": "a"}, "What?", "a"))
    with pytest.raises(DataError, match="row 1, column 'image': the cell holds no image"):
        read_cohort("path-vqa", tmp_path)
