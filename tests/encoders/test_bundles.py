"""Bundles of every family of encoders: moved, with the original gone and no network, they score as it did."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_encoders import TEXTS
from tiny_pairs import ALL_TABLE as TABLE

import stitchkit as sk
from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders import ENCODERS
from stitchkit.encoders.encoder_files import OF_FAMILY, encoder_files

ROWS = [  # of the common table; further names are below
    "hf-vit-layer", "hf-bert-prompt", "hf-clip-text-unit", "local-torchvision", "onnx-text-output", "onnx-image-output",
    "open-clip-image", "open-clip-hf-text", "python-module", "python-texts", "st", "st-static-unit", "timm-path",
    "xrv-densenet",
]  # fmt: skip
BLOCKED = """
import socket

def closed(*args, **settings):
    raise OSError("the test allows no network")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = closed
"""
SCORE = """
import json, sys
import numpy as np
from PIL import Image
import stitchkit as sk

scored = {}
for folder, trusted in json.loads(sys.argv[1]).items():
    model = sk.load(folder, trust_python=trusted, device="cpu")
    texts = json.loads(sys.argv[2])
    items = [np.asarray(Image.open(one)) for one in sys.argv[3:]] if model.encoder.modality == "image" else texts
    scored[folder] = model.scores(sk.embed(model.encoder, items, store=None)).values.tolist()
print(json.dumps(scored))
"""


@dataclass(frozen=True)
class Stitched:
    """A stitched folder over an encoder, and its scores."""

    folder: Path
    scores: np.ndarray
    trusted: tuple[str, ...] = ()


@pytest.fixture
def no_network(monkeypatch):
    def closed(*_, **__):
        raise OSError("the test allows no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, closed)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, closed)


@pytest.fixture
def stitched(items, tmp_path):
    """A function: a name to its stitched folder, with a linear head of two classes."""

    def made(name: str, at: str = "stitched", **settings) -> Stitched:
        encoder, rng = sk.load_encoder(name, device="cpu", **settings), np.random.default_rng(0)
        ids, dim = [str(i) for i in range(30)], encoder.space.dim
        target = sk.Space("target", 3, "ab" * 8)
        x = sk.Embeddings(rng.normal(size=(30, dim)), ids, encoder.space)
        y = sk.Embeddings(rng.normal(size=(30, 3)), ids, target)
        head = sk.LinearHead(target, ("one", "two"), rng.normal(size=(3, 2)), np.zeros(2))
        model = sk.stitch(encoder, sk.align(x, y, solver="ridge", purpose="head"), head)
        folder = model.save(tmp_path / at)
        scores = model.scores(sk.embed(encoder, items(encoder.modality), store=None)).values
        config = json.loads((folder / "config.json").read_text())
        trusted = (config["encoder"],) if config["encoder"].startswith("python:") else ()
        return Stitched(folder, scores, trusted)

    return made


def own_copy(row: str, checkpoint, folder: Path) -> str:
    """The name of a row over a copy of its checkpoint, which may be deleted."""
    pattern, builder, _ = TABLE[row]
    return pattern.format(folder=shutil.copytree(checkpoint(builder), folder))


def scores_of(folder: Path, items, trusted=()) -> np.ndarray:
    model = sk.load(folder, trust_python=list(trusted), device="cpu")
    return model.scores(sk.embed(model.encoder, items(model.encoder.modality), store=None)).values


def python_names(folder: Path) -> list[str]:
    """The python: names that a bundle leads to, as its error shows them."""
    from stitchkit.storage.folders import read_folder

    name = read_folder(folder)[0]["encoder"]
    return [name] if name.startswith("python:") else []


def links_in(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_symlink()]


def test_every_family_can_be_bundled_or_says_why_not():
    assert set(OF_FAMILY) == set(ENCODERS)
    covered = {TABLE[row][0].partition(":")[0] for row in ROWS} | {"demo", "stitchkit"}  # those two have tests below
    assert covered == set(ENCODERS)


@pytest.mark.parametrize("row", ROWS)
def test_a_moved_bundle_scores_as_the_folder_did(row, checkpoint, stitched, items, tmp_path, no_network):
    original = tmp_path / "checkpoint"
    before = stitched(own_copy(row, checkpoint, original))
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu", trust_python=before.trusted)
    shutil.rmtree(original), shutil.rmtree(before.folder)
    moved = (tmp_path / "elsewhere & #1").resolve()
    done.folder.rename(moved)
    np.testing.assert_array_equal(scores_of(moved, items, python_names(moved)), before.scores)
    assert links_in(moved) == []
    listed = {one.relative_to(moved).as_posix() for one in moved.rglob("*") if one.is_file()}
    assert {one for one in listed if "__pycache__" not in one} == {*done.files, "bundle.json"}
    texts = (moved / "config.json").read_text() + (moved / "README.md").read_text()
    assert json.loads((moved / "config.json").read_text())["encoder"].count("{folder}/encoders/source") == 1
    assert str(tmp_path) not in (moved / "README.md").read_text()
    assert "under their own licences" in texts


@pytest.mark.slow
def test_a_fresh_process_without_network_home_and_cache_scores_bundles_of_every_family(
    checkpoint, stitched, images, tmp_path
):
    bundles, wanted = {}, {}
    rows = {TABLE[row][0].partition(":")[0]: row for row in ROWS}
    names = {family: own_copy(row, checkpoint, tmp_path / f"of {family}") for family, row in rows.items()}
    names["demo"] = "demo:medical"
    for family, name in names.items():
        before = stitched(name, f"stitched {family}")
        done = sk.bundle(before.folder, tmp_path / f"bundle {family}", device="cpu", trust_python=before.trusted)
        bundles[str(done.folder)], wanted[str(done.folder)] = python_names(done.folder), before.scores
        shutil.rmtree(before.folder)
    for family in rows:
        shutil.rmtree(tmp_path / f"of {family}")
    films = []
    for i, image in enumerate(images):
        films.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(image).save(films[-1])
    home, guard = tmp_path / "home", tmp_path / "guard"
    home.mkdir(), guard.mkdir()
    (guard / "sitecustomize.py").write_text(BLOCKED)
    kept = {key: one for key, one in os.environ.items() if not key.startswith(("HF_", "STITCHKIT", "XDG"))}
    path = os.pathsep.join([str(guard), str(Path(sk.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", SCORE, json.dumps(bundles), json.dumps(list(TEXTS)), *films],
        capture_output=True, text=True, timeout=240, cwd=home, env={**kept, "HOME": str(home), "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    scored = json.loads(done.stdout)
    assert scored.keys() == wanted.keys()
    for folder, scores in wanted.items():
        np.testing.assert_allclose(scored[folder], scores, rtol=0, atol=1e-6 * np.abs(scores).max(), err_msg=folder)


# hub ids: files from the cache of the hub, which are links there


def cache_repository(cache: Path, repository: str, folder: Path, commit: str = "a" * 40) -> Path:
    """``folder`` as a repository in a cache of the hub: files are links to blobs."""
    at = cache / f"models--{repository.replace('/', '--')}"
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        place = at / "snapshots" / commit / file.relative_to(folder)
        blob = at / "blobs" / f"{len(list(at.glob('blobs/*')))}"
        blob.parent.mkdir(parents=True, exist_ok=True), place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blob)
        place.symlink_to(os.path.relpath(blob, place.parent))
    (at / "refs").mkdir()
    (at / "refs" / "main").write_text(commit)
    return at


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


HUB_NAMES = {
    "hf": ("hf:org/name", "hf_vit", "org/name"),
    "hf-commit": (f"hf:org/name@{'a' * 40}#pool=mean", "hf_vit", "org/name"),
    "st": ("st:org/name", "st_bert", "org/name"),
    "timm": ("timm:hf-hub:org/name", "timm_vit", "org/name"),
    "open_clip": ("open_clip:hf-hub:org/name#modality=image", "open_clip_own", "org/name"),
}


@pytest.mark.filterwarnings("ignore:.*out of reach of the hub:UserWarning")
@pytest.mark.parametrize("kind", HUB_NAMES)
def test_a_hub_id_is_copied_from_the_cache_of_the_hub(kind, checkpoint, stitched, items, hub, tmp_path, no_network):
    name, builder, repository = HUB_NAMES[kind]
    cache_repository(hub, repository, checkpoint(builder))
    before = stitched(name)
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    shutil.rmtree(hub), shutil.rmtree(before.folder)
    assert links_in(done.folder) == []
    assert done.encoders == {"encoder": name}
    assert name.partition("#")[0] in (done.folder / "README.md").read_text()
    np.testing.assert_array_equal(scores_of(done.folder, items), before.scores)


def test_weights_that_timm_knows_by_name_get_a_file_of_settings(stitched, items, hub, tmp_path, no_network):
    import timm
    from safetensors.torch import save_file

    config = timm.get_pretrained_cfg("test_resnet.r160_in1k")
    (tmp_path / "weights").mkdir()
    save_file(timm.create_model("test_resnet", num_classes=1000).state_dict(), tmp_path / "weights/model.safetensors")
    cache_repository(hub, config.hf_hub_id, tmp_path / "weights")
    before = stitched("timm:test_resnet.r160_in1k")
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    shutil.rmtree(hub)
    np.testing.assert_array_equal(scores_of(done.folder, items), before.scores)


def test_a_text_tower_of_open_clip_takes_its_config_and_tokenizer_from_their_own_repository(
    checkpoint, stitched, items, hub, tmp_path, no_network
):
    whole = shutil.copytree(checkpoint("open_clip_hf"), tmp_path / "whole")
    beside = tmp_path / "tower"
    beside.mkdir()
    for file in sorted(whole.iterdir()):
        if not file.name.startswith("open_clip"):
            file.rename(beside / file.name)
    settings = json.loads((whole / "open_clip_config.json").read_text())
    settings["model_cfg"]["text_cfg"] |= {"hf_model_name": "org/tower", "hf_tokenizer_name": "org/tower"}
    (whole / "open_clip_config.json").write_text(json.dumps(settings))
    cache_repository(hub, "org/pair", whole), cache_repository(hub, "org/tower", beside)
    before = stitched("open_clip:hf-hub:org/pair#modality=text")
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    shutil.rmtree(hub)
    np.testing.assert_array_equal(scores_of(done.folder, items), before.scores)


def test_files_that_are_not_in_the_cache_are_named_with_the_way_to_get_them(hub):
    with pytest.raises(ModelUnavailableError, match=r"'hf:org/name' are not in the cache of the hub .*stitchkit info"):
        encoder_files("hf:org/name")
    with pytest.raises(ModelUnavailableError, match=r"not in the cache of the hub \(timm/resnet18"):
        encoder_files("timm:resnet18.a1_in1k")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("python:package.module:Encoder", r"names a Python module.*python:path/to/file\.py:Encoder"),
        ("open_clip:ViT-B-32/openai", "a name of open_clip's own.*open_clip:hf-hub:ORG/NAME"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_the_next_step(name, says):
    with pytest.raises(InputError, match=says):
        encoder_files(name)


# folders of this package as encoders


def test_a_stitched_folder_as_encoder_takes_its_own_encoder_along(checkpoint, stitched, items, tmp_path, no_network):
    inner = stitched(own_copy("timm-path", checkpoint, tmp_path / "checkpoint"), "inner")
    middle = stitched(f"stitchkit:{inner.folder}", "middle")
    before = stitched(f"stitchkit:{middle.folder}", "outer")
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    for folder in (tmp_path / "checkpoint", inner.folder, middle.folder, before.folder):
        shutil.rmtree(folder)
    moved = tmp_path / "moved"
    done.folder.rename(moved)
    np.testing.assert_array_equal(scores_of(moved, items), before.scores)


def test_a_bundle_as_encoder_is_bundled_again(checkpoint, stitched, items, tmp_path, no_network):
    first = stitched(own_copy("timm-path", checkpoint, tmp_path / "checkpoint"), "first")
    inner = sk.bundle(first.folder, tmp_path / "inner", device="cpu")
    shutil.rmtree(tmp_path / "checkpoint")
    before = stitched(f"stitchkit:{inner.folder}", "outer")
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    shutil.rmtree(inner.folder)
    np.testing.assert_array_equal(scores_of(done.folder, items), before.scores)


# python: encoders


def test_a_bundled_python_file_still_needs_consent(checkpoint, stitched, items, tmp_path):
    before = stitched(own_copy("python-module", checkpoint, tmp_path / "checkpoint"))
    with pytest.raises(ModelUnavailableError, match="is Python code and would be run"):
        sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    assert not (tmp_path / "bundle").exists()
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu", trust_python=before.trusted)
    assert "needs consent" in done.notes[0]
    with pytest.raises(ModelUnavailableError, match=r"source/mine\.py:Thumbnails#dim=7', which is Python code"):
        sk.load(done.folder)
    assert "needs consent, of which its error tells" in (done.folder / "README.md").read_text()


def test_files_that_options_of_a_python_encoder_name_are_copied(checkpoint, stitched, items, tmp_path):
    folder = shutil.copytree(checkpoint("python_file"), tmp_path / "checkpoint")
    (folder / "weights").mkdir()
    (folder / "weights" / "a.txt").write_text("1")
    (folder / "weights" / ".hidden").write_text("of the fingerprint too")
    before = stitched(f"python:{folder}/mine.py:Thumbnails#weights={folder}/weights")
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu", trust_python=before.trusted)
    shutil.rmtree(folder)
    moved = tmp_path / "a & b"
    done.folder.rename(moved)
    assert (moved / "encoders/source/options/weights/weights/a.txt").read_text() == "1"
    np.testing.assert_array_equal(scores_of(moved, items, python_names(moved)), before.scores)
    (moved / "encoders/source/options/weights/weights/a.txt").write_text("2")
    with pytest.raises(ModelUnavailableError, match=r"a\.txt is damaged or was edited: its SHA-256"):
        sk.load(moved, trust_python=True)


def with_adapter(name: str, folder: Path, targets: list[str] | str) -> str:
    """The name with an adapter of random weights that is written to ``folder``, beside states of its training."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    model = sk.load_encoder(name, device="cpu").model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's own calls of transformers
        peft.get_peft_model(model, config).save_pretrained(folder)
    for one in ("optimizer.pt", "LICENSE"):
        (folder / one).write_text("x")
    return f"{name}{'&' if '#' in name else '#'}adapter={folder}"


ADAPTED = {
    "hf": ("hf:{}#pool=mean", "hf_bert", ["query", "value"]),
    "timm": ("timm:{}", "timm_vit", ["qkv"]),
    "half": ("hf:{}#modality=image", "hf_clip", ".*vision_model.*q_proj"),
}


@pytest.mark.parametrize("kind", ADAPTED)
def test_a_bundle_holds_the_adapter_of_its_encoder(kind, checkpoint, stitched, items, tmp_path):
    pattern, builder, targets = ADAPTED[kind]
    adapter = tmp_path / "our adapter"
    before = stitched(with_adapter(pattern.format(checkpoint(builder)), adapter, targets))
    done = sk.bundle(before.folder, tmp_path / "bundle", device="cpu")
    adapter.rename(tmp_path / "gone")
    moved = done.folder.rename(tmp_path / "elsewhere & #1")
    np.testing.assert_array_equal(scores_of(moved, items), before.scores)
    named = json.loads((moved / "config.json").read_text())["encoder"]
    assert named.endswith("adapter={folder}/encoders/source/options/adapter/our_adapter")
    held = {one.name for one in (moved / "encoders/source/options/adapter/our_adapter").iterdir()}
    assert held == {"adapter_config.json", "adapter_model.safetensors", "LICENSE"}
    assert str(tmp_path) not in (moved / "README.md").read_text()


def test_a_bundle_holds_the_adapter_of_one_of_two_halves(checkpoint, items, tmp_path):
    clip, adapter = f"hf:{checkpoint('hf_clip')}", tmp_path / "adapter"
    source = sk.load_encoder(f"{clip}#modality=image", device="cpu")
    target = sk.load_encoder(with_adapter(f"{clip}#modality=text", adapter, ".*text_model.*q_proj"), device="cpu")
    rng, ids = np.random.default_rng(0), [str(i) for i in range(30)]
    x, y = (sk.Embeddings(rng.normal(size=(30, one.space.dim)), ids, one.space) for one in (source, target))
    folder = sk.stitch(source, sk.align(x, y), target_name=target.name).save(tmp_path / "stitched")
    vectors = sk.embed(target, TEXTS, store=None).vectors
    done = sk.bundle(folder, tmp_path / "bundle", device="cpu")
    adapter.rename(tmp_path / "gone")
    copy = sk.load_encoder(sk.load(done.folder, device="cpu").target_name, device="cpu")
    np.testing.assert_array_equal(sk.embed(copy, TEXTS, store=None).vectors, vectors)
    assert copy.space.fingerprint == target.space.fingerprint


# what is left out of a folder


def test_training_states_and_weights_for_other_libraries_stay_behind(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "checkpoint")
    kept = {one.name for one in folder.iterdir()}
    for name in ("tf_model.h5", "optimizer.pt", "pytorch_model.bin", ".gitattributes", "checkpoint-5/model.safetensors",
                 "onnx/model.onnx", "1_Pooling/config.json", "2_Dense/pytorch_model.bin", "LICENSE"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "circle").symlink_to(folder)
    files = encoder_files(f"hf:{folder}").files
    assert files.keys() == kept | {"1_Pooling/config.json", "2_Dense/pytorch_model.bin", "LICENSE"}
