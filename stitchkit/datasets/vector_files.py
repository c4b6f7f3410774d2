"""Files of vectors that other tools wrote (``.npy``, ``.npz``, ``.parquet``) as embeddings with ids and a space."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError  # of numpy, for a header that is cut off
from typing import Any

import numpy as np

from stitchkit.core.embeddings import VECTOR_FILES, Embeddings
from stitchkit.core.errors import DataError, InputError, StitchError
from stitchkit.core.space import Space
from stitchkit.core.wording import advice, setting
from stitchkit.datasets.rows import groups_of, ids_of, read_rows
from stitchkit.storage.embeddings import read_embeddings
from stitchkit.storage.path_checks import checked_file

STAMPED = VECTOR_FILES[0]  # files of this package, which hold ids and fingerprint
ITEM_COLUMNS = ("path", "text", "image")  # of a Parquet file that is a table of items
VECTORS, IDS = ("vectors", "embeddings", "embedding", "features"), ("ids", "id")  # names of arrays and columns


def read_vectors(
    path: str | Path,
    *,
    ids: str | Path | None = None,
    name: str | None = None,
    fingerprint: str | None = None,
    unstamped: bool = False,
) -> Embeddings:
    """Embeddings from a file of vectors, of this package or of another tool.

    Parameters
    ----------
    path
        A ``.safetensors`` file of :func:`stitchkit.write_embeddings`; an ``.npy`` array (n, d); an ``.npz`` with one
        such array, or one called ``vectors``, ``embeddings`` or ``features``, and perhaps ``ids``; a ``.parquet`` with
        one column of lists or a numeric column for each dimension, and perhaps ``id``.
    ids
        Table with an id for each row of the file, in its order: ``TABLE`` or ``TABLE:COLUMN``, by default its column
        ``id``, else ``path``. Needed where the file holds no ids.
    name
        Name of the space, default the file's name without its ending.
    fingerprint
        Text that changes whenever the model, its weights or its preprocessing do, such as a version.
    unstamped
        Take a file of another tool without a fingerprint, so that vectors of another model of equal width would not be
        noticed. Default False.

    Returns
    -------
    Embeddings
        Vectors (n, d) in float32 or float64, with their ids.

    Raises
    ------
    InputError
        If there is no fingerprint and ``unstamped`` is not set, or for settings of a file that has its own.
    DataError
        If the file is missing, damaged, holds Python objects, no numbers (n, d) or NaN, or ids do not fit.
    MissingExtraError
        For ``.parquet`` without pyarrow.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/logits.npy", np.eye(3))
    ...     _ = Path(folder, "films.csv").write_text("id\\na\\nb\\nc\\n")
    ...     vectors = read_vectors(f"{folder}/logits.npy", ids=f"{folder}/films.csv", fingerprint="net 1.2")
    >>> vectors.ids.tolist(), vectors.space
    (['a', 'b', 'c'], Space(name='logits', dim=3, fingerprint='net 1.2'))
    """
    path = Path(checked_file(path, "a file of vectors"))
    kind = path.suffix.lower()
    if kind not in VECTOR_FILES:
        raise InputError(f"{path} is no file of vectors. Give {', '.join(VECTOR_FILES)}.")
    if kind == STAMPED:
        if name is not None:
            raise InputError(f"{path} has a name of its own. Leave out " + setting("name", text="name") + ".")
        if fingerprint is not None:
            raise InputError(
                f"{path} has a fingerprint of its own. Leave out " + setting("fingerprint", text="fingerprint") + "."
            )
        vectors = read_embeddings(path)
        return vectors if ids is None else _with_ids(vectors, ids, path)
    if not path.is_file():
        raise DataError(f"there is no file of vectors {path}. Check the path.")
    if not fingerprint and not unstamped:
        raise InputError(
            f"{path} does not say which model made it, so vectors of another model of the same width would pass for "
            "its own. Take it as it is with "
            + setting("unstamped", True)
            + advice(", or give ", setting("fingerprint"), ", a text that changes with the model")
            + ". 'stitchkit import' writes such a text into a file once."
        )
    array, own = _read(path)
    if ids is not None:
        names = ids_of_table(ids)
    elif own is not None:
        names = own
    else:
        raise InputError(f"{path} holds no ids. Give the table of its rows with " + setting("ids") + ".")
    if len(names) != len(array):
        where = path if ids is None else ids
        raise DataError(f"{path} has {len(array)} rows and {where} {len(names)} ids. They must be those of each other.")
    try:
        return Embeddings(array, names, Space(name or path.stem, array.shape[1], fingerprint or None))
    except StitchError as error:
        raise DataError(f"{path} is no file of vectors with ids: " + error.message) from error


def read_pool_vectors(path: str | Path, *, unstamped: bool = False) -> Embeddings:
    """Vectors of items that belong to no pair; where the file has no ids, its rows are numbered.

    Parameters
    ----------
    path, unstamped
        As in :func:`read_vectors`.

    Raises
    ------
    InputError, DataError, MissingExtraError
        As :func:`read_vectors`.
    """
    path = Path(checked_file(path, "a file of vectors"))
    if path.suffix.lower() == STAMPED or not path.is_file() or not unstamped:
        return read_vectors(path, unstamped=unstamped)
    array, own = _read(path)
    names = np.asarray([str(row) for row in range(1, len(array) + 1)]) if own is None else own
    return Embeddings(array, names, Space(path.stem, array.shape[1], None))


def holds_vectors(path: str | Path) -> bool:
    """True for a file of vectors; a Parquet file with a column of paths or texts is a table of items."""
    kind = Path(path).suffix.lower()
    if kind != ".parquet" or not Path(path).is_file():
        return kind in VECTOR_FILES
    from stitchkit.datasets.frames import parquet_columns

    return not set(ITEM_COLUMNS) & set(parquet_columns(Path(path)))


def ids_of_table(table: str | Path) -> np.ndarray:
    """The ids (n,) in ``TABLE`` or ``TABLE:COLUMN``, in the order of its rows."""
    return _ids_and_patients(table)[0]


def patients_of_ids(table: str | Path, ids: np.ndarray) -> np.ndarray | None:
    """The patient (n,) of each of ``ids``, by the table of ids; None where it knows no patients, or not all of them.

    Parameters
    ----------
    table
        ``TABLE`` or ``TABLE:COLUMN``, as in :func:`read_vectors`.
    """
    names, groups = _ids_and_patients(table)
    if groups is None:
        return None
    patient = dict(zip(names.tolist(), groups.tolist(), strict=True))
    known = [patient.get(one) for one in ids.tolist()]
    return None if None in known else np.asarray(known, dtype=np.str_)


def _ids_and_patients(table: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    text, column = str(table), None
    if not Path(text).exists() and ":" in text:
        text, _, column = text.rpartition(":")
    rows = read_rows(Path(text))
    return ids_of(rows, column or None, rows.first_of("path")), groups_of(rows, None)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors (n, d) of another tool's file, and its ids if it has any."""
    reader: Any = {".npy": _of_npy, ".npz": _of_npz, ".parquet": _of_parquet}[path.suffix.lower()]
    array, own = reader(path)
    return _as_floats(array, path), None if own is None else _own_ids(own, path)


def _own_ids(values: Any, path: Path) -> np.ndarray:
    """Ids (n,) that stand in a file of vectors, spelled as a table would have them."""
    from stitchkit.datasets.frames import cell_of

    if np.ndim(values) != 1:
        raise DataError(f"the ids in {path} have shape {np.shape(values)}; they are (n,), one a row. Save them so.")
    names = [cell_of(one) for one in (values.tolist() if isinstance(values, np.ndarray) else values)]
    if "" in names:
        raise DataError(f"{path} has a row without an id, the first is row {names.index('') + 1}. Fill it in.")
    return np.asarray(names, dtype=np.str_)


def _with_ids(vectors: Embeddings, ids: str | Path, path: Path) -> Embeddings:
    names = ids_of_table(ids)
    if not np.array_equal(names, vectors.ids):
        raise DataError(f"{path} holds ids of its own, and {ids} names others. Leave out " + setting("ids") + ".")
    return vectors


def _as_floats(array: Any, path: Path) -> np.ndarray:
    """``array`` as finite float32 or float64 (n, d)."""
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"{path} holds an array of shape {array.shape}; vectors are (n, d), a row an item.")
    if array.dtype.kind not in "fiu":
        raise DataError(f"{path} holds {array.dtype}, no numbers. Save vectors as float32.")
    exact = array.dtype.kind == "f" and array.dtype.itemsize > 4
    values: np.ndarray = array.astype(np.float64 if exact else np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{path} holds NaN or infinity in {len(bad)} rows, the first is row {int(bad[0]) + 1}. Leave those out."
        )
    return values


def _of_npy(path: Path) -> tuple[np.ndarray, None]:
    with path.open("rb") as file:
        return _array(file, path), None


def _array(file: Any, path: Path) -> np.ndarray:
    try:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, EOFError, SyntaxError, TokenError) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} holds Python objects, which would run code when they are read. Save an array of float32."
            ) from error
        raise DataError(f"{path} is no array of numpy: {str(error).rstrip('.')}. Save it again.") from error


def _of_npz(path: Path) -> tuple[np.ndarray, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.removesuffix(".npy"): one for one in archive.namelist()}
            arrays = {}
            for key, member in members.items():
                with archive.open(member) as file:
                    arrays[key] = _array(file, path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise DataError(f"{path} is no .npz archive: {error}. Save it again.") from error
    ids = next((arrays[key] for key in IDS if key in arrays), None)
    flat = [key for key, array in arrays.items() if array.ndim == 2]
    named = [key for key in VECTORS if key in flat] or flat
    if not named or (len(flat) > 1 and named[0] not in VECTORS):
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; which array are the vectors is not clear. Call it "
            f"'{VECTORS[0]}'."
        )
    return arrays[named[0]], ids


def _of_parquet(path: Path) -> tuple[np.ndarray, Any]:
    from stitchkit.datasets.frames import read_arrow

    table = read_arrow(path)
    import pyarrow as arrow

    columns = {name: table.column(name) for name in table.column_names}
    key = next((name for name in IDS if name in columns), None)
    ids = None if key is None else columns.pop(key).to_pylist()
    lists = [name for name, one in columns.items() if arrow.types.is_nested(one.type)]
    if len(lists) == 1:
        rows = columns[lists[0]].to_pylist()
        if not all(isinstance(row, list) and all(isinstance(one, int | float) for one in row) for row in rows):
            raise DataError(f"{path}: column {lists[0]!r} holds no lists of numbers. Save the vectors as such lists.")
        widths = {len(row) for row in rows}
        if len(widths) != 1:
            raise DataError(f"{path}: lists of column {lists[0]!r} have several lengths. Vectors are of one width.")
        return np.asarray(rows, dtype=np.float64 if "double" in str(columns[lists[0]].type) else np.float32), ids
    numeric = [name for name, one in columns.items() if arrow.types.is_floating(one.type)]
    if lists or not numeric:
        raise DataError(
            f"{path} has no single column of lists and no columns of floats to be vectors; it has "
            f"{', '.join(table.column_names)}. Save the vectors as one column of lists."
        )
    kinds = (arrow.types.is_integer, arrow.types.is_boolean)
    if whole := [name for name, one in columns.items() if any(of_kind(one.type) for of_kind in kinds)]:
        raise DataError(
            f"{path} has columns of floats and {whole[0]!r} of whole numbers, which may be a "
            f"dimension or not. Save the vectors as one column of lists, or leave other numbers out."
        )
    return np.stack([columns[name].to_numpy() for name in numeric], axis=1), ids
