"""The page of a search: every number of the result, nothing of the items unless asked, names escaped, one file."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.reports.search_page import write_search

SPACE = sk.Space("one", 4, "f")


def result_of(n=9, texts=("effusion",), names=("ct", "notes"), top=3):
    rng = np.random.default_rng(0)
    queries = sk.Embeddings(rng.normal(size=(len(texts), 4)), list(texts), SPACE)
    parts = {name: sk.Embeddings(rng.normal(size=(n, 4)), [f"{name}-{i}" for i in range(n)], SPACE) for name in names}
    return sk.search(None, queries, parts, top=top)


def page(tmp_path, result, **settings):
    return write_search(result, tmp_path / "page.html", **settings).read_text(encoding="utf-8")


def test_every_hit_is_a_card_with_its_numbers(tmp_path):
    result = result_of()
    text = page(tmp_path, result, folder="bound", command="stitchkit search bound effusion", notes=["a note"])
    (one,) = result.queries
    cards = re.findall(r'<li class="hit">(.*?)</li>', text, re.S)
    assert len(cards) == 3
    for card, hit in zip(cards, one.hits, strict=True):
        assert f"<b>{hit.rank}</b><span>{hit.modality}</span>" in card
        assert f"<code>{hit.id}</code>" in card
        assert f"{hit.similarity:.3f}" in card
        assert f"width: {100 * hit.similarity:.1f}%" in card
        assert f"z {hit.z:.1f}" in card
    assert "<title>effusion</title>" in text
    for words in (
        "stitchkit search bound effusion",
        "a note",
        "not a probability",
        "as they are",
        SPACE.name,
        "9 items",
    ):
        assert words in text


def test_with_each_every_modality_has_its_own_list(tmp_path):
    result = result_of(texts=("effusion", "edema"))
    text = page(tmp_path, result, each=True)
    assert text.count('<li class="hit">') == 2 * 2 * 3
    assert text.count("<h3>ct</h3>") == text.count("<h3>notes</h3>") == 2
    assert "<h1>2 texts searched</h1>" in text


def test_the_page_is_one_file_and_shows_nothing_of_the_items_unless_asked(tmp_path):
    result = result_of()
    pictures = sk.Items([f"ct-{i}" for i in range(9)], [np.full((8, 8), 20 * i, np.uint8) for i in range(9)], "image")
    texts = sk.Items([f"notes-{i}" for i in range(9)], ["secret " * 60] * 9, "text")
    bare = page(tmp_path, result)
    assert "secret" not in bare
    assert "data:image" not in bare
    assert not re.search(r'(src|href)="(?!data:)', bare)
    shown = page(tmp_path, result, items={"ct": pictures, "notes": texts}, each=True)
    assert shown.count("data:image/jpeg") == 3
    assert shown.count("secret secret") > 3
    assert "secret " * 40 not in shown  # the beginning alone
    assert "own" in shown


def test_odd_names_and_texts_are_escaped(tmp_path):
    text = page(tmp_path, result_of(texts=("<script>alert(1)</script> $x$",), names=("$a$",)), folder="<b>")
    assert "<script>" not in text
    assert html.escape("<script>alert(1)</script>") in text.replace("&#34;", "&quot;")
    assert "<dd><b></dd>" not in text


def test_one_item_and_equal_similarities_have_a_page_too(tmp_path):
    assert '<li class="hit">' in page(tmp_path, result_of(n=1, names=("ct",)))


def test_only_a_page_of_a_search_is_replaced(tmp_path):
    page(tmp_path, result_of())
    page(tmp_path, result_of(top=1))
    (tmp_path / "other.html").write_text("<html>")
    with pytest.raises(InputError, match="is no page of a search; it was left alone"):
        write_search(result_of(), tmp_path / "other.html")
    with pytest.raises(InputError, match="Change the ending"):
        write_search(result_of(), tmp_path / "page.pdf")
