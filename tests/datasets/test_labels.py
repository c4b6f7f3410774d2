"""Labels from tables: blanks, uncertain labels, one column of class names."""

from pathlib import Path

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


def with_ages(folder, ages):
    return table(folder, "id,age,Edema\n" + "".join(f'{i},"{one}",{i % 2}\n' for i, one in enumerate(ages)))


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["46,0", "13,5", "70,25"], [46, 13.5, 70.25]),
        (["46,0", "", "NA"], [46, np.nan, np.nan]),
        (["46", "13,5", "7"], [46, 13.5, 7]),
        (["-0,5", "0,125", "+1,5"], [-0.5, 0.125, 1.5]),
        (["1234,5", "0,5", "12,3456"], [1234.5, 0.5, 12.3456]),
    ],
)
def test_decimal_commas_of_a_whole_column_are_numbers_with_a_note(tmp_path, cells, numbers):
    with pytest.warns(UserWarning, match="column 'age' of .* has decimal commas"):
        labels = read_labels(with_ages(tmp_path, cells), classes=["Edema"], columns=["age"])
    np.testing.assert_array_equal(labels.columns["age"], numbers)


@pytest.mark.parametrize(
    ("cells", "row", "why"),
    [
        (["1,234", "2,500", "3,750"], 2, "its comma may be decimal or of thousands"),
        (["12,5", "1,234", "13,5"], 3, "its comma may be decimal or of thousands"),
        (["46.0", "13,5", "70.5", "1.5"], 3, "the cell is no number"),
        (["46", "47", "forty", "48"], 4, "the cell is no number"),
        (["46,0", "47,0", "48,0", "old"], 5, "the cell is no number"),
        (["46,0", "47.5", "48,0", "50,1"], 3, "the cell is no number"),
        (["1,234,567", "2", "3", "4"], 2, "its comma may be decimal or of thousands"),
        (["1e3", "46,0", "47", "48"], 3, "the cell is no number"),
    ],
)
def test_a_column_that_is_numbers_in_most_rows_is_named_with_the_first_other_row(tmp_path, cells, row, why):
    with pytest.warns(UserWarning, match=rf"column 'age' .* the first is row {row}: {why}") as caught:
        labels = read_labels(with_ages(tmp_path, cells), classes=["Edema"], columns=["age"])
    assert labels.columns["age"].tolist() == cells
    assert "forty" not in str(caught[0].message)


@pytest.mark.parametrize(
    "cells", [["AP", "PA", "AP"], ["46", "AP", "PA"], ["046Y", "013Y"], ["a,b", "c,d"], ["", "NA"]]
)
def test_categories_are_read_without_a_note(tmp_path, cells):
    read_labels(with_ages(tmp_path, cells), classes=["Edema"], columns=["age"])


@pytest.mark.parametrize("classes", [["a", "b"], None])
def test_labels_with_decimal_commas_are_labels_with_a_note(tmp_path, classes):
    path = table(tmp_path, 'id,a,b\n1,"1,0","0,0"\n2,"0,0",\n3,0,"-1,00"\n')
    with pytest.warns(UserWarning, match=r"labels of .* have decimal commas in 2 columns"):
        labels = read_labels(path, classes=classes, uncertain="ignore")
    np.testing.assert_array_equal(labels.values, [[1, 0], [0, np.nan], [0, np.nan]])
    with pytest.raises(DataError, match="row 3, column 'a': the cell is no label"):
        read_labels(table(tmp_path, 'id,a\n1,"1,0"\n2,"1,000"\n'), classes=["a"])
    with pytest.raises(DataError, match="row 2, column 'a': the cell is no label"):
        read_labels(table(tmp_path, 'id,a\n1,"0,5"\n'), classes=["a"])


@pytest.mark.parametrize("words", [("yes", "no"), ("positive", "negative"), ("x", "y"), ("2", "5")])
@pytest.mark.parametrize("classes", [["Edema"], None])
def test_other_words_for_labels_are_told_which_are_allowed(tmp_path, words, classes):
    path = table(tmp_path, "id,Edema\n" + "".join(f"{i},{words[i % 2]}\n" for i in range(10)))
    with pytest.raises(DataError, match=r"Labels are 1, 0, -1 \(uncertain\), True, False or blank"):
        read_labels(path, classes=classes)


@pytest.mark.parametrize(
    ("name", "separator", "step"),
    [("a.csv", ";", "a first line 'sep=;'"), ("a.csv", "|", r"a first line 'sep=\|'"), ("a.csv", "\t", r"\.tsv"),
     ("a.tsv", ",", r"\.csv"), ("a.tsv", ";", "a first line 'sep=;'")],
)  # fmt: skip
def test_another_separator_names_a_step_that_works(tmp_path, name, separator, step):
    text = "id,Edema\n1,1\n2,0\n".replace(",", separator)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"is separated by .*{step}"):
        read_labels(tmp_path / name)
    fixed = tmp_path / (Path(name).stem + (step[1:] if step.startswith("\\") else Path(name).suffix))
    fixed.write_text(text if step.startswith("\\") else f"sep={separator}\n{text}")
    assert read_labels(fixed).values.tolist() == [[1], [0]]


CELLS = [  # spellings of one class
    ("Edema", "edema", "EDEMA"),
    ("No Finding", "no finding", "no_finding", "No-Finding", "NoFinding", "No  Finding."),
    ("stage 1", "Stage 01", "stage-1"),
    ("T1", "t1", "T-1"),
    ("1", "01", "1.0"),
    ("Caf\u00e9 au lait", "Cafe\u0301 au lait"),
    ("\u201cmass\u201d", "mass", "\u2018mass\u2019"),
    ("grade 1 - 2", "Grade 1-2", "grade 1\u20132"),
]
OTHERS = [
    "HER2+",
    "HER2-",
    "HER2",
    "<5",
    ">5",
    "5",
    "-5",
    "1-2",
    "12",
    "1 2",
    "1.5",
    "1.05",
    "15",
    "T1",
    "T1a",
    "T2",
    "a/b",
    "ab",
]


@pytest.mark.parametrize("spellings", CELLS)
def test_one_class_in_several_spellings_is_refused_with_a_row_of_each(tmp_path, spellings):
    cells = ["Normal", *spellings, "Normal", *spellings]
    path = table(tmp_path, "id,label\n" + "".join(f'{k},"{cell}"\n' for k, cell in enumerate(cells)))
    with pytest.raises(DataError, match=f"spells one class in {len(spellings)} ways") as raised:
        read_labels(path, label="label")
    for place, cell in enumerate(spellings):
        assert f"{cell!r} (row {place + 3})" in str(raised.value)
    assert "Write one spelling, or name all classes with classes=" in str(raised.value)
    both = read_labels(path, label="label", classes=["Normal", *spellings])
    assert both.values.sum(axis=0).tolist() == [2.0] * (1 + len(spellings))
    with pytest.raises(DataError, match=r"row 4, column 'label': the cell is .*, another spelling of the class"):
        read_labels(path, label="label", classes=["Normal", spellings[0]])


def test_signs_that_part_two_classes_are_no_spelling(tmp_path):
    path = table(tmp_path, "id,label\n" + "".join(f'{k},"{cell}"\n' for k, cell in enumerate(OTHERS)))
    assert read_labels(path, label="label").classes == tuple(sorted(OTHERS))


def test_label_columns_that_differ_in_spelling_are_refused(tmp_path):
    path = table(tmp_path, "id,Edema,edema,No Finding\n1,1,0,0\n2,0,1,1\n")
    with pytest.raises(DataError, match=r"the columns 'Edema', 'edema' of .* differ in spelling only"):
        read_labels(path)
    assert read_labels(path, classes=["Edema", "edema"]).classes == ("Edema", "edema")
    with pytest.raises(DataError, match="no column 'no finding'; nearest: No Finding"):
        read_labels(path, classes=["no finding"])
