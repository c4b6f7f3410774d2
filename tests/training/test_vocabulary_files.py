"""A ``tokenizer.json`` of another checkpoint that cannot be used is refused by its path."""

from __future__ import annotations

import pytest

from stitchkit.core.errors import DataError, InputError
from stitchkit.training.vocabularies import Vocabulary


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff", b"[" * 99_999, b'{"model": {"type": "sound"}}'])
def test_a_damaged_tokenizer_is_named(content, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"tokenizer\.json cannot be read.*Copy it again"):
        Vocabulary.of_folder(str(tmp_path))


@pytest.mark.parametrize("folder", ["no/such/folder", "a" * 5000, "a\0b", "~nosuchuser/clip"])
def test_a_folder_without_a_tokenizer_is_refused(folder):
    with pytest.raises(InputError, match=r"there is no|is longer than|is no path"):
        Vocabulary.of_folder(folder)
