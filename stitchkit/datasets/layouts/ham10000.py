"""HAM10000: 10,015 dermoscopic images of 7,470 pigmented lesions in seven classes, several images of some lesions."""

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

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TABLE = PublishedTable(
    ("HAM10000_metadata.csv", "HAM10000_metadata"),
    "lesion_id,image_id,dx,dx_type,age,sex,localization",
    "public code that reads or writes the file, in many places; a later release ends with a column 'dataset'",
)
FOLDERS = ("HAM10000_images_part_[12]", "images")
CARD = {
    "name": "HAM10000",
    "layout": "ham10000",
    "source": "Tschandl et al., Scientific Data 5, 180161 (2018), https://doi.org/10.7910/DVN/DBW86T",
    "licence": "CC BY-NC 4.0",
    "labels": "the diagnosis 'dx' is present, all others are absent; 'dx_type' says by which means it was made",
    "patients": "none are published; the lesion stands for one, and two lesions may be of one patient",
}


def read(
    root: Path, *, uncertain: str = "error", images: str | Sequence[str] | None = None, missing: str = "error"
) -> Cohort:
    """The training images of the challenge of 2018, as downloaded from Harvard Dataverse or Kaggle.

    Parameters
    ----------
    root
        Holds ``HAM10000_metadata.csv`` (or ``HAM10000_metadata``) and the images ``ISIC_0027419.jpg``, ... in
        ``HAM10000_images_part_1`` and ``HAM10000_images_part_2``, or in ``images``.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    images
        Folder or folders below ``root`` with the images, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Lesions as groups, no split; ``columns``: ``age`` in years (NaN where blank), ``sex``, ``localization``,
        ``dx_type``.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    columns = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    rows = read_published(root, TABLE, columns)
    rows, paths = with_images(rows, "image_id", image_folders(root, FOLDERS, images), missing)
    table = rows.table
    metadata = {"age": numbers(table.column("age"))} | {
        name: np.asarray(table.column(name), dtype=np.str_) for name in ("sex", "localization", "dx_type")
    }
    values = one_hot_labels(table, "dx", CLASSES)
    ids, lesions = ids_of(table, "image_id", None), table.filled_column("lesion_id")
    return assemble(CARD, [TABLE], CLASSES, [Part(ids, paths, values, rows.left_out, lesions, metadata)])
