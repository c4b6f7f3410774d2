"""JSON of unknown origin is read strictly, and its nesting is limited alike under every Python."""

from __future__ import annotations

import json
import sys

import pytest

from stitchkit.core.strict_json import parse_json

NESTED = {
    "lists": ("[", "]", ""),
    "objects": ('{"a": ', "}", "1"),
    "both": ('[{"b": 2, "a": ', "}]", "null"),
    "beside others": ('[1, [2], {}, "]]", ', ", 3]", "[]"),
}


@pytest.mark.parametrize("kind", NESTED)
def test_a_hundred_levels_are_read_and_more_are_not(kind):
    left, right, inner = NESTED[kind]
    a_time = left.count("[") + left.count("{") if kind == "both" else 1
    levels = 100 - (inner == "[]")
    most = left * (levels // a_time) + inner + right * (levels // a_time)
    assert parse_json(most) == json.loads(most)
    for text in (f"[{most}]", f'{{"a": {most}}}', f"[1, {most}, [2]]"):
        with pytest.raises(ValueError, match=r"^its brackets are nested too deep$"):
            parse_json(text)


@pytest.mark.parametrize("levels", [101, 900, 9_000, 200_000])
def test_the_limit_does_not_depend_on_the_interpreters_own(levels):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(12_000)  # as deep as Python 3.13 reads by itself
    try:
        with pytest.raises(ValueError, match=r"^its brackets are nested too deep$"):
            parse_json("[" * levels + "]" * levels)
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_texts_are_no_nesting():
    assert parse_json(json.dumps(["[" * 500, {"{" * 500: 1}])) == ["[" * 500, {"{" * 500: 1}]
    assert len(parse_json("[" + "[[]]," * 500 + "[]]")) == 501
