"""DeepEyeNet: retinal images of several kinds with keywords and a clinical description each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.keys import is_missing
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_files
from stitchkit.datasets.layouts.json_entries import json_entries, table_of_entries
from stitchkit.datasets.layouts.label_cells import Classes, checked_terms, checked_uncertain, term_labels
from stitchkit.datasets.layouts.published import PublishedTable, Rows
from stitchkit.datasets.rows import ids_of
from stitchkit.datasets.string_tables import Table

SPLITS = {"train": "train", "valid": "val", "test": "test"}  # in the files' names; what the cohort calls it
TEXTS = ("clinical-description", "keywords")
TABLES = {
    name: PublishedTable(
        (f"DeepEyeNet_{name}.json",), "keywords,clinical-description", "public code that reads the file, in many places"
    )
    for name in SPLITS
}
CARD = {
    "name": "DeepEyeNet",
    "layout": "deepeyenet",
    "source": "Huang et al., DeepOpht, WACV 2021, https://github.com/Jhhuangkay/DeepOpht-Medical-Report-Generation-for-"
    "Retinal-Images-via-Deep-Models-and-Visual-Explanation",
    "licence": "by request to the authors, for research",
    "patients": "none are published; whether two images are of one patient is not known",
    "split": "the files named train, valid ('val') and test",
}


def read(
    root: Path,
    *,
    text: str = "clinical-description",
    classes: Classes | None = None,
    uncertain: str = "error",
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """DeepEyeNet as the authors send it.

    Parameters
    ----------
    root
        Holds ``DeepEyeNet_train.json``, ``DeepEyeNet_valid.json``, ``DeepEyeNet_test.json`` (or some of them) and the
        images by the paths that stand there: ``eyenet0420/train_set/...``.
    text
        The texts: ``"clinical-description"`` or ``"keywords"``. Rows in which it is empty are left out and counted.
    classes
        Keywords that are classes, or class -> keywords that mean it; case does not matter. Default: no classes.
    uncertain
        Accepted as for the other sets; no keyword is uncertain.
    images
        Folder that the paths are relative to, where it is not ``root``.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Texts, and ``columns`` with ``keywords``; no patients.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    if text not in TEXTS:
        raise UnknownNameError.of("text of DeepEyeNet", text, TEXTS)
    folder = folder_of_images(root, images)
    names = [name for name in SPLITS if (root / TABLES[name].names[0]).is_file()]
    if not names:
        raise DataError(f"{root} holds no {TABLES['train'].names[0]}. Give the folder that holds it.")
    rows, paths = [], []
    for name in names:
        kept, files = _rows(root / TABLES[name].names[0], TABLES[name], text, folder, missing)
        rows.append(kept)
        paths.append(files)
    keywords = [_keywords(one.table) for one in rows]
    every = [terms for some in keywords for terms in some]
    checked_terms(every, classes, "the keywords of DeepEyeNet")
    values = np.empty((len(every), 0)) if classes is None else term_labels(every, classes, frozenset())[1]
    bounds = np.cumsum([0, *(len(one) for one in rows)])
    parts = [
        Part(
            ids_of(one.table, "image", None), files, values[bounds[n] : bounds[n + 1]], one.left_out,
            columns={"keywords": np.asarray(one.column("keywords"), dtype=np.str_)}, texts=one.column(text),
            split=np.full(len(one), SPLITS[names[n]]),
        )
        for n, (one, files) in enumerate(zip(rows, paths, strict=True))
    ]  # fmt: skip
    facts = CARD | {
        "labels": "none" if classes is None else "present where a keyword says so, absent where only others do"
    }
    return assemble(facts, [TABLES[name] for name in names], () if classes is None else tuple(classes), parts)


def _rows(path: Path, published: PublishedTable, text: str, folder: Path, missing: str) -> tuple[Rows, list[Path]]:
    entries = [_with_path(path, number, one) for number, one in enumerate(json_entries(path), start=1)]
    rows = Rows(table_of_entries(path, entries, published, ("image", *TEXTS)))
    rows = rows.where([not is_missing(cell) for cell in rows.column(text)], "empty text")
    return with_files(rows, "image", [str(folder / cell) for cell in rows.table.filled_column("image")], missing)


def _with_path(path: Path, number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.jpg": {"keywords": ...}}`` as one object."""
    if len(entry) != 1 or not all(isinstance(about, Mapping) for about in entry.values()):
        raise DataError(
            f"{path}, row {number}: the entry is no path with an object of keywords and description. Take the file as "
            f"it is published."
        )
    ((image, about),) = entry.items()
    return {"image": image, **about}


def _keywords(table: Table) -> list[list[str]]:
    return [cell.split(",") for cell in table.column("keywords")]
