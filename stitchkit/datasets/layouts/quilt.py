"""Quilt-1M: a million pairs of histology images and captions, from videos, articles and the web."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stitchkit.core.errors import UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import assemble
from stitchkit.datasets.layouts.captioned import first_folder, read_captioned
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, names_of, read_published

LOOKUP = PublishedTable(
    ("quilt_1M_lookup.csv",),
    ",caption,image_path,subset,split,pathology,roi_text,noisy_text,corrected_text,med_umls_ids,magnification,height,"
    "width",
    "public code that reads the file, in several places",
)
SUBSETS = ("quilt", "openpath", "pubmed", "laion")
FOLDERS = ("quilt_1m", "images")
CARD = {
    "name": "Quilt-1M",
    "layout": "quilt",
    "source": "Ikezogwo et al., Quilt-1M, NeurIPS 2023, https://quilt1m.github.io/",
    "licence": "on request, for research; the images are of several origins with licences of their own",
    "labels": "none is read",
    "patients": "none is published, nor which video an image is of; an image stands for one: pairs of one image stay "
    "together, images of one case may not",
}


def read(
    root: Path,
    *,
    uncertain: str = "error",
    subsets: str | Sequence[str] = SUBSETS,
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """Quilt-1M.

    Parameters
    ----------
    root
        Holds ``quilt_1M_lookup.csv`` and the images in ``quilt_1m`` or ``images``.
    uncertain
        Accepted as for the other sets; this one has no labels.
    subsets
        Subsets to read, of ``"quilt"``, ``"openpath"``, ``"pubmed"`` and ``"laion"``; the others are left out
        and counted.
    images
        Folder below ``root`` with the images, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file: parts of the set are often not
        handed out.

    Returns
    -------
    Cohort
        A row for each pair; an image with several captions is there several times.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    wanted = names_of(subsets)
    for name in wanted:
        if name not in SUBSETS:
            raise UnknownNameError.of("subset of Quilt-1M", name, SUBSETS)
    rows = read_published(root, LOOKUP, ("image_path", "caption", "subset", "split"))
    rows = rows.where([cell in wanted for cell in rows.column("subset")], "other subset")
    folder = first_folder(root, FOLDERS, images)
    part = read_captioned(rows, "image_path", "caption", folder, missing, group=str, split_column="split")
    return assemble(CARD | {"subsets": list(wanted)}, [LOOKUP], (), [part])
