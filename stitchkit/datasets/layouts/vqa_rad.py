"""VQA-RAD: questions of clinicians about radiology images, with answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import assemble
from stitchkit.datasets.layouts.captioned import first_folder
from stitchkit.datasets.layouts.image_files import checked_missing, with_images
from stitchkit.datasets.layouts.json_entries import json_entries, table_of_entries
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, Rows
from stitchkit.datasets.layouts.questions import LABELS, PATIENTS, question_part, with_question
from stitchkit.datasets.rows import ids_of

QUESTIONS = PublishedTable(
    ("VQA_RAD Dataset Public.json",),
    "qid,phrase_type,qid_linked_id,image_case_url,image_name,image_organ,evaluation,question,question_rephrase,"
    "question_relation,question_frame,question_type,answer,answer_type",
    "public code that reads the file, in several places",
)
FOLDERS = ("VQA_RAD Image Folder", "images")
SPLITS = {"freeform": "train", "para": "train", "test_freeform": "test", "test_para": "test"}  # by phrase_type
COLUMNS = ("answer_type", "question_type", "phrase_type", "image_organ")
CARD = {
    "name": "VQA-RAD",
    "layout": "vqa-rad",
    "source": "Lau et al., Scientific Data 5, 180251 (2018), https://osf.io/89kps/",
    "licence": "CC0 1.0",
    "labels": LABELS,
    "patients": PATIENTS,
    "split": "phrase_type test_freeform and test_para are 'test', freeform and para are 'train'; not by image: the "
    "count of patients in several splits is of images with questions in both",
}


def read(root: Path, *, uncertain: str = "error", images: str | None = None, missing: str = "error") -> Cohort:
    """VQA-RAD as downloaded from the Open Science Framework: an item a question.

    Parameters
    ----------
    root
        Holds ``VQA_RAD Dataset Public.json`` and the images in ``VQA_RAD Image Folder`` or ``images``.
    uncertain
        Accepted as for the other sets; this one has no labels.
    images
        Folder below ``root`` with the images, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count questions without an image file.

    Returns
    -------
    Cohort
        Images, questions as texts, no classes; the image as group. ``columns``: ``answer``, ``answer_type`` (OPEN,
        CLOSED), ``question_type``, ``phrase_type``, ``image_organ``.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    path = root / QUESTIONS.names[0]
    if not path.is_file():
        raise DataError(f"{root} holds no {path.name}. Give the folder that holds it.")
    columns = ("qid", "image_name", "question", "answer", *COLUMNS)
    rows = with_question(Rows(table_of_entries(path, json_entries(path), QUESTIONS, columns)))
    rows, paths = with_images(rows, "image_name", [first_folder(root, FOLDERS, images)], missing)
    table = rows.table
    phrases = table.filled_column("phrase_type")
    if odd := [row for row, phrase in enumerate(phrases) if phrase not in SPLITS]:
        raise table.fault(odd[0], "phrase_type", f"the cell is none of {', '.join(SPLITS)}. Take the file as published")
    split = np.asarray([SPLITS[phrase] for phrase in phrases], dtype=np.str_)
    part = question_part(rows, ids_of(table, "qid", None), paths, table.column("image_name"), split, COLUMNS)
    return assemble(CARD, [QUESTIONS], (), [part])
