"""CheXpert: 224,316 chest films of 65,240 patients with 14 observations, -1 where the report is uncertain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, with_files
from stitchkit.datasets.layouts.label_cells import checked_blank, checked_uncertain, numbers, numeric_labels
from stitchkit.datasets.layouts.published import PublishedTable, Rows, keep_views, names_of, read_published, there_is
from stitchkit.datasets.rows import ids_of

CLASSES = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CLASSES)
REFERENCE = "torchxrayvision, tests/gen_chexpert.py; huggingface.co/datasets/danjacobellis/chexpert"
TABLES = {
    "train": PublishedTable(("train.csv",), HEADER, REFERENCE),
    "val": PublishedTable(("valid.csv",), HEADER, REFERENCE),
}
FOLDERS = (".", "CheXpert-v1.0", "CheXpert-v1.0-small")
FRONTAL = ("Frontal",)
CARD = {
    "name": "CheXpert",
    "layout": "chexpert",
    "source": "Irvin et al., CheXpert, AAAI 2019, https://stanfordmlgroup.github.io/competitions/chexpert/",
    "licence": "Stanford University Dataset Research Use Agreement; on registration, not for commercial use",
    "split": "train.csv is 'train' (labels by rules from reports), valid.csv is 'val' (labels by radiologists)",
}
_PATH = re.compile(r"(?:^|/)((?:train|valid|test)/(patient\d+)/study\d+/[^/]+)$")


def read(
    root: Path,
    *,
    uncertain: str = "error",
    blank: str = "unknown",
    views: str | Sequence[str] = FRONTAL,
    splits: str | Sequence[str] | None = None,
    missing: str = "error",
) -> Cohort:
    """CheXpert-v1.0 or CheXpert-v1.0-small as downloaded.

    Parameters
    ----------
    root
        Holds ``train.csv``, ``valid.csv`` and the folders ``train`` and ``valid``, or holds the folder
        ``CheXpert-v1.0`` or ``CheXpert-v1.0-small`` that does. The full set may lie in the folders it is downloaded
        in, ``CheXpert-v1.0 batch 1 (validate & csv)`` to ``CheXpert-v1.0 batch 4 (train 3)``.
    uncertain
        Meaning of -1; see :func:`stitchkit.read_labels`.
    blank
        Meaning of an empty cell, a finding that the report does not mention: ``"unknown"`` or ``"negative"``.
    views
        ``"Frontal"``, ``"Lateral"`` or both; the other rows are left out and counted.
    splits
        ``"train"`` or ``"val"`` to read one table only. Default: those that are there.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Patients from the paths; ``columns``: ``age`` in years, ``sex``, ``view`` (AP, PA, ... of frontal films),
        ``projection`` (Frontal, Lateral).

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_blank(blank)
    checked_missing(missing)
    folder, names = _place(root, splits)
    parts = [_part(folder, name, uncertain, blank, views, missing) for name in names]
    labels = f"-1 (uncertain): {uncertain}; blank (not mentioned): {blank}"
    facts = CARD | {"labels": labels, "views": list(names_of(views))}
    return assemble(facts, [TABLES[name] for name in names], CLASSES, parts)


def _place(root: Path, splits: str | Sequence[str] | None) -> tuple[Path, list[str]]:
    """The folder of the tables, and the splits to read."""
    wanted = names_of(splits or ())
    for name in wanted:
        if name not in TABLES:
            raise UnknownNameError.of("split of CheXpert", name, TABLES)
    places = [root / name for name in FOLDERS if any(there_is(root / name, table) for table in TABLES.values())]
    if not places:
        places = [one for one in _batches(root) if any(there_is(one, table) for table in TABLES.values())]
    if not places:
        raise DataError(f"{root} holds neither train.csv nor valid.csv. Give the folder that holds them.")
    if len(places) > 1 and places[0] != root:
        raise DataError(f"{root} holds {' and '.join(one.name for one in places)}. Give the one you mean.")
    folder = places[0]
    return folder, [name for name in TABLES if (name in wanted if wanted else there_is(folder, TABLES[name]))]


def _part(folder: Path, name: str, uncertain: str, blank: str, views: str | Sequence[str], missing: str) -> Part:
    rows = read_published(folder, TABLES[name], ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CLASSES))
    rows = keep_views(rows, "Frontal/Lateral", views, ("Frontal", "Lateral"), "Path")
    rows, paths = with_files(rows, "Path", _files(folder, name, rows), missing)
    table = rows.table
    ids_of(table, "Path", None)  # names a repeated path by its row
    values, doubtful = numeric_labels(table, CLASSES, uncertain, blank)
    columns = {
        "age": numbers(table.column("Age")),
        "sex": np.asarray(table.column("Sex"), dtype=np.str_),
        "view": np.asarray(table.column("AP/PA"), dtype=np.str_),
        "projection": np.asarray(table.column("Frontal/Lateral"), dtype=np.str_),
    }
    named = _paths(rows)
    ids, patients = [path for path, _ in named], [patient for _, patient in named]
    split = np.full(len(ids), name)
    return Part(ids, paths, values, rows.left_out, patients, columns, split=split, uncertain=doubtful)


def _batches(root: Path) -> list[Path]:
    """The folders of the full set as it is downloaded in batches, such as ``CheXpert-v1.0 batch 2 (train 1)``."""
    return sorted(root.glob("CheXpert-v1.0 batch *"))


def _files(folder: Path, name: str, rows: Rows) -> list[str]:
    """The image file of each row: below the folder of the tables, or in the batch that holds the patient."""
    batches = _batches(folder) or (_batches(folder.parent) if folder.name.startswith("CheXpert-v1.0 batch ") else [])
    if not batches:
        return [f"{folder}/{path}" for path, _ in _paths(rows)]
    part = {"train": "train", "val": "valid"}[name]
    others = {"train": "valid", "val": "train"}[name]
    places: dict[str, Path] = {}
    for base in (folder / part, *(one / part for one in batches), *(one for one in batches if others not in one.name)):
        if base.is_dir():
            for entry in base.iterdir():
                if entry.name.startswith("patient"):
                    places.setdefault(entry.name, entry)
    named = [(path.split("/", 2)[2], path, patient) for path, patient in _paths(rows)]
    return [f"{places[who]}/{rest}" if who in places else f"{folder}/{path}" for rest, path, who in named]


def _paths(rows: Rows) -> list[tuple[str, str]]:
    """The path below the folder of the tables, and the patient, of each row."""
    matches = [_PATH.search(cell) for cell in rows.column("Path")]
    if None in matches:
        raise rows.table.fault(
            matches.index(None), "Path", "the cell is no path such as CheXpert-v1.0-small/train/patient00001/study1/"
            "view1_frontal.jpg. Take the table as published",
        )  # fmt: skip
    return [(match[1], match[2]) for match in matches if match]
