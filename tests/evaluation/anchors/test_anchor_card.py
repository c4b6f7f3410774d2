"""Cards of anchor sets: counts and hashes, and nothing that belongs to a patient."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit import AnchorSet, Items
from stitchkit.evaluation.anchors.card import anchor_card

TEXTS = ["No effusion.", "Small effusion on the left.", "No effusion.", "The heart is enlarged."]
PATIENTS = ["Doe-17", "Doe-17", "Roe-4", "Poe-9"]


@pytest.fixture
def table(tmp_path):
    """Four films of two sizes, the last a copy of the first, and their reports."""
    folder = tmp_path / "of-dr-smith"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, side in enumerate((32, 32, 48)):
        Image.fromarray(rng.integers(0, 256, (side, 40), dtype=np.uint8)).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes((folder / "0.png").read_bytes())
    rows = [f"i{i},{i}.png,{text},{PATIENTS[i]}" for i, text in enumerate(TEXTS)]
    (folder / "table.csv").write_text("\n".join(["id,path,text,patient", *rows]))
    return folder / "table.csv"


def test_a_card_counts(table):
    card = anchor_card(sk.read_anchors(table), source="us", licence="CC0-1.0", obtain="ask us")
    assert (card.name, card.pairs, card.patients, card.unstated) == ("table", 4, 3, ())
    images, texts = card.sides["source"], card.sides["target"]
    assert (images.modality, images.distinct) == ("image", 3)
    assert images.sizes == {"width": (40, 40), "height": (32, 48), "bit_depth": (8, 8)}
    assert (texts.modality, texts.distinct) == ("text", 3)
    assert texts.lengths["0"] == min(map(len, TEXTS))
    assert texts.lengths["1"] == max(map(len, TEXTS))
    assert list(texts.lengths) == ["0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"]


def test_neither_texts_nor_patients_nor_folders_are_in_it(table):
    card = anchor_card(sk.read_anchors(table), columns={"patient": "patient"})
    told = str(card) + json.dumps(card.to_dict())
    assert not [text for text in TEXTS if text in told]
    assert not [patient for patient in PATIENTS if patient in told]
    assert "of-dr-smith" not in told


def test_the_content_does_not_depend_on_order_ids_or_names(table):
    anchors = sk.read_anchors(table)
    card = anchor_card(anchors)
    for name in "0123":
        (table.parent / f"{name}.png").rename(table.parent / f"film{name}.png")
    lines = table.read_text().replace(".png", "X").replace(",", ",film", 1).split("\n")
    rows = [f"n{i},film{i}.png,{TEXTS[i]},{PATIENTS[i]}" for i in (2, 0, 3, 1)]
    table.write_text("\n".join(["id,path,text,patient", *rows]))
    again = anchor_card(sk.read_anchors(table))
    assert lines
    assert again.content == card.content
    assert again.sha256 != card.sha256
    swapped = AnchorSet(
        anchors.ids,
        sk.read_anchors(table).source_items,
        Items(anchors.ids, sorted(sk.read_anchors(table).target_items.values), "text"),
    )
    assert anchor_card(swapped).content != card.content


def test_what_was_not_stated_is_said(table):
    card = anchor_card(sk.read_anchors(table), licence="MIT")
    assert card.unstated == ("source", "obtain")
    assert str(card).count("not stated") == 2


def test_what_the_reader_was_told_is_kept(table):
    kept = {"source": "us", "licence": "MIT", "obtain": "ask"}
    card = anchor_card(sk.read_anchors(table, card=kept), licence="CC0-1.0")
    assert (card.source, card.licence, card.obtain) == ("us", "CC0-1.0", "ask")


def test_the_markdown_holds_what_people_write(table):
    card = anchor_card(sk.read_anchors(table), source="Us | them\nand others", description="For | tests.")
    lines = str(card).split("\n")
    assert lines[0] == "# Anchors: table"
    assert "For | tests." in lines
    assert "| source | Us \\| them and others |" in lines


def test_arrays_and_texts_alone_have_a_card():
    ids = ["a", "b"]
    images = Items(ids, [np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)], "image")
    card = anchor_card(AnchorSet(ids, images, images))
    assert (card.name, card.patients, card.table, card.sides["source"].sizes) == ("unnamed", None, "", {})
    assert "| table | none |" in str(card)
    assert "| patients | not known |" in str(card)
