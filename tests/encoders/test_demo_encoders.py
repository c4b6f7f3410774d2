"""The embedded encoders: small, frozen, deterministic, and better than chance on phantoms."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stitchkit.core.errors import ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Encoder, HasClassifier
from stitchkit.datasets.phantoms import FINDINGS, PhantomSet, make_phantoms
from stitchkit.encoders import demo, load_encoder
from stitchkit.storage.tensor_files import tensor_bytes
from stitchkit.training.demo_recipe import DemoRecipe, train_demo_encoders


@pytest.fixture(scope="module")
def films() -> PhantomSet:
    return make_phantoms(120, seed=987)


def items_of(encoder: demo.DemoEncoder, films: PhantomSet) -> list:
    return films.reports if encoder.modality == "text" else list(films.images)


def vectors(encoder: demo.DemoEncoder, items: list) -> np.ndarray:
    return np.asarray(encoder.encode(encoder.prepare(items)).pooled)


@pytest.mark.parametrize("name", demo.NAMES)
def test_every_demo_encoder_keeps_the_protocol(name: str, films: PhantomSet) -> None:
    encoder = load_encoder(f"demo:{name}", device="cpu")
    assert isinstance(encoder, Encoder)
    assert encoder.name == encoder.space.name == f"demo:{name}"
    out = vectors(encoder, items_of(encoder, films)[:5])
    assert out.shape == (5, encoder.space.dim)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert not encoder.net.training
    assert not any(p.requires_grad for p in encoder.net.parameters())


@pytest.mark.parametrize("name", demo.NAMES)
def test_batch_size_does_not_change_vectors(name: str, films: PhantomSet) -> None:
    encoder = load_encoder(f"demo:{name}", device="cpu")
    items = items_of(encoder, films)[:17]
    together = vectors(encoder, items)
    alone = np.concatenate([vectors(encoder, [item]) for item in items])
    assert np.abs(together - alone).max() <= 1e-5 * np.abs(together).max()
    assert (together == vectors(encoder, items)).all()


@pytest.mark.parametrize("name", ["general", "medical"])
def test_arrays_pil_images_and_colour_copies_give_the_same_vector(name: str, films: PhantomSet) -> None:
    encoder, film = load_encoder(f"demo:{name}", device="cpu"), films.images[0]
    forms = [film, Image.fromarray(film), np.repeat(film[:, :, None], 3, axis=2), Image.fromarray(film).convert("RGB")]
    out = vectors(encoder, forms)
    assert np.abs(out - out[0]).max() <= 1e-5 * np.abs(out).max()


def test_a_finer_film_gives_nearly_the_same_vector() -> None:
    encoder = load_encoder("demo:medical", device="cpu")
    coarse, fine = (make_phantoms(30, seed=5, size=size).images for size in (96, 192))
    one, two = vectors(encoder, list(coarse)), vectors(encoder, list(fine))
    spread = np.linalg.norm(one - one.mean(0), axis=1).mean()
    assert np.linalg.norm(one - two, axis=1).mean() < 0.35 * spread


def test_spaces_differ_in_width_and_fingerprint() -> None:
    spaces = [load_encoder(f"demo:{name}", device="cpu").space for name in demo.NAMES]
    assert len({space.dim for space in spaces}) == 3
    assert len({space.fingerprint for space in spaces}) == 3
    assert load_encoder("demo:text", device="cpu").space == spaces[2]


def test_only_the_medical_encoder_has_a_classifier(films: PhantomSet) -> None:
    medical = load_encoder("demo:medical", device="cpu")
    assert isinstance(medical, HasClassifier)
    assert not isinstance(load_encoder("demo:general", device="cpu"), HasClassifier)
    head = medical.classifier()
    assert head.classes == FINDINGS
    direct = medical.net.get_submodule("classify")(torch.as_tensor(vectors(medical, list(films.images))))
    by_head = vectors(medical, list(films.images)) @ head.weight + head.bias
    assert by_head == pytest.approx(direct.detach().numpy(), abs=1e-3)


def test_the_medical_head_reads_phantoms(films: PhantomSet) -> None:
    medical = load_encoder("demo:medical", device="cpu")
    head = medical.classifier()
    logits = vectors(medical, list(films.images)) @ head.weight + head.bias
    there = films.labels == 1
    assert logits[there].mean() > logits[~there].mean() + 1


def test_grams_are_the_same_in_every_process() -> None:
    assert demo.features_of("No effusion.") == [[2079, 3963, 1029, 414, 3065]]
    assert demo.features_of("") == demo.features_of("...")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="medical"):
        load_encoder("demo:medicl", device="cpu")


def test_the_weights_are_small() -> None:
    assert sum(file.stat().st_size for file in demo.WEIGHTS.glob("*.safetensors")) < 3_000_000


def test_neither_timm_nor_transformers_is_imported() -> None:
    code = (
        "import sys; from stitchkit.encoders import load_encoder; load_encoder('demo:text', device='cpu');"
        "print({'timm', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_recipe_gives_the_same_weights_twice_and_what_it_writes_loads(tmp_path: Path) -> None:
    tiny = DemoRecipe(
        shapes=64,
        general_steps=8,
        phantoms=64,
        medical_steps=8,
        facts=64,
        wordings=2,
        text_steps=8,
        batch=16,
        text_batch=16,
    )
    for run in ("one", "two"):
        train_demo_encoders(tiny, tmp_path / run)
    for name in demo.NAMES:
        one, two = ((tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("one", "two"))
        assert one == two
        assert demo.read_encoder(tmp_path / "one" / f"{name}.safetensors").name == f"demo:{name}"


OTHER_FILES = {
    "no facts": ({}, {}, "holds no demo encoder"),
    "facts that are a list": ({"demo": "[]"}, {}, "holds no demo encoder"),
    "another modality": ({"demo": '{"name": "x", "modality": "sound", "dim": 4, "classes": []}'}, {}, "modality"),
    "absurd width": ({"demo": '{"name": "x", "modality": "text", "dim": 1e9, "classes": []}'}, {}, "holds no demo"),
    "no weights": (
        {"demo": '{"name": "x", "modality": "text", "dim": 4, "classes": []}'},
        {"a": np.ones(2)},
        "Error",
    ),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_that_holds_no_demo_encoder_is_refused(case, tmp_path):
    metadata, arrays, message = OTHER_FILES[case]
    path = tmp_path / "text.safetensors"
    path.write_bytes(tensor_bytes(arrays, metadata))
    with pytest.raises(ModelUnavailableError, match=message):
        demo.read_encoder(path)
    path.write_bytes((demo.WEIGHTS / "text.safetensors").read_bytes()[:-9])
    with pytest.raises(ModelUnavailableError, match="cut off"):
        demo.read_encoder(path)
