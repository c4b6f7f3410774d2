"""Digests: every flipped bit of what is covered is found, wherever it lies."""

import hashlib

import pytest

from stitchkit.core.errors import DataError, ModelUnavailableError
from stitchkit.storage.digests import (
    block_digests,
    block_digests_of_file,
    check_blocks,
    check_digest,
    holds_own_digest,
    is_digest,
    sha256_of,
    sha256_of_file,
    with_own_digest,
)

CONTENT = bytes(range(256)) * 5


def flipped(content, bit):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_a_file_and_its_content_have_the_digest_of_hashlib(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    wanted = hashlib.sha256(CONTENT).hexdigest()
    assert sha256_of(CONTENT) == sha256_of(memoryview(CONTENT)) == sha256_of_file(tmp_path / "a") == wanted


@pytest.mark.parametrize("size", [1, 100, 1279, 1280, 5000])
def test_blocks_of_a_file_and_of_its_content_have_the_same_digests(tmp_path, size):
    (tmp_path / "a").write_bytes(CONTENT)
    wanted = [hashlib.sha256(CONTENT[a : a + size]).hexdigest() for a in range(0, len(CONTENT), size)]
    assert block_digests(CONTENT, size) == block_digests_of_file(tmp_path / "a", size) == wanted
    assert block_digests(b"", size) == []


def test_every_flipped_bit_of_a_block_is_found_and_only_there():
    digests = block_digests(CONTENT, 512)
    check_blocks(CONTENT, digests, "a", size=512)
    for bit in range(0, len(CONTENT) * 8, 97):
        with pytest.raises(DataError, match=f"damaged in block {bit // 4096 + 1} of 3"):
            check_blocks(flipped(CONTENT, bit), digests, "a", size=512)
    with pytest.raises(DataError, match="more data than the 3 blocks"):
        check_blocks(CONTENT + b"x" * 512, digests, "a", size=512)


def test_another_content_is_an_error_of_the_wanted_class_that_names_the_file():
    check_digest(CONTENT, sha256_of(CONTENT), "a.bin")
    with pytest.raises(ModelUnavailableError, match=r"a\.bin is damaged.*Train it again"):
        check_digest(CONTENT[1:], sha256_of(CONTENT), "a.bin", ModelUnavailableError, "Train it again.")


def test_every_flipped_bit_of_a_text_that_holds_its_own_digest_is_found():
    text = with_own_digest(b'{"a": 1e-5, "sha256": "' + b"0" * 64 + b'", "b": "\\u00e9"}')
    place = text.index(b'"sha256": "') + 11

    def sound(content):
        return holds_own_digest(content, content[place : place + 64].decode("latin-1"))

    assert sound(text)
    assert not any(sound(flipped(text, bit)) for bit in range(len(text) * 8))


def test_only_64_small_hexadecimal_digits_are_a_digest():
    assert is_digest("0a" * 32)
    assert not any(map(is_digest, ["0A" * 32, "0a" * 31, "0a" * 32 + "\n", b"0a" * 32, 5, None]))
