"""VinDr-CXR: 18,000 chest films with 28 findings, three readers a film for training, their consensus for the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.label_cells import checked_uncertain, numeric_labels
from stitchkit.datasets.layouts.published import PublishedTable, Rows, names_of, read_published, take_rows, there_is

CLASSES = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding",
)  # fmt: skip
OTHER = ("Other diseases", "Other disease")  # the name in the training table, and in the test table
REFERENCE = (
    "names, their order and the two names of other diseases: public code that reads both tables; the lines themselves "
    "were put together from it"
)
TABLES = {
    "train": PublishedTable(
        ("annotations/image_labels_train.csv", "image_labels_train.csv"),
        "image_id,rad_id," + ",".join(CLASSES),
        REFERENCE,
    ),
    "test": PublishedTable(
        ("annotations/image_labels_test.csv", "image_labels_test.csv"),
        "image_id," + ",".join(CLASSES).replace(*OTHER),
        REFERENCE,
    ),
}
READERS = {"majority": "more than half of its readers say so", "any": "one of its readers says so"}
LABELS = "present in a training film where {}; the labels of the test are a consensus; none is marked as uncertain"
CARD = {
    "name": "VinDr-CXR",
    "layout": "vindr-cxr",
    "source": "Nguyen et al., VinDr-CXR, Scientific Data 9, 429 (2022), https://physionet.org/content/vindr-cxr/",
    "licence": "PhysioNet Credentialed Health Data License; credentialed users after training and agreement only",
    "split": "image_labels_train.csv is 'train', image_labels_test.csv is 'test'",
    "patients": "none are published; whether two films are of one patient is not known",
}


def read(
    root: Path,
    *,
    uncertain: str = "error",
    readers: str = "majority",
    splits: str | Sequence[str] | None = None,
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """VinDr-CXR 1.0.0 as downloaded from PhysioNet.

    Parameters
    ----------
    root
        Holds ``annotations/image_labels_train.csv``, ``annotations/image_labels_test.csv`` and the films in ``train``
        and ``test``: ``.dicom`` files, or PNG or JPEG files of the same names, which are taken where both are there.
    uncertain
        Accepted as for the other sets; no label of this one is uncertain.
    readers
        When a finding of a training film is present: ``"majority"`` (more than half of its readers say so) or
        ``"any"`` (one does).
    splits
        ``"train"`` or ``"test"`` to read one table only. Default: those that are there.
    images
        Folder below ``root`` that holds ``train`` and ``test``, where they lie elsewhere.
    missing
        ``"error"``, or ``"skip"`` to leave out and count films without a file.

    Returns
    -------
    Cohort
        Without patients and without metadata: the tables hold none.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    if readers not in READERS:
        raise UnknownNameError.of("policy for several readers", readers, READERS)
    folder = folder_of_images(root, images)
    names = _names(root, splits)
    parts = [_part(root, name, folder / name, readers, uncertain, missing) for name in names]
    facts = CARD | {"labels": LABELS.format(READERS[readers])}
    return assemble(facts, [TABLES[name] for name in names], CLASSES, parts)


def _names(root: Path, splits: str | Sequence[str] | None) -> list[str]:
    wanted = names_of(splits or ())
    for name in wanted:
        if name not in TABLES:
            raise UnknownNameError.of("split of VinDr-CXR", name, TABLES)
    names = [name for name in TABLES if (name in wanted if wanted else there_is(root, TABLES[name]))]
    if not names:
        files = " and no ".join(table.names[0] for table in TABLES.values())
        raise DataError(f"{root} holds no {files}. Give the folder that holds them.")
    return names


def _part(root: Path, name: str, folder: Path, readers: str, uncertain: str, missing: str) -> Part:
    columns = [OTHER if label in OTHER else label for label in CLASSES]
    rows = read_published(root, TABLES[name], ("image_id", *columns))
    of_film: dict[str, int] = {}
    for image in rows.table.filled_column("image_id"):
        of_film.setdefault(image, len(of_film))
    film = np.asarray([of_film[image] for image in rows.column("image_id")])
    says, _ = numeric_labels(rows.table, rows.table.columns[1:], uncertain, "unknown")
    values = _labels_of_readers(says, film, len(of_film), readers)
    _, first = np.unique(film, return_index=True)
    films, paths = with_images(Rows(take_rows(rows.table, first)), "image_id", [folder], missing)
    ids = films.column("image_id")
    kept = [of_film[image] for image in ids]
    return Part(ids, paths, values[kept], films.left_out, split=np.full(len(ids), name))


def _labels_of_readers(says: np.ndarray, film: np.ndarray, n: int, readers: str) -> np.ndarray:
    """Labels (n, c) of n films from what readers say (r, c); NaN where none says anything."""
    known = ~np.isnan(says)
    votes, readings = np.zeros((n, says.shape[1])), np.zeros((n, says.shape[1]))
    np.add.at(votes, film, np.where(known, says, 0.0))
    np.add.at(readings, film, known.astype(np.float64))
    needed = readings / 2 if readers == "majority" else 0.0
    return np.where(readings > 0, (votes > needed).astype(np.float64), np.nan)
