"""SICAPv2: patches of prostate biopsies with Gleason grades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain, numbers, numeric_labels
from stitchkit.datasets.layouts.published import PublishedTable, agreeing, names_of
from stitchkit.datasets.layouts.spreadsheets import read_spreadsheet
from stitchkit.datasets.rows import ids_of

CLASSES = ("NC", "G3", "G4", "G5")
HEADER = "image_name,NC,G3,G4,G5,G4C"
REFERENCE = "public code that checks for these columns; their order was not seen"
TABLES = {
    "train": PublishedTable(("partition/Test/Train.xlsx",), HEADER, REFERENCE),
    "test": PublishedTable(("partition/Test/Test.xlsx",), HEADER, REFERENCE),
}
SLIDES = PublishedTable(
    ("wsi_labels.xlsx",), "slide_id,patient_id,Gleason_primary,Gleason_secondary", REFERENCE
)  # fmt: skip
BLOCK = "_Block"  # what follows the slide in a patch's name: 18B0001159D_Block_Region_3_5_26_xini_35472_yini_8051.jpg
CARD = {
    "name": "SICAPv2",
    "layout": "sicap",
    "source": "Silva-Rodríguez et al., Computer Methods and Programs in Biomedicine 195, 105637 (2020), "
    "https://data.mendeley.com/datasets/9xxm58dvs3",
    "licence": "CC BY 4.0",
    "labels": "NC (not cancerous) and Gleason grades G3 to G5 are present where the cell is 1; G4C (cribriform) is "
    "metadata",
    "split": "partition/Test/Train.xlsx is 'train', partition/Test/Test.xlsx is 'test'",
}
PATIENTS = "patient_id of wsi_labels.xlsx"
ALONE = "wsi_labels.xlsx was not there: the slide stands for a patient, and a patient may have several"


def read(
    root: Path,
    *,
    splits: str | Sequence[str] | None = None,
    uncertain: str = "error",
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """SICAPv2 as downloaded from Mendeley Data; needs openpyxl.

    Parameters
    ----------
    root
        Holds ``partition/Test/Train.xlsx``, ``partition/Test/Test.xlsx``, ``wsi_labels.xlsx`` and the patches in
        ``images``.
    splits
        ``"train"`` or ``"test"`` to read one of them only. Default: both.
    uncertain
        Meaning of a label -1, which the published tables do not have.
    images
        Folder below ``root`` with the patches, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Patients as groups, or slides without ``wsi_labels.xlsx``; ``columns``: ``slide``, ``cribriform`` (G4C).

    Raises
    ------
    MissingExtraError
        Without openpyxl.
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    wanted = names_of(splits or tuple(TABLES))
    for name in wanted:
        if name not in TABLES:
            raise UnknownNameError.of("split of SICAPv2", name, TABLES)
    folder = folder_of_images(root, "images" if images is None else images)
    patients = _patients(root)
    parts = [_part(root, name, folder, patients, uncertain, missing) for name in TABLES if name in wanted]
    facts = CARD | {"patients": ALONE if patients is None else PATIENTS}
    tables = [TABLES[name] for name in TABLES if name in wanted]
    return assemble(facts, tables if patients is None else [*tables, SLIDES], CLASSES, parts)


def _part(
    root: Path, name: str, folder: Path, patients: dict[str, str] | None, uncertain: str, missing: str
) -> Part:  # fmt: skip
    rows = read_spreadsheet(root, TABLES[name], ("image_name", *CLASSES, "G4C"))
    rows, paths = with_images(rows, "image_name", [folder], missing)
    table = rows.table
    ids = ids_of(table, "image_name", None)
    slides = [image.partition(BLOCK)[0] for image in ids.tolist()]
    if patients is not None and (unknown := [row for row, slide in enumerate(slides) if slide not in patients]):
        raise table.fault(
            unknown[0], "image_name", f"{SLIDES.names[0]} has no row of this slide ({len(unknown)} of {len(slides)} "
            f"patches). Take both files as published, or move that one away to group by slide",
        )  # fmt: skip
    values, count = numeric_labels(table, CLASSES, uncertain, "unknown")
    metadata = {"slide": np.asarray(slides, dtype=np.str_), "cribriform": numbers(table.column("G4C"))}
    groups = slides if patients is None else [patients[slide] for slide in slides]
    return Part(ids, paths, values, rows.left_out, groups, metadata, split=np.full(len(ids), name), uncertain=count)


def _patients(root: Path) -> dict[str, str] | None:
    """Slide -> patient; None without the table of slides."""
    if not (root / SLIDES.names[0]).is_file():
        return None
    table, _ = agreeing(read_spreadsheet(root, SLIDES, ("slide_id", "patient_id")).table, "slide_id", ("patient_id",))
    return dict(zip(table.column("slide_id"), table.filled_column("patient_id"), strict=True))
