"""NIH ChestX-ray14: 112,120 frontal chest films of 30,805 patients, labels mined from unpublished reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain, numbers
from stitchkit.datasets.layouts.published import PublishedTable, Rows, read_published
from stitchkit.datasets.rows import groups_of, ids_of, lines_of, read_text
from stitchkit.datasets.string_tables import Table

CLASSES = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia", "No Finding",
)  # fmt: skip
ENTRIES = PublishedTable(
    ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"),
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    "copies of both files on huggingface.co (alkzar90/NIH-Chest-X-ray-dataset) and in public repositories; some end "
    "with a comma or say 'Patient Sex'",
)
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
CARD = {
    "name": "NIH ChestX-ray14",
    "layout": "nih",
    "source": "Wang et al., ChestX-ray8, CVPR 2017, https://nihcc.app.box.com/v/ChestXray-NIHCC",
    "licence": "no restrictions on use; cite the paper, link the download and name the NIH Clinical Center",
    "labels": "present where 'Finding Labels' names it, else absent; mined from reports by rules, none is marked as "
    "uncertain; 'No Finding' is a class of its own",
    "split": "train_val_list.txt is 'train', test_list.txt is 'test'; by patient",
}
_MONTHS = {"Y": 1.0, "M": 12.0, "D": 365.25}  # how many of a unit make a year
_OLDEST = 120.0


def read(root: Path, *, uncertain: str = "error", images: str | None = None, missing: str = "error") -> Cohort:
    """NIH ChestX-ray14 as downloaded.

    Parameters
    ----------
    root
        Holds ``Data_Entry_2017_v2020.csv`` or ``Data_Entry_2017.csv``, the two lists of the split, and the images in
        ``images_001/images`` to ``images_012/images`` or in one folder ``images``.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    images
        One folder below ``root`` with all images, where they lie elsewhere. Other suffixes than ``.png`` will do.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        ``columns``: ``age`` in years (NaN where more than 120 are stated), ``sex``, ``view`` (PA or AP).

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    sex = ("Patient Gender", "Patient Sex")
    columns = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", sex, "View Position")
    rows = read_published(root, ENTRIES, columns)
    rows, paths = with_images(rows, "Image Index", _folders(root, images), missing)
    table = rows.table
    values = _labels(table)
    metadata = {
        "age": _ages(table.column("Patient Age")),
        "sex": np.asarray(table.column(table.first_of(*sex) or sex[0]), dtype=np.str_),
        "view": np.asarray(table.column("View Position"), dtype=np.str_),
    }
    ids, patients = ids_of(table, "Image Index", None), groups_of(table, "Patient ID")
    groups = None if patients is None else patients.tolist()
    part = Part(ids, paths, values, rows.left_out, groups, metadata, split=_split(root, rows))
    return assemble(CARD, [ENTRIES], CLASSES, [part])


def _folders(root: Path, images: str | None) -> list[Path]:
    if images is not None:
        return [folder_of_images(root, images)]
    packs = sorted(root.glob("images_[0-9]*"))
    return [root / "images", *(pack / "images" for pack in packs), *packs]


def _labels(table: Table) -> np.ndarray:
    known: dict[str, list[float]] = {}  # there are 836 different cells
    for row, cell in enumerate(table.column("Finding Labels")):
        if cell not in known:
            findings = [name.strip() for name in cell.split("|")]
            if not set(findings) <= set(CLASSES):
                raise table.fault(
                    row, "Finding Labels", f"a finding is none of {', '.join(CLASSES)}. Take the table as published"
                )
            if "No Finding" in findings and len(findings) > 1:
                raise table.fault(
                    row, "Finding Labels", "'No Finding' stands beside findings. Take the table as published"
                )
            known[cell] = [float(name in findings) for name in CLASSES]
    return np.asarray([known[cell] for cell in table.column("Finding Labels")]).reshape(-1, len(CLASSES))


def _ages(cells: Sequence[str]) -> np.ndarray:
    """Years: ``58``, or ``058Y``, ``010M``, ``003D`` of the first release."""
    units = np.asarray([_MONTHS.get(cell[-1:].upper(), 1.0) for cell in cells])
    years = numbers([cell.rstrip("YMDymd") for cell in cells]) / units
    return np.where(years <= _OLDEST, years, np.nan)


def _split(root: Path, rows: Rows) -> np.ndarray | None:
    lists = {name: root / file for name, file in LISTS.items()}
    there = [path.is_file() for path in lists.values()]
    if not any(there):
        return None
    if not all(there):
        raise DataError(f"{root} holds one of {' and '.join(LISTS.values())}, not both. Download the other as well.")
    of: dict[str, str] = {}
    for name, path in lists.items():
        for number, line in enumerate(lines_of(read_text(path, "list")), start=1):
            if line.strip() and of.setdefault(line.strip(), name) != name:
                raise DataError(
                    f"{path}, line {number}: the image is also in {LISTS[of[line.strip()]]}. Take the lists as "
                    f"published, or remove the line that is wrong."
                )
    split = [of.get(name, "") for name in rows.column("Image Index")]
    if "" in split:
        raise rows.table.fault(
            split.index(""), "Image Index", f"the image is in neither {' nor '.join(LISTS.values())} "
            f"({split.count('')} of {len(split)} are). Take the lists as published, or remove both to have no split",
        )  # fmt: skip
    return np.asarray(split)
