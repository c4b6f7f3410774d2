"""Anchors and items from disk."""

import pytest
from PIL import Image

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.tables import read_anchors, read_items


@pytest.fixture
def scans(tmp_path):
    (tmp_path / "scans" / "old").mkdir(parents=True)
    for name in ("b.png", "a.png", "old/c.JPG"):
        Image.new("L", (4, 4), 9).save(tmp_path / "scans" / name)
    return tmp_path / "scans"


def table(scans, text, name="reports.csv"):
    (scans / name).write_text(text, "utf-8")
    return scans / name


REPORTS = "id,path,text,patient\nx,b.png,No effusion.,p1\ny,a.png,Effusion.,p2\n"


def test_anchors_have_ids_both_sides_patients_and_a_card(scans):
    anchors = read_anchors(table(scans, REPORTS), card={"licence": "CC0"})
    assert anchors.ids.tolist() == ["x", "y"]
    assert anchors.source_items.modality == "image"
    assert anchors.source_items.values[0] == scans / "b.png"
    assert anchors.target_items.modality == "text"
    assert list(anchors.target_items) == ["No effusion.", "Effusion."]
    assert anchors.groups.tolist() == ["p1", "p2"]
    assert anchors.card["licence"] == "CC0"
    assert anchors.card["rows"] == 2
    assert len(anchors.card["sha256"]) == 64


def test_without_an_id_column_the_paths_are_the_ids_and_without_patients_there_are_no_groups(scans):
    anchors = read_anchors(table(scans, "path,text\nb.png,one\nold/c.JPG,two\n"))
    assert anchors.ids.tolist() == ["b.png", "old/c.JPG"]
    assert anchors.groups is None


def test_a_named_column_must_be_there(scans):
    path = table(scans, REPORTS)
    for wrong in ({"groups": "pateint"}, {"id": "idd"}, {"target": "txt"}, {"source": "paths"}):
        with pytest.raises(DataError, match="has no column"):
            read_anchors(path, **wrong)
    with pytest.raises(DataError, match="nearest: patient"):
        read_anchors(path, groups="pateint")


def test_a_column_of_image_names_is_images_whatever_it_is_called_and_can_be_overruled(scans):
    path = table(scans, "id,front,side\n1,a.png,b.png\n2,b.png,old/c.JPG\n")
    anchors = read_anchors(path, source="front", target="side")
    assert anchors.source_items.modality == anchors.target_items.modality == "image"
    forced = read_anchors(path, source="front", target="side", target_modality="text")
    assert list(forced.target_items) == ["b.png", "old/c.JPG"]
    with pytest.raises(UnknownNameError, match="nearest: text"):
        read_anchors(path, source="front", target="side", target_modality="texts")


def test_both_sides_may_be_the_same_images(scans):
    anchors = read_anchors(table(scans, REPORTS), target="path")
    assert list(anchors.source_items) == list(anchors.target_items)


def test_paths_are_relative_to_root_and_missing_files_are_counted_and_the_first_named(scans, tmp_path):
    path = table(tmp_path, REPORTS)
    assert len(read_anchors(path, root=scans)) == 2
    with pytest.raises(
        DataError, match=r"row 2, column 'path': there is no file 'b.png' in .*2 of 2 are missing; 'scans/b.png'"
    ):
        read_anchors(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,path,text,patient\nx,b.png,a,p1\n,a.png,b,p2\n", "row 3, column 'id': the cell is empty"),
        ("id,path,text,patient\nx,b.png,a,\n", "row 2, column 'patient': the cell is empty"),
        ("id,path,text,patient\nsecret,b.png,a,p1\nsecret,a.png,b,p2\n", "row 3, column 'id': the same id as in row 2"),
        ("path,text\nb.png,a\nb.png,b\n", "row 3, column 'path': the same id as in row 2"),
        ("id,path,text\n,b.png,a\n", "row 2, column 'id': the cell is empty"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column_only(scans, text, says):
    with pytest.raises(DataError, match=says) as caught:
        read_anchors(table(scans, text))
    assert "secret" not in str(caught.value)


def test_pairs_of_texts_need_ids_of_their_own(scans):
    with pytest.raises(DataError, match="no column 'id' and no image paths"):
        read_anchors(table(scans, "german,english\na,b\n"), source="german", target="english")


def test_a_folder_gives_its_images_sorted_with_relative_paths(scans):
    (scans / "._a.png").write_bytes(b"a macOS twin")
    (scans / "notes.txt").write_text("x")
    items = read_items(scans)
    assert items.ids.tolist() == ["a.png", "b.png", "old/c.JPG"]
    assert items.values[2] == scans / "old" / "c.JPG"
    assert items.modality == "image"


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no images"):
        read_items(tmp_path)
    with pytest.raises(DataError, match="there is no file or folder"):
        read_items(tmp_path / "absent")
    with pytest.raises(DataError, match="texts are read from"):
        read_items(tmp_path, modality="text")


def test_a_table_gives_the_column_that_fits_the_modality(scans):
    path = table(scans, REPORTS)
    assert list(read_items(path)) == [scans / "b.png", scans / "a.png"]
    texts = read_items(path, modality="text")
    assert (texts.ids.tolist(), list(texts)) == (["x", "y"], ["No effusion.", "Effusion."])
    assert read_items(path, column="patient").modality == "text"
    with pytest.raises(DataError, match="has no column 'path' or 'text'; it has a, b"):
        read_items(table(scans, "a,b\n1,2\n"))
    with pytest.raises(UnknownNameError, match="modality"):
        read_items(path, modality="sound")


@pytest.mark.parametrize(
    ("content", "columns", "wanted"),
    [
        ("path,text\nb.png,one\na.png,two\n", ("path", "text"), ["b.png", "a.png"]),
        ("text,img\none,old/c.JPG\ntwo,a.png\n", ("img", "text"), ["old/c.JPG", "a.png"]),
        ("film,report,view\nb.png,one,PA\na.png,two,AP\n", ("film", "report", "view"), ["b.png", "a.png"]),
        ("front,side,text\na.png,b.png,one\nb.png,old/c.JPG,two\n", ("front", "side", "text"), ["a.png", "b.png"]),
        ("id,path,text\nx,b.png,one\ny,a.png,two\n", ("path", "text"), ["x", "y"]),
    ],
)
def test_every_column_of_one_table_has_the_same_ids(scans, content, columns, wanted):
    path = table(scans, content)
    for column in columns:
        assert read_items(path, column=column).ids.tolist() == wanted
    assert read_anchors(path, source=columns[0], target=columns[1]).ids.tolist() == wanted


def test_texts_beside_repeated_or_missing_paths_get_their_row_numbers(scans):
    for first, second in (("a.png", "a.png"), ("a.png", "")):
        path = table(scans, f"path,text\n{first},one\n{second},two\n")
        assert read_items(path, column="text").ids.tolist() == ["2", "3"]


def test_texts_without_ids_get_their_row_numbers(scans):
    assert read_items(table(scans, "text\nsame\nsame\n")).ids.tolist() == ["2", "3"]


def test_a_line_file_gives_a_text_or_an_image_each_line(scans):
    texts = read_items(table(scans, "one\ntwo\n", "lines.txt"))
    assert (texts.ids.tolist(), list(texts)) == (["1", "2"], ["one", "two"])
    images = read_items(table(scans, "a.png\nold/c.JPG\n", "images.txt"))
    assert images.ids.tolist() == ["a.png", "old/c.JPG"]
    with pytest.warns(
        UserWarning, match=r"1 of 3 rows of .*gap\.txt have no text in column 'line', the first is row 2"
    ):
        gap = read_items(table(scans, "one\n\ntwo\n", "gap.txt"))
    assert (gap.ids.tolist(), list(gap)) == (["1", "3"], ["one", "two"])
    with pytest.raises(DataError, match="which is no table"):
        read_items(scans / "lines.txt", column="text")


def test_one_image_file_is_one_item(scans):
    assert read_items(scans / "a.png").ids.tolist() == ["a.png"]
    with pytest.raises(DataError, match="texts were asked for"):
        read_items(scans / "a.png", modality="text")
