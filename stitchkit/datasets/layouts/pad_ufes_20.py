"""PAD-UFES-20: 2,298 photographs of skin lesions from smartphones, of 1,373 patients in six classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, image_folders, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain, numbers, one_hot_labels
from stitchkit.datasets.layouts.published import PublishedTable, read_published
from stitchkit.datasets.rows import ids_of

CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
TABLE = PublishedTable(
    ("metadata.csv",),
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,"
    "cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,"
    "hurt,changed,bleed,elevation,img_id,biopsed",
    "public code that quotes the line and a row under it",
)
FOLDERS = ("imgs_part_[123]", "imgs_part_[123]/imgs_part_[123]", "images/imgs_part_[123]", "images", "Dataset")
CARD = {
    "name": "PAD-UFES-20",
    "layout": "pad-ufes-20",
    "source": "Pacheco et al., Data in Brief 32, 106221 (2020), https://data.mendeley.com/datasets/zr7vgbcyr2/1",
    "licence": "CC BY 4.0",
    "labels": "the class in 'diagnostic' is present, all others are absent; 'biopsed' says whether a biopsy proved it",
}
COLUMNS = {"sex": "gender", "localization": "region", "lesion": "lesion_id", "biopsied": "biopsed"}  # name -> published


def read(
    root: Path, *, uncertain: str = "error", images: str | Sequence[str] | None = None, missing: str = "error"
) -> Cohort:
    """PAD-UFES-20 as downloaded from Mendeley Data.

    Parameters
    ----------
    root
        Holds ``metadata.csv`` and the images in ``imgs_part_1`` to ``imgs_part_3`` (also below ``images``), or in one
        folder ``images`` or ``Dataset``.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    images
        Folder or folders below ``root`` with the images, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Without a split; ``columns``: ``age`` in years, ``fitzpatrick`` (skin type 1 to 6; NaN where blank), ``sex``,
        ``localization``, ``lesion``, ``biopsied``.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    columns = ("patient_id", "img_id", "diagnostic", "age", "fitspatrick", *COLUMNS.values())
    rows = read_published(root, TABLE, columns)
    rows, paths = with_images(rows, "img_id", image_folders(root, FOLDERS, images), missing)
    table = rows.table
    metadata = {"age": numbers(table.column("age")), "fitzpatrick": numbers(table.column("fitspatrick"))} | {
        name: np.asarray(table.column(column), dtype=np.str_) for name, column in COLUMNS.items()
    }
    values = one_hot_labels(table, "diagnostic", CLASSES)
    ids, patients = ids_of(table, "img_id", None), table.filled_column("patient_id")
    return assemble(CARD, [TABLE], CLASSES, [Part(ids, paths, values, rows.left_out, patients, metadata)])
