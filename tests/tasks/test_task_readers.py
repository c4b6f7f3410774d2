"""Readers with the settings of the cards, on miniature copies of the published sets: classes, splits, groups."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.tasks.cards import read_task, task_names


def of_datasets(name):
    """A module of the tests of data sets, which need not be collected."""
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "datasets" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def copies():
    """Layout -> builder of its miniature copy; layout -> library that is not here."""
    published, evaluation = of_datasets("published_copies"), of_datasets("evaluation_copies")
    builders = {name: copy.build for name, copy in (published.COPIES | evaluation.EVALUATION_COPIES).items()}
    return builders, evaluation.NOT_HERE


def archive(root, card):
    """An archive of MedMNIST with one image of each class in each split."""
    labels = np.arange(len(card.classes), dtype=np.uint8)[:, None]
    images = np.zeros((len(labels), 4, 4), np.uint8)
    arrays = {f"{split}_{what}": one for split in ("train", "val", "test")
              for what, one in (("images", images), ("labels", labels))}  # fmt: skip
    np.savez(root / card.reader["file"], **arrays)


def tree(root, card):
    """One image in every folder that the card names."""
    for top in card.reader.get("splits", {"": ""}).values():
        for folder in card.reader["folders"].values():
            (root / top / folder).mkdir(parents=True)
            Image.new("L", (4, 4)).save(root / top / folder / "a.png")


def cohort_of(card, root, copies):
    builders, not_here = copies
    if card.layout in not_here:
        pytest.skip(f"{not_here[card.layout]} is not installed: pip install 'stitchkit[exam]'")
    if card.layout == "medmnist":
        archive(root, card)
    elif card.layout == "folders":
        tree(root, card)
    else:
        builders[card.layout](root)
    return read_cohort(card.layout, root, **card.reader)


@pytest.mark.parametrize("name", task_names())
def test_a_copy_of_the_set_is_read_with_the_classes_splits_and_groups_of_the_card(name, tmp_path, copies):
    card = read_task(name)
    cohort = cohort_of(card, tmp_path, copies)
    assert set(card.classes) <= set(cohort.labels.classes)
    assert (cohort.split is None) == (card.splits.train is None)
    if cohort.split is not None:
        assert set(cohort.split) <= {"train", "val", "test"}
        assert {card.splits.train, card.splits.test} & set(cohort.split)
    assert (cohort.labels.groups is not None) == bool(card.group)
    assert (cohort.texts is not None) == (card.kind != "classes")


@pytest.mark.parametrize("name", [name for name in task_names() if read_task(name).layout in ("medmnist", "folders")])
def test_every_class_of_the_card_has_its_image(name, tmp_path, copies):
    card = read_task(name)
    cohort = cohort_of(card, tmp_path, copies)
    part = cohort if card.splits.test is None else cohort.part(card.splits.test)
    assert part.labels.classes == card.classes
    np.testing.assert_array_equal(part.labels.values, np.eye(len(card.classes)))


def test_a_class_more_than_the_card_has_is_refused(tmp_path):
    card = read_task("octmnist")
    labels = np.full((1, 1), len(card.classes), np.uint8)
    np.savez(tmp_path / card.reader["file"], train_images=np.zeros((1, 4, 4), np.uint8), train_labels=labels)
    with pytest.raises(DataError, match="labels are 0 to 3"):
        read_cohort(card.layout, tmp_path, **card.reader)
