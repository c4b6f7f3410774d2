"""The log of a study's cells: what is damaged is refused by file and line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stitchkit.core.errors import DataError
from stitchkit.studies.cells import LINES, Cell, CellLog


@pytest.fixture
def folder(tmp_path):
    log = CellLog(tmp_path)
    for draw in range(2):
        log.add(f"k{draw}", Cell("a", "b", "csa", None, draw), np.ones((3, 2)), {"n": 1})
    log.keep("mark", {"x": np.ones((3, 2))})
    return tmp_path


def test_what_was_added_is_read_again(folder):
    log = CellLog(folder)
    assert len(log) == 2
    np.testing.assert_array_equal(log.scores("k1"), np.ones((3, 2)))
    np.testing.assert_array_equal(log.kept("mark")["x"], np.ones((3, 2)))
    assert log.kept("other") is None


SOUND = {"key": "k0", "source": "a", "target": "b", "method": "csa", "anchors": None, "draw": 0}
BROKEN = [
    "{",
    "[]",
    "null",
    "{}",
    "1" * 5000,
    "[" * 5000,
    '{"key": NaN}',
    *(json.dumps({key: value for key, value in SOUND.items() if key != name}) for name in SOUND),
    *(json.dumps(SOUND | {"key": key}) for key in (1, None, "", "../../k0", "a/b", "\x00", "a" * 300, "k0\n")),
    *(json.dumps(SOUND | change) for change in ({"source": 1}, {"draw": "0"}, {"draw": True}, {"anchors": "all"})),
]


@pytest.mark.parametrize("line", BROKEN, ids=[line[:40] for line in BROKEN])
def test_a_damaged_line_is_refused_by_number(folder, line):
    path = folder / LINES
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"line 3 of .*{LINES} is no (JSON|cell)"):
        CellLog(folder)


def test_a_line_in_another_encoding_is_refused(folder):
    (folder / LINES).write_bytes(b'{"key": "\xe9"}\n')
    with pytest.raises(DataError, match="line 1"):
        CellLog(folder)


DAMAGE = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "cut off": lambda content: content[:-3],
    "header": lambda content: content.replace(b"fortran", b"fortrax"),
    "unfinished header": lambda content: content.replace(b"False, ", b"       "),
    "an escape": lambda content: content.replace(b"'<f8'", b"'\\_8'"),
    "an old name of a type": lambda content: content.replace(b"'<f8'", b"'a8' "),
    "objects": lambda content: content.replace(b"'<f8'", b"'|O' "),
    "a petabyte": lambda content: content.replace(b"(3, 2), }          ", b"(99999999999, 999)}"),
    "another file": lambda content: b"not an array",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["scores/k0.npy", "resampled/mark.npz"])
def test_a_damaged_array_is_refused_by_its_file(folder, name, damage):
    path = folder / name
    sound = path.read_bytes()
    path.write_bytes(DAMAGE[damage](sound))
    assert path.read_bytes() != sound
    with pytest.raises(DataError, match=r"(k0\.npy|mark\.npz) is damaged"):
        CellLog(folder).scores("k0") if "k0" in name else CellLog(folder).kept("mark")
