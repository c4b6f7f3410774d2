"""Metadata of DICOM files on request, for audits: a few named columns, and patients as salted hashes."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.datasets.dicom.tags import fault_of, naming_faults, read_header, silent
from stitchkit.datasets.image_files import file_and_choice

COLUMNS = {  # name -> keywords of PS3.6, the first that is filled counts
    "view": ("ViewPosition",),
    "laterality": ("ImageLaterality", "Laterality"),
    "sex": ("PatientSex",),
    "age": ("PatientAge",),
    "modality": ("Modality",),
    "body_part": ("BodyPartExamined",),
    "manufacturer": ("Manufacturer",),
    "model": ("ManufacturerModelName",),
    "station": ("StationName",),
    "institution": ("InstitutionName",),
    "detector": ("DetectorID",),
    "kvp": ("KVP",),
    "photometric": ("PhotometricInterpretation",),
    "bits": ("BitsStored",),
}
NUMBERS = ("age", "kvp", "bits")
DEFAULT = ("view", "laterality", "sex", "age", "manufacturer")
PATIENT = ("PatientID", "IssuerOfPatientID")
DIGITS = 16  # of a patient's hash
LEAST_SALT = 8  # characters
_AGE = re.compile(r"(\d{3})([DWMY])")  # PS3.5 table 6.2-1
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def dicom_columns(paths: Sequence[str | Path], columns: Sequence[str] = DEFAULT) -> dict[str, np.ndarray]:
    """Metadata columns of n DICOM files, as :class:`stitchkit.Labels` takes them for the shortcut audit.

    Nothing else is read, and nothing is kept: names, numbers and dates of patients are no columns.

    Parameters
    ----------
    paths
        DICOM files; a choice of frame behind a path is passed over.
    columns
        Names out of ``COLUMNS``: ``view``, ``laterality``, ``sex``, ``age``, ``modality``, ``body_part``,
        ``manufacturer``, ``model``, ``station``, ``institution``, ``detector``, ``kvp``, ``photometric``, ``bits``.

    Returns
    -------
    dict
        (n,) each, in the order of ``columns``: float64 for ``age`` (in years), ``kvp`` and ``bits``, NaN where the file
        says nothing; text for the others, empty where it says nothing.

    Raises
    ------
    UnknownNameError
        For a column that there is not.
    DataError
        If a file is no DICOM file or damaged.
    MissingExtraError
        Without pydicom.
    """
    return columns_of([header_values(path, keywords_of(columns)) for path in paths], columns)


def keywords_of(columns: Sequence[str]) -> list[str]:
    """Keywords of the tags that columns are read from.

    Raises
    ------
    UnknownNameError
        For a column that there is not.
    """
    for name in columns:
        if name not in COLUMNS:
            raise UnknownNameError.of("metadata column of DICOM files", name, COLUMNS)
    return [keyword for name in columns for keyword in COLUMNS[name]]


def columns_of(headers: Sequence[Mapping[str, str]], columns: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of n files by their tags, as :func:`dicom_columns` gives them."""
    cells: dict[str, np.ndarray] = {}
    for name in columns:
        texts = [next((one[keyword] for keyword in COLUMNS[name] if one[keyword]), "") for one in headers]
        cells[name] = np.asarray([_number(name, text) for text in texts] if name in NUMBERS else texts)
    return {name: column.astype(np.float64 if name in NUMBERS else np.str_) for name, column in cells.items()}


def dicom_patients(paths: Sequence[str | Path], salt: str | None = None) -> np.ndarray:
    """Patients (n,) of DICOM files as salted hashes of PatientID; equal patients have equal hashes.

    Parameters
    ----------
    paths
        DICOM files.
    salt
        Secret of at least eight characters that makes the hashes the same in every run; whoever knows it can try all
        numbers of patients. Default: a new one that is not kept.

    Returns
    -------
    (n,) str
        16 hexadecimal digits; a file without a PatientID is a patient of its own.

    Raises
    ------
    InputError
        For a shorter salt.
    DataError, MissingExtraError
        As :func:`dicom_columns`.
    """
    check_salt(salt)
    return patients_of([header_values(path, PATIENT) for path in paths], paths, salt)


def check_salt(salt: str | None) -> None:
    """Raise for a salt that is too short to be a secret."""
    if salt is not None and len(salt) < LEAST_SALT:
        raise InputError(f"a salt of {len(salt)} characters is guessed at once. Give {LEAST_SALT} or more.")


def patients_of(
    headers: Sequence[Mapping[str, str]], paths: Sequence[str | Path], salt: str | None = None
) -> np.ndarray:
    """The patients of n files by their tags, as :func:`dicom_patients` gives them."""
    key = (salt or secrets.token_hex(16)).encode("utf-8", "surrogatepass")
    hashes = []
    for values, path in zip(headers, paths, strict=True):
        named = ["patient", *(values[keyword] for keyword in PATIENT)]
        name = "\0".join(named if values[PATIENT[0]] else ["file", str(file_and_choice(path)[0])])
        hashes.append(hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS])
    return np.asarray(hashes, dtype=np.str_)


def header_values(path: str | Path, keywords: Sequence[str]) -> dict[str, str]:
    """The first value of each tag as a text, empty where it is absent.

    Raises
    ------
    DataError, MissingExtraError
        As :func:`dicom_columns`.
    """
    file = file_and_choice(path)[0]
    with naming_faults(file), silent():
        data = read_header(file, keywords)
        return {keyword: _text(data, keyword) for keyword in keywords}


def _text(data: Any, keyword: str) -> str:
    with fault_of(f"is damaged: its {keyword} cannot be read"):
        value = data.get(keyword)
        if hasattr(value, "append") and not isinstance(value, str | bytes):
            value = value[0] if len(value) else None
    return "" if value is None else " ".join(str(value).replace("\0", " ").split())


def _number(name: str, text: str) -> float:
    """A number, in years for an age; NaN for what is none."""
    if name == "age":
        match = _AGE.fullmatch(text.strip().upper())
        return int(match[1]) * _YEARS[match[2]] if match else math.nan
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
