"""Text files are written as a whole."""

from __future__ import annotations

import pytest

from stitchkit.storage.atomic_writes import write_text


def test_a_text_is_written_in_utf8_into_a_folder_that_is_made(tmp_path):
    path = write_text(tmp_path / "new" / "a.txt", "Röntgen\n")
    assert path.read_bytes() == "Röntgen\n".encode()
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


def test_characters_that_utf8_cannot_hold_are_refused_or_escaped_as_asked(tmp_path):
    path = write_text(tmp_path / "a.txt", "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\udcff")
    assert path.read_text() == "before"
    write_text(path, "\udcff", errors="backslashreplace")
    assert path.read_text() == "\\udcff"
