"""A fingerprint changes with everything that changes vectors, and with nothing else."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import PYTHON, timm_vit
from tiny_files import timm_model
from tiny_onnx import save, text_model
from tiny_pairs import ALL_TABLE as TABLE

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import UnknownNameError
from stitchkit.encoders import ENCODERS, load_encoder


def in_json(file, **changes):
    """Keys of a JSON file set to values; two underscores lead to deeper places."""

    def change(folder):
        content = json.loads((folder / file).read_text())
        for key, value in changes.items():
            *way, last = key.split("__")
            at = content
            for part in way:
                at = at[part]
            at[last] = value
        (folder / file).write_text(json.dumps(content))

    return change


def in_text(file, old, new):
    def change(folder):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return change


def one_weight(file="model.safetensors", within="weight", by=0.1):
    """One number of one weight, moved a little."""

    def change(folder):
        from safetensors.torch import load_file, save_file

        state = load_file(folder / file)
        key = next(key for key in state if within in key and state[key].is_floating_point())
        state[key].view(-1)[0] += by
        save_file(state, folder / file, metadata={"format": "pt"})

    return change


def one_tensor(file, within, part=None):
    def change(folder):
        import torch

        whole = torch.load(folder / file, weights_only=True)
        state = whole[part] if part else whole
        key = next(key for key in state if within in key)
        state[key].view(-1)[0] += 0.1
        torch.save(whole, folder / file)

    return change


def instead(file, write):
    return lambda folder: write(folder / file)


def options(text):
    return text


CONFIG, IMAGES, TOKENS = "config.json", "preprocessor_config.json", "tokenizer.json"
OPEN = "open_clip_config.json"

# (row of the common table, what is changed, a change of the files or the options to load with)
CHANGES = [
    ("timm-path", "weight", one_weight(within="cls_token")),
    ("timm-path", "mean", in_json(CONFIG, pretrained_cfg__mean=[0.4, 0.5, 0.5])),
    ("timm-path", "deviation", in_json(CONFIG, pretrained_cfg__std=[0.4, 0.5, 0.5])),
    ("timm-path", "interpolation", in_json(CONFIG, pretrained_cfg__interpolation="bilinear")),
    ("timm-path", "crop share", in_json(CONFIG, pretrained_cfg__crop_pct=0.5)),
    ("timm-path", "crop mode", in_json(CONFIG, pretrained_cfg__crop_mode="border")),
    ("timm-path", "resolution", options("#resolution=48")),
    ("timm-path", "pooling of the network", in_json(CONFIG, model_args__global_pool="avg", model_args__fc_norm=False)),
    ("timm-path", "activation", in_json(CONFIG, model_args__act_layer="relu")),
    ("timm-maps", "size", in_json(CONFIG, pretrained_cfg__input_size=[3, 96, 96])),
    ("timm-maps", "resolution", options("#resolution=96")),
    ("hf-vit-cls", "weight", one_weight(within="cls_token")),
    ("hf-vit-cls", "mean", in_json(IMAGES, image_mean=[0.4, 0.5, 0.5])),
    ("hf-vit-cls", "deviation", in_json(IMAGES, image_std=[0.4, 0.5, 0.5])),
    ("hf-vit-cls", "kernel", in_json(IMAGES, resample=0)),
    ("hf-vit-cls", "no normalisation", in_json(IMAGES, do_normalize=False)),
    ("hf-vit-cls", "activation", in_json(CONFIG, hidden_act="relu")),
    ("hf-vit-cls", "rounding of norms", in_json(CONFIG, layer_norm_eps=1e-3)),
    ("hf-vit-cls", "pooling", options("#pool=mean")),
    ("hf-vit-cls", "layer", options("#layer=1")),
    ("hf-vit-cls", "norm", options("#norm=unit")),
    ("hf-vit-cls", "resolution", options("#resolution=48")),
    ("hf-clip-image", "weight", one_weight(within="visual_projection")),
    ("hf-clip-image", "crop", in_json("processor_config.json", image_processor__do_center_crop=False,
                                      image_processor__size={"height": 32, "width": 32})),
    ("hf-clip-image", "size before the crop", in_json("processor_config.json",
                                                      image_processor__size={"shortest_edge": 40})),
    ("hf-clip-image", "activation", in_json(CONFIG, vision_config__hidden_act="gelu")),
    ("hf-clip-image", "norm", options("&norm=unit")),
    ("hf-clip-image", "resolution", options("&resolution=48")),
    ("hf-clip-text", "weight", one_weight(within="text_projection")),
    ("hf-clip-text", "prompt", options("&prompt=an x-ray of ")),
    ("hf-clip-text", "length", in_json("tokenizer_config.json", model_max_length=20)),
    ("hf-clip-text", "activation", in_json(CONFIG, text_config__hidden_act="gelu")),
    ("hf-bert-mean", "weight", one_weight(within="LayerNorm.weight")),
    ("hf-bert-mean", "words", in_text(TOKENS, "effusion", "edema")),
    ("hf-bert-mean", "case", in_json("tokenizer_config.json", do_lower_case=False)),
    ("hf-bert-mean", "length", in_json("tokenizer_config.json", model_max_length=7)),
    ("hf-bert-mean", "activation", in_json(CONFIG, hidden_act="relu")),
    ("hf-bert-mean", "direction", in_json(CONFIG, is_decoder=True)),
    ("hf-bert-mean", "pooling", options("#pool=cls")),
    ("hf-bert-mean", "last token", options("#pool=last")),
    ("hf-bert-mean", "prompt", options("#prompt=the lung . ")),
    ("hf-bert-mean", "layer", options("#layer=0")),
    ("hf-gpt2-last", "pooling", options("#pool=mean")),
    ("st", "weight", one_weight("2_Dense/model.safetensors")),
    ("st", "activation of the transformer", in_json(CONFIG, hidden_act="relu")),
    ("st", "prompt", options("#prompt=the heart . ")),
    ("st", "prompt by name", options("#prompt_name=query")),
    ("st", "length", in_json("sentence_bert_config.json", max_seq_length=7)),
    ("st", "pooling", in_json("1_Pooling/config.json", pooling_mode="cls")),
    ("open-clip-image", "weight", one_weight("open_clip_model.safetensors", "visual.proj")),
    ("open-clip-image", "mean", in_json(OPEN, preprocess_cfg__mean=[0.4, 0.4, 0.4])),
    ("open-clip-image", "kernel", in_json(OPEN, preprocess_cfg__interpolation="bilinear")),
    ("open-clip-image", "way of resizing", in_json(OPEN, preprocess_cfg__resize_mode="squash")),
    ("open-clip-image", "activation", in_json(OPEN, model_cfg__quick_gelu=True)),
    ("open-clip-image", "pooling of the network", in_json(OPEN, model_cfg__vision_cfg__pool_type="avg")),
    ("open-clip-image", "norm", options("&norm=unit")),
    ("open-clip-image", "resolution", options("&resolution=48")),
    ("open-clip-text", "weight", one_weight("open_clip_model.safetensors", "text_projection")),
    ("open-clip-text", "activation", in_json(OPEN, model_cfg__quick_gelu=True)),
    ("open-clip-text", "mask", in_json(OPEN, model_cfg__text_cfg__no_causal_mask=True)),
    ("open-clip-text", "prompt", options("&prompt=an x-ray of ")),
    ("open-clip-hf-text", "words", in_text(TOKENS, "effusion", "edema")),
    ("open-clip-hf-text", "activation", in_json(CONFIG, hidden_act="relu")),
    ("local-timm", "weight", one_tensor("resnet.pth", "conv1")),
    ("local-timm", "size", options("&size=96")),
    ("local-timm", "mean", options("&mean=0.4,0.4,0.4")),
    ("local-timm", "deviation", options("&std=0.4,0.4,0.4")),
    ("local-torchvision", "weight", one_tensor("last.ckpt", "conv1", "state_dict")),
    ("local-torchvision", "mean", options("&mean=0.4,0.4,0.4")),
    ("onnx-text-mean", "weight", instead("model.onnx", partial(save, text_model(seed=9)))),
    ("onnx-text-mean", "words", in_text(TOKENS, "effusion", "edema")),
    ("onnx-text-mean", "length", in_json("tokenizer_config.json", model_max_length=7)),
    ("onnx-text-mean", "pooling", options("#pool=cls")),
    ("onnx-text-mean", "prompt", options("#prompt=the lung .")),
    ("onnx-text-mean", "norm", options("#norm=unit")),
    ("onnx-image-mean", "mean", in_json(IMAGES, image_mean=[0.4, 0.5, 0.5])),
    ("onnx-image-mean", "kernel", in_json(IMAGES, resample=0)),
    ("xrv-densenet", "weight", one_tensor("densenet.pt", "conv0")),
    ("xrv-densenet", "size", options("#size=96")),
    ("python-module", "source", in_text("mine.py", "/ 255", "/ 256")),
    ("python-module", "settings", options("!Thumbnails#dim=6")),
    ("python-function", "source", in_text("mine.py", "(4, 4)", "(4, 5)")),
]  # fmt: skip


def loaded(row, folder, more=""):
    name = TABLE[row][0].format(folder=folder)
    if more.startswith("!"):
        name, more = name.rpartition(":")[0] + ":", more[1:]
    return load_encoder(name + more, device="cpu")


@pytest.fixture(scope="module")
def own(checkpoint):
    """The encoder of a row of the table, loaded once."""
    found = {}

    def encoder(row):
        if row not in found:
            found[row] = loaded(row, checkpoint(TABLE[row][1]))
        return found[row]

    return encoder


@pytest.mark.parametrize(("row", "what", "change"), CHANGES, ids=[f"{row}: {what}" for row, what, _ in CHANGES])
def test_the_fingerprint_changes_with_what_changes_vectors(row, what, change, checkpoint, items, own, tmp_path):
    folder, more = Path(checkpoint(TABLE[row][1])), ""
    if isinstance(change, str):
        more = change
    else:
        folder = shutil.copytree(folder, tmp_path / "copy")
        change(folder)
    other = loaded(row, folder, more)
    assert other.space.fingerprint != own(row).space.fingerprint
    given = items(other.modality) if other.modality == "image" else [*items("text"), "Lungs are clear . " * 9]
    vectors = [to_numpy(one.encode(one.prepare(given)).pooled) for one in (own(row), other)]
    assert vectors[0].shape != vectors[1].shape or np.abs(vectors[0] - vectors[1]).max() > 1e-7


FAMILIES = {row.partition(":")[0] for row, _, _ in TABLE.values()}
REPRESENTATIVES = [
    "timm-path", "hf-vit-cls", "hf-bert-prompt", "hf-gpt2-last", "hf-clip-image", "hf-siglip-text", "st-prompt-name",
    "open-clip-image", "open-clip-hf-text", "local-timm", "local-torchvision", "onnx-text-output", "onnx-image-mean",
    "xrv-resnet", "python-module",
]  # fmt: skip


@pytest.mark.parametrize("row", REPRESENTATIVES)
def test_the_same_bytes_in_another_folder_are_the_same_space(row, checkpoint, own, tmp_path):
    copy = shutil.copytree(checkpoint(TABLE[row][1]), tmp_path / "elsewhere")
    assert loaded(row, copy).space.fingerprint == own(row).space.fingerprint


def test_every_family_is_in_these_tables():
    rows = {row for row, _, _ in CHANGES}
    changed = {TABLE[row][0].partition(":")[0] for row in rows}
    copied = {TABLE[row][0].partition(":")[0] for row in REPRESENTATIVES}
    assert changed == copied == FAMILIES == set(ENCODERS) - {"demo", "stitchkit"}  # of these two see below


IRRELEVANT = [
    ("hf-vit-cls", in_json(CONFIG, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})),
    ("hf-vit-cls", in_json(CONFIG, transformers_version="5.0.0", initializer_range=0.5, hidden_dropout_prob=0.3)),
    ("hf-bert-mean", in_json(CONFIG, architectures=["BertForMaskedLM"], use_cache=False, _name_or_path="org/name")),
    ("timm-path", in_json(CONFIG, pretrained_cfg__label_names=["a", "b", "c"])),
    ("open-clip-text", in_json(OPEN, preprocess_cfg__mean=[0.4, 0.4, 0.4])),
]


@pytest.mark.parametrize(("row", "change"), IRRELEVANT)
def test_what_changes_no_vector_does_not_change_the_fingerprint(row, change, checkpoint, own, tmp_path):
    copy = shutil.copytree(checkpoint(TABLE[row][1]), tmp_path / "copy")
    change(copy)
    assert loaded(row, copy).space.fingerprint == own(row).space.fingerprint


def test_equal_weights_in_two_architectures_of_timm_are_two_spaces(tmp_path):
    """The two pad images in other ways, and their weights have the same names and shapes."""
    import timm

    model, marks = timm_model("efficientnet_lite0", num_classes=0), []
    for architecture in ("efficientnet_lite0", "tf_efficientnet_lite0"):
        folder = tmp_path / architecture
        timm.models.save_for_hf(model, str(folder), model_config={"num_classes": 0}, safe_serialization=True)
        in_json(CONFIG, architecture=architecture)(folder)
        marks.append(load_encoder(f"timm:{folder}", device="cpu").space.fingerprint)
    assert marks[0] != marks[1]


@pytest.mark.parametrize("row", ["timm-path", "hf-bert-mean", "st", "open-clip-image", "local-timm", "xrv-densenet"])
def test_precision_is_not_in_the_fingerprint(row, checkpoint, own):
    name = TABLE[row][0].format(folder=checkpoint(TABLE[row][1]))
    assert load_encoder(name, device="cpu", dtype="bfloat16").space.fingerprint == own(row).space.fingerprint


def test_a_stitched_encoder_is_of_its_map_and_of_its_source(tmp_path):
    general, text = (load_encoder(name, device="cpu") for name in ("demo:general", "demo:text"))
    rng = np.random.default_rng(0)
    marks = set()
    for seed in range(2):
        x, y = (
            sk.Embeddings(rng.normal(size=(40, one.space.dim)), np.arange(40).astype(str), one.space)
            for one in (general, text)
        )
        alignment = sk.align(x, y, solver="ridge", nested=False, progress=False)
        sk.save(sk.stitch(general, alignment), tmp_path / str(seed))
        marks |= {load_encoder(f"stitchkit:{tmp_path / str(seed)}", device="cpu").space.fingerprint for _ in range(2)}
    assert len(marks) == 2
    assert general.space.fingerprint not in marks
    with pytest.raises(UnknownNameError, match="known options: none"):
        load_encoder(f"stitchkit:{tmp_path / '0'}#pool=cls", device="cpu")


def test_a_trained_encoder_is_of_its_form_too():
    """Two networks whose weights have the same names and shapes, with other numbers of heads."""
    import torch

    from stitchkit.encoders import EncoderName
    from stitchkit.encoders.pair_network import ImageInput
    from stitchkit.encoders.shared.encoder import load, pack_shared
    from stitchkit.encoders.shared.network import TOKEN_WISE, SharedNetwork, SharedShape

    hashes = []
    for heads, mean in ((4, 0.5), (4, 0.5), (2, 0.5), (4, 0.4)):
        torch.manual_seed(0)
        network = SharedNetwork(SharedShape(32, 1, heads, 16, None, TOKEN_WISE, 4, {"image": ImageInput(32, 8)}))
        config, arrays = pack_shared(network, {"wide": 36, "mean": [mean] * 3, "std": [0.5] * 3})
        encoder = load(
            EncoderName.parse("stitchkit:here#modality=image"), config, arrays, device="cpu", dtype="float32"
        )
        hashes.append(encoder.space.fingerprint)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_python_code_is_hashed_as_it_is_written(tmp_path):
    marks = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(PYTHON)
        marks.append(load_encoder(f"python:{tmp_path / folder}/mine.py:thumbnails", device="cpu").space.fingerprint)
    assert marks[0] == marks[1]


def test_another_seed_is_another_space(tmp_path):
    marks = {
        load_encoder(f"timm:{timm_vit(tmp_path / str(seed), seed=seed)}", device="cpu").space.fingerprint
        for seed in (0, 1)
    }
    assert len(marks) == 2
