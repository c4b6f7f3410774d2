"""Stitched models: what they compute, what they keep on disk, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crafted import edited

import stitchkit as sk
from stitchkit.core.errors import InputError, ModelUnavailableError, NoDirectedMapError, SpaceMismatchError
from stitchkit.stitching import card, load_stitched, read_stitched
from stitchkit.storage.heads import load_head

SOURCE = '''
"""Three tiny encoders: two look at images, one reads; numpy only, but for the module."""
import numpy as np
import torch

def pixels(items):
    return np.stack([np.asarray(item, np.float64)[:6, :6, ...].reshape(-1)[:36] for item in items]) / 255

class Glance:
    """Image vectors by a matrix in a file."""
    dim = 10
    def __init__(self, weights):
        self.matrix = np.load(weights)
    def __call__(self, items):
        return np.tanh(pixels(items) @ self.matrix[:36] + self.matrix[36])

def medical(items):
    p = pixels(items)
    return np.concatenate([p[:, :3] - p[:, 3:6], p[:, 6:8] * p[:, 8:10] + 0.1, 1 + p[:, 10:11]], axis=1)
medical.dim = 6

class Module(torch.nn.Module):
    dim = 5
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.inner = torch.nn.Linear(36, 5)
    def prepare(self, items):
        return torch.as_tensor(pixels(items), dtype=torch.float32)
    def forward(self, x):
        return self.inner(x)

def read(items):
    return [[len(text), text.count("e") + 1, text.count("o"), "no" in text.lower(), text.count(" ")] for text in items]
read.modality, read.dim = "text", 5
'''
PROMPTS = sk.PromptSet(
    "mine", {"edema": ("There is edema.", "Edema."), "mass": ("A mass.",)},
    {"edema": ("No edema at all.",), "mass": ("No mass.", "Clear lungs.")},
)  # fmt: skip
RIDGE = sk.Ridge(alpha=0.01)  # by value: what is stitched is not searched for


class World:
    """The tiny encoders in one folder, some images, and what is fitted on them."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.file, self.weights = folder, folder / "mine.py", folder / "weights.npy"
        self.file.write_text(SOURCE)
        np.save(self.weights, rng.normal(size=(37, 10)))
        self.general = self.encoder(f"Glance#weights={self.weights}")
        self.medical = self.encoder("medical")
        self.images = list(rng.integers(0, 256, (70, 6, 6), dtype=np.uint8))
        self.test = self.images[60:]
        self.x, self.y = (sk.embed(one, self.images[:60], store=None) for one in (self.general, self.medical))
        self.head = sk.LinearHead(self.medical.space, ("edema", "mass"), rng.normal(size=(6, 2)), rng.normal(size=2))

    def encoder(self, attribute: str):
        return sk.load_encoder(f"python:{self.file}:{attribute}", device="cpu")

    def alignment(self, solver=RIDGE, **settings):
        return sk.align(self.x, self.y, purpose="head", solver=solver, **settings)

    def to_text(self, solver=RIDGE, **settings):
        reports = ["edema " * (i % 5) + "no " * (i % 3) + "lungs" * (i % 7 + 1) for i in range(60)]
        return sk.align(self.x, sk.embed(self.reader(), reports, store=None), solver=solver, **settings)

    def reader(self):
        return self.encoder("read")

    def model(self, solver=RIDGE):
        return sk.stitch(self.general, self.alignment(solver), self.head, target_name=self.medical.name)

    def named(self):
        to_text = self.to_text(nested=False)
        return sk.stitch(self.general, to_text, sk.zeroshot(to_text, self.reader(), PROMPTS, store=None))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# in memory


def test_scores_are_those_of_encoder_then_map_then_head(world):
    model = world.model()
    raw = sk.embed(world.general, world.test, store=None)
    m = model.alignment.to_target
    vectors = (raw.vectors.astype(np.float64) - m.center) @ m.weight + m.bias
    scores = model.scores(world.test, store=None)
    assert np.allclose(scores.values, vectors @ world.head.weight + world.head.bias, atol=1e-4)
    assert (scores.kind, scores.classes) == ("logit", ("edema", "mass"))
    assert np.allclose(model.embed(world.test, store=None).vectors, vectors, atol=1e-5)
    assert model.embed(world.test, store=None).space == world.medical.space


def test_a_perfect_map_drives_the_head_as_its_own_encoder_does(world):
    own = sk.embed(world.medical, world.test, store=None)
    rng = np.random.default_rng(1)
    turn, shift = np.linalg.qr(rng.normal(size=(10, 10)))[0], rng.normal(size=6)
    linear = world.x.vectors @ turn[:, :6] + shift  # a target that is an exact affine image of the source
    alignment = sk.align(world.x, sk.Embeddings(linear, world.x.ids, world.medical.space), purpose="head")
    model = sk.stitch(world.general, alignment, world.head)
    ideal = sk.embed(world.general, world.test, store=None).vectors @ turn[:, :6] + shift
    assert np.allclose(model.scores(world.test, store=None).values, ideal @ world.head.weight + world.head.bias,
                       atol=1e-2)  # fmt: skip
    assert own.space == model.embed(world.test, store=None).space


def test_a_zero_shot_head_reads_the_source_vectors(world):
    model = world.named()
    raw = sk.embed(world.general, world.test, store=None)
    assert np.array_equal(model.scores(world.test, store=None).values, model.head.scores(raw).values)
    assert model.scores(world.test, store=None).kind == "margin"


def test_embeddings_of_the_source_encoder_may_be_given_instead_of_items(world):
    raw = sk.embed(world.general, world.test, store=None)
    for model in (world.model(), world.named()):
        assert np.allclose(model.scores(raw).values, model.scores(world.test, store=None).values)
    with pytest.raises(SpaceMismatchError):
        world.model().scores(sk.embed(world.medical, world.test, store=None))


def test_without_a_head_it_embeds_and_does_not_score(world):
    model = sk.stitch(world.general, world.alignment())
    assert model.embed(world.test, store=None).vectors.shape == (10, 6)
    with pytest.raises(InputError, match=r"no head. Use embed\(\)"):
        model.scores(world.test)


def test_parts_that_do_not_belong_together_are_refused(world):
    with pytest.raises(SpaceMismatchError, match="the alignment takes"):
        sk.stitch(world.medical, world.alignment(), world.head)
    other = replace(world.head, space=sk.Space("other", 6, "elsewhere"))
    with pytest.raises(SpaceMismatchError, match="the head takes"):
        sk.stitch(world.general, world.alignment(), other)
    from_medical = sk.align(world.y, sk.embed(world.reader(), ["e" * i + " o" for i in range(60)], store=None))
    with pytest.raises(SpaceMismatchError, match="the zero-shot head takes"):
        sk.stitch(world.general, world.alignment(), sk.zeroshot(from_medical, world.reader(), PROMPTS, store=None))


def test_an_alignment_without_a_directed_map_cannot_drive_a_head(world):
    meeting = replace(world.alignment(), directed=None)
    with pytest.raises(NoDirectedMapError, match="purpose='head'"):
        sk.stitch(world.general, meeting, world.head)
    to_text = replace(world.to_text(), directed=None)
    model = sk.stitch(world.general, to_text, sk.zeroshot(to_text, world.reader(), PROMPTS, store=None))
    assert len(model.scores(world.test, store=None)) == 10
    with pytest.raises(NoDirectedMapError):
        model.embed(world.test, store=None)


# on disk

FRESH = """
import json, sys
import numpy as np
import stitchkit as sk
images, *folders = sys.argv[1:]
for folder in folders:
    model = sk.load(folder, device="cpu", trust_python=True)
    scores = model.scores(list(np.load(images)), store=None)
    print(json.dumps([scores.values.tolist(), scores.kind, scores.classes]))
"""


def scored_elsewhere(folders, world):
    """Scores of the test images by each saved model in a process of its own, in another folder."""
    np.save(world.folder / "images.npy", np.stack(world.test))
    empty = world.folder / "empty"
    empty.mkdir()
    run = [sys.executable, "-W", "error", "-c", FRESH, str(world.folder / "images.npy"), *map(str, folders)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, cwd=empty, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_saved_models_score_alike_in_a_fresh_process(world):
    """One with a linear head, one with a zero-shot head."""
    models = [world.model(), world.named()]
    folders = [model.save(world.folder / f"stitched{i}") for i, model in enumerate(models)]
    for model, (values, kind, classes) in zip(models, scored_elsewhere(folders, world), strict=True):
        scores = model.scores(world.test, store=None)
        assert np.array_equal(np.array(values), scores.values)
        assert (kind, tuple(classes)) == (scores.kind, scores.classes)


def test_a_saved_model_comes_back_with_all_its_parts(world):
    model = world.model("auto")
    back = sk.load(model.save(world.folder / "stitched"), trust_python=True)
    assert back.target_name == world.medical.name
    assert back.encoder.name == world.general.name
    assert back.alignment.record == json.loads(json.dumps(dict(model.alignment.record)))
    again = back.save(world.folder / "again")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (again / name).read_bytes() == (world.folder / "stitched" / name).read_bytes()


def test_a_model_without_head_and_one_around_a_module_come_back(world):
    module = world.encoder("Module")
    x = sk.embed(module, world.images[:60], store=None)
    model = sk.stitch(module, sk.align(x, world.y, purpose="head"))
    back = sk.load(model.save(world.folder / "stitched"), device="cpu", trust_python=True)
    assert back.head is None
    assert np.array_equal(back.embed(world.test, store=None).vectors, model.embed(world.test, store=None).vectors)


@pytest.mark.parametrize("solver", [sk.Ridge(alpha=0.1), sk.Procrustes(rank=4)], ids=["other width", "same width"])
def test_a_zero_shot_head_of_another_alignment_is_refused_or_kept_whole(world, solver):
    """One encoder, a map for its head and a map to text: both start in the same space and are not the same map."""
    to_text = world.to_text(solver=sk.Procrustes(rank=4))
    head = sk.zeroshot(to_text, world.reader(), PROMPTS, store=None)
    try:
        model = sk.stitch(world.general, world.alignment(solver=solver), head)
    except InputError:
        return
    back = sk.load(model.save(world.folder / "stitched"), trust_python=True)
    assert np.array_equal(back.scores(world.test, store=None).values, model.scores(world.test, store=None).values)


def test_demo_encoders_stitch_and_come_back(world):
    try:
        vision, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "text"))
    except ModelUnavailableError as error:
        pytest.skip(f"no demo weights: {error}")
    films = list(np.random.default_rng(0).integers(0, 256, (30, 96, 96), dtype=np.uint8))
    reports = ["There is edema. " * (i % 2) + "The heart is enlarged." * (i % 3 > 0) + "Clear." for i in range(30)]
    alignment = sk.align(sk.embed(vision, films, store=None), sk.embed(text, reports, store=None), nested=False)
    model = sk.stitch(vision, alignment, sk.zeroshot(alignment, text, PROMPTS, store=None))
    back = sk.load(model.save(world.folder / "stitched"), device="cpu", trust_python=True)
    assert back.encoder.name == "demo:general"
    assert np.array_equal(back.scores(films[:3], store=None).values, model.scores(films[:3], store=None).values)


def test_an_encoder_whose_source_changed_is_refused(world):
    folder = world.model().save(world.folder / "stitched")
    world.file.write_text(SOURCE.replace("np.tanh", "np.arctan"))
    with pytest.raises(SpaceMismatchError, match=r"now has fingerprint .* Restore that checkpoint"):
        sk.load(folder, trust_python=True)
    world.file.write_text(SOURCE)
    assert sk.load(folder, trust_python=True).encoder.space == world.general.space


def test_an_encoder_whose_weights_changed_is_refused(world):
    folder = world.model().save(world.folder / "stitched")
    weights = np.load(world.weights)
    weights[0, 0] += 1e-9
    np.save(world.weights, weights)
    with pytest.raises(SpaceMismatchError, match="the folder was stitched on"):
        sk.load(folder, trust_python=True)
    with pytest.raises(SpaceMismatchError, match="the folder was stitched on"):
        sk.load_encoder(f"stitchkit:{folder}", trust_python=True)


def test_an_encoder_that_is_gone_is_named(world):
    folder = world.model().save(world.folder / "stitched")
    world.file.unlink()
    with pytest.raises(ModelUnavailableError, match=r"mine\.py"):
        sk.load(folder, trust_python=True)


def test_an_existing_folder_is_refused_unless_it_may_be_overwritten(world):
    model = world.model()
    folder = model.save(world.folder / "stitched")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="exists and is not empty"):
        world.named().save(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    world.named().save(folder, overwrite=True)
    assert sk.load(folder, trust_python=True).head.classes == ("edema", "mass")
    assert (folder / "model.safetensors").read_bytes() != before
    assert [one.name for one in world.folder.iterdir() if one.name.startswith(".")] == []


def test_a_folder_of_something_else_is_never_overwritten(world):
    (world.folder / "thesis").mkdir()
    (world.folder / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(InputError, match="left alone"):
        world.model().save(world.folder / "thesis", overwrite=True)
    assert (world.folder / "thesis" / "chapter.txt").read_text() == "words"


# as an encoder


def test_a_stitched_folder_is_an_encoder_again(world):
    model = world.model()
    folder = model.save(world.folder / "stitched")
    encoder = sk.load_encoder(f"stitchkit:{folder}", device="cpu", trust_python=True)
    assert (encoder.name, encoder.modality) == (f"stitchkit:{folder}", "image")
    vectors = sk.embed(encoder, world.test, store=None).vectors
    assert np.allclose(vectors, model.embed(world.test, store=None).vectors, atol=1e-5)
    assert sk.load(folder, device="cpu", trust_python=True).scores(world.test, store=None).values.shape == (10, 2)


def test_its_space_is_its_own_and_follows_the_map(world):
    model = world.model()
    first = sk.load_encoder(f"stitchkit:{model.save(world.folder / 'first')}", trust_python=True).space
    assert first.dim == world.medical.space.dim
    assert first.fingerprint not in (None, world.medical.space.fingerprint, world.general.space.fingerprint)
    with pytest.raises(SpaceMismatchError):
        world.head.scores(sk.Embeddings(np.ones((1, 6)), ["a"], first))
    copy = sk.load_encoder(f"stitchkit:{model.save(world.folder / 'copy')}", trust_python=True).space
    assert copy.fingerprint == first.fingerprint
    other = sk.stitch(world.general, world.alignment(solver=sk.Ridge(alpha=3.0)))
    third = sk.load_encoder(f"stitchkit:{other.save(world.folder / 'third')}", trust_python=True).space
    assert third.fingerprint != first.fingerprint


def test_a_stitched_encoder_can_be_stitched_again(world):
    first = sk.load_encoder(f"stitchkit:{world.model().save(world.folder / 'first')}", device="cpu", trust_python=True)
    x = sk.embed(first, world.images[:60], store=None)
    module = sk.embed(world.encoder("Module"), world.images[:60], store=None)
    model = sk.stitch(first, sk.align(x, module, purpose="head", nested=False))
    back = sk.load(model.save(world.folder / "second"), device="cpu", trust_python=True)
    assert np.array_equal(back.embed(world.test, store=None).vectors, model.embed(world.test, store=None).vectors)


def test_a_folder_without_a_directed_map_is_no_encoder(world):
    to_text = replace(world.to_text(nested=False), directed=None)
    folder = sk.stitch(world.general, to_text).save(world.folder / "stitched")
    with pytest.raises(NoDirectedMapError):
        sk.load_encoder(f"stitchkit:{folder}", trust_python=True)


# the card


def test_the_card_says_what_a_reader_needs(world):
    folder = world.model("auto").save(
        world.folder / "stitched",
        extra={"anchor_set": {"table": "anchors.csv", "licence": "CC-BY"}},
        command="stitchkit stitch a b",
    )
    text = (folder / "README.md").read_text()
    config = json.loads((folder / "config.json").read_text())
    record = config["record"]
    front = text.split("---")[1]
    assert "base_model" not in front  # files of this machine are no models that a reader could find
    assert str(world.folder) not in text
    assert "**Anchors**: 60 pairs, patients not known" in text
    assert record["patients"] is None
    assert f"**Map**: {record['solver']}, " in text
    assert f"rank {record['rank']}" in text
    assert f"**Held out**: R2 {record['held_out']['r2']:.3f} (se " in text
    assert "**Head**: linear: edema, mass" in text
    assert "table anchors.csv, licence CC-BY" in text
    assert "stitchkit stitch a b" in text
    assert "Not a medical device" in text
    assert config["anchor_set"]["licence"] == "CC-BY"


def test_the_card_says_what_was_not_measured_and_what_is_missing(world):
    folder = sk.stitch(world.general, world.alignment(solver=sk.Ridge(alpha=0.1))).save(world.folder / "stitched")
    text = (folder / "README.md").read_text()
    assert "**Held out**: not measured" in text
    assert "**Head**: none" in text
    assert "model.embed(" in text


def test_the_front_matter_is_yaml_whatever_the_encoders_are_called():
    yaml = pytest.importorskip("yaml")
    config = {
        "encoder": "timm:hf-hub:it's/here",
        "target_encoder": 'hf:org/na"me',
        "source": {"name": "a", "dim": 2},
        "target": {"name": "b", "dim": 2},
        "record": {},
    }
    front = yaml.safe_load(card(config).split("---")[1])
    assert front["base_model"] == ["it's/here", 'org/na"me']
    assert front["library_name"] == "stitchkit"


def test_the_code_on_the_card_compiles_and_names_real_methods(world):
    for made in (world.model(), world.named(), sk.stitch(world.general, world.alignment())):
        text = card(json.loads((made.save(world.folder / "one", overwrite=True) / "config.json").read_text()))
        block = text.split("```python\n")[1].split("```")[0]
        compile(block, "card", "exec")
        assert ("model.scores(" in block) == (made.head is not None)


# broken folders


@pytest.fixture
def saved(world):
    return world.model().save(world.folder / "stitched")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_not_complete_is_refused(saved, missing):
    (saved / missing).unlink()
    with pytest.raises(ModelUnavailableError, match=f"has no {missing}"):
        sk.load(saved)


def test_a_folder_that_is_not_there_or_cut_off_is_refused(saved, tmp_path):
    with pytest.raises(ModelUnavailableError, match="there is no artefact folder"):
        sk.load(tmp_path / "nowhere")
    arrays = saved / "model.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-40])
    with pytest.raises(ModelUnavailableError, match=r"model\.safetensors"):
        sk.load(saved)


@pytest.mark.parametrize("key", ["source", "target", "record", "ranks"])
def test_a_config_that_lacks_something_is_refused_by_both_doors(saved, key):
    edited(saved, lambda config: config.pop(key))
    with pytest.raises(ModelUnavailableError, match=key):
        sk.load(saved)
    with pytest.raises(ModelUnavailableError, match=key):
        sk.load_encoder(f"stitchkit:{saved}")


def test_a_folder_that_lost_the_name_of_its_encoder_scores_vectors_alone(saved, world):
    edited(saved, lambda config: config.pop("encoder"))
    model = sk.load(saved)
    assert np.array_equal(model.scores(world.x).values, world.model().scores(world.x).values)
    with pytest.raises(InputError, match="load the folder with encoder='NAME'"):
        model.scores(["film.png"])
    with pytest.raises(ModelUnavailableError, match="encoder"):
        sk.load_encoder(f"stitchkit:{saved}")


def test_a_config_whose_shapes_are_not_those_of_the_arrays_is_refused(saved):
    edited(saved, lambda config: config["target"].update(dim=7))
    with pytest.raises(ModelUnavailableError, match="holds no alignment"):
        sk.load(saved)


def test_a_head_that_lacks_something_is_refused(saved):
    edited(saved, lambda config: config["head"].pop("classes"))
    with pytest.raises(ModelUnavailableError, match="holds no head: 'classes'"):
        sk.load(saved)


def test_a_head_of_another_space_than_the_maps_target_is_refused(saved):
    edited(saved, lambda config: config["head"]["space"].update(fingerprint="another"))
    with pytest.raises((SpaceMismatchError, ModelUnavailableError)):
        sk.load(saved)


# heads of their own


def test_a_saved_probe_comes_back_as_it_was(world):
    folder = sk.save(world.head, world.folder / "probe")
    assert np.array_equal(sk.load(folder).scores(world.y).values, world.head.scores(world.y).values)
    assert "Not a medical device" in (folder / "README.md").read_text()
    with pytest.raises(InputError, match="exists and is not empty"):
        sk.save(world.head, folder)
    sk.save(replace(world.head, bias=world.head.bias + 1), folder, overwrite=True)
    assert np.allclose(sk.load(folder).bias, world.head.bias + 1)


def test_the_head_of_a_stitched_folder_can_be_read_alone(world):
    folder = world.model().save(world.folder / "stitched")
    assert sk.load(folder, part="head").classes == ("edema", "mass")


def test_folders_without_a_linear_head_say_so(world):
    bare = sk.stitch(world.general, world.alignment()).save(world.folder / "bare")
    with pytest.raises(InputError, match=f"{bare} holds no head"):
        load_head(bare)
    with pytest.raises(InputError, match="without a head"):
        sk.load(bare, part="head")
    named = world.named().save(world.folder / "named")
    with pytest.raises((InputError, ModelUnavailableError), match="zero-shot head"):
        load_head(named)
    assert isinstance(sk.load(named, part="head"), sk.ZeroShotHead)


def test_a_saved_probe_is_no_stitched_model(world):
    folder = sk.save(world.head, world.folder / "probe")
    assert isinstance(sk.load(folder), sk.LinearHead)
    with pytest.raises(ModelUnavailableError, match="holds no alignment"):
        load_stitched(folder)


def test_a_folder_that_names_no_encoder_cannot_read_items(world, tmp_path):
    assert read_stitched(world.named().save(world.folder / "named"))[0]["encoder"].startswith("python:")
    bare = sk.save(world.alignment(), world.folder / "map")
    with pytest.raises(InputError, match="names no encoder, so it cannot read items"):
        read_stitched(bare)
    assert read_stitched(bare, vectors=True)[1].encoder is None
    with pytest.raises(InputError, match="holds a head alone"):
        read_stitched(sk.save(world.head, world.folder / "probe"))
    with pytest.raises(InputError, match="is no alignment or stitched folder"):
        read_stitched(tmp_path)


# an encoder that has moved


def test_a_stitched_folder_follows_its_encoder(world):
    folder = world.model().save(world.folder / "stitched")
    before = sk.load(folder, trust_python=True)
    moved = world.folder / "elsewhere"
    moved.mkdir()
    name = before.encoder.name
    path = Path(name.removeprefix("python:").rpartition(":")[0])
    file = moved / path.name
    path.rename(file)
    with pytest.raises(ModelUnavailableError, match="encoder="):
        sk.load(folder, trust_python=True)
    new = f"python:{file}:{name.rpartition(':')[2]}"
    by_name, by_value = sk.load(folder, encoder=new), sk.load(folder, encoder=sk.load_encoder(new))
    for model in (by_name, by_value):
        assert model.encoder.name == new
        assert model.encoder.space.accepts(before.encoder.space)
    file.rename(path)


def test_another_encoder_does_not_stand_for_the_one_that_was_fitted(world):
    folder = world.model().save(world.folder / "stitched")
    with pytest.raises(SpaceMismatchError):
        sk.load(folder, encoder="demo:general")
