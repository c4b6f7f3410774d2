"""Batches, crops and packed images: what a run sees, in which order, and that it is what is there."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.encoders.shared.encoder import ImageBatch
from stitchkit.runtime.progress import Progress
from stitchkit.training import packing
from stitchkit.training.loading import Batches
from stitchkit.training.modality_data import ImageData
from stitchkit.training.packing import pack_images
from stitchkit.training.pairs import TrainingPairs, choose_pairs
from stitchkit.training.recipes import PairsRecipe

READING = ImageBatch(8, 12, (0.5,), (0.25,))


class Rows:
    """A modality whose items are their own row numbers."""

    def fetch(self, rows, epoch):
        return torch.as_tensor(np.stack([rows, np.full(len(rows), epoch)], axis=1))


def batches(n=17, size=5, seed=0, **more):
    pairs = TrainingPairs.complete(np.arange(n).astype(str), {"a": Rows(), "b": Rows()}, np.arange(n))
    return Batches(pairs, size, more.pop("chunk", size), seed, **more)


def test_a_pass_shows_each_pair_once_at_most_and_the_next_in_another_order():
    made = batches()
    assert made.in_pass == 3
    one, two = (np.concatenate([made.rows(step) for step in range(at, at + 3)]) for at in (0, 3))
    assert len(set(one.tolist())) == len(set(two.tolist())) == 15
    assert one.tolist() != two.tolist()
    assert one.tolist() == np.concatenate([batches().rows(step) for step in range(3)]).tolist()
    assert one.tolist() != np.concatenate([batches(seed=1).rows(step) for step in range(3)]).tolist()


def test_processes_share_a_batch_in_order_and_chunks_hold_no_more_than_they_may():
    whole = batches(chunk=2).rows(4)
    shares = [next(batches(chunk=2, rank=rank, world=2).between(4, 5)) for rank in (0, 1)]
    rows = [np.concatenate([chunk["a"].numpy()[:, 0] for chunk in share.chunks]) for share in shares]
    assert np.concatenate(rows).tolist() == whole.tolist()
    assert shares[0].shares == shares[1].shares == (3, 2)
    assert max(len(chunk["b"]) for share in shares for chunk in share.chunks) == 2
    first = shares[0].chunks[0]["a"]
    assert first[:, 1].tolist() == [1] * len(first)  # of the second pass


def test_batches_come_in_order_from_wherever_they_begin():
    found = [batch.rows.tolist() for batch in batches().between(2, 7)]
    assert found == [batches().rows(step).tolist() for step in range(2, 7)]


def test_what_is_waited_for_a_slow_side_is_told():
    import time

    class Slow(Rows):
        def fetch(self, rows, epoch):
            time.sleep(0.05)
            return super().fetch(rows, epoch)

    pairs = TrainingPairs.complete(np.arange(8).astype(str), {"a": Slow(), "b": Rows()}, np.arange(8))
    waited = [batch.waited for batch in Batches(pairs, 4, 4, 0).between(0, 3)]
    assert min(waited) > 0.03


def test_facts_are_of_the_rows_of_the_batch_and_of_every_modality():
    present = {"a": np.ones(4, dtype=bool), "b": np.asarray([True, False, True, True])}
    pairs = TrainingPairs(
        np.asarray(["w", "x", "y", "z"]), {"a": Rows(), "b": Rows()}, present, np.asarray([0, 1, 0, 2])
    )
    facts = pairs.facts(np.asarray([1, 3, 2]), torch.device("cpu"))
    assert facts.captions.tolist() == [1, 2, 0]
    assert {name: mask.tolist() for name, mask in facts.present.items()} == {"a": [True] * 3, "b": [False, True, True]}
    assert pairs.distinct == 3


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"a": np.ones(4, dtype=bool)}, "data of a, b, and presence of a"),
        ({"b": np.ones(4, dtype=bool), "a": np.ones(4, dtype=bool)}, "in one order"),
        ({"a": np.ones(4, dtype=bool), "b": np.ones(3, dtype=bool)}, r"presence of 'b' is bool \(3,\); give 4"),
        ({"a": np.ones(4), "b": np.ones(4, dtype=bool)}, "presence of 'a' is float64"),
    ],
)
def test_presence_that_does_not_fit_the_data_is_refused(present, message):
    with pytest.raises(InputError, match=message):
        TrainingPairs(np.arange(4).astype(str), {"a": Rows(), "b": Rows()}, present, np.arange(4))


def images(n=6):
    values = np.random.default_rng(0).integers(0, 256, size=(n, 12, 12, 1), dtype=np.uint8)
    return values, {moving: ImageData(values, np.arange(n), READING, 0, moving) for moving in (True, False)}


def test_a_square_is_cut_where_chance_has_it_and_the_same_all_through_a_pass():
    values, sides = images()
    first, again, later = (sides[True].fetch(np.arange(6), epoch).numpy() for epoch in (0, 0, 1))
    assert (first == again).all()
    assert not (first == later).all()
    assert (sides[True].fetch(np.asarray([4, 1]), 0).numpy() == first[[4, 1]]).all()
    for image, square in zip(values, first, strict=True):
        places = [(a, b) for a in range(5) for b in range(5) if (image[a : a + 8, b : b + 8] == square).all()]
        assert len(places) == 1
    many = ImageData(np.zeros((500, 12, 12, 1), np.uint8), np.arange(500), READING, 0, True)
    from stitchkit.training.modality_data import crop_places

    corners = crop_places(len(many.places), 4, 0, 0)
    assert corners.min() == 0
    assert corners.max() == 4


def test_what_is_validated_on_is_cut_as_what_is_embedded(tmp_path):
    """The middle, of images of any shape."""
    paths = []
    for i, size in enumerate([(12, 12), (30, 21), (17, 40)]):
        values = np.random.default_rng(i).integers(0, 256, size=(size[1], size[0]), dtype=np.uint8)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(values).save(paths[-1])
    pixels = pack_images(Items(["a", "b", "c"], paths, "image"), READING, tmp_path / "cache", Progress(False)).pixels
    side = ImageData(pixels, np.asarray([2, 0, 1]), READING, 0, False)
    found = side.to_inputs(side.fetch(np.arange(3), 7))
    embedded = READING([Image.open(paths[i]) for i in (2, 0, 1)])
    torch.testing.assert_close(found, embedded, atol=0, rtol=0)


def test_a_picture_that_was_replaced_is_packed_again(tmp_path):
    path, cache = tmp_path / "a.png", tmp_path / "cache"
    items = Items(["a"], [path], "image")
    seen = []
    for grey in (10, 200):
        Image.new("L", (12, 12), grey).save(path)
        os.utime(path, ns=(grey, grey))
        seen.append(int(pack_images(items, READING, cache, Progress(False)).pixels.mean()))
    assert seen == [10, 200]
    made = sorted(cache.glob("*.npy"))
    pack_images(items, READING, cache, Progress(False))
    assert sorted(cache.glob("*.npy")) == made


@pytest.mark.parametrize("damage", ["black", "cut off", "no digests"])
def test_a_damaged_pack_of_images_is_made_again(tmp_path, damage):
    Image.new("L", (12, 12), 200).save(tmp_path / "a.png")
    items, cache = Items(["a"], [tmp_path / "a.png"], "image"), tmp_path / "cache"
    pack_images(items, READING, cache, Progress(False))
    (pack,) = cache.glob("*.npy")
    whole = pack.read_bytes()
    if damage == "no digests":
        pack.with_suffix(".sha256").unlink()
    pack.write_bytes(whole[:-5] if damage == "cut off" else whole[:-50] + bytes(50))
    assert pack_images(items, READING, cache, Progress(False)).pixels.min() == 200
    assert pack.read_bytes() == whole


def test_packs_of_images_are_their_owners_alone_and_old_drafts_are_removed(tmp_path):
    Image.new("L", (12, 12), 200).save(tmp_path / "a.png")
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    old, running = (cache / f".x.{packing._HOST}.{pid}.draft" for pid in (ended.pid, os.getpid()))
    elsewhere = cache / f".x.another-machine.{ended.pid}.draft"
    for one in (old, running, elsewhere):
        one.touch()
    pack_images(Items(["a"], [tmp_path / "a.png"], "image"), READING, cache, Progress(False))
    (pack,) = cache.glob("*.npy")
    assert (cache.stat().st_mode & 0o777, pack.stat().st_mode & 0o777) == (0o700, 0o600)
    assert (old.exists(), running.exists(), elsewhere.exists()) == (False, True, True)


def test_dark_images_are_warned_of_once_a_pack(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(np.linspace(0, 4000 + i, 144).reshape(12, 12).astype(np.uint16)).save(path)
    with pytest.warns(UserWarning, match="3 of 3 16-bit images use less") as heard:
        pack_images(Items(["a", "b", "c"], paths, "image"), READING, tmp_path / "cache", Progress(False))
    assert len(heard) == 1


def test_only_matrices_are_decayed():
    from stitchkit.encoders.pair_network import ImageInput, TextInput
    from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
    from stitchkit.training.loop import _optimizer
    from stitchkit.training.objectives.clip import Clip, ClipSettings
    from stitchkit.training.recipes import NetworkRecipe, PairsRecipe, Recipe, TrainingRecipe

    inputs = {"image": ImageInput(16, 8, 1), "text": TextInput(8, 50, 49)}
    network = SharedNetwork(SharedShape(16, 1, 2, 8, size=4, inputs=inputs))
    recipe = Recipe(
        name="r",
        network=NetworkRecipe(width=16, layers=1, heads=2, dim=8, side=16, patch=8, context=8),
        pairs=PairsRecipe(layout="table", root="."),
        training=TrainingRecipe(rate=3e-4, decay=0.3),
    )
    objective = Clip(ClipSettings(), network.shape)
    optimizer = _optimizer(network, objective, recipe)
    names = {id(one): f"network.{name}" for name, one in network.named_parameters()}
    names[id(objective.log_scale)] = "objective.log_scale"
    decayed, others = ({names[id(one)] for one in group["params"]} for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    matrices = {"shared.0.up.weight", "stems.text.words.weight", "projections.image.weight"}
    vectors = {"shared.0.up.bias", "norms.text.weight", "stems.image.features"}
    assert {f"network.{one}" for one in matrices} <= decayed
    assert {"objective.log_scale", *(f"network.{one}" for one in vectors)} <= others
    stated = optimizer.state_dict()["param_groups"]
    assert [set(group["param_names"]) for group in stated] == [decayed, others]
    assert decayed | others == set(names.values())
    assert optimizer.defaults["betas"] == (0.9, 0.98)
    assert optimizer.defaults["eps"] == pytest.approx(1e-6)


def test_the_tokenizer_keeps_no_word_of_few_patients():
    from stitchkit.training.vocabularies import Vocabulary

    captions = [f"Bilateral effusion seen, case {'Zwingenberger' if i < 8 else 'stable'}." for i in range(40)]
    few = [f"p{i % 8 if i >= 8 else i % 4}" for i in range(40)]  # the name stands in reports of four patients
    for patients, known in ((few, False), ([f"p{i}" for i in range(40)], True)):
        text = Vocabulary.of_captions([f"{one} {i % 3}" for i, one in enumerate(captions)], 600, patients).text
        assert ("zwingenberger" in text) == known
        assert "effusion" in text
    many = [f"effusion {'Zwingenberger' if i < 4 else 'stable'} {i}" for i in range(40)]
    assert "zwingenberger" not in Vocabulary.of_captions(many, 600).text
    assert "stable" in Vocabulary.of_captions(many, 600).text


def test_images_without_a_text_are_counted_in_the_notes(films, tmp_path):
    with (films / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[:3]:
        row["text"] = ""
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({**row, "path": films / row["path"]} for row in rows)
    settings = {"text": "text", "patient": "patient", "split": "split", "classes": []}
    chosen = choose_pairs(PairsRecipe(layout="table", root=tmp_path, reader=settings, valid="test"), 0)
    assert len(chosen.train) == 45
    assert any("3 rows of" in note and "empty report: 3" in note for note in chosen.notes)
