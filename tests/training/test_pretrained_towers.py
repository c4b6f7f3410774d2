"""Pretrained encoders as the start of a training: what is trained, what is kept, and encoders that do not fit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_logs import log_lines
from safetensors.numpy import load_file
from test_training import stopped_at

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError, SpaceMismatchError
from stitchkit.encoders.tuned.layers import layer_names
from stitchkit.encoders.tuned.network import TunedNetwork, content_mask
from stitchkit.reports.descriptions import describe
from stitchkit.training import loop
from stitchkit.training.loop import train
from stitchkit.training.outcomes import TrainingError
from stitchkit.training.recipes import read_recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))

from tiny_encoders import hf_bert, hf_dinov2, hf_gpt2, hf_vit, timm_resnet, timm_vit
from tiny_open_clip import open_clip_own
from tiny_pairs import hf_clip

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Tiny checkpoints with random weights, by their names as encoders."""
    folder = tmp_path_factory.mktemp("zoo")
    makers = {"vit": timm_vit, "resnet": timm_resnet, "hf-vit": hf_vit, "dino": hf_dinov2, "bert": hf_bert,
              "gpt2": hf_gpt2, "clip": hf_clip, "open-clip": open_clip_own}  # fmt: skip
    places = {name: make(folder / name) for name, make in makers.items()}
    (folder / "small.py").write_text(
        "import numpy as np, torch\n"
        "class Small(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(192, 6)\n"
        "        torch.nn.init.eye_(self.layer.weight)\n"
        "        torch.nn.init.zeros_(self.layer.bias)\n"
        "    def prepare(self, items):\n"
        "        pixels = [np.asarray(one.convert('RGB').resize((8, 8))) for one in items]\n"
        "        return torch.from_numpy(np.stack(pixels)).float().flatten(1) / 255\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
        "class Detached(Small):\n"
        "    def forward(self, x):\n"
        "        return self.layer(x).detach()\n"
        "class Fewer(Small):\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)[:4]\n"
        "class Moving(Small):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.register_buffer('mean', torch.zeros(6))\n"
        "    def forward(self, x):\n"
        "        y = self.layer(x)\n"
        "        if torch.is_grad_enabled():\n"
        "            self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(dim=0)\n"
        "        return y - self.mean\n"
    )
    return {
        "vit": f"timm:{places['vit']}", "resnet": f"timm:{places['resnet']}", "hf-vit": f"hf:{places['hf-vit']}",
        "dino": f"hf:{places['dino']}", "bert": f"hf:{places['bert']}", "gpt2": f"hf:{places['gpt2']}",
        **{f"clip-{one}": f"hf:{places['clip']}#modality={one}" for one in ("image", "text")},
        **{f"open-clip-{one}": f"open_clip:{places['open-clip']}#modality={one}" for one in ("image", "text")},
        **{"python" if one == "Small" else one: f"python:{folder / 'small.py'}:{one}"
           for one in ("Small", "Detached", "Fewer", "Moving")},
    }  # fmt: skip


@pytest.fixture
def tuning(films, zoo, tmp_path):
    """Writes a recipe with two encoders of the zoo as its towers."""

    def make(items="vit", captions="bert", *, objective="clip", dim=12, training=(), **settings):
        tables = {
            "towers": {"encoders": [zoo.get(items, items), zoo.get(captions, captions)], "dim": dim},
            "pairs": {"layout": "table", "root": str(films), "valid": "test"},
            "pairs.reader": {"table": "manifest.csv", "text": "text", "patient": "patient", "split": "split",
                             "classes": []},
            "objective": {"name": objective, **settings},
            "training": {"epochs": 2, "batch": 16, "rate": 1e-3, **dict(training)},
        }  # fmt: skip
        lines = ['name = "towers"']
        for name, values in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path = tmp_path / "towers.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


def losses(out):
    return [line["loss"] for line in log_lines(out / "run") if "loss" in line]


def trained(path, out):
    return train(path, out, device="cpu", progress=False, trust_python=True)


def vectors(name, items):
    encoder = sk.load_encoder(name, device="cpu", trust_python=True)
    return np.asarray(sk.embed(encoder, items, store=None, progress=False).vectors)


PAIRS = [("vit", "bert"), ("resnet", "bert"), ("dino", "bert"), ("clip-image", "clip-text"),
         ("open-clip-image", "open-clip-text"), ("python", "bert")]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize(("items", "captions"), PAIRS)
def test_encoders_of_every_family_are_trained_on_and_named_by_their_folder(tuning, films, tmp_path, items, captions):
    found = trained(tuning(items, captions), tmp_path / "out")
    assert np.isfinite(losses(tmp_path / "out")).all()
    assert found.names == tuple(f"stitchkit:{tmp_path / 'out'}#modality={one}" for one in ("image", "text"))
    image, text = (sk.load_encoder(name, device="cpu", trust_python=True) for name in found.names)
    assert (image.modality, text.modality, image.space.dim, text.space.dim) == ("image", "text", 12, 12)
    assert image.pair == text.pair
    arrays = load_file(tmp_path / "out" / "model.safetensors")
    base = sk.load_encoder(json.loads((tmp_path / "out" / "config.json").read_text())["pair"]["towers"][0]["encoder"])
    start = dict(base.model.named_parameters())
    moved = [key for key in arrays if key.startswith("towers.image.")
             and not np.array_equal(arrays[key], start[key.removeprefix("towers.image.")])]  # fmt: skip
    assert moved
    shown = sk.Items(["a", "b"], [films / "test0.png", films / "test1.png"], "image")
    assert vectors(found.names[0], shown).shape == (2, 12)
    assert vectors(found.names[1], sk.Items(["a"], ["effusion ."], "text")).shape == (1, 12)
    assert describe(tmp_path / "out")["is"] == "a pair of trained encoders"


def test_chunks_and_a_stop_change_nothing_of_a_run_with_towers(tuning, tmp_path, monkeypatch):
    trained(tuning(), tmp_path / "whole")
    trained(tuning(training={"chunk": 5}), tmp_path / "chunks")
    np.testing.assert_allclose(losses(tmp_path / "chunks"), losses(tmp_path / "whole"), atol=2e-5)
    stopped_at(4, monkeypatch, tuning(), tmp_path / "cut")
    trained(tuning(), tmp_path / "cut")
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    files = [(tmp_path / one / "model.safetensors").read_bytes() for one in ("whole", "cut")]
    assert files[0] == files[1]


@pytest.mark.parametrize(("items", "captions"), [("vit", "bert"), ("clip-image", "clip-text"), ("python", "bert")])
def test_a_loaded_tower_gives_what_the_network_in_training_gave(tuning, films, tmp_path, monkeypatch, items, captions):
    """Vectors and tokens of the network at the last step, which is kept as the only validation."""
    networks = []
    go = loop._Run.go
    monkeypatch.setattr(loop._Run, "go", lambda self: (networks.append(self.network), go(self))[1])
    found = trained(tuning(items, captions, training={"epochs": 1}), tmp_path / "out")
    (network,) = networks
    inputs = {"image": [Image.open(films / f"test{i}.png") for i in range(3)], "text": ["effusion .", "no edema ."]}
    for name, modality in zip(found.names, ("image", "text"), strict=True):
        encoder = sk.load_encoder(name, device="cpu", trust_python=True)
        batch = encoder.prepare(inputs[modality])
        with torch.no_grad():
            expected = network(modality, batch)
        torch.testing.assert_close(encoder.encode(batch).pooled, expected.pooled)
        if expected.tokens.shape[1]:
            torch.testing.assert_close(encoder.encode(batch).tokens, expected.tokens)


def test_lit_leaves_the_first_tower_to_its_own_checkpoint(tuning, zoo, films, tmp_path):
    found = trained(tuning(objective="lit"), tmp_path / "out")
    arrays = load_file(tmp_path / "out" / "model.safetensors")
    assert not any(key.startswith("towers.image.") for key in arrays)
    assert any(key.startswith("towers.text.") for key in arrays)
    shown = sk.Items(["a", "b"], [films / "test0.png", films / "test1.png"], "image")
    expected = vectors(zoo["vit"], shown) @ arrays["projections.image.weight"].T
    np.testing.assert_allclose(vectors(found.names[0], shown), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("items", "objective"),
    [("vit", "filip"), ("resnet", "filip"), ("hf-vit", "sparc"), ("vit", "clip_mlm"), ("hf-vit", "slip"),
     ("vit", "declip"), ("resnet", "partial_freezing")],
)  # fmt: skip
def test_objectives_of_tokens_views_words_and_layers_take_pretrained_towers(tuning, tmp_path, objective, items):
    trained(tuning(items, objective=objective, training={"epochs": 1}), tmp_path / "out")
    assert np.isfinite(losses(tmp_path / "out")).all()


@pytest.mark.parametrize(("items", "captions", "modality"), [("python", "bert", "image"), ("vit", "clip-text", "text")])
def test_an_objective_of_tokens_is_refused_before_the_first_step_where_there_are_none(
    tuning, tmp_path, items, captions, modality
):
    with pytest.raises(InputError, match=f"'filip' reads tokens, and the encoder of '{modality}' gives none as wide"):
        trained(tuning(items, captions, objective="filip"), tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_coca_takes_a_text_encoder_that_reads_from_left_to_right_alone(tuning, tmp_path):
    trained(tuning("vit", "gpt2", objective="coca", training={"epochs": 1}), tmp_path / "gpt2")
    trained(tuning("vit", "gpt2", objective="coca", training={"epochs": 1, "chunk": 5}), tmp_path / "chunks")
    np.testing.assert_allclose(losses(tmp_path / "chunks"), losses(tmp_path / "gpt2"), atol=2e-5)
    with pytest.raises(InputError, match="predicts each word from those before it, and the encoder of 'text'"):
        trained(tuning("vit", "bert", objective="coca"), tmp_path / "bert")


@pytest.mark.parametrize(
    ("items", "captions", "message"),
    [
        ("demo:general", "bert", "cannot be trained: it gives vectors without gradients"),
        ("bert", "bert", "reads texts, and stands where images are read"),
        ("vit", "resnet", "reads images, and stands where texts are read"),
        ("Detached", "bert", "its vectors have no gradients in its weights"),
        ("Fewer", "bert", "gave 4 vectors for a batch of 16"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(tuning, tmp_path, items, captions, message):
    with pytest.raises(InputError, match=message):
        trained(tuning(items, captions), tmp_path / "out")


@pytest.mark.parametrize("objective", ["clip", "lit"])
def test_an_encoder_that_changes_its_own_statistics_is_refused_and_leaves_no_folder(tuning, tmp_path, objective):
    with pytest.raises(TrainingError, match="statistics in them changed: they are not kept"):
        trained(tuning("Moving", objective=objective), tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_recipe_has_a_network_or_towers(tuning, tmp_path):
    path = tuning()
    path.write_text(path.read_text() + '[network]\nsize = "tiny"\n')
    with pytest.raises(DataError, match=r"has \[network\], which is trained from scratch, and \[towers\]"):
        read_recipe(path)
    path = tuning()
    path.write_text(path.read_text().replace("encoders = [", 'encoders = ["demo:text", '))
    with pytest.raises(DataError, match="names of two encoders"):
        read_recipe(path)


def test_another_checkpoint_or_other_weights_are_refused(tuning, zoo, tmp_path):
    """The checkpoint below a folder was replaced; or the weights of two folders were mixed."""
    place = timm_vit(tmp_path / "mine", seed=1)
    names = [trained(tuning(f"timm:{place}", objective=one), tmp_path / one).names[0] for one in ("clip", "lit")]
    shutil.copy(tmp_path / "clip" / "model.safetensors", tmp_path / "lit" / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match="are not those that its config names"):
        sk.load_encoder(names[1], device="cpu")
    shutil.rmtree(place)
    timm_vit(place, seed=2)
    with pytest.raises(SpaceMismatchError):
        sk.load_encoder(names[0], device="cpu")


@pytest.mark.parametrize(("name", "prefix"), [("vit", 1), ("hf-vit", 1), ("dino", 1), ("resnet", 0)])
def test_class_tokens_and_special_tokens_are_no_content(zoo, films, name, prefix):
    encoder = sk.load_encoder(zoo[name], device="cpu")
    batch = encoder.prepare([Image.open(films / "test0.png")] * 2)
    tokens = encoder.encode(batch).tokens
    mask = content_mask(encoder, batch, tokens)
    assert mask.shape == tokens.shape[:2]
    assert not mask[:, :prefix].any()
    assert mask[:, prefix:].all()
    side = int(mask[0].sum()) ** 0.5
    assert side == int(side)


def test_padding_start_and_end_of_a_text_are_no_content(zoo):
    encoder = sk.load_encoder(zoo["bert"], device="cpu")
    words = [word for word in encoder.inputs.tokenizer.get_vocab() if word.isalpha()][:3]
    batch = encoder.prepare([" ".join(words), words[0]])
    mask = content_mask(encoder, batch, encoder.encode(batch).tokens)
    assert mask.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]


def test_an_unknown_word_is_content(zoo):
    encoder = sk.load_encoder(zoo["bert"], device="cpu")
    tokenizer = encoder.inputs.tokenizer
    batch = encoder.prepare(["effusion \u2603 effusion"])
    ids = batch["input_ids"][0].tolist()
    assert tokenizer.unk_token_id in ids
    mask = content_mask(encoder, batch, encoder.encode(batch).tokens)
    assert mask[0].tolist() == [one not in (tokenizer.cls_token_id, tokenizer.sep_token_id) for one in ids]


def test_towers_stay_in_evaluation_mode_and_their_statistics_stand(zoo):
    encoders = {"image": sk.load_encoder(zoo["resnet"], device="cpu"), "text": sk.load_encoder(zoo["bert"])}
    network = TunedNetwork(encoders, 8, {"text": 8})
    before = {key: value.clone() for key, value in network.named_buffers()}
    assert before
    network.train()
    assert network.training
    assert not any(module.training for module in network.towers.modules())
    network("image", torch.randn(2, 3, *encoders["image"].input_size[1:]))
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


@pytest.mark.parametrize(
    ("architecture", "layers", "first"),
    [
        ("test_vit", 6, "blocks.0"), ("test_resnet", 4, "layer1"), ("test_efficientnet", 5, "blocks.0"),
        ("test_convnext", 4, "stages.0"), ("densenet121", 10, "features.conv0"), ("regnetx_002", 4, "s1"),
        ("mobilenetv3_small_050", 6, "blocks.0"),
    ],
)  # fmt: skip
def test_layers_of_a_network_are_told_apart_and_every_weight_stands_in_one_place(architecture, layers, first):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(architecture)
    before, blocks, after = layer_names(model)
    assert (len(blocks), blocks[0][0]) == (layers, first)
    names = [*before, *(name for block in blocks for name in block), *after]
    for key in model.state_dict():
        assert sum(key == name or key.startswith(f"{name}.") for name in names) == 1, key


def test_every_weight_that_a_vector_depends_on_gets_a_gradient(zoo):
    """Some networks of timm keep the biases of attention in evaluation mode, where no gradient would reach them."""
    timm = pytest.importorskip("timm")
    from stitchkit.encoders.names import EncoderName
    from stitchkit.encoders.timm_vision import encoder_of

    torch.manual_seed(0)
    model = timm.create_model("levit_128s", num_classes=0)
    levit = encoder_of(timm, EncoderName.parse("timm:levit_128s"), model, device="cpu", dtype="float32")
    network = TunedNetwork({"image": levit, "text": sk.load_encoder(zoo["bert"], device="cpu")}, 8, {"text": 8})
    for _ in range(2):  # the second batch would read what the first one kept
        network.zero_grad()
        network("image", torch.randn(2, 3, 224, 224)).pooled.square().sum().backward()
        still = [name for name, one in network.towers["image"].named_parameters() if one.grad is None]
        assert still == []


def test_a_module_of_the_users_own_is_not_trained_itself(tuning, films, tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text(
        "import numpy as np, torch\n"
        "class Small(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(192, 6)\n"
        "        torch.nn.init.eye_(self.layer.weight)\n"
        "    def prepare(self, items):\n"
        "        pixels = [np.asarray(one.convert('RGB').resize((8, 8))) for one in items]\n"
        "        return torch.from_numpy(np.stack(pixels)).float().flatten(1) / 255\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
        "ONE = Small()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = sk.load_encoder("python:own_module:ONE", device="cpu").space.fingerprint
    found = trained(tuning("python:own_module:ONE", training={"epochs": 1}), tmp_path / "out")
    assert sk.load_encoder("python:own_module:ONE", device="cpu").space.fingerprint == before
    vectors(found.names[0], sk.Items(["a"], [films / "test0.png"], "image"))


def test_python_code_of_a_recipe_needs_consent(tuning, tmp_path):
    with pytest.raises(ModelUnavailableError, match="is Python code and would be run"):
        train(tuning("python"), tmp_path / "out", device="cpu", progress=False)


def test_modules_that_cannot_be_loaded_again_or_fed_are_refused(tuning, tmp_path):
    source = (
        "import torch\n"
        "class Odd(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(4, 6)\n"
        "        INIT\n"
        "    def prepare(self, items):\n"
        "        return BATCH\n"
        "    def forward(self, x):\n"
        "        return self.layer(x if hasattr(x, 'shape') else x[0])\n"
    )
    for name, init, batch, message in (
        ("random", "pass", "torch.zeros(len(items), 4)", "has other weights each time it is loaded"),
        ("listed", "torch.nn.init.ones_(self.layer.weight); torch.nn.init.zeros_(self.layer.bias)",
         "[torch.zeros(len(items), 4)]", "prepares a list, and training takes a tensor"),
    ):  # fmt: skip
        (tmp_path / f"{name}.py").write_text(source.replace("INIT", init).replace("BATCH", batch))
        with pytest.raises(InputError, match=message):
            trained(tuning(f"python:{tmp_path / name}.py:Odd"), tmp_path / name)


def test_a_folder_with_towers_is_found_from_anywhere(tuning, zoo, tmp_path, monkeypatch):
    place = Path(zoo["vit"].removeprefix("timm:"))
    monkeypatch.chdir(place.parent)
    found = trained(tuning(f"timm:local-dir:{place.name}", training={"epochs": 1}), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    assert sk.load_encoder(found.names[0], device="cpu").space.dim == 12


def test_layers_that_cannot_be_told_apart_are_not_frozen(tuning, tmp_path):
    with pytest.raises(InputError, match="layers of 'image' are to be frozen, and the layers of its encoder cannot"):
        trained(tuning("python", objective="partial_freezing"), tmp_path / "out")
    trained(tuning("python", objective="partial_freezing", image=0, text=1, training={"epochs": 1}), tmp_path / "text")
    arrays = load_file(tmp_path / "text" / "model.safetensors")
    assert not any(key.startswith(("towers.text.embeddings.", "towers.text.encoder.layer.0.")) for key in arrays)
    assert any(key.startswith("towers.text.encoder.layer.1.") for key in arrays)


def test_frozen_layers_with_random_weights_are_noted(recipe, tuning, tmp_path):
    path = recipe(objective={"name": "lit"}, network={"shared": "none"}, training={"epochs": 1})
    trained(path, tmp_path / "scratch")
    trained(tuning(objective="lit", training={"epochs": 1}), tmp_path / "towers")
    notes = [json.loads((tmp_path / one / "config.json").read_text())["record"]["notes"]
             for one in ("scratch", "towers")]  # fmt: skip
    assert [any("freezes 4 parts of a network with random weights" in note for note in some) for some in notes] == [
        True, False,
    ]  # fmt: skip


def test_captions_that_are_cut_are_counted(tuning, recipe, films, tmp_path):
    """Phantom reports are longer than the few tokens that the tiny encoders read."""
    import csv

    with (films / "manifest.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    encoder = sk.load_encoder(json.loads(tuning().read_text().split("encoders = ")[1].splitlines()[0])[1], device="cpu")
    count = sum(encoder.cuts(texts))
    assert count > 20
    trained(tuning(training={"epochs": 1}), tmp_path / "towers")
    notes = json.loads((tmp_path / "towers" / "config.json").read_text())["record"]["notes"]
    assert any(note.startswith(f"{count} captions are longer than the ") for note in notes)
    trained(recipe(network={"context": 8}, training={"epochs": 1}), tmp_path / "scratch")
    notes = json.loads((tmp_path / "scratch" / "config.json").read_text())["record"]["notes"]
    assert any("captions are longer than the 8 tokens" in note for note in notes)


@pytest.mark.parametrize("towers", [True, False])
def test_a_folder_of_trained_encoders_is_no_stitched_one(tuning, recipe, tmp_path, towers):
    path = tuning(training={"epochs": 1}) if towers else recipe(training={"epochs": 1})
    trained(path, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds trained encoders, which is no stitched folder. Name one of them"):
        sk.bundle(tmp_path / "out", tmp_path / "bundle")
    with pytest.raises(InputError, match="holds trained encoders"):
        sk.load(tmp_path / "out")


def test_classifiers_of_the_checkpoint_stay_with_it(tuning, tmp_path):
    trained(tuning("vit", training={"epochs": 1}), tmp_path / "out")
    arrays = load_file(tmp_path / "out" / "model.safetensors")
    assert any(key.startswith("towers.image.blocks.") for key in arrays)
    assert not any(key.startswith("towers.image.head.") for key in arrays)
