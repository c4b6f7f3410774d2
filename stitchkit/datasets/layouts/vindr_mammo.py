"""VinDr-Mammo: 20,000 mammograms of 5,000 examinations with BI-RADS, density and findings."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, names_of, read_published
from stitchkit.datasets.rows import ids_of
from stitchkit.datasets.string_tables import Table

CLASSES = (
    "Mass", "Suspicious Calcification", "Asymmetry", "Focal Asymmetry", "Global Asymmetry", "Architectural Distortion",
    "Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node", "No Finding",
)  # fmt: skip
REFERENCE = "names of the columns: public code that reads both tables; the lines themselves were put together from it"
BREASTS = PublishedTable(
    ("breast-level_annotations.csv",),
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split",
    REFERENCE,
)
FINDINGS = PublishedTable(
    ("finding_annotations.csv",),
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
    "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split",
    REFERENCE,
)
SPLITS = {"training": "train", "test": "test"}  # as published, and as the cohort calls it
CARD = {
    "name": "VinDr-Mammo",
    "layout": "vindr-mammo",
    "source": "Nguyen et al., VinDr-Mammo, Scientific Data 10, 277 (2023), https://physionet.org/content/vindr-mammo/",
    "licence": "PhysioNet Restricted Health Data License; registered users after agreement only",
    "labels": "a category is present where a row of finding_annotations.csv says so of the image, else absent; benign "
    "findings were not annotated",
    "split": "'training' is 'train', 'test' is 'test'; by examination",
    "patients": "none are published; the examination (study_id) stands for one",
}
COLUMNS = {"laterality": "laterality", "view": "view_position", "birads": "breast_birads", "density": "breast_density"}


def read(
    root: Path,
    *,
    splits: str | Sequence[str] | None = None,
    uncertain: str = "error",
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """VinDr-Mammo 1.0.0 as downloaded from PhysioNet.

    Parameters
    ----------
    root
        Holds ``breast-level_annotations.csv``, ``finding_annotations.csv`` and ``images/STUDY/IMAGE.dicom``, or PNG or
        JPEG files of the same names, which are taken where both are there.
    splits
        ``"train"`` or ``"test"`` to read one of them only; the other is left out and counted. Default: both.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    images
        Folder below ``root`` with the images, in a folder a study or all in one, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count images without a file.

    Returns
    -------
    Cohort
        Examinations as groups; ``columns``: ``laterality``, ``view`` (CC, MLO), ``birads``, ``density`` of the breast.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    wanted = names_of(splits or tuple(SPLITS.values()))
    for name in wanted:
        if name not in SPLITS.values():
            raise UnknownNameError.of("split of VinDr-Mammo", name, SPLITS.values())
    rows = read_published(root, BREASTS, ("study_id", "image_id", "split", *COLUMNS.values()))
    parts = _splits(rows.table)
    rows = rows.where([part in wanted for part in parts], "other split", "image_id")
    categories = _categories(read_published(root, FINDINGS, ("image_id", "finding_categories")).table)
    rows = rows.where([image in categories for image in rows.column("image_id")], "no row of findings", "image_id")
    folder = folder_of_images(root, "images" if images is None else images)
    studies = [folder / study for study in dict.fromkeys(rows.table.filled_column("study_id"))]
    rows, paths = with_images(rows, "image_id", [folder, *studies], missing)
    table = rows.table
    ids = ids_of(table, "image_id", None)
    values = np.asarray([[float(name in categories[image]) for name in CLASSES] for image in ids.tolist()])
    metadata = {name: np.asarray(table.column(column), dtype=np.str_) for name, column in COLUMNS.items()}
    part = Part(ids, paths, values.reshape(-1, len(CLASSES)), rows.left_out, table.column("study_id"), metadata,
                split=np.asarray(_splits(table)))  # fmt: skip
    return assemble(CARD, [BREASTS, FINDINGS], CLASSES, [part])


def _splits(table: Table) -> list[str]:
    cells = table.filled_column("split")
    odd = next((row for row, cell in enumerate(cells) if cell not in SPLITS), None)
    if odd is not None:
        raise table.fault(odd, "split", f"the cell is none of {', '.join(SPLITS)}. Take the table as published")
    return [SPLITS[cell] for cell in cells]


def _categories(table: Table) -> dict[str, set[str]]:
    """Image -> the categories of all its findings."""
    lists: dict[str, tuple[str, ...]] = {}
    categories: dict[str, set[str]] = {}
    for row, (image, cell) in enumerate(
        zip(table.filled_column("image_id"), table.filled_column("finding_categories"), strict=True)
    ):
        if cell not in lists:
            lists[cell] = _list(table, row, cell)
        categories.setdefault(image, set()).update(lists[cell])
        if "No Finding" in categories[image] and len(categories[image]) > 1:
            raise table.fault(
                row, "finding_categories", "the image has findings and 'No Finding'. Take the table as published"
            )
    return categories


def _list(table: Table, row: int, cell: str) -> tuple[str, ...]:
    """The names in a cell such as ``['Mass', 'Skin Retraction']``; nothing in it is run."""
    try:
        names = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(name in CLASSES for name in names):
        raise table.fault(
            row, "finding_categories", f"the cell is no list such as ['Mass'] of the names {', '.join(CLASSES)}. Take "
            f"the table as published",
        )  # fmt: skip
    return tuple(names)
