"""Decoders as text encoders: a token reads those before it, so the last one stands for the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_encoders import TEXTS, hf_gpt2

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.pooling import Pooling


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


@pytest.fixture(scope="module")
def causal(checkpoint):
    return load_encoder(f"hf:{checkpoint('hf_gpt2')}", device="cpu")


def test_a_causal_model_is_read_at_its_last_token(causal, checkpoint):
    from transformers import AutoModel, AutoTokenizer

    folder = checkpoint("hf_gpt2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        own = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1].numpy() for text in TEXTS]
    assert causal.pooling.pool == "last"
    np.testing.assert_allclose(vectors(causal, TEXTS), np.stack(own), atol=1e-6)
    chosen = load_encoder(f"hf:{folder}#pool=last", device="cpu")
    assert chosen.space.fingerprint == causal.space.fingerprint


def test_the_batch_does_not_change_a_vector(causal):
    long = " ".join(["lung"] * 30)
    np.testing.assert_allclose(vectors(causal, ["no", long, "the heart"])[:1], vectors(causal, ["no"]), atol=1e-6)


def test_the_side_that_a_tokenizer_pads_on_changes_nothing(causal, tmp_path):
    other = load_encoder(f"hf:{hf_gpt2(tmp_path / 'right', side='right')}", device="cpu")
    np.testing.assert_array_equal(vectors(other, TEXTS), vectors(causal, TEXTS))
    assert other.space.fingerprint == causal.space.fingerprint


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_last_token_is_the_last_that_is_no_padding(side):
    rng = np.random.default_rng(0)
    lengths, tokens = [1, 3, 5], torch.as_tensor(rng.normal(size=(3, 5, 2)), dtype=torch.float32)
    mask = torch.zeros(3, 5, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, slice(0, length) if side == "right" else slice(5 - length, 5)] = 1
    wanted = [tokens[row, length - 1 if side == "right" else -1] for row, length in enumerate(lengths)]
    found = Pooling("mine", "last").vectors(None, tokens, mask)
    torch.testing.assert_close(found, torch.stack(wanted))


def test_the_first_token_of_a_causal_model_is_refused(checkpoint):
    with pytest.raises(InputError, match=r"is a causal model: its first token has read nothing .* Use pool=last or"):
        load_encoder(f"hf:{checkpoint('hf_gpt2')}#pool=cls", device="cpu")


def test_encoders_that_read_both_ways_keep_their_mean(checkpoint):
    for builder in ("hf_bert", "hf_roberta"):
        assert load_encoder(f"hf:{checkpoint(builder)}", device="cpu").pooling.pool == "mean"


def test_a_bert_set_to_read_one_way_is_causal(checkpoint, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    assert load_encoder(f"hf:{folder}", device="cpu").pooling.pool == "last"


def test_images_have_no_last_token(checkpoint):
    with pytest.raises(InputError, match="takes images, which have no last token"):
        load_encoder(f"hf:{checkpoint('hf_vit')}#pool=last", device="cpu")
