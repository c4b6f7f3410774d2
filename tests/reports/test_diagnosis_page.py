"""The page of a diagnosis: one file, complete without a network, and safe for odd names."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.reports.diagnosis_page import page, write_diagnosis


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6))
    ids = [f"film <{i}>" for i in range(60)]
    source = sk.Embeddings(x, ids, sk.Space("vision & more", 6))
    target = sk.Embeddings(x @ rng.normal(size=(6, 9)) + 0.1 * rng.normal(size=(60, 9)), ids, sk.Space("text", 9))
    flat = np.linalg.svd(target.vectors - target.vectors.mean(axis=0))[2][-1:] * 5 + target.vectors.mean(axis=0)
    prompts = {"effusion_$1": target.vectors[:2], "a <b> finding": flat}
    return sk.diagnose(sk.align(source, target, solver=sk.Ridge(alpha=1e-3)), source, target, prompts=prompts,
                       replicates=20)  # fmt: skip


class Tags(HTMLParser):
    """Every element opened and closed, and every address."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br", "img", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(found):
    tags = Tags()
    text = page(found)
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 4
    assert "script" not in tags.seen
    assert [one for one in tags.addresses if not one.startswith("#")] == []
    assert "@import" not in text
    assert "url(http" not in text


def test_verdict_advice_and_every_number_of_the_table_stand_on_the_page(found):
    parser, said = HTMLParser(), []
    parser.handle_data = said.append
    parser.feed(page(found))
    text = " ".join("".join(said).split())
    assert found.verdict in text
    assert found.advice
    for one in (*found.advice, *found.notes):
        assert " ".join(one.split()) in text
    for name, value, beside in found.rows():
        assert all(part in text for part in (name.strip(), value.replace("+-", "±").replace("-", "−"), beside))


def test_names_are_escaped(found):
    text = page(found)
    assert "film <" not in text
    assert "film &lt;" in text
    assert "a <b> finding" not in text
    assert "vision &amp; more" in text


def test_the_same_diagnosis_gives_the_same_page(found):
    assert page(found) == page(found)


def test_two_files_are_written_and_written_again(found, tmp_path):
    path = write_diagnosis(found, tmp_path / "new" / "folder")
    assert sorted(one.name for one in path.parent.iterdir()) == ["diagnosis.html", "diagnosis.json"]
    assert json.loads((path.parent / "diagnosis.json").read_text())["verdict"] == found.verdict
    assert write_diagnosis(found, path.parent) == path
    with pytest.raises(InputError, match="is a file"):
        write_diagnosis(found, path)


def test_a_page_that_cannot_be_written_leaves_the_old_one(found, tmp_path, monkeypatch):
    path = write_diagnosis(found, tmp_path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_diagnosis(found, path.parent)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_what_an_alignment_does_not_have_leaves_no_hole():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 5))
    y = x @ rng.normal(size=(5, 5))
    plain = sk.diagnose(sk.align(x, y, solver=sk.Relative()), x, y, replicates=20)
    text = page(plain)
    assert text.count("<svg") == 2
    assert "not affine" in text
    assert "no prompts were given" in text
    assert not re.search(r"\b(None|nan)\b", text)


def test_the_first_card_is_of_what_was_held_out_and_marked_by_it():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(80, 60)), rng.normal(size=(80, 50))
    bad = sk.diagnose(sk.align(x, y), x, y, replicates=20)
    card = re.search(r'<div class="cards">\s*<div class="card([^"]*)"><b>([^<]*)</b><span>([^<]*)', page(bad))
    assert card.group(1, 2) == (" bad", f"{bad.held_out.value:.2f}")
    assert "held out when it was chosen" in card.group(3)
    unknown = sk.diagnose(sk.align(x, y, solver=sk.Procrustes()), x, y, replicates=20)
    assert re.search(r'<div class="cards">\s*<div class="card open">', page(unknown))
    assert "so no verdict" in page(unknown)


def test_every_cell_of_a_table_that_stacks_on_a_phone_has_its_name(found):
    for table in re.findall(r'<table class="methods[^>]*>(.*?)</table>', page(found), re.DOTALL):
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)[1:]:
            cells = re.findall(r"<td([^>]*)>", row)
            assert all('data-label="' in one for one in cells[1:]), row
