"""Labels from tables: blanks, uncertain labels, one column of class names."""

import numpy as np
import pytest

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.labels import read_labels

CHEXPERT = "path,Edema,Atelectasis,age,patient\na.png,1.0,-1.0,61,p\nb.png,0.0,,,p\nc.png,,1,45.5,q\n"


def table(folder, text):
    (folder / "labels.csv").write_text(text, "utf-8")
    return folder / "labels.csv"


@pytest.mark.parametrize(("policy", "value"), [("ignore", np.nan), ("positive", 1.0), ("negative", 0.0)])
def test_minus_one_means_what_the_policy_says_and_blank_is_not_known(tmp_path, policy, value):
    labels = read_labels(table(tmp_path, CHEXPERT), uncertain=policy, columns=["age"])
    assert labels.classes == ("Edema", "Atelectasis")
    np.testing.assert_array_equal(labels.values, [[1, value], [0, np.nan], [np.nan, 1]])
    assert labels.ids.tolist() == ["a.png", "b.png", "c.png"]
    assert labels.groups.tolist() == ["p", "p", "q"]
    np.testing.assert_array_equal(labels.columns["age"], [61, np.nan, 45.5])


def test_uncertain_labels_need_a_policy(tmp_path):
    path = table(tmp_path, CHEXPERT)
    with pytest.raises(DataError, match="row 2, column 'Atelectasis': the label is -1"):
        read_labels(path)
    assert read_labels(path, classes=["Edema"]).values.shape == (3, 1)
    with pytest.raises(UnknownNameError, match="nearest: ignore"):
        read_labels(path, uncertain="ignored")


def test_classes_come_in_the_order_asked_and_words_for_true_and_false_count(tmp_path):
    labels = read_labels(table(tmp_path, "id,b,a\n1,True,0\n2,false,nan\n"), classes=["a", "b"])
    np.testing.assert_array_equal(labels.values, [[0, 1], [np.nan, 0]])


def test_a_missing_class_column_lists_the_nearest(tmp_path):
    with pytest.raises(DataError, match="no column 'Oedema'; nearest: Edema"):
        read_labels(table(tmp_path, CHEXPERT), classes=["Oedema"])
    with pytest.raises(DataError, match="no class was asked"):
        read_labels(table(tmp_path, CHEXPERT), classes=[])


def test_a_bad_cell_is_named_by_row_and_column_not_by_content(tmp_path):
    path = table(tmp_path, "id,Edema,note\n1,1,x\n2,0,y\n3,0,z\n4,secret,z\n")
    for asked in (["Edema"], None):
        with pytest.raises(DataError, match="row 5, column 'Edema'") as caught:
            read_labels(path, classes=asked)
        assert "secret" not in str(caught.value)


def test_counts_and_texts_are_not_taken_for_classes(tmp_path):
    labels = read_labels(table(tmp_path, "id,Edema,follow_up,note,blank\n1,1,0,a,\n2,0,7,b,\n"))
    assert labels.classes == ("Edema",)
    with pytest.raises(DataError, match="pass label='label'"):
        read_labels(table(tmp_path, "id,label\n1,cat\n2,dog\n"))


def test_one_column_of_class_names_becomes_one_class_each(tmp_path):
    path = table(tmp_path, "id,label,sex\n1,nv,f\n2,mel,m\n3,,\n")
    labels = read_labels(path, label="label", columns=["sex"])
    assert labels.classes == ("mel", "nv")
    np.testing.assert_array_equal(labels.values, [[0, 1], [1, 0], [np.nan, np.nan]])
    assert labels.columns["sex"].tolist() == ["f", "m", ""]
    assert read_labels(path, label="label", classes=["nv", "mel", "df"]).values.shape == (3, 3)
    with pytest.raises(DataError, match="row 3, column 'label': the cell is none of the classes nv"):
        read_labels(path, label="label", classes=["nv"])
    with pytest.raises(DataError, match="names no class"):
        read_labels(table(tmp_path, "id,label,a\n1,,1\n"), label="label")


def test_repeated_ids_are_refused(tmp_path):
    with pytest.raises(DataError, match="row 3, column 'id': the same id as in row 2"):
        read_labels(table(tmp_path, "id,a\n1,1\n1,0\n"))
    with pytest.raises(DataError, match="no column 'id'"):
        read_labels(table(tmp_path, "a,b\n1,1\n"))
