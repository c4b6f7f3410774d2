"""Metadata of DICOM files on request, patients as salted hashes, and the layout of a folder of them."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

pytest.importorskip("pydicom")

from dicom_files import write_dicom
from typer.testing import CliRunner

import stitchkit as sk
from stitchkit.cli.main import app
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets.dicom.columns import COLUMNS, dicom_columns, dicom_patients

FILM = np.random.default_rng(0).integers(0, 4096, (12, 10)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path):
    """Two patients with three films and a cine of three frames, and a report without a picture."""
    root = tmp_path / "scans"
    one = {"bits": 12, "PatientID": "MRN-1", "PatientName": "Doe^Jane", "PatientSex": "F", "Manufacturer": "Maker "}
    write_dicom(root / "a", FILM, ViewPosition="PA", PatientAge="061Y", ImageLaterality="L", **one)
    write_dicom(root / "b.dcm", FILM[::-1], ViewPosition="AP", PatientAge="018M", Laterality="R", **one)
    write_dicom(root / "sub" / "c.dcm", FILM[:, ::-1], bits=12, PatientID="MRN-2", PatientSex="", PatientAge="x")
    cine = np.stack([FILM, FILM[::-1], FILM + 1])
    write_dicom(root / "sub" / "cine.dcm", cine, NumberOfFrames=3, PatientID="MRN-2", PatientAge="002W")
    write_dicom(root / "report", FILM, Rows=None, Columns=None, PixelData=None, PatientID="MRN-2")
    return root


def test_columns_are_read_as_the_audit_takes_them(folder):
    paths = [folder / "a", folder / "b.dcm", folder / "sub" / "c.dcm", f"{folder / 'sub' / 'cine.dcm'}#frame=2"]
    columns = dicom_columns(paths)
    assert list(columns) == ["view", "laterality", "sex", "age", "manufacturer"]
    assert columns["view"].tolist() == ["PA", "AP", "", ""]
    assert columns["laterality"].tolist() == ["L", "R", "", ""]
    assert columns["sex"].tolist() == ["F", "F", "", ""]
    assert columns["manufacturer"].tolist() == ["Maker", "Maker", "", ""]
    ages = columns["age"].tolist()
    assert ages[:2] == [61, 1.5]
    assert math.isnan(ages[2])
    assert ages[3] == pytest.approx(14 / 365.25)
    assert dicom_columns(paths, ["bits"])["bits"].tolist() == [12, 12, 12, 16]
    assert set(dicom_columns(paths, list(COLUMNS))) == set(COLUMNS)
    assert dicom_columns([], ["view", "age"])["age"].shape == (0,)


@pytest.mark.parametrize("name", ["PatientName", "patient", "PatientID"])
def test_no_column_names_a_patient(folder, name):
    with pytest.raises(UnknownNameError, match="metadata column of DICOM files"):
        dicom_columns([folder / "a"], [name])


def test_patients_are_salted_hashes(folder):
    paths = [folder / "a", folder / "b.dcm", folder / "sub" / "c.dcm"]
    one, again = dicom_patients(paths), dicom_patients(paths)
    assert one[0] == one[1] != one[2]
    assert set(one.tolist()).isdisjoint(again.tolist())
    salted = dicom_patients(paths, salt="a secret of ours")
    np.testing.assert_array_equal(salted, dicom_patients(paths, salt="a secret of ours"))
    assert set(salted.tolist()).isdisjoint(dicom_patients(paths, salt="another secret").tolist())
    with pytest.raises(InputError, match="a salt of 3 characters"):
        dicom_patients(paths, salt="abc")
    nameless = [write_dicom(folder / f"no{k}", FILM) for k in (1, 2)]
    assert len(set(dicom_patients(nameless).tolist())) == 2


def test_a_folder_is_a_cohort(folder):
    with pytest.raises(DataError, match=r"1 of 4 DICOM files in .* several frames, the first is sub/cine\.dcm"):
        sk.read_cohort("dicom", folder)
    cohort = sk.read_cohort("dicom", folder, frame="middle", salt="a secret of ours")
    assert cohort.images.ids.tolist() == ["a", "b.dcm", "sub/c.dcm", "sub/cine.dcm"]
    assert str(cohort.images.values[3]).endswith("cine.dcm#frame=middle")
    patients = cohort.labels.groups.tolist()
    assert patients[0] == patients[1] != patients[2] == patients[3]
    assert "MRN" not in json.dumps(cohort.card) + "".join(patients)
    assert cohort.card["left_out"] == {"no picture": 1}
    assert cohort.card["counts"] == {
        "listed": 5, "items": 4, "patients": 2, "DICOM images": 4, "unknown labels": 0,
    }  # fmt: skip
    assert cohort.labels.columns["view"].tolist() == ["PA", "AP", "", ""]
    whole = sk.read_cohort("dicom", folder, frame="all", patients="id", columns=["modality"])
    assert whole.images.ids.tolist()[3:] == [f"sub/cine.dcm#frame={k}" for k in (1, 2, 3)]
    assert whole.labels.groups.tolist() == ["MRN-1", "MRN-1", *["MRN-2"] * 4]
    third = sk.read_cohort("dicom", folder, frame=3, patients="none")
    assert third.labels.groups is None
    assert len(third) == 4


def test_a_damaged_file_is_refused_or_counted(folder):
    (folder / "broken.dcm").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.dcm is damaged or cut off"):
        sk.read_cohort("dicom", folder, frame="middle")
    cohort = sk.read_cohort("dicom", folder, frame="middle", missing="skip")
    assert cohort.card["left_out"] == {"unreadable": 1, "no picture": 1}


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"frame": "first"}, InputError), ({"patients": "name"}, UnknownNameError), ({"salt": "x"}, InputError),
     ({"columns": ["PatientName"]}, UnknownNameError), ({"missing": "what"}, UnknownNameError)],
)  # fmt: skip
def test_settings_that_are_none_are_refused(folder, settings, error):
    with pytest.raises(error):
        sk.read_cohort("dicom", folder, **{"frame": "middle", **settings})


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no DICOM file in or below .* there are none"):
        sk.read_cohort("dicom", tmp_path)


def test_collect_writes_a_table_that_is_read_again(folder, tmp_path):
    out = tmp_path / "films.csv"
    line = ["anchors", "collect", "dicom", folder, "--set", "frame=middle", "--out", out]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert done.exit_code == 0, done.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "path", "patient", "view", "laterality", "sex", "age", "manufacturer"]
    assert rows[3]["path"] == "scans/sub/cine.dcm#frame=middle"
    items = sk.read_items(out)
    assert items.ids.tolist() == ["a", "b.dcm", "sub/c.dcm", "sub/cine.dcm"]
    assert "MRN" not in out.read_text() + out.with_name("films.card.json").read_text()
