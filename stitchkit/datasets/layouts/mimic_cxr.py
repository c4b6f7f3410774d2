"""MIMIC-CXR-JPG: 377,110 chest films of 65,379 patients with CheXpert labels, and the reports of MIMIC-CXR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.keys import is_missing
from stitchkit.core.wording import setting
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, with_files
from stitchkit.datasets.layouts.label_cells import checked_blank, checked_uncertain, numeric_labels
from stitchkit.datasets.layouts.published import (
    PublishedTable,
    Rows,
    agreeing,
    check_agree,
    keep_views,
    names_of,
    read_published,
    take_rows,
    whole_numbers,
)
from stitchkit.datasets.layouts.report_sections import SECTIONS, checked_sections, has_section, sections_of
from stitchkit.datasets.rows import groups_of, ids_of
from stitchkit.datasets.string_tables import Table
from stitchkit.storage.path_checks import checked_file

CLASSES = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
METADATA = PublishedTable(
    ("mimic-cxr-2.0.0-metadata.csv",),
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning",
    "torchxrayvision, tests/gen_mimic.py",
)
FINDINGS = PublishedTable(
    ("mimic-cxr-2.0.0-chexpert.csv",),
    "subject_id,study_id," + ",".join(CLASSES),
    "torchxrayvision, tests/gen_mimic.py (for the NegBio file of the same columns)",
)
SPLIT = PublishedTable(
    ("mimic-cxr-2.0.0-split.csv",),
    "dicom_id,study_id,subject_id,split",
    "fixtures of public code that reads the file; the order of the columns is not used",
)
TABLES = (METADATA, FINDINGS, SPLIT)
NUMBERS = ("subject_id", "study_id")
NAMES = {"validate": "val"}
FRONTAL = ("PA", "AP")
CARD = {
    "name": "MIMIC-CXR-JPG",
    "layout": "mimic-cxr",
    "source": "Johnson et al., MIMIC-CXR-JPG, arXiv:1901.07042, https://physionet.org/content/mimic-cxr-jpg/; reports: "
    "Johnson et al., MIMIC-CXR, Scientific Data 6, 317 (2019), https://physionet.org/content/mimic-cxr/",
    "licence": "PhysioNet Credentialed Health Data License; credentialed users after training and agreement only",
    "split": "mimic-cxr-2.0.0-split.csv, 'validate' as 'val'; by patient",
}


def read(
    root: Path,
    *,
    uncertain: str = "error",
    blank: str = "unknown",
    views: str | Sequence[str] = FRONTAL,
    reports: bool = True,
    reports_root: str | None = None,
    sections: str | Sequence[str] = SECTIONS,
    missing: str = "error",
) -> Cohort:
    """MIMIC-CXR-JPG as downloaded, with the reports of MIMIC-CXR.

    Parameters
    ----------
    root
        Holds the tables ``mimic-cxr-2.0.0-metadata``, ``-chexpert`` and ``-split`` as ``.csv`` or ``.csv.gz``, and
        ``files/p10/p10000032/s50414267/*.jpg`` and so on.
    uncertain
        Meaning of -1; see :func:`stitchkit.read_labels`.
    blank
        Meaning of an empty cell, a finding that the report does not mention: ``"unknown"`` or ``"negative"``.
    views
        Values of column ``ViewPosition``, or ``"all"``; the other rows are left out and counted.
    reports
        False: no texts, and nothing of the reports is read.
    reports_root
        Folder, relative to ``root``, that holds ``files/p10/p10000032/s50414267.txt`` and so on
        (``mimic-cxr-reports.zip``). Default: ``root``.
    sections
        Sections that make a text, in this order: ``"findings"``, ``"impression"`` or both. Films whose report has
        none of them are left out and counted.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image or report file.

    Returns
    -------
    Cohort
        Films of one study have the same text; ``columns``: ``view``, ``study``.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_blank(blank)
    checked_missing(missing)
    wanted = checked_sections(sections)
    rows = read_published(root, METADATA, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    rows = Rows(whole_numbers(rows.table, NUMBERS), rows.left_out)
    findings = whole_numbers(read_published(root, FINDINGS, (*NUMBERS, *CLASSES)).table, NUMBERS)
    splits = whole_numbers(read_published(root, SPLIT, ("dicom_id", *NUMBERS, "split")).table, NUMBERS)
    check_agree([rows.table, findings, splits], "study_id", "subject_id")
    for column in NUMBERS:
        check_agree([rows.table, splits], "dicom_id", column)
    rows = keep_views(rows, "ViewPosition", views, FRONTAL, "dicom_id")
    findings, repeated = agreeing(findings, "study_id", CLASSES)
    split, again = _of_films(splits)
    rows = rows.where(np.isin(rows.column("study_id"), findings.column("study_id")), "no row of labels")
    rows = rows.where([name in split for name in rows.column("dicom_id")], "no split")
    rows, paths = with_files(rows, "dicom_id", _image_paths(root, rows), missing)
    texts = None
    if reports:
        report_texts = _reports(root / (reports_root or ""), rows, missing)
        rows, paths, texts = _with_texts(rows, paths, report_texts, wanted)
    part = _part(rows, paths, texts, findings, split, uncertain, blank)
    labels = f"-1 (uncertain): {uncertain}; blank (not mentioned): {blank}; one row a study"
    repeats = {"repeated rows": repeated + again} if repeated + again else {}
    facts = repeats | {"texts": f"sections {' and '.join(wanted)} of the study's report"} if reports else repeats
    return assemble(CARD | {"labels": labels, "views": list(names_of(views))} | facts, TABLES, CLASSES, [part])


def _of_films(splits: Table) -> tuple[dict[str, str], int]:
    """The split of each film, and how many rows repeated an earlier one."""
    table, repeated = agreeing(splits, "dicom_id", ("split",))
    pairs = zip(table.column("dicom_id"), table.filled_column("split"), strict=True)
    return {image: NAMES.get(split, split) for image, split in pairs}, repeated


def _patient_folders(root: Path, rows: Rows) -> list[str]:
    return [f"{root}/files/p{subject[:2]}/p{subject}" for subject in rows.column("subject_id")]


def _image_paths(root: Path, rows: Rows) -> list[str]:
    places = zip(_patient_folders(root, rows), rows.column("study_id"), rows.column("dicom_id"), strict=True)
    return [f"{folder}/s{study}/{image}.jpg" for folder, study, image in places]


def _reports(root: Path, rows: Rows, missing: str) -> list[str | None]:
    """The report of each row's study; None where there is no file."""
    studies = zip(_patient_folders(root, rows), rows.column("study_id"), strict=True)
    files = [f"{folder}/s{study}.txt" for folder, study in studies]
    texts = {file: _text(file) for file in dict.fromkeys(files)}
    of_rows = [texts[file] for file in files]
    if None in of_rows and missing == "error":
        raise rows.table.fault(
            of_rows.index(None), "study_id", f"there is no report of this study below {root}/files "
            f"({of_rows.count(None)} of {len(of_rows)} films have none). Unpack mimic-cxr-reports.zip and name its "
            "folder with "
            + setting("reports_root", text="reports_root") + ", leave such rows out with " + setting("missing", "skip")
            + ", or pass " + setting("reports", False),
        )  # fmt: skip
    return of_rows


def _text(file: str) -> str | None:
    try:
        return checked_file(file, "a report").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _with_texts(
    rows: Rows, paths: list[Path], reports: list[str | None], wanted: Sequence[str]
) -> tuple[Rows, list[Path], list[str]]:
    """The rows that have a text, their paths and the texts; every reason to leave one out is counted by itself."""
    texts = {report: sections_of(report, wanted) for report in set(reports) if report is not None}
    reasons = [_why_not(report, texts, wanted) for report in reports]
    kept = [place for place, reason in enumerate(reasons) if not reason]
    for why in sorted(set(reasons) - {""}):
        rows = rows.where([reason != why for reason in reasons], why)
        reasons = [reason for reason in reasons if reason != why]
    return rows, [paths[place] for place in kept], [texts[str(reports[place])] for place in kept]


def _why_not(report: str | None, texts: Mapping[str, str], wanted: Sequence[str]) -> str:
    """Why a film has no text; empty where it has one."""
    if report is None:
        return "report file missing"
    if texts[report] and not is_missing(texts[report]):
        return ""
    if not report.strip():
        return "empty report"
    return "empty section" if any(has_section(report, one) for one in wanted) else f"no {' or '.join(wanted)} section"


def _part(
    rows: Rows, paths: list[Path], texts: list[str] | None, findings: Table, split: dict[str, str], uncertain: str,
    blank: str,
) -> Part:  # fmt: skip
    ids, patients = ids_of(rows.table, "dicom_id", None), groups_of(rows.table, "subject_id")
    place = {study: row for row, study in enumerate(findings.column("study_id"))}
    studies = rows.column("study_id")
    used, of_row = np.unique([place[study] for study in studies], return_inverse=True)
    values, doubtful = numeric_labels(take_rows(findings, used.astype(np.int64)), CLASSES, uncertain, blank)
    columns = {"view": np.asarray(rows.column("ViewPosition"), dtype=np.str_), "study": np.asarray(studies)}
    groups = None if patients is None else patients.tolist()
    splits = np.asarray([split[name] for name in ids.tolist()], dtype=np.str_)
    return Part(ids, paths, values[of_row], rows.left_out, groups, columns, texts, splits, doubtful)
