"""Pointing: the best patch of a sentence by hand, chance as the region's share, and masks that do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.datasets.phrase_regions import read_phrase_regions
from stitchkit.evaluation.regions.pointing import point

SIDE, PATCH = 32, 8
WORDS = {"bright": (1.0, 0.0), "dark": (-1.0, 0.2)}


@dataclass
class Squares:
    """Mean levels of 4 x 4 patches behind a class token: (level, 1) of each, the image cropped to its middle."""

    name: str = "squares"
    modality: str = "image"
    space: Space = field(default_factory=lambda: Space("squares", 2))
    tokens: bool = True

    def prepare(self, items):
        cropped = [one.convert("L").crop((4, 4, 36, 36)) for one in items]
        return torch.from_numpy(np.stack([np.asarray(one, dtype=np.float32)[None] / 255 - 0.5 for one in cropped]))

    def encode(self, batch):
        levels = torch.nn.functional.avg_pool2d(batch, PATCH).flatten(1)
        patches = torch.stack([levels, torch.full_like(levels, 0.01)], dim=2)
        tokens = torch.cat([torch.ones(len(batch), 1, 2), patches], dim=1)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        mask[:, 0] = False
        return Encoded(tokens[:, 0], tokens if self.tokens else None, mask)


@dataclass
class Words:
    """A token a word between start and end, and their sum as the vector."""

    name: str = "words"
    modality: str = "text"
    space: Space = field(default_factory=lambda: Space("squares", 2))

    def prepare(self, items):
        return items

    def encode(self, batch):
        rows = [[WORDS[word] for word in text.split()] for text in batch]
        most = max(map(len, rows)) + 2
        tokens, mask = torch.full((len(rows), most, 2), 9.0), torch.zeros(len(rows), most, dtype=torch.bool)
        for row, words in enumerate(rows):
            tokens[row, 1 : 1 + len(words)] = torch.tensor(words)
            mask[row, 1 : 1 + len(words)] = True
        pooled = torch.stack([torch.tensor(words).sum(dim=0) for words in rows])
        return Encoded(pooled, tokens, mask)


@pytest.fixture
def films(tmp_path):
    """A grey film with a bright patch and a dark one, and masks of them."""
    film = np.full((40, 40), 128, np.uint8)
    film[4 + 8 : 4 + 16, 4 + 8 : 4 + 16] = 255  # patch (1, 1) behind the crop
    film[4 + 16 : 4 + 24, 4 + 24 : 4 + 32] = 0  # patch (2, 3)
    Image.fromarray(film).save(tmp_path / "film.png")
    masks = {"right": film == 255, "half": film == 255, "wrong": film == 0, "outside": np.zeros_like(film, dtype=bool)}
    masks["half"] = masks["half"].copy()
    masks["half"][:, : 4 + 12] = False
    masks["outside"][:3] = True  # cropped away
    for name, mask in masks.items():
        Image.fromarray(mask).save(tmp_path / f"{name}.png")

    def regions(*rows):
        lines = ["id,text,mask", *(",".join(row) for row in rows)]
        (tmp_path / "regions.csv").write_text("\n".join(lines) + "\n")
        return read_phrase_regions(tmp_path / "regions.csv")

    return Items(["a"], [tmp_path / "film.png"], "image"), regions


def test_a_hit_is_the_share_of_the_best_patch_in_the_region_and_chance_that_of_all_patches(films):
    images, regions = films
    rows = [("bright", "right"), ("bright", "half"), ("bright", "wrong"), ("dark", "wrong")]
    found = point(Squares(), Words(), images, regions(*(("a", text, f"{mask}.png") for text, mask in rows)))
    assert found.rows.tolist() == [0, 0, 0, 0]
    for rule in ("words", "sentence"):
        np.testing.assert_allclose(found.hits[rule], [1, 0.5, 0, 1])
    np.testing.assert_allclose(found.chance, np.array([1, 0.5, 1, 1]) / 16)


def test_a_region_that_the_encoder_does_not_see_is_left_out(films):
    images, regions = films
    found = point(Squares(), Words(), images, regions(("a", "bright", "outside.png"), ("a", "dark", "wrong.png")))
    assert found.hits["words"].tolist() == [1]


def test_words_and_the_sentence_may_point_elsewhere(films):
    """Of the words each counts as much as the other; the sum of their vectors is ruled by the longer one."""
    images, regions = films
    WORDS["long"] = (-9.0, 0.0)
    try:
        found = point(Squares(), Words(), images, regions(("a", "bright bright long", "right.png")))
    finally:
        del WORDS["long"]
    assert (found.hits["words"][0], found.hits["sentence"][0]) == (1, 0)


def test_masks_without_white_and_patches_without_places(films, tmp_path):
    images, regions = films
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 1  # as segmentations are often written
    Image.fromarray(mask).save(tmp_path / "ones.png")
    with pytest.raises(DataError, match=r"ones\.png has levels up to 1, and a region is white \(255\)"):
        point(Squares(), Words(), images, regions(("a", "bright", "ones.png")))

    class Fifteen(Squares):
        def encode(self, batch):
            whole = super().encode(batch)
            return Encoded(whole.pooled, whole.tokens[:, :-1], whole.mask[:, :-1])

    assert point(Fifteen(), Words(), images, regions(("a", "bright", "right.png"))) is None

    class Alone(Squares):
        def prepare(self, items):
            rows = super().prepare(items)
            return rows - rows.mean(dim=(1, 2, 3), keepdim=True)  # black and white are alike

    assert point(Alone(), Words(), images, regions(("a", "bright", "right.png"))) is None


def test_encoders_without_tokens_point_nowhere(films):
    images, regions = films
    assert point(Squares(tokens=False), Words(), images, regions(("a", "bright", "right.png"))) is None


def test_sentences_and_masks_that_do_not_fit_are_named(films, tmp_path):
    images, regions = films
    with pytest.raises(InputError, match="a sentence is about 'b', and no image has that id"):
        point(Squares(), Words(), images, regions(("b", "bright", "right.png")))
    Image.new("L", (20, 40)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"small\.png is 20 x 40 pixels, and the image 'a' 40 x 40"):
        point(Squares(), Words(), images, regions(("a", "bright", "small.png")))
    with pytest.raises(DataError, match=r"regions\.csv, row 2, column 'mask': there is no file"):
        regions(("a", "bright", "none.png"))
    with pytest.raises(DataError, match="column 'text': the cell is empty"):
        regions(("a", "", "right.png"))
