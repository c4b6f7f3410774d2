"""The log of a study's cells: lines that are no cells are refused, cells with damage are worked out again."""

from __future__ import annotations

import io
import json
import re
import warnings

import numpy as np
import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.studies.cells import LINES, Cell, CellLog

FACTS = {"kind": "logit", "record": {"solver": "csa", "rank": 2}, "parts": 1, "seconds": 0.5}


@pytest.fixture
def folder(tmp_path):
    log = CellLog(tmp_path)
    for draw in range(2):
        log.add(f"k{draw}", Cell("a", "b", "csa", None, draw), np.ones((3, 2)), FACTS)
    log.keep("mark", {"x": np.ones((3, 2))})
    return tmp_path


def test_what_was_added_is_read_again(folder):
    log = CellLog(folder)
    assert len(log) == 2
    np.testing.assert_array_equal(log.scores("k1"), np.ones((3, 2)))
    np.testing.assert_array_equal(log.read_arrays("mark")["x"], np.ones((3, 2)))
    assert log.read_arrays("other") is None


SPECTRUM = {"of": "directed map", "values": [2.0, 1.0], "rank": 2, "effective": 1.5}
SOUND = {"key": "k0", "source": "a", "target": "b", "method": "csa", "anchors": None, "draw": 0, "kind": "logit",
         "record": {"solver": "csa", "spectrum": SPECTRUM}, "seconds": 0.5}  # fmt: skip


def record(**change):
    return {"record": SOUND["record"] | change}


def spectrum(**change):
    return record(spectrum=SPECTRUM | change)


CHANGES = (
    {"source": 1}, {"draw": "0"}, {"draw": True}, {"draw": 0.5}, {"anchors": "all"}, {"anchors": -1}, {"kind": "Logit"},
    {"kind": None}, {"record": 5}, {"record": None}, {"record": []}, {"parts": "x"}, {"parts": -1}, {"parts": None},
    {"seconds": "1"}, {"seconds": -1}, {"Kind": "logit"}, {"sha256": "0" * 64}, {"scores_sha256": "0" * 64},
    {"sha256": "0" * 63, "scores_sha256": "0" * 64}, {"sha256": 5, "scores_sha256": "0" * 64},
    record(solver=1), record(Solver="csa"), record(settings=[]), record(rank=1.5), record(r2="1"), record(notes="x"),
    record(notes=[1]), record(spectrum=None), record(spectrum=[]), record(gallery=3), record(chance=[0.1, 0.1]),
    record(gallery=3, chance=[0.1]), record(gallery=3, chance=[None, 0.1]), record(gallery="3", chance=[0.1, 0.1]),
    spectrum(Effective=1.5), spectrum(effective="1"), spectrum(values=2), spectrum(values=[]), spectrum(values=["2"]),
    spectrum(values=[-1.0]), spectrum(rank=3), spectrum(rank=None), spectrum(of="similar"),
)  # fmt: skip
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
    *(json.dumps(SOUND | change) for change in CHANGES),
]


def test_a_line_without_digests_is_read_and_counted_in_one_warning(folder):
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    plain = [{name: line[name] for name in line if "sha256" not in name} for line in lines]
    (folder / LINES).write_text("".join(json.dumps(line) + "\n" for line in plain))
    with pytest.warns(UserWarning, match="2 cells of .* without SHA-256") as said:
        log = CellLog(folder)
    assert len(said) == 1
    assert log["k0"] == plain[0]
    np.testing.assert_array_equal(log.scores("k0"), np.ones((3, 2)))


@pytest.mark.parametrize("change", [{}, {"parts": 2}, record(r2=None), record(gallery=3, chance=[0.1, 1])], ids=str)
def test_a_sound_line_is_read(folder, change):
    (folder / LINES).write_text(json.dumps(SOUND | change) + "\n")
    with pytest.warns(UserWarning, match="1 cell "):
        assert CellLog(folder)["k0"] == SOUND | change


@pytest.mark.parametrize("line", BROKEN, ids=[f"{k} {line[:30]}" for k, line in enumerate(BROKEN)])
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
def test_a_cell_with_damaged_scores_is_left_out_with_a_warning(folder, damage):
    path = folder / "scores" / "k0.npy"
    before = CellLog(folder)
    sound = path.read_bytes()
    path.write_bytes(DAMAGE[damage](sound))
    assert path.read_bytes() != sound
    with pytest.raises(DataError, match=r"k0\.npy is damaged"):
        before.scores("k0")
    with pytest.warns(UserWarning, match=r"1 cell of .* is damaged and is worked out again: .*k0\.npy"):
        log = CellLog(folder)
    assert "k0" not in log
    assert "k1" in log
    log.add("k0", Cell("a", "b", "csa", None, 0), np.zeros((3, 2)), FACTS)
    np.testing.assert_array_equal(CellLog(folder).scores("k0"), np.zeros((3, 2)))  # without a warning


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_resamples_are_left_out_with_a_warning(folder, damage):
    path = folder / "resampled" / "mark.npz"
    sound = path.read_bytes()
    path.write_bytes(DAMAGE[damage](sound))
    assert path.read_bytes() != sound
    with pytest.warns(UserWarning, match=r"mark\.npz is damaged: .* worked out again"):
        assert CellLog(folder).read_arrays("mark") is None


def test_every_flipped_bit_of_scores_leaves_the_cell_out(folder):
    path = folder / "scores" / "k0.npy"
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(flipped(sound, place, place % 8))
        with pytest.warns(UserWarning, match="1 cell "):
            assert "k0" not in CellLog(folder)


def test_scores_of_another_cell_are_no_scores_of_this_one(folder):
    CellLog(folder).add("k2", Cell("a", "b", "csa", None, 2), np.zeros((3, 2)), FACTS)
    (folder / "scores" / "k0.npy").write_bytes((folder / "scores" / "k2.npy").read_bytes())
    with pytest.warns(UserWarning, match=r"1 cell of .*k0\.npy"):
        assert "k0" not in CellLog(folder)


def opened(folder):
    """The log with the warnings of opening it; None with the error where it is refused."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            log = CellLog(folder)
        except DataError as error:
            return None, [str(error)]
    return log, [str(one.message) for one in said]


def test_every_flipped_bit_of_a_line_is_noticed(folder):
    path = folder / LINES
    sound, known = path.read_bytes(), CellLog(folder)
    refused = again = 0
    for place in range(sound.index(b"\n")):
        for bit in range(0, 8, 3):
            path.write_bytes(flipped(sound, place, bit))
            log, said = opened(folder)
            if log is None:
                assert re.search(rf"line [12] of .*{LINES} is no", said[0])
                refused += 1
            else:
                assert len(said) == 1
                assert "k0" not in log
                assert log["k1"] == known["k1"]
                again += 1
    assert refused > 100
    assert again > 100


def test_a_damaged_line_is_taken_out_so_that_it_is_noted_once(folder):
    path = folder / LINES
    path.write_bytes(path.read_bytes().replace(b'"seconds": 0.5', b'"seconds": 0.7', 1))
    with pytest.warns(UserWarning, match=rf"1 cell of .* worked out again: line 1 of .*{LINES}"):
        log = CellLog(folder)
    log.add("k0", Cell("a", "b", "csa", None, 0), np.ones((3, 2)), FACTS)
    assert len(CellLog(folder)) == 2


def test_a_log_with_the_line_ends_of_windows_is_read(folder):
    path = folder / LINES
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(CellLog(folder)) == 2


def test_a_line_that_is_no_cell_is_not_written(folder):
    with pytest.raises(InputError, match="kind"):
        CellLog(folder).add("k2", Cell("a", "b", "csa"), np.ones((3, 2)), FACTS | {"kind": "Logit"})
    assert len(CellLog(folder)) == 2
    assert not (folder / "scores" / "k2.npy").exists()


def rewritten(path, mark, **arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (path / "resampled" / f"{mark}.npz").write_bytes(buffer.getvalue())


def test_resamples_with_other_numbers_or_of_another_mark_are_left_out(folder):
    log = CellLog(folder)
    with np.load(folder / "resampled" / "mark.npz") as kept:
        digest = kept["sha256"]
    rewritten(folder, "mark", x=np.zeros((3, 2)), sha256=digest)
    rewritten(folder, "other", x=np.ones((3, 2)), sha256=digest)
    for mark in ("mark", "other"):
        with pytest.warns(UserWarning, match=rf"{mark}\.npz is damaged"):
            assert log.read_arrays(mark) is None


def test_resamples_without_a_digest_are_read_with_one_warning(folder):
    rewritten(folder, "one", x=np.zeros(3))
    rewritten(folder, "two", x=np.ones(3))
    log = CellLog(folder)
    with pytest.warns(UserWarning, match="without SHA-256") as said:
        found = [log.read_arrays("one", ["x"]), log.read_arrays("two")]
    assert [one["x"].sum() for one in found] == [0, 3]
    assert len(said) == 1
    with pytest.warns(UserWarning, match="'y' is missing"):
        assert log.read_arrays("one", ["y"]) is None


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]
