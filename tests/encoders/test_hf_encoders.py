"""transformers: poolings, texts and their length, classifiers, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_encoders import TEXTS, hf_bert, hf_vit

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import HasClassifier
from stitchkit.encoders import load_encoder


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def own_output(folder, texts, **settings):
    from transformers import AutoModel, AutoTokenizer

    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return batch, AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True)


def test_text_poolings_equal_the_literal_ones(checkpoint):
    folder = checkpoint("hf_bert")
    batch, output = own_output(folder, TEXTS)
    lengths = batch["attention_mask"].sum(dim=1)
    rows = output.last_hidden_state
    mean = torch.stack([row[:length].mean(dim=0) for row, length in zip(rows, lengths, strict=True)])
    layer = torch.stack(
        [row[:length].mean(dim=0) for row, length in zip(output.hidden_states[1], lengths, strict=True)]
    )
    wanted = {"": mean, "#pool=cls": rows[:, 0], "#pool=pooler": output.pooler_output, "#layer=1": layer}
    for options, expected in wanted.items():
        found = vectors(load_encoder(f"hf:{folder}{options}", device="cpu"), TEXTS)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_image_poolings_equal_the_literal_ones(checkpoint, images):
    from transformers import AutoImageProcessor, AutoModel

    folder = checkpoint("hf_vit")
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    batch = AutoImageProcessor.from_pretrained(folder)(rgb, return_tensors="pt")
    with torch.inference_mode():
        output = AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True)
    wanted = {
        "": output.last_hidden_state[:, 0],
        "#pool=mean": output.last_hidden_state[:, 1:].mean(dim=1),  # patches only
        "#layer=-2": output.hidden_states[-2][:, 0],
    }
    for options, expected in wanted.items():
        found = vectors(load_encoder(f"hf:{folder}{options}", device="cpu"), images)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_unit_norm_gives_vectors_of_length_one_and_another_fingerprint(checkpoint):
    plain, unit = (load_encoder(f"hf:{checkpoint('hf_bert')}{o}", device="cpu") for o in ("", "#norm=unit"))
    batch = plain.prepare(["a report", "another one"])
    vectors, units = (to_numpy(encoder.encode(batch).pooled) for encoder in (plain, unit))
    np.testing.assert_allclose(units, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-6)
    assert plain.space.fingerprint != unit.space.fingerprint
    with pytest.raises(UnknownNameError, match="no norm is called 'l2'"):
        load_encoder(f"hf:{checkpoint('hf_bert')}#norm=l2", device="cpu")


@pytest.mark.parametrize("pool", ["mean", "cls", "pooler"])
def test_padding_does_not_change_text_vectors(checkpoint, pool):
    encoder = load_encoder(f"hf:{checkpoint('hf_bert')}#pool={pool}", device="cpu")
    long = " ".join(["lung"] * 20)
    np.testing.assert_allclose(vectors(encoder, ["no", long])[:1], vectors(encoder, ["no"]), atol=1e-6)


def test_the_prompt_is_put_before_every_text(checkpoint):
    folder = checkpoint("hf_bert")
    plain = load_encoder(f"hf:{folder}", device="cpu")
    prompted = load_encoder(f"hf:{folder}#prompt=the lung . ", device="cpu")
    wanted = vectors(plain, ["the lung . " + text for text in TEXTS])
    np.testing.assert_array_equal(vectors(prompted, TEXTS), wanted)
    assert prompted.space.fingerprint != plain.space.fingerprint


@pytest.mark.parametrize(("builder", "length"), [("hf_bert", 24), ("hf_roberta", 22)])
def test_long_texts_are_cut_at_the_models_own_length(checkpoint, builder, length):
    encoder = load_encoder(f"hf:{checkpoint(builder)}", device="cpu")
    batch = encoder.prepare([" ".join(["lung"] * 100)])
    assert batch["input_ids"].shape == (1, length)
    assert np.isfinite(vectors(encoder, [" ".join(["lung"] * 100)])).all()


def test_the_tokenizers_shorter_length_wins(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 7
    tokenizer.save_pretrained(folder)
    assert load_encoder(f"hf:{folder}", device="cpu").prepare(["lung " * 50])["input_ids"].shape == (1, 7)


def test_the_fingerprint_follows_weights_preprocessing_and_pooling(checkpoint, tmp_path):
    marks = {load_encoder(f"hf:{checkpoint('hf_bert')}{o}", device="cpu").space.fingerprint
             for o in ("", "#pool=cls", "#pool=pooler", "#layer=0", "#layer=1", "#prompt=a")}  # fmt: skip
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "weights")
    state = load_file(folder / "model.safetensors")
    state["embeddings.word_embeddings.weight"][3, 5] += 1e-3
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    marks.add(load_encoder(f"hf:{folder}", device="cpu").space.fingerprint)
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "words")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace("effusion", "edema"))
    marks.add(load_encoder(f"hf:{folder}", device="cpu").space.fingerprint)
    assert len(marks) == 8


def test_the_fingerprint_follows_image_preprocessing(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_vit"), tmp_path / "copy")
    file = folder / "preprocessor_config.json"
    file.write_text(file.read_text().replace("0.5", "0.4"))
    one, other = (load_encoder(f"hf:{f}", device="cpu").space.fingerprint for f in (checkpoint("hf_vit"), folder))
    assert one != other


def test_an_unused_pooler_may_be_missing_and_is_not_in_the_fingerprint(checkpoint, tmp_path):
    bare = hf_bert(tmp_path / "bare", pooler=False)
    marks = [load_encoder(f"hf:{f}", device="cpu").space.fingerprint for f in (bare, bare, checkpoint("hf_bert"))]
    assert marks[0] == marks[1]
    with pytest.raises(ModelUnavailableError, match=r"holds no pooler; it would be random\. Use pool=cls or pool=mean"):
        load_encoder(f"hf:{bare}#pool=pooler", device="cpu")


@pytest.mark.parametrize(
    ("builder", "options"), [("hf_vit", ""), ("hf_swin", "#pool=pooler"), ("hf_swin", ""), ("hf_resnet", "")]
)
def test_the_classifier_gives_the_models_own_logits(checkpoint, images, builder, options):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = checkpoint(builder)
    encoder = load_encoder(f"hf:{folder}{options}", device="cpu")
    assert isinstance(encoder, HasClassifier)
    head = encoder.classifier()
    ids = np.arange(len(images)).astype(str)
    scores = head.scores(Embeddings(vectors(encoder, images), ids, encoder.space))
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    batch = AutoImageProcessor.from_pretrained(folder)(rgb, return_tensors="pt")
    with torch.inference_mode():
        logits = AutoModelForImageClassification.from_pretrained(folder).eval()(**batch).logits
    np.testing.assert_allclose(scores.values, logits.numpy(), atol=1e-4)
    assert scores.kind == "logit"
    assert head.classes == (
        ("no finding", "effusion", "edema") if builder == "hf_vit" else ("LABEL_0", "LABEL_1", "LABEL_2")
    )


def test_the_classifier_of_a_half_precision_encoder_is_whole(checkpoint):
    half = load_encoder(f"hf:{checkpoint('hf_vit')}", device="cpu", dtype="bfloat16").classifier()
    whole = load_encoder(f"hf:{checkpoint('hf_vit')}", device="cpu").classifier()
    np.testing.assert_array_equal(half.weight, whole.weight)
    assert half.space == whole.space


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        ("hf_vit", "#pool=mean", "load the encoder with #pool=cls"),
        ("hf_vit", "#layer=1", "load the encoder with #pool=cls"),
        ("hf_dinov2", "", "No single pooling explains its logits"),
        ("hf_bert", "", "has no image classifier"),
    ],
)
def test_a_classifier_over_other_vectors_is_refused(checkpoint, builder, options, message):
    with pytest.raises(InputError, match=message):
        load_encoder(f"hf:{checkpoint(builder)}{options}", device="cpu").classifier()


@pytest.mark.parametrize(
    ("builder", "options", "error", "message"),
    [
        ("hf_bert", "#pool=max", UnknownNameError, "no pooling is called 'max'; nearest"),
        ("hf_bert", "#layer=two", InputError, "layer='two' is not a whole number"),
        ("hf_bert", "#layer=9", InputError, "has 3 hidden states; layer=9 is not among them. Use -3 to 2"),
        ("hf_bert", "#pool=pooler&layer=1", InputError, "reads the final output only"),
        ("hf_swin", "#pool=cls", InputError, "no class token to pool. Use pool=mean or pool=pooler"),
        ("hf_vit", "#prompt=a", InputError, "images, which have no prompt"),
    ],
)
def test_options_that_do_not_fit_are_refused(checkpoint, builder, options, error, message):
    with pytest.raises(error, match=message):
        load_encoder(f"hf:{checkpoint(builder)}{options}", device="cpu")


def test_an_encoder_with_a_decoder_is_refused(checkpoint, tmp_path):
    from transformers import T5Config

    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "t5")
    T5Config().save_pretrained(folder)
    with pytest.raises(InputError, match="an encoder with a decoder"):
        load_encoder(f"hf:{folder}", device="cpu")


def test_one_tower_saved_alone_loads(tmp_path, images):
    from transformers import CLIPVisionConfig, CLIPVisionModel, ViTImageProcessor

    config = CLIPVisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                              image_size=32, patch_size=8)  # fmt: skip
    CLIPVisionModel(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    assert vectors(load_encoder(f"hf:{tmp_path}#pool=pooler", device="cpu"), images).shape == (5, 16)


def test_another_modality_is_refused(tmp_path):
    from transformers import ASTConfig, ASTModel

    config = ASTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_length=64,
                       num_mel_bins=32)  # fmt: skip
    ASTModel(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="takes input_values; encoders take images or texts"):
        load_encoder(f"hf:{tmp_path}", device="cpu")


def test_code_of_a_folder_is_not_run_unasked(checkpoint, tmp_path):
    import json

    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="mine", auto_map={"AutoConfig": "code.Config", "AutoModel": "code.Model"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('code was run')\n")
    with pytest.raises(InputError, match="needs Python code from its repository, which is not run unasked"):
        load_encoder(f"hf:{folder}", device="cpu")
    config["auto_map"]["AutoModel"] = "other/repo--code.Model"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="takes its code from another repository"):
        load_encoder(f"hf:{folder}", device="cpu", trust_remote_code=True)


def test_items_of_the_wrong_kind_are_refused(checkpoint, images):
    text = load_encoder(f"hf:{checkpoint('hf_bert')}", device="cpu")
    with pytest.raises(InputError, match="takes texts; item 1 of the batch is a ndarray"):
        text.prepare(["no", images[0]])
    with pytest.raises(InputError, match="got str"):
        load_encoder(f"hf:{checkpoint('hf_vit')}", device="cpu").prepare(["scan.png"])


def test_a_text_of_nothing_is_refused_where_the_tokenizer_adds_nothing(checkpoint, tmp_path):
    import json

    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    state = json.loads((folder / "tokenizer.json").read_text())
    state["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(state))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, "tokenizer_class": "PreTrainedTokenizerFast"})
    )
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    with pytest.raises(InputError, match="text 1 of the batch has no tokens"):
        encoder.prepare(["no", ""])


def test_loading_says_nothing(checkpoint, capfd):
    load_encoder(f"hf:{checkpoint('hf_vit')}", device="cpu").classifier()
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_another_seed_is_another_space(tmp_path):
    marks = {load_encoder(f"hf:{hf_vit(tmp_path / str(s), seed=s)}", device="cpu").space.fingerprint for s in (1, 2)}
    assert len(marks) == 2
