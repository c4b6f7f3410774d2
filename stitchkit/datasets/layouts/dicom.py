"""A folder of DICOM files of one's own: an item a file or frame, with patients as salted hashes and metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.patients import count_patients
from stitchkit.core.scores import Labels
from stitchkit.core.wording import setting
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.dicom.columns import (
    DEFAULT,
    PATIENT,
    check_salt,
    columns_of,
    header_values,
    keywords_of,
    patients_of,
)
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.tables import dicom_files_below, with_all_frames

HASH, ID, NONE = "hash", "id", "none"
PATIENTS = (HASH, ID, NONE)
ERROR, MIDDLE, ALL = "error", "middle", "all"
_PICTURE = ("Rows", "NumberOfFrames")


def read(
    root: Path,
    *,
    columns: Sequence[str] = DEFAULT,
    patients: str = HASH,
    salt: str | None = None,
    frame: int | str = ERROR,
    uncertain: str = "error",
    missing: str = "error",
) -> Cohort:
    """The pictures among the DICOM files in and below a folder, by their endings or by their content.

    Parameters
    ----------
    root
        The folder.
    columns
        Metadata to carry along: names of :data:`stitchkit.datasets.dicom.columns.COLUMNS`.
    patients
        ``"hash"``: salted hashes of PatientID, 16 digits; ``"id"``: PatientID as it stands; ``"none"``.
    salt
        Secret of at least eight characters, for the same hashes in every run. Default: a new one that is not kept.
    frame
        Treatment of files with several frames: ``"error"`` refuses them, ``"middle"`` takes the middle one, ``"all"``
        makes an item of each, a number takes that one.
    uncertain
        Accepted as for the other sets; DICOM files have no labels.
    missing
        ``"error"``, or ``"skip"`` to leave out and count files that cannot be read.

    Returns
    -------
    Cohort
        Without labels and texts. Ids are the paths below the folder. Files without a picture (reports, plans,
        presentation states) are left out and counted.

    Raises
    ------
    DataError
        If a file is damaged, has several frames and none was chosen, or no file has a picture.
    UnknownNameError, InputError
        For a column or policy that there is not, or a short salt.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    check_salt(salt)
    if patients not in PATIENTS:
        raise UnknownNameError.of("treatment of patients", patients, PATIENTS)
    choice = str(frame)
    if choice not in (ERROR, MIDDLE, ALL) and not (choice.isascii() and choice.isdigit()):
        raise InputError(f"a frame is 'error', 'middle', 'all' or a number from 1; got {choice!r}.")
    keywords = [*keywords_of(columns), *(PATIENT if patients != NONE else ()), *_PICTURE]
    names, headers, excluded = _headers(root, keywords, missing)
    items, rows = _items(root, names, [one["NumberOfFrames"] for one in headers], choice)
    groups = None
    if patients == HASH:
        groups = patients_of(headers, names, salt)[rows]
    elif patients == ID:
        groups = np.asarray([one[PATIENT[0]] or f"file {name}" for one, name in zip(headers, names, strict=True)])[rows]
    metadata = {name: column[rows] for name, column in columns_of(headers, columns).items()}
    labels = Labels(np.empty((len(items), 0)), items.ids, (), groups, metadata)
    counts = {"listed": len(items) + sum(excluded.values()), "items": len(items)}
    if groups is not None:
        counts["patients"] = count_patients(groups)
    card = {
        "name": root.as_posix(),
        "layout": "dicom",
        "source": f"the DICOM files in {root.as_posix()}",
        "licence": "as whoever made the files says",
        "header": {"tags": ",".join(keywords)},
        "labels": "none",
        "patients": {HASH: "salted hashes of PatientID", ID: "PatientID as it stands", NONE: "not read"}[patients],
        "counts": counts | {"DICOM images": len(items), "unknown labels": 0},
        "left_out": excluded,
    }
    return Cohort(items, labels, card=card)


def _items(root: Path, names: Sequence[str], frames: Sequence[str], frame: str) -> tuple[Items, np.ndarray]:
    """An item for each picture that is read, and the file (n,) that it is of."""
    several = [count not in ("", "0", "1") for count in frames]
    if frame == ERROR and any(several):
        raise DataError(
            f"{sum(several)} of {len(names)} DICOM files in {root} hold several frames, the first is "
            f"{names[several.index(True)]}. Choose with " + setting("frame", MIDDLE) + ", 'all' or a number."
        )
    choices = [f"#frame={frame}" if one else "" for one in several]
    paths = [Path(f"{root / name}{choice}") for name, choice in zip(names, choices, strict=True)]
    items = with_all_frames(Items(np.asarray(names), paths, "image"))
    place = {name: row for row, name in enumerate(names)}
    return items, np.asarray([place[_file_of(name, place)] for name in items.ids.tolist()])


def _headers(
    root: Path, keywords: Sequence[str], missing: str
) -> tuple[list[str], list[dict[str, str]], dict[str, int]]:
    """Names and tags of the files with a picture, and the number of the others by reason."""
    names, headers, excluded = list[str](), list[dict[str, str]](), Counter[str]()
    for name in dicom_files_below(root):
        try:
            values = header_values(root / name, keywords)
        except DataError:
            if missing == "error":
                raise
            excluded["unreadable"] += 1
            continue
        if not values["Rows"]:
            excluded["no picture"] += 1
            continue
        names.append(name)
        headers.append(values)
    if not names:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in excluded.items()) or "there are none"
        raise DataError(f"no DICOM file in or below {root} has a picture; left out: {reasons}. Check the folder.")
    return names, headers, dict(excluded)


def _file_of(name: str, names: dict[str, int]) -> str:
    """The file of an item's id, which may end in one of its frames."""
    return name if name in names else name.rpartition("#frame=")[0]
