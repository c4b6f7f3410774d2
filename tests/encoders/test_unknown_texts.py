"""Texts of which a tokenizer knows nothing: one warning a set, and an error if there is nothing else."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from tiny_encoders import TEXTS, hf_bert
from tiny_pairs import hf_dual

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder

UNKNOWN = ["xyz", "q" * 300, "\u4f60\u597d", "\U0001f600 \ufffd", "[SEP] [PAD]"]


@pytest.fixture(scope="module", params=["single", "pair", "stitched"])
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unknown")
    if request.param == "pair":
        return load_encoder(f"hf:{hf_dual(folder / 'm')}#modality=text", device="cpu")
    single = load_encoder(f"hf:{hf_bert(folder / 'm')}", device="cpu")
    if request.param == "single":
        return single
    from stitchkit.core.maps import AffineMap
    from stitchkit.core.space import Space
    from stitchkit.encoders.stitched import StitchedEncoder

    turn = AffineMap(single.space, Space("other", 16), np.zeros(16), np.eye(16), np.zeros(16), 16)
    return StitchedEncoder("stitchkit:mine", single, turn)


@pytest.mark.parametrize("store", [None, "kept"])
def test_unknown_texts_among_others_are_warned_of_once_with_count_and_id(encoder, tmp_path, store):
    texts = Items([f"r{i}" for i in range(10)], [*TEXTS, *UNKNOWN, UNKNOWN[0]], "text")
    for _ in range(2):  # what the store holds is told as well
        with pytest.warns(UserWarning, match=r"knows no word of 6 of 10 texts, the first is item 'r4'") as caught:
            embed(encoder, texts, store=store and tmp_path, progress=False, batch_size=2)
        assert len(caught) == 1


def test_a_set_of_unknown_texts_alone_is_refused_before_any_work(encoder):
    with pytest.raises(InputError, match=r"knows no word of any of the 5 texts, such as item '0'"):
        embed(encoder, UNKNOWN, store=None)


@pytest.mark.parametrize("text", ["xyz lung", "w " * 12 + "lung", "LUNG", "."])
def test_one_known_token_is_enough(encoder, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(encoder, [text], store=None, progress=False)


def test_a_known_word_beyond_the_cut_is_not_seen(encoder):
    assert not encoder.knows(["w " * 40 + "lung"])[0]


def test_a_blank_token_beside_an_unknown_one_is_nothing_known(tmp_path):
    """Tokenizers of pieces put a blank before every text, which is a token of its own before what they do not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = hf_bert(tmp_path / "m")
    pieces = [("<pad>", 0.0), ("<unk>", -9.0), ("\u2581", -2.0), ("\u2581lung", -1.0), ("</s>", 0.0)]
    own = Tokenizer(models.Unigram(pieces, unk_id=1))
    own.pre_tokenizer = pre_tokenizers.Metaspace()
    PreTrainedTokenizerFast(
        tokenizer_object=own, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    ).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    assert list(encoder.knows(["lung", "\u4f60", "\u4f60 \u597d", "\u4f60 lung"])) == [True, False, False, True]


def test_a_tokenizer_of_bytes_knows_every_text():
    from transformers import ByT5Tokenizer

    from stitchkit.encoders.hf.inputs import TextInputs

    assert all(TextInputs("mine", ByT5Tokenizer(), "", 40).knows(UNKNOWN[:4]))


def test_an_image_encoder_has_no_unknown_items(checkpoint):
    assert load_encoder(f"hf:{checkpoint('hf_vit')}", device="cpu").knows(["a"]) == [True]
