"""Data frames and Parquet files as tables: the same anchors, labels and items as from a CSV."""

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError
from stitchkit.datasets.rows import read_rows
from stitchkit.datasets.tables import read_items

pandas = pytest.importorskip("pandas")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

CSV = "id,text,patient,Edema,Mass,age\na,clear lungs,1,0,1,46\nb,large heart,2,1,,51.5\nc,effusion,2,1,0,\n"


class PolarsLike:
    """The part of polars' data frame that is read: names, and columns with ``to_list``."""

    def __init__(self, frame):
        self.frame, self.columns = frame, [str(one) for one in frame.columns]

    def __getitem__(self, name):
        values = [None if one != one else one for one in self.frame[name].tolist()]
        return type("Series", (), {"to_list": lambda _: values})()


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


def forms(path):
    frame = pandas.read_csv(path)
    frame.to_parquet(path.with_suffix(".parquet"), index=False)
    return {
        "pandas": frame,
        "pandas with an index": frame.set_index("id"),
        "polars": PolarsLike(frame),
        "pyarrow": arrow.Table.from_pandas(frame, preserve_index=False),
        "parquet": path.with_suffix(".parquet"),
    }


@pytest.mark.parametrize("form", ["pandas", "pandas with an index", "polars", "pyarrow", "parquet"])
def test_anchors_labels_and_items_are_those_of_the_csv(csv, form):
    source = forms(csv)[form]
    anchors, wanted = (sk.read_anchors(one, source="text") for one in (source, csv))
    assert anchors.ids.tolist() == wanted.ids.tolist()
    assert anchors.groups.tolist() == wanted.groups.tolist()
    assert list(anchors.target_items.values) == list(wanted.target_items.values)
    labels, known = (sk.read_labels(one, classes=["Edema", "Mass"], columns=["age"]) for one in (source, csv))
    np.testing.assert_array_equal(labels.values, known.values)
    np.testing.assert_array_equal(labels.columns["age"], known.columns["age"])
    assert labels.ids.tolist() == known.ids.tolist()
    assert labels.groups.tolist() == known.groups.tolist()
    items, usual = (read_items(one, modality="text") for one in (source, csv))
    assert items.ids.tolist() == usual.ids.tolist()
    assert list(items.values) == list(usual.values)


def test_a_frame_has_a_hash_of_its_cells_and_no_path(csv):
    frame = pandas.read_csv(csv)
    card = sk.read_anchors(frame, source="text").card
    assert (card["table"], card["rows"]) == ("data frame", 3)
    changed = frame.assign(text=["clear lungs", "small heart", "effusion"])
    assert sk.read_anchors(frame.copy(), source="text").card["sha256"] == card["sha256"]
    assert sk.read_anchors(changed, source="text").card["sha256"] != card["sha256"]


def test_image_paths_of_a_frame_are_relative_to_the_working_folder_or_root(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"")
    frame = pandas.DataFrame({"path": ["a.png"], "text": ["clear"]})
    assert sk.read_anchors(frame, root=tmp_path).source_items.values[0] == tmp_path / "a.png"
    with pytest.raises(DataError, match="data frame, row 1, column 'path'"):
        sk.read_anchors(frame, root=tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    assert sk.read_anchors(frame).ids.tolist() == ["a.png"]


def test_columns_of_integers_with_gaps_keep_their_names():
    """Pandas makes 5.0 of a 5 beside a gap: the ids of a CSV of the same rows say 5."""
    frame = pandas.DataFrame({"id": [5.0, 7.0], "text": ["a", "b"], "patient": [12.0, 13.0]})
    anchors = sk.read_anchors(frame, source="text")
    assert anchors.ids.tolist() == ["5", "7"]
    assert anchors.groups.tolist() == ["12", "13"]


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA, pandas.NaT])
def test_every_kind_of_missing_value_is_a_blank_cell(missing):
    frame = pandas.DataFrame({"id": ["a", "b"], "Edema": pandas.Series([1, missing], dtype=object)})
    assert np.isnan(sk.read_labels(frame, classes=["Edema"]).values[1, 0])


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (lambda: pandas.DataFrame({"id": [], "text": []}), "no rows"),
        (lambda: pandas.DataFrame(), "no rows"),
        (lambda: pandas.DataFrame([["a", "b", "c"]], columns=["id", "text", "text"]), "2 columns of data frame"),
        (lambda: pandas.DataFrame([["a", "b"]], columns=pandas.MultiIndex.from_tuples([("x", "id"), ("x", "t")])),
         "Names of columns are texts"),
    ],
)  # fmt: skip
def test_a_frame_that_is_no_table_of_texts_is_refused(frame, says):
    with pytest.raises(DataError, match=says):
        sk.read_anchors(frame(), source="text")


def test_pictures_inside_a_parquet_file_are_neither_paths_nor_texts(tmp_path):
    path = tmp_path / "images.parquet"
    parquet.write_table(arrow.table({"id": ["a"], "path": [{"bytes": b"\x89PNG", "path": None}], "text": ["x"]}), path)
    assert b"PNG" not in read_rows(path).column("path")[0].encode()
    with pytest.raises(DataError, match="row 1, column 'path'"):
        sk.read_anchors(path)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "cut.parquet"
    parquet.write_table(arrow.table({"id": ["a"] * 50, "text": ["x"] * 50}), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="no Parquet file that can be read"):
        read_rows(path)
    with pytest.raises(DataError, match="there is no file"):
        read_rows(tmp_path / "none.parquet")


@pytest.mark.parametrize("form", ["pandas", "pyarrow", "parquet"])
def test_columns_that_differ_in_blanks_alone_are_one_column_twice(tmp_path, form):
    frame = pandas.DataFrame({"id": ["a", "b"], "Edema": [1, 1], "Edema ": [0, 0]})
    table = arrow.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(table, tmp_path / "t.parquet")
    source = {"pandas": frame, "pyarrow": table, "parquet": tmp_path / "t.parquet"}[form]
    with pytest.raises(DataError, match=r"2 columns of .* are called 'Edema'"):
        sk.read_labels(source, classes=["Edema"])


def test_a_pyarrow_table_with_a_column_twice_is_refused():
    table = arrow.Table.from_arrays(
        [arrow.array(["a"]), arrow.array(["x"]), arrow.array(["y"])], ["id", "text", "text"]
    )
    with pytest.raises(DataError, match="are called 'text'"):
        sk.read_anchors(table, source="text")


@pytest.mark.parametrize("source", [None, {}, 5, ["a.csv"]])
def test_what_is_no_table_is_refused_by_its_type(source):
    for read in (sk.read_anchors, sk.read_labels, read_items):
        with pytest.raises(InputError, match=f"a data frame; got {type(source).__name__}"):
            read(source)


def test_frames_of_vectors_whose_rows_are_labelled_otherwise_are_no_pairs():
    rng = np.random.default_rng(0)
    x = pandas.DataFrame(rng.normal(size=(60, 4)), index=[f"i{i}" for i in range(60)])
    y = x @ rng.normal(size=(4, 4))
    assert sk.align(x, y, solver="ridge").record["anchors"] == 60
    with pytest.raises(InputError, match="row labels differ"):
        sk.align(x, y.iloc[::-1])
    assert sk.align(x, y.iloc[::-1].to_numpy(), solver="ridge").record["anchors"] == 60  # the caller's own order


def test_tables_in_place_of_scores_and_labels_are_refused_with_their_reader(csv):
    frame = pandas.read_csv(csv)
    scores = sk.Scores(np.zeros((3, 1)), "logit", ["a", "b", "c"], ("Edema",))
    with pytest.raises(InputError, match=r"got DataFrame\. stitchkit\.read_labels"):
        sk.evaluate(scores, frame)
    with pytest.raises(InputError, match=r"got DataFrame\. stitchkit\.read_scores"):
        sk.calibrate(frame, sk.read_labels(frame, classes=["Edema"]))
    with pytest.raises(InputError, match=r"stitchkit\.read_items\(frame\)"):
        sk.embed(sk.load_encoder("demo:text"), frame)


def test_bytes_that_are_texts_are_read_and_others_are_refused_where_they_are_used(tmp_path):
    kinds = {
        "id": [b"a", b"b"],
        "text": [b"clear", b"large"],
        "patient": [b"ann", b"bo"],
        "image": [b"\xff\xd8", b"\x89"],
    }
    parquet.write_table(arrow.table(kinds), tmp_path / "bytes.parquet")
    anchors = sk.read_anchors(tmp_path / "bytes.parquet", source="text")
    assert anchors.ids.tolist() == ["a", "b"]
    assert anchors.groups.tolist() == ["ann", "bo"]
    with pytest.raises(DataError, match="row 1, column 'image': the cell is binary data"):
        sk.read_anchors(tmp_path / "bytes.parquet", source="image")


def test_an_index_with_one_name_twice_is_refused():
    index = pandas.MultiIndex.from_tuples([("a", "x"), ("b", "y")], names=["id", "id"])
    with pytest.raises(DataError, match="are called 'id'"):
        sk.read_labels(pandas.DataFrame({"Edema": [0, 1]}, index=index), classes=["Edema"])


def test_an_index_that_is_a_column_too_is_read_once(csv):
    frame = pandas.read_csv(csv)
    both = frame.set_index("id", drop=False)
    assert sk.read_labels(both, classes=["Edema"]).ids.tolist() == ["a", "b", "c"]
