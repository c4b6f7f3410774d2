"""Each layout of a downstream evaluation set on a miniature copy: ids, patients, labels, splits and texts."""

import numpy as np
import pytest
from evaluation_copies import FOLDERS, folders, medmnist
from published_copies import picture

from stitchkit.core.errors import DataError, InputError
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
