"""PadChest: 160,868 chest films of 67,625 patients with Spanish reports and lists of English labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.keys import is_missing
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import Classes, checked_terms, checked_uncertain, numbers, term_labels
from stitchkit.datasets.layouts.published import PublishedTable, keep_views, names_of, read_published
from stitchkit.datasets.rows import groups_of, ids_of
from stitchkit.datasets.string_tables import Table

TABLE = PublishedTable(
    ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "PADCHEST_chest_x_ray_images_labels_160K.csv"),
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
    "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
    "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
    "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,"
    "labelCUIS,LocalizationsCUIS",
    "names: the README of github.com/auriml/Rx-thorax-automatic-captioning; their places: column numbers in "
    "github.com/Veltays/PADCHEST_XML; the line itself was put together from both",
)
COLUMNS = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM", "Projection",
    "Report", "MethodLabel", "Labels",
)  # fmt: skip
FRONTAL = ("PA", "AP", "AP_horizontal")
SILENT = frozenset({"unchanged", "exclude", "suboptimal study"})  # say nothing about findings
CARD = {
    "name": "PadChest",
    "layout": "padchest",
    "source": "Bustos et al., PadChest, Medical Image Analysis 66 (2020), 101797, "
    "https://bimcv.cipf.es/bimcv-projects/padchest/",
    "licence": "PadChest Dataset Research Use Agreement; on request",
    "labels": "present where 'Labels' lists it, absent where other labels stand; not known without labels, and where "
    "all are 'Unchanged', 'exclude' or 'suboptimal study'; 27 % by physicians, the rest by a network from reports "
    "(column 'method'); none is marked as uncertain",
    "texts": "column 'Report': Spanish, reduced to word stems without punctuation",
}
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def read(
    root: Path,
    *,
    uncertain: str = "error",
    views: str | Sequence[str] = FRONTAL,
    classes: Classes | None = None,
    reports: bool = True,
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """PadChest as downloaded.

    Parameters
    ----------
    root
        Holds ``PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`` (or ``.csv.gz``) and the images in folders
        ``0`` to ``54`` (column ``ImageDir``), or all in one folder ``images``.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    views
        Values of column ``Projection``, or ``"all"``; the other rows are left out and counted.
    classes
        Labels that are classes, or class -> labels that mean it, as
        ``{"Atelectasis": ["atelectasis", "laminar atelectasis"]}``; case does not matter. Default: all that occur.
    reports
        False: no texts, and films without a report stay.
    images
        One folder below ``root`` with all images, where they lie elsewhere. Other suffixes than ``.png`` will do.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        ``columns``: ``age`` (year of the study less year of birth), ``sex``, ``view``, ``study``, ``method`` of
        labelling.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    rows = keep_views(read_published(root, TABLE, COLUMNS), "Projection", views, FRONTAL, "ImageID")
    if reports:
        rows = rows.where([not is_missing(text) for text in rows.column("Report")], "empty report", "ImageID")
    rows, paths = with_images(rows, "ImageID", _folders(root, images, rows.column("ImageDir")), missing)
    table = rows.table
    terms = _terms(table)
    checked_terms(terms, classes, f"column 'Labels' of {table.path}")
    names, values = term_labels(terms, classes, SILENT)
    ids, patients = ids_of(table, "ImageID", None), groups_of(table, "PatientID")
    groups = None if patients is None else patients.tolist()
    texts = list(table.column("Report")) if reports else None
    facts = {key: value for key, value in CARD.items() if reports or key != "texts"} | {"views": list(names_of(views))}
    return assemble(facts, [TABLE], names, [Part(ids, paths, values, rows.left_out, groups, _metadata(table), texts)])


def _folders(root: Path, images: str | None, packs: Sequence[str]) -> list[Path]:
    if images is not None:
        return [folder_of_images(root, images)]
    named = sorted({pack.removesuffix(".0") for pack in packs} - {""})
    return [root / "images", *(base / pack for base in (root, root / "images") for pack in named)]


def _metadata(table: Table) -> dict[str, np.ndarray]:
    years = numbers([date[:4] for date in table.column("StudyDate_DICOM")])
    names = {"sex": "PatientSex_DICOM", "view": "Projection", "study": "StudyID", "method": "MethodLabel"}
    return {"age": years - numbers(table.column("PatientBirth"))} | {
        name: np.asarray(table.column(column), dtype=np.str_) for name, column in names.items()
    }


def _terms(table: Table) -> list[tuple[str, ...]]:
    """The labels of each row; none where the cell is empty."""
    known: dict[str, tuple[str, ...]] = {}
    for row, cell in enumerate(table.column("Labels")):
        if cell not in known and is_missing(cell):
            known[cell] = ()
        elif cell not in known:
            inside = cell[1:-1]
            if cell[:1] + cell[-1:] != "[]" or _QUOTED.sub("", inside).replace(",", "").strip():
                raise table.fault(row, "Labels", "the cell is no list such as ['normal']. Take the table as published")
            known[cell] = tuple(single or double for single, double in _QUOTED.findall(inside))
    return [known[cell] for cell in table.column("Labels")]
