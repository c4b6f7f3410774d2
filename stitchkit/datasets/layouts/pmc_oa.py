"""PMC-OA: figures of open-access articles with captions, 1.6 million pairs."""

from __future__ import annotations

from pathlib import Path

from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import assemble
from stitchkit.datasets.layouts.captioned import first_folder, read_captioned
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, Rows
from stitchkit.datasets.rows import read_json_lines
from stitchkit.datasets.string_tables import Table

PAIRS = PublishedTable(
    ("pmc_oa.jsonl", "pmc_oa_beta.jsonl"),
    "image,caption",  # of every line, among others
    "the set's loader on huggingface.co (axiong/pmc_oa) and public code that reads the file",
)
COLUMNS = ("image", "caption")
FOLDERS = ("caption_T060_filtered_top4_sep_v0_subfigures", "images")
CARD = {
    "name": "PMC-OA",
    "layout": "pmc-oa",
    "source": "Lin et al., PMC-CLIP, MICCAI 2023, https://huggingface.co/datasets/axiong/pmc_oa",
    "licence": "of each article",
    "labels": "none is published",
    "patients": "none is published; the article, which begins an image's name, stands for one",
}


def read(
    root: Path,
    *,
    uncertain: str = "error",
    table: str | None = None,
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """PMC-OA.

    Parameters
    ----------
    root
        Holds ``pmc_oa.jsonl`` (or ``pmc_oa_beta.jsonl``) and the unpacked images.
    uncertain
        Accepted as for the other sets; this one has no labels.
    table
        Another file of such lines below ``root``, for example of one split.
    images
        Folder below ``root`` with the images. Default: the one of ``images.zip``, or ``images``.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Articles are the groups.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`; for a line that is no JSON or lacks a key, with its number.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    names = PAIRS.names if table is None else (table,)
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise DataError(f"{root} holds no {' or '.join(names)}. Give the folder that holds it.")
    folder = first_folder(root, FOLDERS, images)
    part = read_captioned(Rows(_lines(path)), *COLUMNS, folder, missing, group=lambda name: name.partition("_")[0])
    return assemble(CARD | {"table": path.name}, [PAIRS], (), [part])


def _lines(path: Path) -> Table:
    """Image and caption of each line; a caption that is null is an empty cell."""
    table = read_json_lines(path, COLUMNS)
    cells = zip(*(table.column(name) for name in COLUMNS), strict=True)
    return Table(path, COLUMNS, tuple(cells), table.numbers)
