"""The catalogue of encoders: names that parse, facts that the installed libraries confirm, and its table."""

from __future__ import annotations

import json

import pytest

from stitchkit.encoders import ENCODERS, EncoderName, check_encoder_name
from stitchkit.encoders.catalog import UNKNOWN, catalog_document, catalog_table, read_catalog

ENTRIES = read_catalog()
SPELLINGS = {"apache-2.0": "Apache-2.0", "mit": "MIT", "dinov3-license": "DINOv3 License"}


def of(family):
    return [one for one in ENTRIES if one.name.startswith(f"{family}:")]


@pytest.mark.parametrize("entry", ENTRIES, ids=[one.name for one in ENTRIES])
def test_every_name_is_one_of_the_grammar_and_of_a_family(entry):
    parsed = EncoderName.parse(check_encoder_name(entry.name))
    assert str(parsed) == entry.name
    assert parsed.family in ENCODERS
    assert not parsed.options  # what is chosen is said in the note
    assert entry.note == entry.note.strip() != ""


def test_names_are_unique_and_sorted():
    names = [one.name for one in ENTRIES]
    assert names == sorted(set(names))
    assert {one.modality for one in ENTRIES} == {"image", "text", "pair"}


def test_the_packages_own_encoders_have_the_width_that_is_stated():
    from stitchkit.encoders import load_encoder

    for entry in of("demo"):
        encoder = load_encoder(entry.name, device="cpu")
        assert (encoder.space.dim, encoder.modality) == (entry.width, entry.modality)
    assert len(of("demo")) == 3


def test_timm_knows_these_names_with_that_licence_and_width():
    timm = pytest.importorskip("timm", exc_type=Exception)
    import torch

    for entry in of("timm"):
        config = timm.get_pretrained_cfg(EncoderName.parse(entry.name).id)
        assert config.hf_hub_id
        if config.license is not None:  # older versions of timm do not know it
            assert SPELLINGS[config.license] == entry.licence
        with torch.device("meta"):  # without memory for its weights
            model = timm.create_model(EncoderName.parse(entry.name).id, pretrained=False)
        assert model.head_hidden_size == entry.width


def test_open_clip_knows_these_names_with_that_width():
    open_clip = pytest.importorskip("open_clip", exc_type=Exception)
    for entry in of("open_clip"):
        architecture, _, tag = EncoderName.parse(entry.name).id.rpartition("/")
        if not architecture.startswith("hf-hub:"):
            assert tag in open_clip.list_pretrained_tags_by_model(architecture)
            assert open_clip.get_model_config(architecture)["embed_dim"] == entry.width


@pytest.mark.filterwarnings("ignore")
def test_torchxrayvision_knows_these_names():
    networks = pytest.importorskip("torchxrayvision.models", exc_type=Exception)
    assert {one.name.removeprefix("xrv:") for one in of("xrv")} <= set(networks.model_urls)


def test_a_word_chooses_entries_by_any_of_their_texts():
    assert [one.name for one in read_catalog("RAD-DINO")] == ["hf:microsoft/rad-dino"]
    assert {one.domain for one in read_catalog("histology")} == {"pathology", "medical"}
    assert all(one.modality == "pair" for one in read_catalog("images + texts"))
    assert read_catalog("no such thing") == []


def test_the_table_says_what_is_not_recorded_and_what_is_gated():
    entries = read_catalog("medsiglip")
    table = catalog_table(entries)
    assert "hf:google/medsiglip-448" in table
    assert UNKNOWN in table  # its width
    assert "gated" in table.splitlines()[1]
    assert "1 encoder;" in table
    (document,) = catalog_document(entries)["encoders"]
    assert document["width"] is None
    assert json.loads(json.dumps(document)) == document
