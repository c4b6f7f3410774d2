"""Cohorts as values, and the table of layouts with what holds for every one of them."""

import gzip
import importlib
import inspect
import json

import numpy as np
import pytest
from evaluation_copies import EVALUATION_COPIES, NOT_HERE
from published_copies import COPIES as PUBLISHED_COPIES

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.datasets.cohorts import LAYOUTS, Cohort, read_cohort

COPIES = PUBLISHED_COPIES | {name: one for name, one in EVALUATION_COPIES.items() if name not in NOT_HERE}
OF_FILES = [name for name, about in COPIES.items() if about.image]  # whose table names files
IDS = np.asarray(["a", "b", "c"])


def cohort(**sides):
    labels = Labels([[1], [0], [1]], IDS, ("Edema",), groups=["p", "p", "q"], columns={"age": np.asarray([1.0, 2, 3])})
    return Cohort(Items(IDS, ["a.png", "b.png", "c.png"], "image"), labels, **sides)


@pytest.fixture(params=COPIES)
def copy(request, tmp_path):
    """Each layout in turn: its name, its description, and a miniature copy of it."""
    return request.param, COPIES[request.param], COPIES[request.param].build(tmp_path)


@pytest.fixture(params=[name for name, about in COPIES.items() if about.main])
def tabled(request, tmp_path):
    """As ``copy``, of the layouts with a table of text."""
    return request.param, COPIES[request.param], COPIES[request.param].build(tmp_path)


@pytest.fixture(params=OF_FILES)
def listed(request, tmp_path):
    """As ``copy``, of the layouts whose table lists image files."""
    return request.param, COPIES[request.param], COPIES[request.param].build(tmp_path)


def rewritten(path, old, new):
    packed = path.suffix == ".gz"
    text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode()
    assert old in text
    changed = text.replace(old, new, 1).encode()
    path.write_bytes(gzip.compress(changed) if packed else changed)


def keys_of(entry):
    """The keys of an object of JSON, or of the first of a list of them, or of the one object in it."""
    entry = entry[0] if isinstance(entry, list) else entry
    inner = list(entry.values())
    return set(inner[0]) if len(inner) == 1 and isinstance(inner[0], dict) else set(entry)


# values


def test_rows_are_taken_of_every_side_by_position_or_mask():
    whole = cohort(texts=Items(IDS, ["x", "y", "z"], "text"), split=["train", "test", "train"], card={"name": "mine"})
    some = whole.take([2, 0])
    assert some.images.ids.tolist() == some.labels.ids.tolist() == some.texts.ids.tolist() == ["c", "a"]
    assert (list(some.images), list(some.texts)) == (["c.png", "a.png"], ["z", "x"])
    assert some.labels.groups.tolist() == ["q", "p"]
    assert some.labels.columns["age"].tolist() == [3, 1]
    assert some.split.tolist() == ["train", "train"]
    assert whole.take(np.asarray([False, True, False])).images.ids.tolist() == ["b"]
    assert some.card == whole.card


def test_a_published_split_is_a_part_and_an_unknown_one_lists_those_there_are():
    whole = cohort(split=["train", "test", "train"])
    assert whole.part("train").images.ids.tolist() == ["a", "c"]
    with pytest.raises(UnknownNameError, match="known: test, train"):
        whole.part("val")
    with pytest.raises(DataError, match="no published split"):
        cohort().part("train")


def test_anchors_pair_images_and_texts_by_patient():
    anchors = cohort(texts=Items(IDS, ["x", "y", "z"], "text"), card={"name": "mine"}).anchors()
    assert (list(anchors.source_items), list(anchors.target_items)) == (["a.png", "b.png", "c.png"], ["x", "y", "z"])
    assert anchors.groups.tolist() == ["p", "p", "q"]
    assert anchors.card["name"] == "mine"
    with pytest.raises(DataError, match="mine was read without reports"):
        cohort(card={"name": "mine"}).anchors()


def test_sides_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="texts"):
        cohort(texts=Items(IDS[::-1], ["x", "y", "z"], "text"))
    with pytest.raises(DataError, match="labels"):
        Cohort(Items(IDS, ["a", "b", "c"], "image"), Labels([[1]], ["a"], ("Edema",)))
    with pytest.raises(InputError, match="one name for each"):
        cohort(split=["train"])


# the table of layouts


def test_every_row_of_the_table_is_a_reader_with_a_miniature_copy():
    assert set(LAYOUTS) == {*PUBLISHED_COPIES, *EVALUATION_COPIES, "dicom"}  # the last is in test_dicom_columns.py
    for address in LAYOUTS.values():
        module, attribute = address.split(":")
        read = getattr(importlib.import_module(module), attribute)
        assert inspect.getdoc(read)
        settings = {one.name: one.default for one in inspect.signature(read).parameters.values()
                    if one.kind is inspect.Parameter.KEYWORD_ONLY}  # fmt: skip
        assert settings["uncertain"] == settings["missing"] == "error"


def test_an_unknown_layout_setting_or_folder_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="nearest: chexpert"):
        read_cohort("chexprt", tmp_path)
    with pytest.raises(UnknownNameError, match="setting of the layout 'nih' is called 'uncertian'; nearest: uncertain"):
        read_cohort("nih", tmp_path, uncertian="ignore")
    with pytest.raises(DataError, match="there is no folder"):
        read_cohort("nih", tmp_path / "absent")
    with pytest.raises(DataError):
        read_cohort("nih", tmp_path)


def test_a_copy_is_read_whole_and_every_row_left_out_is_counted(copy):
    name, about, root = copy
    read = read_cohort(name, root, **about.settings)
    assert len(read) == about.items
    assert read.images.ids.tolist() == read.labels.ids.tolist()
    assert all(isinstance(one, np.ndarray) or one.is_file() for one in read.images)
    counts = read.card["counts"]
    assert read.card["left_out"] == about.left_out
    assert counts["items"] == about.items
    assert counts["listed"] == about.items + sum(about.left_out.values())
    assert np.isnan(read.labels.values).sum() == counts["unknown labels"]
    if read.split is not None:
        assert sum(len(read.part(part)) for part in set(read.split.tolist())) == len(read)


def test_the_card_says_where_a_set_comes_from_and_goes_into_a_file(copy):
    name, about, root = copy
    card = read_cohort(name, root, **about.settings).card
    assert json.loads(json.dumps(card)) == card
    assert card["layout"] == name
    assert all(card[entry] for entry in ("name", "source", "licence", "labels", "header"))


def test_the_quoted_headers_are_those_of_the_copies(tabled):
    name, about, root = tabled
    card = read_cohort(name, root, **about.settings).card
    for table, header in card["header"].items():
        (path,) = [found for found in root.rglob(f"{table.split('/')[-1]}*") if found.is_file()]
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        first = raw.decode().split("\n")[0]
        if path.suffix in (".json", ".jsonl"):
            assert set(header.split(",")) <= keys_of(json.loads(first))
        else:
            assert first == header


def test_a_header_that_differs_names_file_and_column(tabled):
    name, about, root = tabled
    path = root / about.main
    rewritten(path, about.column, "Somethingelse")
    with pytest.raises(DataError, match=f"{path.name}.* has no column '{about.column}'"):
        read_cohort(name, root, **about.settings)


def test_a_missing_image_is_refused_by_row_or_counted(listed):
    name, about, root = listed
    (root / about.image).unlink()
    with pytest.raises(
        DataError, match=r"row \d, column .*the image file is not there \(1 of \d are missing\)"
    ) as caught:
        read_cohort(name, root, **about.settings)
    assert (root / about.image).stem not in str(caught.value)
    read = read_cohort(name, root, missing="skip", **about.settings)
    assert len(read) == about.items - 1
    assert read.card["left_out"] == {**about.left_out, "image file missing": 1}
    assert read.card["counts"]["listed"] == len(read) + sum(read.card["left_out"].values())


def test_a_policy_that_does_not_exist_is_refused(copy):
    name, about, root = copy
    for wrong in ({"uncertain": "ignored"}, {"missing": "drop"}):
        with pytest.raises(UnknownNameError, match="policy"):
            read_cohort(name, root, **(about.settings | wrong))


def test_a_set_of_which_nothing_is_left_says_why(listed):
    name, about, root = listed
    for path in [path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".dcm", ".dicom")]:
        path.unlink()
    with pytest.raises(DataError, match=r"is left; left out: .*image file missing"):
        read_cohort(name, root, missing="skip", **about.settings)


def test_every_layout_is_tested_here_unless_its_library_is_missing():
    if NOT_HERE:
        lacking = " and ".join(sorted(set(NOT_HERE.values())))
        pytest.skip(f"{', '.join(NOT_HERE)} are not read without {lacking}: pip install 'stitchkit[exam]'")
    assert set(COPIES) == {*PUBLISHED_COPIES, *EVALUATION_COPIES}
