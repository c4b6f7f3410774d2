"""Text of unknown origin on a terminal: nothing in it moves the cursor, hides or turns round."""

from __future__ import annotations

import pytest

from stitchkit.core.escaping import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J", "\\x9b2J"),
        ("\x1b]8;;http://evil\x07link", "\\x1b]8;;http://evil\\x07link"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("nul\x00del\x7f", "nul\\x00del\\x7f"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("py\u200bthon", "py\\u200bthon"),
        ("\ufeffbom", "\\ufeffbom"),
        ("line\u2028para\u2029", "line\\u2028para\\u2029"),
        ("lone\ud800", "lone\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("Ödem, œdème, 水肿, C:\\scans", "Ödem, œdème, 水肿, C:\\scans"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_characters_that_act_on_the_terminal_are_written_out(text, shown):
    assert escape(text) == shown


def test_lines_are_kept_where_that_is_wanted():
    assert escape("a\nb\x1b", keep="\n") == "a\nb\\x1b"
