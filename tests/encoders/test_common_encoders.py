"""Laws that every encoder of the table keeps, over tiny checkpoints in each library's own format."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_pairs import ALL_TABLE as TABLE

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.roles import Encoder
from stitchkit.encoders import ENCODERS, EncoderName, load_encoder

ROWS = sorted(TABLE)
HALVED = [
    "timm-path", "hf-vit-cls", "hf-bert-mean", "hf-clip-image", "hf-clip-text", "hf-siglip-text", "open-clip-image",
    "open-clip-text", "open-clip-hf-text", "python-module", "st",
    "local-torchvision",
]  # fmt: skip
MEANS = [
    "timm-maps", "hf-maps", "hf-maps-pooler", "hf-bert-mean", "hf-roberta", "hf-swin-mean", "local-timm",
    "local-torchvision", "onnx-text-mean", "onnx-image-mean", "xrv-densenet", "xrv-resnet",
]  # fmt: skip
FLOAT32_ONLY = [row for row in ROWS if row.startswith("onnx-")]


def _providers():
    return pytest.importorskip("onnxruntime").get_available_providers()


@pytest.fixture(scope="module")
def loaded(checkpoint):
    """Encoders of the table by row, loaded once."""
    made = {}

    def encoder(row):
        if row not in made:
            pattern, builder, _ = TABLE[row]
            made[row] = load_encoder(pattern.format(folder=checkpoint(builder)), device="cpu")
        return made[row]

    return encoder


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("row", ROWS)
def test_vectors_have_the_shape_and_type_the_space_announces(row, loaded, items):
    encoder = loaded(row)
    given = items(encoder.modality)
    encoded = encoder.encode(encoder.prepare(given))
    assert isinstance(encoder, Encoder)
    assert encoder.space.dim == TABLE[row][2]
    assert tuple(encoded.pooled.shape) == (len(given), encoder.space.dim)
    assert encoded.pooled.dtype == torch.float32
    assert encoded.pooled.device.type == "cpu"
    assert np.isfinite(to_numpy(encoded.pooled)).all()
    if encoded.tokens is not None:
        assert encoded.tokens.shape[0] == len(given)
        assert encoded.tokens.ndim == 3
    if encoded.mask is not None:
        assert encoded.mask.shape == encoded.tokens.shape[:2]


@pytest.mark.parametrize("row", ROWS)
def test_the_encoder_is_frozen(row, loaded, items):
    encoder = loaded(row)
    pooled = encoder.encode(encoder.prepare(items(encoder.modality))).pooled
    assert not pooled.requires_grad
    for part in (getattr(encoder, "model", None), getattr(encoder, "thing", None)):
        if isinstance(part, torch.nn.Module):
            assert not any(module.training for module in part.modules())
            assert not any(weight.requires_grad for weight in part.parameters())


@pytest.mark.parametrize("row", ROWS)
def test_batch_size_does_not_change_vectors(row, loaded, items):
    encoder = loaded(row)
    given = items(encoder.modality)
    together = vectors(encoder, given)
    alone = np.concatenate([vectors(encoder, [item]) for item in given])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together, vectors(encoder, given))


@pytest.mark.parametrize("row", MEANS)
def test_tokens_of_a_mean_have_the_vector_as_their_mean(row, loaded, items):
    encoder = loaded(row)
    encoded = encoder.encode(encoder.prepare(items(encoder.modality)))
    tokens = encoded.tokens
    weight = torch.ones(tokens.shape[:2]) if encoded.mask is None else encoded.mask
    mean = (tokens * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
    np.testing.assert_allclose(to_numpy(mean), to_numpy(encoded.pooled), atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
def test_different_items_have_different_vectors(row, loaded, items):
    encoder = loaded(row)
    found = vectors(encoder, items(encoder.modality))
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.parametrize("row", ROWS)
def test_name_and_fingerprint_survive_a_second_load(row, loaded, items):
    encoder = loaded(row)
    again = load_encoder(encoder.name, device="cpu")
    assert again.name == encoder.name
    assert again.space == encoder.space
    assert str(EncoderName.parse(encoder.name)) == encoder.name
    given = items(encoder.modality)
    np.testing.assert_array_equal(vectors(encoder, given), vectors(again, given))


@pytest.mark.parametrize("row", HALVED)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_the_same_space_and_nearly_the_same_vectors(row, dtype, loaded, items):
    encoder = loaded(row)
    half = load_encoder(encoder.name, device="cpu", dtype=dtype)
    given = items(encoder.modality)
    assert half.space == encoder.space
    found, wanted = vectors(half, given), vectors(encoder, given)
    assert found.dtype == np.float32
    assert cosines(found, wanted).min() > 0.995
    assert np.abs(found - wanted).max() > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cuda_device_gives_the_same_space_and_vectors(dtype, loaded, items):
    for row in ROWS:
        if row in FLOAT32_ONLY and (dtype != "float32" or "CUDAExecutionProvider" not in _providers()):
            continue
        if row.startswith("xrv-") and dtype == "float16":
            continue
        encoder = loaded(row)
        there = load_encoder(encoder.name, device="cuda", dtype=dtype)
        given = items(encoder.modality)
        pooled = there.encode(there.prepare(given)).pooled
        assert pooled.device.type == ("cpu" if row == "python-encoder" else "cuda")  # that one places itself
        assert there.space == encoder.space
        cosine = cosines(to_numpy(pooled), vectors(encoder, given))
        assert cosine.min() > (0.9999 if dtype == "float32" else 0.995)


def test_the_spaces_of_the_table_are_all_different(loaded):
    same = {"timm-path": "timm-local-dir"}  # one checkpoint by two names
    marks = {row: loaded(row).space.fingerprint for row in ROWS if row not in same}
    assert len(set(marks.values())) == len(marks)
    assert loaded("timm-path").space.fingerprint == marks["timm-local-dir"]


@pytest.mark.parametrize("row", FLOAT32_ONLY[:1])
def test_a_family_of_one_precision_refuses_the_others(row, loaded):
    with pytest.raises(InputError, match="Use float32"):
        load_encoder(loaded(row).name, device="cpu", dtype="bfloat16")


def test_importing_the_room_imports_no_library():
    code = "import sys, stitchkit.encoders; print([m for m in ('torch', 'timm', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_is_sorted_and_names_module_and_attribute():
    assert list(ENCODERS) == sorted(ENCODERS)
    assert all(row.startswith("stitchkit.encoders.") and row.endswith(":load") for row in ENCODERS.values())
