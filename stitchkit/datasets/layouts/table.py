"""A CSV of one's own: one row an item, with columns of images, texts, patients, labels and splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.items import MODALITIES, Items
from stitchkit.core.keys import is_missing
from stitchkit.core.patients import count_patients
from stitchkit.core.scores import Labels
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.labels import read_labels
from stitchkit.datasets.layouts.assembling import in_splits
from stitchkit.datasets.layouts.image_files import with_files
from stitchkit.datasets.layouts.label_cells import checked_uncertain, typed_column
from stitchkit.datasets.layouts.published import Rows
from stitchkit.datasets.rows import groups_of, ids_of, read_rows
from stitchkit.datasets.string_tables import Table


def read(
    root: Path,
    *,
    table: str = "manifest.csv",
    id: str | None = None,
    image: str = "path",
    modality: str = "image",
    text: str | None = None,
    patient: str | None = None,
    classes: Sequence[str] | None = None,
    label: str | None = None,
    columns: Sequence[str] = (),
    split: str | None = None,
    uncertain: str = "error",
    missing: str = "error",
) -> Cohort:
    """A cohort from one table.

    Parameters
    ----------
    root
        Folder of the table.
    table
        Path of the table below ``root``: CSV, UTF-8, one header row. Relative image paths are relative to it.
    id
        Column of unique ids. Default: ``id`` if there is one, else the image paths.
    image
        Column of the items to be encoded.
    modality
        ``"image"``; or ``"text"`` where that column holds texts, to join two encoders of text.
    text
        Column of the reports. Rows without one are left out and counted. None: no texts.
    patient
        Column of the patients. Default: ``patient`` or ``patient_id`` if there is one.
    classes, label, uncertain
        As :func:`stitchkit.read_labels` takes them; ``classes=[]`` for no labels at all.
    columns
        Metadata to carry along: float64 where every cell is a number or blank (NaN), else str.
    split
        Column that names each row's split. None: no split.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort

    Raises
    ------
    DataError
        For a table that cannot be read, a missing column (the nearest are listed), a repeated id, a cell that is no
        label or a missing image file, with row and column.
    """
    if modality not in MODALITIES:
        raise UnknownNameError.of("modality", modality, MODALITIES)
    path = root / table
    rows = read_rows(path)
    named = id or rows.first_of("id") or (image if modality == "image" else None)
    ids = ids_of(rows, named, None)
    labels = _labels(rows, ids, named, patient, classes, label, columns, uncertain)
    kept = Rows(rows)
    if text is not None:
        kept = kept.where([not is_missing(cell) for cell in rows.column(text)], "empty report")
    kept, values = _items(kept, image, modality, missing)
    if not len(kept):
        raise DataError(f"no row of {path} is left; left out: {dict(kept.left_out)}. Check the columns and the folder.")
    place = {name: row for row, name in enumerate(ids.tolist())}
    there = ids_of(kept.table, named, None)
    labels = labels.take(np.asarray([place[name] for name in there.tolist()]))
    parts = None if split is None else np.asarray(kept.table.filled_column(split), dtype=np.str_)
    card = _card(path, rows, labels, kept, uncertain)
    card["counts"] |= in_splits(labels, parts)
    texts = None if text is None else Items(there, list(kept.column(text)), "text")
    return Cohort(Items(there, values, modality), labels, texts, parts, card)


def _items(rows: Rows, column: str, modality: str, missing: str) -> tuple[Rows, list[Any]]:
    if modality == "text":
        rows = rows.where([not is_missing(cell) for cell in rows.column(column)], "empty item")
        return rows, list(rows.column(column))
    folder = rows.table.path.parent
    return with_files(rows, column, [str(folder / cell) for cell in rows.table.filled_column(column)], missing)


def _labels(
    rows: Table, ids: np.ndarray, named: str | None, patient: str | None, classes: Sequence[str] | None,
    label: str | None, columns: Sequence[str], uncertain: str,
) -> Labels:  # fmt: skip
    if classes is not None and not classes and label is None:
        checked_uncertain(uncertain)
        metadata = {name: typed_column(rows.column(name)) for name in columns}
        return Labels(np.empty((len(ids), 0)), ids, (), groups_of(rows, patient), metadata)
    return read_labels(
        rows.path, classes=classes, label=label, id=named, groups=patient, columns=columns, uncertain=uncertain
    )


def _card(path: Path, rows: Table, labels: Labels, kept: Rows, uncertain: str) -> dict[str, Any]:
    counts = {"listed": len(rows), "items": len(labels)}
    if labels.groups is not None:
        counts["patients"] = count_patients(labels.groups)
    return {
        "name": path.as_posix(),
        "layout": "table",
        "source": f"the table {path.as_posix()}",
        "licence": "as whoever made the table says",
        "header": {path.name: ",".join(rows.columns)},
        "labels": f"-1 (uncertain): {uncertain}; blank: not known",
        "counts": counts | {"unknown labels": int(np.isnan(labels.values).sum())},
        "left_out": dict(kept.left_out),
    }
