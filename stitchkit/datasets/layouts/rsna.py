"""RSNA Pneumonia Detection Challenge 2018: 26,684 labelled films, drawn from NIH ChestX-ray14."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.strict_json import parse_json
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, Rows, agreeing, read_published
from stitchkit.datasets.rows import read_text
from stitchkit.datasets.string_tables import Table

BOXES = PublishedTable(
    ("stage_2_train_labels.csv",),
    "patientId,x,y,width,height,Target",
    "public code that reads the file, in many places",
)
KINDS = PublishedTable(
    ("stage_2_detailed_class_info.csv",), "patientId,class", "public code that reads the file, in several places"
)
FILMS = "stage_2_train_images"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
OPACITY = "Lung Opacity"
OF_KIND = (OPACITY, "No Lung Opacity / Not Normal", "Normal")
CLASSES = ("Pneumonia", *OF_KIND)
CARD = {
    "name": "RSNA Pneumonia 2018",
    "layout": "rsna",
    "source": "Shih et al., Radiology: Artificial Intelligence 1 (2019), e180041, "
    "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    "licence": "rules of the challenge: academic research and education, not for commercial use",
    "labels": "'Pneumonia' is Target of stage_2_train_labels.csv, the others are the class of "
    "stage_2_detailed_class_info.csv; none is marked as uncertain",
}
ALONE = (
    f"patientId names a film, not a patient: the films come from NIH ChestX-ray14, where a patient has several. With "
    f"{MAPPING} of https://www.rsna.org/ in the folder, the NIH patients are read"
)


def read(root: Path, *, uncertain: str = "error", images: str | None = None, missing: str = "error") -> Cohort:
    """The training films of stage 2, as downloaded from Kaggle.

    Parameters
    ----------
    root
        Holds ``stage_2_train_labels.csv``, ``stage_2_detailed_class_info.csv`` and ``stage_2_train_images``: ``.dcm``
        files, or PNG or JPEG files of the same names, which are taken where both are there. With
        ``pneumonia-challenge-dataset-mappings_2018.json`` the patients are known.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    images
        Folder below ``root`` with the films, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count films without a file.

    Returns
    -------
    Cohort
        Patients as NIH ChestX-ray14 numbers them, and ``columns`` with ``nih_image``, its file there; or neither,
        without the mapping.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    table = _one_a_film(read_published(root, BOXES, ("patientId", "Target")).table, "Target", ("0", "1"))
    classes = _one_a_film(read_published(root, KINDS, ("patientId", "class")).table, "class", OF_KIND)
    _check_targets(table, classes)
    target, kinds = (
        dict(zip(one.column("patientId"), one.column(name), strict=True))
        for one, name in ((table, "Target"), (classes, "class"))
    )
    films = Rows(table)
    films = films.where([name in kinds for name in films.column("patientId")], "no class")
    folder = folder_of_images(root, FILMS if images is None else images)
    films, paths = with_images(films, "patientId", [folder], missing)
    ids = films.column("patientId")
    values = np.asarray([[float(target[name]), *(float(kinds[name] == kind) for kind in OF_KIND)] for name in ids])
    origin = _origins(root, films.table)
    columns = {} if origin is None else {"nih_image": np.asarray(origin, dtype=np.str_)}
    groups = None if origin is None else [str(int(name.split("_")[0])) for name in origin]
    facts = CARD | {"patients": ALONE if origin is None else f"as in NIH ChestX-ray14, by {MAPPING}"}
    part = Part(ids, paths, values.reshape(-1, len(CLASSES)), films.left_out, groups, columns)
    return assemble(facts, [BOXES, KINDS], CLASSES, [part])


def _one_a_film(table: Table, column: str, known: Sequence[str]) -> Table:
    """One row a film; a film with several boxes has several rows, which must agree."""
    table, _ = agreeing(table, "patientId", (column,))
    for row, cell in enumerate(table.column(column)):
        if cell not in known:
            raise table.fault(row, column, f"the cell is none of {', '.join(known)}. Take the table as published")
    return table


def _check_targets(targets: Table, classes: Table) -> None:
    """Refuse a film whose Target and class contradict each other: 1 is 'Lung Opacity' and nothing else."""
    place = {name: row for row, name in enumerate(classes.column("patientId"))}
    kinds = classes.column("class")
    for row, (name, cell) in enumerate(zip(targets.column("patientId"), targets.column("Target"), strict=True)):
        kind = kinds[place[name]] if name in place else None
        if kind is not None and (cell == "1") != (kind == OPACITY):
            raise targets.fault(
                row, "Target", f"the cell is {cell}, and row {classes.numbers[place[name]]} of {classes.path} says "
                f"{kind!r} of the same film; Target is 1 where the class is {OPACITY!r}, else 0. Take both tables as "
                f"published, or remove the rows of this film",
            )  # fmt: skip


def _origins(root: Path, films: Table) -> list[str] | None:
    """The file name each film has in NIH ChestX-ray14; None without the mapping."""
    path = root / MAPPING
    if not path.is_file():
        return None
    try:
        entries: list[dict[str, Any]] = parse_json(read_text(path, "mapping"))
        of_film: dict[str, str] = {}
        for number, entry in enumerate(entries, start=1):
            name, image = str(entry["subset_img_id"]), str(entry["img_id"])
            if of_film.setdefault(name, image) != image:
                raise DataError(
                    f"{path}, entry {number}: another NIH film than in an earlier entry of the same film. Take the "
                    f"file as published, or remove it."
                )
        names = [of_film.get(name, "") for name in films.column("patientId")]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no list of entries with 'subset_img_id' and 'img_id'. Take the file as published, or remove it."
        ) from error
    odd = [row for row, name in enumerate(names) if not name.split("_")[0].isdecimal()]
    if odd:
        raise films.fault(
            odd[0], "patientId", f"{MAPPING} gives no NIH film for it ({len(odd)} of {len(names)}). Take the file as "
            f"published, or remove it",
        )  # fmt: skip
    return names
