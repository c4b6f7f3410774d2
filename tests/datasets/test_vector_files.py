"""Vectors that other tools wrote: read with ids, refused without a fingerprint, and every file that is none."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, MissingExtraError, StitchError

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
IDS = [f"scan {i}" for i in range(5)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("id,other\n" + "".join(f"{one},o{i}\n" for i, one in enumerate(IDS)))
    return path


def written(path, how):
    if how == "npy":
        np.save(path.with_suffix(".npy"), X)
    elif how == "npz":
        np.savez(path.with_suffix(".npz"), vectors=X, ids=np.array(IDS), more=np.eye(2))
    elif how == "npz alone":
        np.savez(path.with_suffix(".npz"), X)
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        if how == "parquet lists":
            columns = {"id": IDS, "embedding": X.tolist()}
        else:
            columns = {"id": IDS, **{f"d{i}": X[:, i] for i in range(3)}}
        parquet.write_table(arrow.table(columns), path.with_suffix(".parquet"))
    return next(path.parent.glob(f"{path.stem}.*"))


@pytest.mark.parametrize("how", ["npy", "npz", "npz alone", "parquet lists", "parquet columns"])
def test_vectors_ids_and_space_are_read(tmp_path, table, how):
    file = written(tmp_path / "net", how)
    own = how in ("npz", "parquet lists", "parquet columns")
    vectors = sk.read_vectors(file, ids=None if own else table, fingerprint="v1")
    np.testing.assert_allclose(vectors.vectors, X, rtol=1e-6)
    assert vectors.ids.tolist() == IDS
    assert vectors.space == sk.Space("net", 3, "v1")
    named = sk.read_vectors(file, ids=f"{table}:other", name="mine", unstamped=True)
    assert named.ids.tolist() == [f"o{i}" for i in range(5)]
    assert named.space == sk.Space("mine", 3, None)


def test_double_precision_is_kept_and_whole_numbers_become_floats(tmp_path, table):
    np.save(tmp_path / "d.npy", X.astype(np.float64))
    np.save(tmp_path / "i.npy", np.arange(15).reshape(5, 3))
    np.save(tmp_path / "h.npy", X.astype(np.float16))
    kinds = [sk.read_vectors(tmp_path / f"{one}.npy", ids=table, unstamped=True).vectors.dtype for one in "dih"]
    assert kinds == [np.float64, np.float32, np.float32]


def test_a_stamped_file_keeps_its_own(tmp_path, table):
    mine = sk.Embeddings(X, IDS, sk.Space("a", 3, "f"))
    file = sk.write_embeddings(tmp_path / "a.safetensors", mine)
    assert sk.read_vectors(file).space == mine.space
    assert sk.read_vectors(file, ids=table).ids.tolist() == IDS
    with pytest.raises(InputError, match="has a fingerprint of its own"):
        sk.read_vectors(file, fingerprint="v2")
    with pytest.raises(DataError, match="holds ids of its own"):
        sk.read_vectors(file, ids=f"{table}:other")


def test_a_file_that_says_no_model_is_refused(tmp_path, table):
    file = written(tmp_path / "net", "npy")
    with pytest.raises(InputError, match=r"does not say which model made it.*unstamped=True.*fingerprint="):
        sk.read_vectors(file, ids=table)
    with pytest.raises(InputError, match=r"holds no ids.*ids="):
        sk.read_vectors(file, unstamped=True)


def test_two_models_of_one_width_are_told_apart(tmp_path, table):
    file = written(tmp_path / "net", "npy")
    one, other = (sk.read_vectors(file, ids=table, fingerprint=mark) for mark in ("v1", "v2"))
    fitted = sk.align(sk.Embeddings(np.tile(X, (9, 1)), range(45), one.space), np.tile(X, (9, 1)), solver=sk.Ridge())
    with pytest.raises(sk.StitchError, match="fingerprint v1"):
        fitted.to_target(other)


class _Odd:
    def __reduce__(self):
        return (print, ("run",))


def _pickled(path):
    np.save(path, np.array([_Odd()], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.npy", _pickled, "holds Python objects"),
        ("a.npy", lambda path: path.write_bytes(b"not numpy"), "is no array of numpy"),
        ("a.npy", lambda path: path.write_bytes(b""), "is no array of numpy"),
        ("a.npy", lambda path: np.save(path, X[0]), r"shape \(3,\); vectors are \(n, d\)"),
        ("a.npy", lambda path: np.save(path, X[:, :, None]), r"shape \(5, 3, 1\)"),
        ("a.npy", lambda path: np.save(path, X[:0]), r"shape \(0, 3\)"),
        ("a.npy", lambda path: np.save(path, np.where(np.arange(5)[:, None] == 2, np.nan, X)), "NaN.* row 3"),
        ("a.npy", lambda path: np.save(path, np.array([["a", "b"]] * 5)), "no numbers"),
        ("a.npy", lambda path: np.save(path, X[:4]), "has 4 rows and .* 5 ids"),
        ("a.npz", lambda path: path.write_bytes(b"PK nothing"), "is no .npz archive"),
        ("a.npz", lambda path: np.savez(path, a=X, b=X), "which array are the vectors is not clear"),
        ("a.npz", lambda path: np.savez(path, a=X[0]), "not clear"),
        ("a.parquet", lambda path: path.write_bytes(b"PAR0"), "no Parquet file"),
        ("a.txt", lambda path: path.write_text("1 2"), "is no file of vectors"),
    ],
)
def test_other_files_are_refused(tmp_path, table, name, write, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    write(tmp_path / name)
    with pytest.raises(StitchError, match=words):
        sk.read_vectors(tmp_path / name, ids=table, unstamped=True)


def test_a_cut_array_is_refused(tmp_path, table):
    file = written(tmp_path / "net", "npy")
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match="is no array of numpy"):
        sk.read_vectors(file, ids=table, unstamped=True)


def test_lists_of_several_lengths_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="several lengths"):
        sk.read_vectors(tmp_path / "a.parquet", unstamped=True)


def test_parquet_without_its_library_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[parquet\]'"):
        sk.read_vectors(tmp_path / "a.parquet", unstamped=True)


def test_repeated_ids_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", vectors=X, ids=np.array(["a"] * 5))
    with pytest.raises(StitchError, match=r"a\.npz"):
        sk.read_vectors(tmp_path / "a.npz", unstamped=True)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (np.array([b"a", b"b"]), ["a", "b"]),
        (np.array([1.0, 2.0]), ["1", "2"]),
        (np.array([7, 8]), ["7", "8"]),
        (np.array(["a", "b"]), ["a", "b"]),
    ],
)
def test_ids_inside_an_archive_are_spelled_as_a_table_has_them(tmp_path, ids, names):
    np.savez(tmp_path / "x.npz", vectors=np.eye(2), ids=ids)
    assert sk.read_vectors(tmp_path / "x.npz", unstamped=True).ids.tolist() == names


@pytest.mark.parametrize("ids", [np.array("a"), np.array([["a"], ["b"]]), np.array(["a", ""]), np.array([1.0, np.nan])])
def test_ids_inside_an_archive_that_name_no_rows_are_refused(tmp_path, ids):
    np.savez(tmp_path / "x.npz", vectors=np.eye(2), ids=ids)
    with pytest.raises(DataError, match=r"the ids in .* have shape|a row without an id"):
        sk.read_vectors(tmp_path / "x.npz", unstamped=True)


def test_a_damaged_compressed_archive_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", vectors=np.random.default_rng(0).normal(size=(200, 30)))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[200:260] = b"\x00" * 60
    (tmp_path / "x.npz").write_bytes(bytes(content))
    with pytest.raises(DataError, match="Save it again"):
        sk.read_vectors(tmp_path / "x.npz", unstamped=True)


def test_columns_of_a_parquet_file_that_may_or_may_not_be_dimensions_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a", "b"], "d0": [0.5, 1.5], "d1": [1, 2]}
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="'d1' of whole numbers"):
        sk.read_vectors(tmp_path / "x.parquet", unstamped=True)
    for cells in ([["x"], ["y"]], [{"a": 1}, {"a": 2}], [[1.0], None]):
        parquet.write_table(arrow.table({"id": ["a", "b"], "vectors": cells}), tmp_path / "y.parquet")
        with pytest.raises(DataError, match="no lists of numbers"):
            sk.read_vectors(tmp_path / "y.parquet", unstamped=True)


def test_patients_are_known_of_all_ids_or_of_none(tmp_path):
    from stitchkit.datasets.vector_files import patients_of_ids

    (tmp_path / "ids.csv").write_text("id,patient\na,ann\nb,bo\n")
    (tmp_path / "bare.csv").write_text("id\na\nb\n")
    assert patients_of_ids(tmp_path / "ids.csv", np.array(["b", "a"])).tolist() == ["bo", "ann"]
    assert patients_of_ids(tmp_path / "ids.csv", np.array(["b", "c"])) is None
    assert patients_of_ids(tmp_path / "bare.csv", np.array(["a"])) is None
