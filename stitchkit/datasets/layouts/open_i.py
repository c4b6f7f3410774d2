"""Open-i, the Indiana University chest films with their reports, in the two tables that circulate on Kaggle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.keys import is_missing
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import Classes, checked_terms, checked_uncertain, term_labels
from stitchkit.datasets.layouts.published import PublishedTable, keep_views, names_of, read_published
from stitchkit.datasets.layouts.report_sections import SECTIONS, checked_sections, joined_texts
from stitchkit.datasets.rows import ids_of
from stitchkit.datasets.string_tables import Table

REPORTS = PublishedTable(
    ("indiana_reports.csv",),
    "uid,MeSH,Problems,image,indication,comparison,findings,impression",
    "github.com/UCL-CDI/cdi-hub, tutorials/automatic-medical-image-reporting/datasets/README.md",
)
PROJECTIONS = PublishedTable(
    ("indiana_projections.csv",), "uid,filename,projection", "public code that reads the file, in several places"
)
FINDINGS = {  # class -> its terms among the problems
    name: (name,) for name in (
        "normal", "Cardiomegaly", "Pulmonary Atelectasis", "Pleural Effusion", "Opacity", "Infiltrate", "Consolidation",
        "Pulmonary Edema", "Pneumonia", "Pneumothorax", "Nodule", "Mass", "Pulmonary Emphysema", "Pulmonary Fibrosis",
        "Hernia, Hiatal",
    )
} | {"Pulmonary Emphysema": ("Pulmonary Emphysema", "Emphysema")}  # fmt: skip
SILENT = frozenset({"no indexing", "technical quality of image unsatisfactory"})  # say nothing about findings
FRONTAL = ("Frontal",)
FOLDERS = ("images/images_normalized", "images_normalized", "images")
CARD = {
    "name": "Open-i (Indiana University)",
    "layout": "open-i",
    "source": "Demner-Fushman et al., JAMIA 23 (2016), 304-310, https://openi.nlm.nih.gov/; tables and PNG files: "
    "https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university",
    "licence": "CC BY-NC-ND 4.0, as every report states",
    "labels": "weak: present where a heading of 'MeSH' or a term of 'Problems' names it, absent where others do; not "
    "known where neither says anything, or only 'No Indexing' or 'Technical Quality of Image Unsatisfactory'; none is "
    "marked as uncertain",
    "patients": "no patient is published; a report (uid) stands for one",
}


def read(
    root: Path,
    *,
    uncertain: str = "error",
    views: str | Sequence[str] = FRONTAL,
    classes: Classes | None = None,
    reports: bool = True,
    sections: str | Sequence[str] = SECTIONS,
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """Open-i in its Kaggle form.

    Parameters
    ----------
    root
        Holds ``indiana_reports.csv``, ``indiana_projections.csv`` and ``images/images_normalized`` (or the images in
        ``images_normalized`` or ``images``).
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    views
        ``"Frontal"``, ``"Lateral"`` or both; the other rows are left out and counted.
    classes
        Terms that are classes, or class -> terms that mean it; case does not matter. Default: ``FINDINGS``.
    reports
        False: no texts, and films whose report is empty stay.
    sections
        Sections that make a text, in this order, of ``"findings"`` and ``"impression"``.
    images
        Folder below ``root`` with the images, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Films of one report have the same text; ``columns``: ``projection``.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    table = read_published(root, REPORTS, ("uid", "MeSH", "Problems", *SECTIONS)).table
    of_report = {uid: row for row, uid in enumerate(ids_of(table, "uid", None).tolist())}
    texts = _texts(table, sections)
    rows = keep_views(
        read_published(root, PROJECTIONS, ("uid", "filename", "projection")), "projection", views, FRONTAL, "filename"
    )
    rows = rows.where([uid in of_report for uid in rows.column("uid")], "no report", "filename")
    if reports:
        rows = rows.where([bool(texts[of_report[uid]]) for uid in rows.column("uid")], "empty report", "filename")
    rows, paths = with_images(rows, "filename", _folders(root, images), missing)
    place = [of_report[uid] for uid in rows.column("uid")]
    names, values = _labels(table, classes)
    projection = {"projection": np.asarray(rows.column("projection"), dtype=np.str_)}
    part = Part(
        ids_of(rows.table, "filename", None), paths, values[place], rows.left_out, rows.column("uid"), projection,
        [texts[row] for row in place] if reports else None,
    )  # fmt: skip
    facts = CARD | {"views": list(names_of(views))} | ({"texts": list(names_of(sections))} if reports else {})
    return assemble(facts, [REPORTS, PROJECTIONS], names, [part])


def _texts(table: Table, sections: str | Sequence[str]) -> list[str]:
    columns = [table.column(name) for name in checked_sections(sections)]
    rows = zip(*columns, strict=True)
    return [joined_texts(*(cell for cell in cells if not is_missing(cell))) for cells in rows]


def _labels(table: Table, classes: Classes | None) -> tuple[tuple[str, ...], np.ndarray]:
    pairs = zip(table.column("MeSH"), table.column("Problems"), strict=True)
    terms = [
        [*(heading.split("/")[0] for heading in headings.split(";")), *problems.split(";")]
        for headings, problems in pairs
    ]
    checked_terms(terms, classes, f"columns 'MeSH' and 'Problems' of {table.path}")
    return term_labels(terms, FINDINGS if classes is None else classes, SILENT)


def _folders(root: Path, images: str | None) -> list[Path]:
    return [root / name for name in FOLDERS] if images is None else [folder_of_images(root, images)]
