"""No value of a tag reaches the store, an output, the home folder or a terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
import warnings

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from dicom_files import dataset, unchecked  # noqa: E402

import stitchkit as sk  # noqa: E402
from stitchkit.core.errors import StitchError  # noqa: E402
from stitchkit.datasets.dicom.columns import COLUMNS  # noqa: E402

WORD = "QZXJKVWYQT"
TEXTS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
DECIDING = {"PhotometricInterpretation", "VOILUTFunction", "SpecificCharacterSet"}


COMMANDS = """
import json, sys
from pathlib import Path
from stitchkit.cli.main import main

_, lines, kept = sys.argv
codes = []
for line in json.loads(lines):
    sys.argv = ["stitchkit", *line]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
Path(kept).write_text(json.dumps(codes))
"""  # one process for all, which imports the libraries once


def keywords():
    """Every element of a text kind in the dictionary of DICOM, except what decides pixels and the file's head."""
    for tag, (kind, _, _, _, keyword) in pydicom.datadict.DicomDictionary.items():
        if kind in TEXTS and keyword and keyword not in DECIDING and tag >> 16 > 2:
            yield tag, kind


def write_marked(path, values, **tags):
    made = dataset(values, **tags)
    for tag, kind in keywords():
        made.add_new(tag, kind, WORD)
    inner = pydicom.dataset.Dataset()
    inner.PatientName = WORD
    made.OtherPatientIDsSequence = [inner]
    block = made.private_block(0x0011, WORD, create=True)
    block.add_new(1, "LO", WORD)
    block.add_new(2, "UN", WORD.encode())
    made.file_meta.SourceApplicationEntityTitle = WORD
    made.preamble = (WORD * 13)[:128].encode()
    made.save_as(path, enforce_file_format=True)
    assert path.read_bytes().count(WORD.encode()) > 1700


@pytest.fixture
def scans(tmp_path):
    """Films in every text element of which stands the word: sound ones, and files that are refused in many ways."""
    rng = np.random.default_rng(0)
    root = tmp_path / "scans"
    root.mkdir()
    films = rng.integers(0, 4096, (4, 40, 40)).astype(np.uint16)
    with unchecked():
        for k, film in enumerate(films[:3]):
            write_marked(root / f"{k}.dcm", film, bits=12, WindowCenter=2000, WindowWidth=4000)
        write_marked(root / "palette.dcm", films[0], bits=12, PhotometricInterpretation=WORD)
        write_marked(root / "function.dcm", films[0], bits=12, WindowCenter=9, WindowWidth=9, VOILUTFunction=WORD)
        write_marked(root / "charset.dcm", films[3], bits=12, SpecificCharacterSet=WORD)
        write_marked(root / "frames.dcm", films, bits=12, NumberOfFrames=4)
        write_marked(root / "report.dcm", films[0], Rows=None, PixelData=None)
        write_marked(root / "numbers.dcm", films[0], bits=12)
    whole = (root / "numbers.dcm").read_bytes()
    slope = b"\x28\x00\x53\x10DS" + (10).to_bytes(2, "little") + WORD.encode()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00OW")
    (root / "numbers.dcm").write_bytes(whole[:pixels] + slope + whole[pixels:])
    (root / "cut.dcm").write_bytes(whole[: len(whole) - 900])
    (root / "early.dcm").write_bytes(whole[: len(whole) // 2])
    return root


def files_with_the_word(*folders):
    word = WORD.encode()
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if word in path.name.encode() or (path.is_file() and word in path.read_bytes())
    ]


def test_no_value_of_a_tag_is_written_or_printed_by_python(scans, tmp_path, caplog, capfd, recwarn):
    warnings.simplefilter("always")
    caplog.set_level(logging.DEBUG)
    encoder = sk.load_encoder("demo:medical", device="cpu")
    store, out = tmp_path / "store", tmp_path / "out"
    made = sk.embed(encoder, scans, store=store, out=out / "films.safetensors", on_error="skip")
    assert made.ids.tolist() == ["0.dcm", "1.dcm", "2.dcm", "charset.dcm"]
    assert len(made.left_out) == 7
    for name, _ in made.left_out:
        with pytest.raises(StitchError, match=name) as raised:
            sk.embed(encoder, [scans / name], store=store)
        assert WORD not in "".join(traceback.format_exception(raised.value))
    sk.read_cohort("dicom", scans, frame="middle", missing="skip", columns=list(COLUMNS))
    printed = capfd.readouterr()
    told = [*(str(one.message) for one in recwarn), caplog.text, printed.out, printed.err]
    assert not [one for one in told if WORD in one]
    assert files_with_the_word(store, out) == []
    assert any(path.is_file() for path in store.rglob("*"))


def test_no_value_of_a_tag_is_written_or_printed_by_the_command_line(scans, tmp_path):
    home, cache, out = (tmp_path / name for name in ("home", "cache", "out"))
    for folder in (home, cache, out):
        folder.mkdir()
    for name in ("palette", "frames", "numbers", "early"):  # the first of all files is refused in turn
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.dcm").write_bytes((scans / f"{name}.dcm").read_bytes())
    environment = {**os.environ, "HOME": str(home), "STITCHKIT_CACHE": str(cache), "TMPDIR": str(home)}
    environment.pop("PYTHONWARNINGS", None)
    lines = [["embed", "demo:medical", f"{scans}#frame=middle", "--out", out / "a.safetensors", "--on-error", "skip"]]
    lines += [["embed", "demo:medical", tmp_path / name, "--out", out / f"{name}.safetensors"]
              for name in ("palette", "frames", "numbers", "early")]  # fmt: skip
    lines += [["anchors", "collect", "dicom", scans, "--set", "frame=middle", "--set", "missing=skip",
               "--set", "columns=[]", "--out", out / "table.csv"]]  # fmt: skip
    (tmp_path / "pairs.csv").write_text("path,text\n" + "".join(f"scans/{k}.dcm,clear {k}\n" for k in range(3)))
    lines += [["anchors", "check", tmp_path / "pairs.csv", "--out", out / "check.json"]]
    lines += [["anchors", "card", tmp_path / "pairs.csv", "--out", out / "card.md"]]
    command = [sys.executable, "-c", COMMANDS, json.dumps([list(map(str, one)) for one in lines]), tmp_path / "codes"]
    done = subprocess.run(command, capture_output=True, timeout=300, env=environment)
    assert WORD.encode() not in done.stdout + done.stderr
    codes = json.loads((tmp_path / "codes").read_text())
    assert [bool(code) for code in codes] == [False, *[True] * 4, *[False] * 3], done.stderr
    assert files_with_the_word(home, cache, out) == []
    assert (out / "a.safetensors").is_file()
    assert any(path.is_file() for path in cache.rglob("*"))
