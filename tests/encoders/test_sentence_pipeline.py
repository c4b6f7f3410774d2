"""Pipelines of sentence-transformers: the vectors are those of the library itself, or the checkpoint is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_encoders import TEXTS, hf_roberta, hf_vit

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.hf.checkpoints import facts_of, preprocessing_of
from stitchkit.encoders.hf.sentence_pipeline import MODES

OLD_KEYS = {
    "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens", "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens", "lasttoken": "pooling_mode_lasttoken",
}  # fmt: skip
LONG = [*TEXTS, " ".join(["left lung is clear ."] * 9), "THE HEART is Large ."]


def put(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def declare(folder, *parts, bert=None, whole=None, path="", where="sentence_transformers.models"):
    """``folder`` as a pipeline of a transformer and ``parts``: (kind, settings, weights) each."""
    lines = [{"idx": 0, "name": "0", "path": path, "type": f"{where}.Transformer"}]
    for i, (kind, settings, weights) in enumerate(parts, start=1):
        lines.append({"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"{where}.{kind}"})
        if settings is not None:
            put(folder, f"{i}_{kind}/config.json", settings)
        if weights:
            save_file(weights, folder / f"{i}_{kind}" / "model.safetensors")
    put(folder, "modules.json", lines)
    if bert is not None:
        put(folder, f"{path}/sentence_bert_config.json" if path else "sentence_bert_config.json", bert)
    if whole is not None:
        put(folder, "config_sentence_transformers.json", whole)
    return folder


def pooled(*modes, **settings):
    return ("Pooling", {"word_embedding_dimension": 16, **{OLD_KEYS[mode]: True for mode in modes}, **settings}, None)


def dense(width=16, height=6, seed=0, *, bias=True, settings=None, **weights):
    made = torch.nn.Linear(width, height, bias=bias)
    rng = torch.Generator().manual_seed(seed)
    state = {f"linear.{key}": torch.randn(value.shape, generator=rng) for key, value in made.state_dict().items()}
    config = {"in_features": width, "out_features": height, "bias": bias,
              "activation_function": "torch.nn.modules.activation.Tanh", **(settings or {})}  # fmt: skip
    return ("Dense", config, {**state, **weights})


def layer_norm(width=16):
    return ("LayerNorm", {"dimension": width}, {"norm.weight": torch.rand(width), "norm.bias": torch.rand(width)})


UNIT = ("Normalize", None, None)


def vectors(encoder, items=LONG):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled)


def loaded(folder, options=""):
    return load_encoder(f"hf:{folder}{options}", device="cpu")


@pytest.fixture
def bert(checkpoint, tmp_path):
    return shutil.copytree(checkpoint("hf_bert"), tmp_path / "pipeline")


def agrees(folder, items=LONG, **settings):
    """The vectors of ``folder`` are those of the library, alone and in a batch; returns the encoder."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(items, show_progress_bar=False, **settings)
    encoder = loaded(folder)
    np.testing.assert_allclose(vectors(encoder, items), wanted, atol=1e-5)
    np.testing.assert_allclose(vectors(encoder, items[:1]), wanted[:1], atol=1e-5)
    return encoder


POOLINGS = {mode: pooled(mode) for mode in MODES} | {
    "none named": pooled(),
    "old keys side by side": pooled("lasttoken", "cls", "mean"),
    "all": pooled(*MODES),
    "new key": ("Pooling", {"embedding_dimension": 16, "pooling_mode": "max", "include_prompt": True}, None),
    "new key wins": pooled("mean", pooling_mode="cls"),
    "new key with several": ("Pooling", {"embedding_dimension": 16, "pooling_mode": ["mean", "cls"]}, None),
}


@pytest.mark.parametrize("kind", POOLINGS)
def test_declared_poolings_give_the_librarys_vectors(bert, kind):
    agrees(declare(bert, POOLINGS[kind]))


RESIDUAL = {"residual.weight": torch.ones(6, 16)}
ENDINGS = {
    "normalize": [UNIT],
    "normalize with settings": [("Normalize", {"module_input_name": "sentence_embedding"}, None)],
    "dense": [dense()],
    "dense without bias": [dense(bias=False)],
    "dense without activation": [dense(settings={"activation_function": "torch.nn.modules.linear.Identity"})],
    "dense with another activation": [dense(settings={"activation_function": "torch.nn.modules.activation.GELU"})],
    "residual": [dense(height=16, settings={"use_residual": True})],
    "residual of other width": [dense(settings={"use_residual": True}, **RESIDUAL)],
    "layer norm": [layer_norm()],
    "dropout": [("Dropout", {"dropout": 0.5}, None)],
    "two denses": [dense(height=8), dense(8, 4, seed=1)],
    "norm between": [UNIT, dense(), UNIT],
    "all": [layer_norm(), dense(), UNIT],
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_modules_behind_the_pooling_give_the_librarys_vectors(bert, kind):
    agrees(declare(bert, pooled("mean"), *ENDINGS[kind]))


@pytest.mark.parametrize(
    "bert_settings",
    [
        {"max_seq_length": 7, "do_lower_case": False},
        {"max_seq_length": 24},
        {"tokenizer_args": {"model_max_length": 5}, "max_seq_length": 9},
        {"max_seq_length": 12, "model_args": {"attn_implementation": "eager"}},
        {"unpad_inputs": None, "query_length": 3},
    ],
)
def test_the_declared_length_gives_the_librarys_vectors(bert, bert_settings):
    encoder = agrees(declare(bert, pooled("mean"), bert=bert_settings))
    if bert_settings.get("max_seq_length") == 7:
        assert encoder.prepare(LONG)["input_ids"].shape[1] == 7


def test_a_declared_length_wins_over_the_tokenizers_but_not_over_the_positions(bert, tmp_path):
    settings = json.loads((bert / "tokenizer_config.json").read_text())
    put(bert, "tokenizer_config.json", {**settings, "model_max_length": 6})
    agrees(declare(bert, pooled("mean"), bert={"max_seq_length": 10}))
    encoder = loaded(declare(bert, pooled("mean"), bert={"max_seq_length": 900}))
    assert encoder.prepare(LONG)["input_ids"].shape[1] == 24
    roberta = declare(hf_roberta(tmp_path / "roberta"), pooled("mean"), bert={"max_seq_length": 24})
    assert loaded(roberta).prepare(LONG)["input_ids"].shape[1] == 22


def cased(folder):
    """The tokenizer of ``folder`` without lower case of its own."""
    state = json.loads((folder / "tokenizer.json").read_text())
    put(folder, "tokenizer.json", {**state, "normalizer": None})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    put(
        folder,
        "tokenizer_config.json",
        {**settings, "tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False},
    )
    return folder


@pytest.mark.parametrize("lower", [False, True])
def test_declared_lower_case_gives_the_librarys_vectors(bert, lower):
    encoder = agrees(declare(cased(bert), pooled("mean"), bert={"do_lower_case": lower}))
    upper, small = vectors(encoder, ["THE HEART"]), vectors(encoder, ["the heart"])
    assert np.allclose(upper, small) == lower


PROMPTS = {"prompts": {"query": "the lung . ", "plain": ""}, "default_prompt_name": "query"}


@pytest.mark.parametrize("mode", ["mean", "cls", "weightedmean", "max", "lasttoken"])
@pytest.mark.parametrize("include", [True, False])
def test_the_default_prompt_gives_the_librarys_vectors(bert, mode, include):
    agrees(declare(bert, pooled(mode, include_prompt=include), whole=PROMPTS))


def test_prompts_without_a_default_are_not_used(bert):
    agrees(declare(bert, pooled("mean"), whole={"prompts": {"query": "the lung . "}, "default_prompt_name": None}))
    agrees(declare(bert, pooled("mean"), whole={"prompts": {}, "default_prompt_name": "query"}))


def test_an_option_overrides_the_declared_prompt(bert):
    folder = declare(bert, pooled("mean", include_prompt=False), whole=PROMPTS)
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(LONG, prompt="no effusion ")
    np.testing.assert_allclose(vectors(loaded(folder, "#prompt=no effusion ")), wanted, atol=1e-5)
    plain = loaded(folder, "#pipeline=none")
    np.testing.assert_allclose(vectors(loaded(folder, "#prompt=")), vectors(plain), atol=1e-6)


@pytest.mark.parametrize("ending", [[], [UNIT], [dense(), UNIT]])
def test_declared_truncation_gives_the_librarys_vectors(bert, ending):
    agrees(declare(bert, pooled("mean"), *ending, whole={"truncate_dim": 5}))


def test_the_folder_of_the_transformer_may_lie_below(checkpoint, tmp_path):
    shutil.copytree(checkpoint("hf_bert"), tmp_path / "m" / "0_Transformer")
    agrees(declare(tmp_path / "m", pooled("cls"), UNIT, path="0_Transformer", bert={"max_seq_length": 9}))


def test_what_the_library_saves_today_is_read(checkpoint, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers.sentence_transformer import modules

    first = modules.Transformer(str(checkpoint("hf_bert")), max_seq_length=9)
    parts = [first, modules.Pooling(16, ("max", "mean")), modules.Dense(32, 8), modules.LayerNorm(8)]
    prompts = {"query": "left lung "}
    library.SentenceTransformer(
        modules=[*parts, modules.Normalize()], device="cpu", prompts=prompts, default_prompt_name="query"
    ).save(str(tmp_path / "saved"))
    agrees(tmp_path / "saved")


@pytest.mark.parametrize("mode", ["cls", "mean", "max"])
def test_pipelines_of_images_pool_every_token_as_the_library_does(tmp_path, images, mode):
    from PIL import Image

    settings = {"modality_config": {"image": {"method": "forward", "method_output_name": "last_hidden_state"}},
                "module_output_name": "token_embeddings"}  # fmt: skip
    agrees(
        declare(hf_vit(tmp_path / "vit"), pooled(mode), UNIT, bert=settings),
        [Image.fromarray(image).convert("RGB") for image in images],
    )


def test_weights_of_a_module_may_be_a_pickle_of_tensors(bert):
    kind, settings, weights = dense()
    folder = declare(bert, pooled("mean"), (kind, settings, None))
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    agrees(folder)


def test_options_override_what_is_declared(bert):
    folder = declare(bert, pooled("cls"), UNIT, bert={"max_seq_length": 9})
    lengths = np.linalg.norm(vectors(loaded(folder)), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    assert not np.allclose(np.linalg.norm(vectors(loaded(folder, "#norm=none")), axis=1), 1)
    short = TEXTS[:2]
    plain = f"{folder}#pipeline=none"
    for one, other in (("#norm=none", "&pool=cls"), ("#pool=mean", "&norm=unit"), ("#pool=mean&norm=none", "")):
        np.testing.assert_allclose(
            vectors(loaded(folder, one), short), vectors(loaded(plain + other), short), atol=1e-6
        )
    layer = vectors(loaded(folder, "#layer=1&norm=none"), short)
    np.testing.assert_allclose(layer, vectors(loaded(plain, "&pool=cls&layer=1"), short), atol=1e-6)


def test_pipeline_none_is_the_plain_checkpoint(bert, checkpoint):
    folder = declare(bert, pooled("cls"), dense(), UNIT, bert={"max_seq_length": 9}, whole=PROMPTS)
    one, other = loaded(folder, "#pipeline=none"), loaded(checkpoint("hf_bert"))
    assert one.space.fingerprint == other.space.fingerprint
    np.testing.assert_array_equal(vectors(one), vectors(other))
    with pytest.raises(UnknownNameError, match="no pipeline is called 'no'"):
        loaded(folder, "#pipeline=no")


def test_every_part_of_the_pipeline_is_in_the_fingerprint(bert):
    other_activation = dense(settings={"activation_function": "torch.nn.ReLU"})
    ways = [
        ([pooled("mean")], {}, {}),
        ([pooled("cls")], {}, {}),
        ([pooled("max")], {}, {}),
        ([pooled("mean", "max")], {}, {}),
        ([pooled("mean"), UNIT], {}, {}),
        ([pooled("mean"), dense()], {}, {}),
        ([pooled("mean"), dense(seed=1)], {}, {}),
        ([pooled("mean"), other_activation], {}, {}),
        ([pooled("mean"), UNIT, dense()], {}, {}),
        ([pooled("mean"), layer_norm()], {}, {}),
        ([pooled("mean")], {"max_seq_length": 9}, {}),
        ([pooled("mean")], {"do_lower_case": True}, {}),
        ([pooled("mean")], {}, PROMPTS),
        ([pooled("mean", include_prompt=False)], {}, PROMPTS),
        ([pooled("mean")], {}, {"truncate_dim": 5}),
    ]
    marks = [loaded(declare(bert, *p, bert=b, whole=w)).space.fingerprint for p, b, w in ways]
    assert len(set(marks)) == len(ways)
    plain = loaded(bert, "#pipeline=none").space.fingerprint
    assert marks[0] == plain  # the same vectors by another way


def test_a_plain_folder_has_the_fingerprint_of_weights_config_pooling_and_inputs_alone(checkpoint):
    """Pipelines add nothing to the fingerprint of a checkpoint that declares none."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = checkpoint("hf_bert")
    state = {k: v for k, v in AutoModel.from_pretrained(folder).state_dict().items() if "pooler." not in k}
    settings = {"pool": "mean", "layer": -1, "norm": "none", "prompt": "", "length": 24,
                "preprocessing": preprocessing_of(AutoTokenizer.from_pretrained(folder)),
                "config": facts_of(AutoConfig.from_pretrained(folder))}  # fmt: skip
    assert loaded(folder).space.fingerprint == fingerprint(state, settings)


REFUSED = {
    "cnn": ([("CNN", {}, None), pooled("mean")], {}, {}, r"'sentence_transformers\.models\.CNN' as its module 1"),
    "word weights": ([("WordWeights", {}, None), pooled("mean")], {}, {}, "WordWeights"),
    "layer pooling": ([("WeightedLayerPooling", {}, None), pooled("mean")], {}, {}, "WeightedLayerPooling"),
    "dense before pooling": ([dense(), pooled("mean")], {}, {}, "Pooling' as its module 2"),
    "two poolings": ([pooled("mean"), pooled("cls")], {}, {}, "Pooling' as its module 2"),
    "no pooling": ([UNIT], {}, {}, "without a pooling"),
    "mode": ([pooled(pooling_mode="attention")], {}, {}, "pooling mode 'attention'"),
    "no mode": ([pooled(pooling_mode=[])], {}, {}, "a pooling without a mode"),
    "pooling key": ([pooled("mean", pooling_mode_of_mine=True)], {}, {}, "pooling_mode_of_mine"),
    "pooling type": ([pooled("mean", include_prompt="no")], {}, {}, r"1_Pooling/config\.json .*include_prompt"),
    "tokens": (
        [pooled("mean"), ("Normalize", {"module_input_name": "token_embeddings"}, None)], {}, {}, "'token_embeddings'",
    ),
    "output": ([pooled("mean"), dense(settings={"module_output_name": "other"})], {}, {}, "'other'"),
    "activation": ([pooled("mean"), dense(settings={"activation_function": "os.system"})], {}, {}, "'os.system'"),
    "learned activation": (
        [pooled("mean"), dense(settings={"activation_function": "torch.nn.modules.activation.PReLU"})], {}, {}, "PReLU",
    ),
    "dense key": ([pooled("mean"), dense(settings={"scale": 2})], {}, {}, "sets 'scale'"),
    "dense size": ([pooled("mean"), dense(settings={"in_features": "16"})], {}, {}, "in_features = '16'"),
    "width": ([pooled("mean", "cls"), dense()], {}, {}, "takes vectors of width 16; the pooling gives 32"),
    "norm width": ([pooled("mean"), layer_norm(7)], {}, {}, "takes vectors of width 7; the pooling gives 16"),
    "task": ([pooled("mean")], {"transformer_task": "fill-mask"}, {}, "'fill-mask'"),
    "hidden states": (
        [pooled("mean")],
        {"modality_config": {"text": {"method": "forward", "method_output_name": ["hidden_states", -2]}}}, {},
        "hidden_states",
    ),
    "chat": (
        [pooled("mean")],
        {"modality_config": {"message": {"method": "forward", "method_output_name": "last_hidden_state"}}}, {},
        "'message'",
    ),
    "length": ([pooled("mean")], {"max_seq_length": 0}, {}, "max_seq_length = 0"),
    "length type": ([pooled("mean")], {"max_seq_length": "long"}, {}, "max_seq_length"),
    "transformer key": ([pooled("mean")], {"reverse_words": True}, {}, "reverse_words"),
    "model settings": ([pooled("mean")], {"model_args": {"num_hidden_layers": 1}}, {}, "'num_hidden_layers'"),
    "config settings": ([pooled("mean")], {"config_args": {"hidden_act": "relu"}}, {}, "'hidden_act'"),
    "tokenizer settings": ([pooled("mean")], {"tokenizer_args": {"do_lower_case": True}}, {}, "'do_lower_case'"),
    "processing": ([pooled("mean")], {"processing_kwargs": {"text": {"max_length": 4}}}, {}, "processing_kwargs"),
    "tokenizer": ([pooled("mean")], {"tokenizer_name_or_path": "other"}, {}, "tokenizer_name_or_path"),
    "prompt": ([pooled("mean")], {}, {"prompts": {}, "default_prompt_name": "mine"}, "default prompt 'mine'"),
    "prompt type": ([pooled("mean")], {}, {"prompts": ["a"]}, "prompts"),
    "kind": ([pooled("mean")], {}, {"model_type": "SparseEncoder"}, "SparseEncoder"),
    "truncation": ([pooled("mean")], {}, {"truncate_dim": 0}, "truncate_dim = 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(bert, kind):
    parts, settings, whole, message = REFUSED[kind]
    declare(bert, *parts, bert=settings, whole=whole)
    with pytest.raises(InputError, match=message):
        loaded(bert)
    assert loaded(bert, "#pipeline=none").space.dim == 16


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no module at all"),
        ({"0": "Transformer"}, "Expected `array`"),
        ([{"path": ""}], "type"),
        ([{"type": "sentence_transformers.models.Router", "path": ""}], "Router' as its module 0"),
        ([{"type": "custom_code.Transformer", "path": ""}], "'custom_code.Transformer' as its module 0"),
        ([{"type": "sentence_transformers.models.Transformer", "path": "../other"}], "in no folder of its own"),
    ],
)
def test_a_list_of_modules_that_is_something_else_is_refused(bert, lines, message):
    put(bert, "modules.json", lines)
    with pytest.raises(InputError, match=message):
        loaded(bert)


def test_a_module_of_another_package_is_refused(bert):
    declare(bert, pooled("mean"), dense(), where="pylate.models")
    with pytest.raises(InputError, match=r"'pylate\.models\.Transformer' as its module 0"):
        loaded(bert)


def test_parts_that_are_missing_or_of_another_shape_are_refused(bert):
    folder = declare(bert, pooled("mean"), dense())
    weights = folder / "2_Dense" / "model.safetensors"
    save_file({"linear.weight": torch.ones(6, 16)}, weights)
    with pytest.raises(ModelUnavailableError, match=r"'linear\.bias' has shape None; .* settings say \(6,\)"):
        loaded(folder)
    save_file({"linear.weight": torch.ones(6, 15), "linear.bias": torch.ones(6)}, weights)
    with pytest.raises(ModelUnavailableError, match=r"'linear\.weight' has shape \(6, 15\); .* say \(6, 16\)"):
        loaded(folder)
    weights.unlink()
    with pytest.raises(ModelUnavailableError, match="lacks the weights of its Dense module"):
        loaded(folder)
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ModelUnavailableError, match=r"lacks 1_Pooling/config\.json"):
        loaded(folder)
    (folder / "modules.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match=r"modules\.json is not JSON"):
        loaded(folder)


@pytest.fixture
def cached(checkpoint, tmp_path, monkeypatch):
    """The folder of a repository ``org/name`` in a cache of the hub, which is out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--org--name"
    folder = shutil.copytree(checkpoint("hf_bert"), repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    return folder


def test_a_repository_of_the_hub_is_read_as_its_folder(cached):
    parts = [pooled("cls"), dense(), UNIT]
    declare(cached, *parts, bert={"max_seq_length": 9})
    of_folder = loaded(cached).space.fingerprint
    assert loaded("org/name").space.fingerprint == of_folder
    (cached / "0_Transformer").mkdir()
    for file in [file for file in cached.iterdir() if file.is_file()]:
        file.rename(cached / "0_Transformer" / file.name)
    declare(cached, *parts, path="0_Transformer")
    assert loaded("org/name").space.fingerprint == of_folder


def test_a_repository_whose_pipeline_cannot_be_seen_is_warned_of(cached):
    with pytest.warns(UserWarning, match="nothing tells whether the repository declares a pipeline"):
        plain = loaded("org/name")
    assert loaded("org/name#pipeline=none").space.fingerprint == plain.space.fingerprint
    absent = cached.parents[1] / ".no_exist" / cached.name
    absent.mkdir(parents=True)
    (absent / "modules.json").touch()
    assert loaded("org/name").space.fingerprint == plain.space.fingerprint


def test_a_pipeline_of_a_pair_gives_the_librarys_vectors(checkpoint, tmp_path, images):
    from PIL import Image

    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    folder = shutil.copytree(checkpoint("hf_clip"), tmp_path / "pair")
    kinds = {"": "CLIPModel", "1_Normalize": "Normalize"}
    put(folder, "modules.json", [
        {"name": one, "path": path, "type": f"sentence_transformers.models.{one}"} for path, one in kinds.items()
    ])  # fmt: skip
    library.SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "saved"))  # as it is written today
    pictures = [Image.fromarray(image).convert("RGB") for image in images]
    for one in (folder, tmp_path / "saved"):
        model = library.SentenceTransformer(str(one), device="cpu")
        for modality, items in (("text", ["heart", "left lung"]), ("image", pictures)):
            wanted = model.encode(items, show_progress_bar=False)
            np.testing.assert_allclose(vectors(loaded(one, f"#modality={modality}"), items), wanted, atol=1e-5)


def test_more_than_a_norm_behind_a_pair_is_refused(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_clip"), tmp_path / "pair")
    with pytest.raises(InputError, match="declares Pooling behind a CLIP-like pair"):
        loaded(declare(folder, pooled("mean")), "#modality=text")
    with pytest.raises(InputError, match="declares Dense behind a CLIP-like pair"):
        loaded(declare(folder, dense(8, 4)), "#modality=text")
    with pytest.raises(InputError, match="declares truncate_dim behind a CLIP-like pair"):
        loaded(declare(folder, UNIT, whole={"truncate_dim": 4}), "#modality=text")
