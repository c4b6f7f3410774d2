"""The family st: equal to SentenceTransformer.encode and to hf:, and every way a folder of it can be wrong."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import TEXTS
from tiny_pairs import vectors
from tiny_sentences import PROMPTS, st_bert

import stitchkit as sk
from stitchkit.core.errors import (
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    SpaceMismatchError,
    StitchError,
    UnknownNameError,
)

library = pytest.importorskip("sentence_transformers")
LONG = [*TEXTS, " ".join(["left lung is clear ."] * 9), "THE HEART is Large ."]


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(checkpoint("st_bert"), tmp_path / "own")


def loaded(folder, options="", family="st", **settings):
    return sk.load_encoder(f"{family}:{folder}{options}", device="cpu", **settings)


def of_library(folder, **settings):
    model = library.SentenceTransformer(str(folder), device="cpu")
    return model.encode(LONG, show_progress_bar=False, **settings)


@pytest.mark.parametrize("pool", ["mean", "cls", "lasttoken"])
def test_vectors_are_those_of_the_library_and_of_hf(tmp_path, pool):
    folder = st_bert(tmp_path / "m", pool=pool)
    found = vectors(loaded(folder), LONG)
    np.testing.assert_allclose(found, of_library(folder), atol=1e-6)
    np.testing.assert_allclose(found, vectors(loaded(folder, family="hf"), LONG), atol=1e-6)
    np.testing.assert_allclose(vectors(loaded(folder), LONG[-2:]), found[-2:], atol=1e-6)


def test_a_checkpoint_without_a_transformer_is_read_by_the_library(checkpoint):
    folder = checkpoint("st_static")
    np.testing.assert_allclose(vectors(loaded(folder), LONG), of_library(folder), atol=1e-6)


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_the_text_or_a_declared_name(checkpoint, name):
    folder = checkpoint("st_bert")
    wanted = of_library(folder, prompt_name=name)
    np.testing.assert_allclose(vectors(loaded(folder, f"#prompt_name={name}"), LONG), wanted, atol=1e-6)
    np.testing.assert_allclose(vectors(loaded(folder, f"#prompt={PROMPTS[name]}"), LONG), wanted, atol=1e-6)
    assert np.abs(wanted - of_library(folder)).max() > 1e-3


def test_the_default_prompt_is_used_unless_another_is_given(tmp_path):
    folder = st_bert(tmp_path / "m", default="query")
    np.testing.assert_allclose(vectors(loaded(folder), LONG), of_library(folder), atol=1e-6)
    plain = of_library(folder, prompt="")
    np.testing.assert_allclose(vectors(loaded(folder, "#prompt="), LONG), plain, atol=1e-6)


def test_dimensions_that_the_checkpoint_keeps_are_kept(tmp_path):
    folder = st_bert(tmp_path / "m")
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "truncate_dim": 4}))
    encoder = loaded(folder, "#norm=unit")
    assert encoder.space.dim == 4
    np.testing.assert_allclose(np.linalg.norm(vectors(encoder, LONG), axis=1), 1, atol=1e-6)


def test_what_changes_vectors_changes_the_fingerprint(folder):
    marks = [loaded(folder, one).space.fingerprint
             for one in ("", "#norm=unit", "#prompt=a ", "#prompt_name=query")]  # fmt: skip
    assert loaded(folder, f"#prompt={PROMPTS['query']}").space.fingerprint == marks[-1]
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps({**settings, "max_seq_length": 9}))
    marks.append(loaded(folder).space.fingerprint)
    dense = next(folder.glob("*_Dense")) / "model.safetensors"
    state = load_file(dense)
    save_file({**state, "linear.bias": state["linear.bias"] + 1e-3}, dense)
    marks.append(loaded(folder).space.fingerprint)
    assert len(set(marks)) == 6


def test_an_encoder_of_equal_width_and_other_weights_is_refused(folder, tmp_path):
    x = sk.embed(loaded(folder), TEXTS, store=None)
    alignment = sk.align(x, sk.Embeddings(x.vectors[:, ::-1], x.ids, sk.Space("y", 6, "y")), solver="procrustes")
    with pytest.raises(SpaceMismatchError):
        alignment.to_target(sk.embed(loaded(st_bert(tmp_path / "other", seed=4)), TEXTS, store=None))


def test_texts_without_a_known_word_are_told(checkpoint):
    assert loaded(checkpoint("st_bert")).knows(["the heart .", "zzz"]) == [True, False]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ("#prompt_name=document_title", UnknownNameError, "known prompts: 'query', "),
        ("#prompt=a&prompt_name=query", InputError, "Keep one"),
        ("#pool=cls", UnknownNameError, "known options: prompt, prompt_name, norm"),
        ("#norm=two", UnknownNameError, "no norm is called"),
        ("@main", InputError, "no revisions"),
    ],
)
def test_odd_names_are_refused(folder, options, error, words):
    with pytest.raises(error) as caught:
        loaded(folder, options)
    assert words in str(caught.value)


def _layer_missing(folder):
    file = folder / "model.safetensors"
    state = load_file(file)
    save_file({key: value for key, value in state.items() if "layer.1.output" not in key}, file, {"format": "pt"})


def _dense_missing(folder):
    file = next(folder.glob("*_Dense")) / "model.safetensors"
    save_file({"linear.weight": load_file(file)["linear.weight"]}, file)


def _cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _own_code(folder):
    lines = json.loads((folder / "modules.json").read_text())
    lines[2]["type"] = "mine.Dense"
    (folder / "modules.json").write_text(json.dumps(lines))


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (_layer_missing, ModelUnavailableError, "lacks 4 weights of the model"),
        (_dense_missing, ModelUnavailableError, "linear.bias"),
        (_cut, ModelUnavailableError, "cut short"),
        (_own_code, InputError, "declares 'mine.Dense', code of its own"),
        (lambda at: (at / "model.safetensors").write_text("<html>"), ModelUnavailableError, "is a web page"),
        (lambda at: (at / "model.safetensors").unlink(), ModelUnavailableError, "holds no weights"),
        (lambda at: (at / "config.json").unlink(), ModelUnavailableError, "holds no config.json"),
        (lambda at: (at / "modules.json").unlink(), ModelUnavailableError, "there is no modules.json"),
        (lambda at: (at / "modules.json").write_text("["), ModelUnavailableError, "is not JSON"),
        (lambda at: (at / "modules.json").write_text('[{"type": 3}]'), ModelUnavailableError, "no list of modules"),
        (lambda at: next(at.glob("*_Pooling/config.json")).unlink(), ModelUnavailableError, "cannot be loaded"),
    ],
)
def test_a_damaged_folder_is_refused(folder, damage, error, words):
    damage(folder)
    with pytest.raises(error) as caught:
        loaded(folder)
    assert words in str(caught.value)


def test_a_missing_pooler_that_nothing_reads_is_no_fault(folder):
    file = folder / "model.safetensors"
    state = {key: value for key, value in load_file(file).items() if "pooler" not in key}
    before = loaded(folder)
    save_file(state, file, {"format": "pt"})
    assert loaded(folder).space == before.space
    torch.manual_seed(5)
    assert loaded(folder).space == before.space


def test_a_plain_checkpoint_is_pointed_to_its_family(checkpoint):
    with pytest.raises(ModelUnavailableError, match=r"no modules.json"):
        loaded(checkpoint("hf_bert"))


def test_a_repository_is_not_asked_for_offline():
    with pytest.raises(StitchError, match="hub calls are forbidden"):
        sk.load_encoder("st:sentence-transformers/all-MiniLM-L6-v2", device="cpu", offline=True)


def test_a_missing_library_is_named_with_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[st\]'"):
        loaded(folder)
