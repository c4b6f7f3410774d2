"""The family xrv: equal to torchxrayvision's own calls, and every way a file of it can be wrong."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pairs import vectors
from tiny_xrays import xrv_densenet, xrv_resnet

import stitchkit as sk
from stitchkit.core.errors import (
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    SpaceMismatchError,
    UnknownNameError,
)

with warnings.catch_warnings():
    library = pytest.importorskip("torchxrayvision")


def loaded(file, options="", **settings):
    return sk.load_encoder(f"xrv:{file}{options}", device="cpu", **settings)


def refuses(file, words, options="", error=ModelUnavailableError):
    with pytest.raises(error) as caught:
        loaded(file, options)
    assert words in str(caught.value)


@pytest.fixture
def file(tmp_path):
    torch.save(xrv_densenet().state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


def own_pixels(images, size):
    """The preprocessing as the library's own examples write it."""
    crop, resize = library.datasets.XRayCenterCrop(), library.datasets.XRayResizer(size)
    return torch.stack([torch.from_numpy(resize(crop(library.datasets.normalize(one, 255)[None]))) for one in images])


def test_vectors_and_logits_are_those_of_the_library(file, images):
    model, pixels = xrv_densenet(), own_pixels(images, 224)
    with torch.inference_mode():
        wanted, logits = model.features2(pixels).numpy(), model(pixels).numpy()
    encoder = loaded(file)
    assert encoder.prepare(images).shape == (5, 1, 224, 224)
    x = sk.embed(encoder, images, store=None)
    np.testing.assert_allclose(x.vectors, wanted, atol=1e-6)
    head = encoder.classifier()
    np.testing.assert_allclose(head.scores(x).values, logits, atol=1e-5)
    assert list(head.classes) == list(library.datasets.default_pathologies)


def test_a_resnet_is_read_with_the_keys_of_the_library_and_without(tmp_path, images):
    model = xrv_resnet()
    torch.save({f"model.{key}": one for key, one in model.state_dict().items()}, tmp_path / "a.pt")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "b.pt")
    pixels = own_pixels(images, 64)
    with torch.inference_mode():
        logits = model(pixels).numpy()
        model.fc = torch.nn.Identity()
        wanted = model(pixels).numpy()
    one, other = loaded(tmp_path / "a.pt", "#size=64"), loaded(tmp_path / "b.pt", "#size=64&key=state_dict")
    assert one.space.fingerprint == other.space.fingerprint
    x = sk.embed(one, images, store=None)
    np.testing.assert_allclose(x.vectors, wanted, atol=1e-5)
    np.testing.assert_allclose(one.classifier().scores(x).values, logits, atol=1e-5)


def test_pixels_are_one_channel_of_the_librarys_range(file):
    encoder = loaded(file)
    white, black = (np.full((50, 60), level, np.uint8) for level in (255, 0))
    np.testing.assert_allclose(encoder.prepare([white])[0], np.full((1, 224, 224), 1024), atol=1e-3)
    np.testing.assert_allclose(encoder.prepare([black])[0], np.full((1, 224, 224), -1024), atol=1e-3)
    colour = Image.fromarray(np.repeat(white[..., None], 3, axis=2))
    np.testing.assert_allclose(encoder.prepare([colour]), encoder.prepare([white]))
    with pytest.raises(InputError, match="one channel from -1024 to 1024; got shape"):
        encoder.encode(torch.full((1, 1, 224, 224), 3000.0))
    with pytest.raises(InputError, match="one channel"):
        encoder.encode(torch.zeros(1, 3, 224, 224))


def test_bfloat16_gives_nearly_the_same_vectors_and_float16_is_refused(file, images):
    half = loaded(file, dtype="bfloat16")
    assert half.space == loaded(file).space
    found, wanted = vectors(half, images), vectors(loaded(file), images)
    cosine = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosine.min() > 0.999
    with pytest.raises(InputError, match="Use float32 or bfloat16"):
        loaded(file, dtype="float16")


def test_findings_without_data_are_not_in_the_head(tmp_path):
    state = xrv_densenet().state_dict()
    points = torch.full((18,), 0.5)
    points[14] = torch.nan
    torch.save({**state, "op_threshs": points}, tmp_path / "w.pt")
    head = loaded(tmp_path / "w.pt").classifier()
    assert "Lung Lesion" not in head.classes
    assert len(head.classes) == 17
    torch.save({key: one for key, one in state.items() if "classifier" not in key}, tmp_path / "bare.pt")
    with pytest.raises(InputError, match="no linear classifier"):
        loaded(tmp_path / "bare.pt").classifier()
    torch.save(xrv_densenet(num_classes=3).state_dict(), tmp_path / "three.pt")
    assert loaded(tmp_path / "three.pt").classifier().classes == ("class 0", "class 1", "class 2")


def test_what_changes_vectors_changes_the_fingerprint(file, tmp_path):
    marks = [loaded(file).space.fingerprint, loaded(file, "#size=96").space.fingerprint]
    torch.save(xrv_densenet(seed=1).state_dict(), tmp_path / "other.pt")
    marks.append(loaded(tmp_path / "other.pt").space.fingerprint)
    state = torch.load(file, weights_only=True)
    torch.save({**state, "classifier.bias": state["classifier.bias"] + 1}, tmp_path / "head.pt")
    assert len(set(marks)) == 3
    assert loaded(tmp_path / "head.pt").space.fingerprint == marks[0]


def test_an_encoder_of_equal_width_and_other_weights_is_refused(file, tmp_path, images):
    torch.save(xrv_densenet(seed=1).state_dict(), tmp_path / "other.pt")
    x = sk.embed(loaded(file), images, store=None)
    alignment = sk.align(x, sk.Embeddings(x.vectors[:, ::-1], x.ids, sk.Space("y", 14, "y")), solver="procrustes")
    with pytest.raises(SpaceMismatchError):
        alignment.to_target(sk.embed(loaded(tmp_path / "other.pt"), images, store=None))


def test_names_of_the_library_are_read_from_its_own_cache_and_never_downloaded(monkeypatch, tmp_path, images):
    """The published files are pickles of whole networks: they are read without running code of the file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "densenet121-res224-nih"
    refuses(name, "is not downloaded unasked. Download it there, or load a state dict")
    url = library.models.model_urls[name]["weights_url"]
    cached = Path(library.utils.get_cache_dir()) / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save(xrv_densenet(), cached)
    encoder = loaded(name)
    torch.save(xrv_densenet().state_dict(), tmp_path / "w.pt")
    np.testing.assert_allclose(vectors(encoder, images), vectors(loaded(tmp_path / "w.pt"), images), atol=1e-6)
    assert list(encoder.classifier().classes) == [one for one in library.models.model_urls[name]["labels"] if one]


def test_loading_leaves_the_filters_of_warnings_as_they_are(file):
    code = (
        "import warnings; before = list(warnings.filters); import stitchkit as sk; "
        f"sk.load_encoder('xrv:{file}', device='cpu'); "
        "assert not any(one[0] == 'ignore' and one[2] is Warning and one[1] is None for one in warnings.filters)"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code], check=True)


class _Odd:
    def __reduce__(self):
        return (print, ("run",))


def test_files_of_something_else_are_refused(file, tmp_path):
    odd = tmp_path / "odd.pt"
    torch.save({"a": _Odd()}, odd)
    refuses(odd, "pickle that would run code")
    torch.save({"conv.weight": torch.zeros(2)}, odd)
    refuses(odd, "are of no DenseNet or ResNet of torchxrayvision (first key: conv.weight)")
    state = torch.load(file, weights_only=True)
    torch.save({key: one for key, one in state.items() if "norm5" not in key}, odd)
    refuses(odd, "missing (features.norm5.weight")
    torch.save({**state, "features.conv0.weight": torch.zeros(8, 3, 7, 7)}, odd)
    refuses(odd, "features.conv0.weight with (8, 3, 7, 7) in the file and (8, 1, 7, 7) in the model")
    odd.write_bytes(file.read_bytes()[:-300])
    refuses(odd, "cannot be loaded")
    odd.write_text("<html>")
    refuses(odd, "is a web page")
    refuses(tmp_path / "nothing.pt", "there is no file")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("densenet121-res224-alle", UnknownNameError, "densenet121-res224-all"),
        ("densenet121-res224-all@v1", InputError, "have no revisions"),
    ],
)
def test_odd_names_are_refused(name, error, words):
    refuses(name, words, error=error)


@pytest.mark.parametrize("options", ["#size=9", "#size=a", "#size=5000"])
def test_odd_sizes_are_refused(file, options):
    refuses(file, "no number of pixels from 32 to 4096", options, InputError)
    refuses(file, "known options: key, size", "#pool=mean", UnknownNameError)


def test_a_missing_library_is_named_with_the_extra(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[xrv\]'"):
        loaded(file)
