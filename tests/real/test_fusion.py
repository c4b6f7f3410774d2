"""A fused head on dermoscopic images with age, sex and site: what is left when one of them is missing."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.folds import assign
from stitchkit.training.fusion.rivals import fit_arms

pytestmark = pytest.mark.real
ARMS = ("fused", "zero filling")


@pytest.fixture(scope="module")
def lesions(real_data, resnet):
    """Labels by lesion, ResNet-44 vectors and table rows of HAM10000."""
    table = real_data / "derm_ham" / "manifest.csv"
    labels = sk.read_labels(table, label="label", id="path", groups="dup_group")
    images = sk.read_items(table, column="path", modality="image", id="path")
    rows = sk.read_table_rows(table, ["age", "sex", "localization"], id="path")
    return labels, sk.embed(resnet, images, progress=False).of_ids(labels.ids), rows


@pytest.fixture(scope="module")
def accuracies(lesions):
    """Balanced accuracy of each arm on the lesions of one fold of three, by what is shown."""
    labels, image, table = lesions
    test = assign(len(labels), labels.groups, seed=0, k=3)[0]
    rest = np.setdiff1d(np.arange(len(labels)), test)
    train = {"image": image.take(rest), "table": table.take(rest)}
    arms = fit_arms(train, labels.take(rest), sk.FusionRecipe(balanced=True), arms=ARMS, progress=False)
    rows = arms.head.rows({"image": image.take(test), "table": table.take(test)}, labels.ids[test])
    truth = labels.values[test].argmax(axis=1)
    found = {}
    for arm, score in arms.scorers.items():
        for shown in (("image", "table"), ("image",), ("table",)):
            picked = score(rows.only(shown)).argmax(axis=1)
            found[arm, shown] = float(np.mean([(picked[truth == c] == c).mean() for c in range(7)]))
    print("\n" + "\n".join(f"{arm}, {' and '.join(shown)}: {value:.3f}" for (arm, shown), value in found.items()))
    return found


def test_both_are_no_worse_than_the_better_one(accuracies):
    best = max(accuracies["image alone", ("image", "table")], accuracies["table alone", ("image", "table")])
    assert accuracies["fused", ("image", "table")] > best - 0.02


def test_a_missing_image_costs_less_than_zeros_in_its_place(accuracies):
    assert accuracies["fused", ("table",)] > accuracies["zero filling", ("table",)] + 0.03
    # given the image alone both lie within what 720 rows can tell
    assert accuracies["fused", ("image",)] > accuracies["zero filling", ("image",)] - 0.06


def test_a_table_with_the_diagnosis_among_its_columns_is_refused_by_name(lesions, real_data):
    labels, _, _ = lesions
    table = real_data / "derm_ham" / "manifest.csv"
    rows = sk.read_table_rows(table, ["age", "label", "patient_id", "orig_name"], id="path")
    with pytest.raises(sk.StitchError, match=r"column 'label' tells the label.*'orig_name' has a different value"):
        sk.fuse({"table": rows}, labels)
