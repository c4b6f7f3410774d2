"""Failures of libraries on a damaged checkpoint are refused by name; errors of this package's own code come through."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import pytest

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.checkpoints import check_counts
from stitchkit.encoders.library_calls import fits, library_call


def loaded(folder, options="", family="hf"):
    return load_encoder(f"{family}:{folder}{options}", device="cpu")


def a_bug(*_, **__):
    raise TypeError("a mistake of our own")


OWN_CODE = {
    "images": ("hf_vit", "hf", "", "stitchkit.encoders.hf.inputs.rgb"),
    "batch of images": ("hf_vit", "hf", "", "stitchkit.encoders.hf.load.move"),
    "images of a pair": ("hf_clip", "hf", "#modality=image", "stitchkit.encoders.hf.pairs.move"),
    "batch of texts": ("hf_bert", "hf", "", "stitchkit.encoders.hf.load.move"),
    "pooling": ("hf_vit", "hf", "", "stitchkit.encoders.pooling.Pooling._pool"),
    "tokenizer's checks": ("hf_bert", "hf", "", "stitchkit.encoders.hf.inputs.check_token_ids"),
    "images for timm": ("timm_vit", "timm", "", "stitchkit.encoders.timm_vision.rgb"),
    "batch for timm": ("timm_vit", "timm", "", "stitchkit.encoders.timm_vision.move"),
}


@pytest.mark.parametrize("case", OWN_CODE)
def test_a_mistake_of_our_own_is_not_blamed_on_the_checkpoint(case, checkpoint, monkeypatch):
    builder, family, options, ours = OWN_CODE[case]
    folder = checkpoint(builder)
    monkeypatch.setattr(ours, a_bug)
    with pytest.raises(TypeError, match="a mistake of our own"):
        loaded(folder, options, family)


@pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x02}q\x00(X\x05"])  # an EOFError and a struct.error of pickle
@pytest.mark.parametrize(("builder", "family"), [("hf_bert", "hf"), ("timm_vit", "timm")])
def test_a_pickle_that_ends_early_is_refused(builder, family, start, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(builder), tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(start)
    with pytest.raises(ModelUnavailableError, match="against their source and copy them again"):
        loaded(folder, family=family)


LIBRARIES = {
    "image processor": ("hf_vit", "hf", "", "transformers.ViTImageProcessor.__call__", "makes no input of an image"),
    "image model": ("hf_vit", "hf", "", "transformers.ViTModel.forward", "does not fit its model"),
    "tokenizer": ("hf_bert", "hf", "", "transformers.BertTokenizerFast.__call__", "cannot be used as its settings are"),
    "text model": ("hf_bert", "hf", "", "transformers.BertModel.forward", "a text of one letter cannot be encoded"),
    "half of a pair": ("hf_clip", "hf", "#modality=image", "transformers.CLIPModel.get_image_features", "does not fit"),
    "timm model": ("timm_vit", "timm", "", "timm.models.VisionTransformer.forward_features", "does not fit its model"),
}


@pytest.mark.parametrize("case", LIBRARIES)
def test_a_failure_inside_a_library_names_the_checkpoint(case, checkpoint, monkeypatch):
    builder, family, options, theirs, message = LIBRARIES[case]
    folder = checkpoint(builder)
    monkeypatch.setattr(theirs, a_bug)
    with pytest.raises(ModelUnavailableError, match=f"{message}.*The library says: a mistake of our own"):
        loaded(folder, options, family)


def test_a_device_out_of_memory_is_no_fault_of_the_checkpoint():
    with pytest.raises(RuntimeError, match="CUDA out of memory"), fits("it does not fit", "Change it"), library_call():
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def test_settings_that_ask_for_more_memory_than_there_is_do_not_fit():
    message = r"it does not fit\. Change it\. The library says: MemoryError"
    with pytest.raises(ModelUnavailableError, match=message), fits("it does not fit", "Change it"), library_call():
        raise MemoryError
    with pytest.raises(MemoryError), fits("it does not fit", "Change it"):
        raise MemoryError


def test_the_words_of_an_error_do_not_say_where_it_was_raised():
    error = TypeError("a mistake of our own")
    error.add_note("Raised inside the library that the checkpoint is read with.")
    with pytest.raises(TypeError, match="a mistake of our own"), fits("it does not fit", "Change it"):
        raise error
    with pytest.raises(TypeError, match="a mistake of our own") as raised, library_call():
        raise error
    assert len(raised.value.__notes__) == 1


def raising(error):
    def raises(*_, **__):
        raise error

    return raises


LOADERS = {  # builder, family, call of a library
    "hf": ("hf_vit", "hf", "transformers.AutoModel.from_pretrained"),
    "hf config": ("hf_bert", "hf", "transformers.AutoConfig.from_pretrained"),
    "timm": ("timm_vit", "timm", "timm.create_model"),
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("words", ["CUDA out of memory. Tried to allocate 2 GiB", "MPS backend out of memory"])
def test_a_full_device_while_loading_is_not_blamed_on_files(loader, words, checkpoint, monkeypatch):
    builder, family, call = LOADERS[loader]
    folder = checkpoint(builder)
    monkeypatch.setattr(call, raising(RuntimeError(words)))
    with pytest.raises(RuntimeError, match=words) as raised:
        loaded(folder, family=family)
    assert not isinstance(raised.value, ModelUnavailableError)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_too_little_main_memory_while_loading_is_said_and_not_blamed_on_the_copy(
    loader, error, checkpoint, monkeypatch
):
    builder, family, call = LOADERS[loader]
    folder = checkpoint(builder)
    monkeypatch.setattr(call, raising(error))
    with pytest.raises(ModelUnavailableError, match="more main memory than there is") as raised:
        loaded(folder, family=family)
    assert "copy them again" not in str(raised.value)


@pytest.mark.parametrize(
    ("builder", "family", "ours"),
    [("hf_vit", "hf", "stitchkit.encoders.hf.checkpoints.quiet"),
     ("timm_vit", "timm", "stitchkit.encoders.timm_vision._missing_weights_raise")],
)  # fmt: skip
def test_a_mistake_of_our_own_while_loading_is_not_blamed_on_files(builder, family, ours, checkpoint, monkeypatch):
    folder = checkpoint(builder)

    @contextmanager
    def mistaken(*_):
        yield
        raise AttributeError("a mistake of our own")

    monkeypatch.setattr(ours, mistaken)
    with pytest.raises(AttributeError, match="a mistake of our own"):
        loaded(folder, family=family)


def test_errors_of_this_package_inside_a_call_stay_what_they_are():
    with pytest.raises(InputError, match="item 3"), fits("it does not fit", "Change it"), library_call():
        raise InputError("item 3 is no image")


DAMAGE = {  # builder, family, options, file, key -> value, message
    "setting of another type": ("hf_bert", "hf", "", "config.json", {"type_vocab_size": False}, "type_vocab_size"),
    "no number": ("hf_vit", "hf", "", "config.json", {"num_channels": None}, "num_channels"),
    "padding beyond the words": ("hf_bert", "hf", "", "config.json", {"pad_token_id": 99}, "AssertionError: Padding"),
    "type of numbers": ("hf_bert", "hf", "", "config.json", {"dtype": "floaty"}, "AttributeError: .*floaty"),
    "empty type of numbers": ("hf_bert", "hf", "", "config.json", {"dtype": []}, "IndexError: "),
    "part of a tokenizer": ("hf_bert", "hf", "", "tokenizer.json", {"post_processor": 7}, "PostProcessor"),
    "tokens": ("hf_bert", "hf", "", "tokenizer.json", {"added_tokens": [1e308]}, "AttributeError: "),
    "class of a tokenizer": ("hf_bert", "hf", "", "tokenizer_config.json", {"tokenizer_class": [1]}, "AttributeError"),
    "length of a text": ("hf_bert", "hf", "", "tokenizer_config.json", {"model_max_length": "long"},
                         "cannot be used as its settings are"),
    "mean of words": ("hf_vit", "hf", "", "preprocessor_config.json", {"image_mean": ["a", "b", "c"]},
                      r"has the mean .*'a', 'b', 'c'.*, which is no number a channel"),
    "nested deviation": ("hf_resnet", "hf", "", "preprocessor_config.json", {"image_std": [0.5, [1], 0.5]},
                         "no number a channel"),
    "no mean": ("hf_vit", "hf", "", "preprocessor_config.json", {"image_mean": []}, "no number a channel"),
    "factor of a word": ("hf_vit", "hf", "", "preprocessor_config.json", {"rescale_factor": "x"}, "rescale_factor x"),
    "layers without end": ("hf_bert", "hf", "", "config.json", {"num_hidden_layers": 10**12},
                           "sets num_hidden_layers = 1000000000000; no model has more than 1000"),
    "depths without end": ("hf_swin", "hf", "", "config.json", {"depths": [1, 10**9]}, "sets depths = 1000000000;"),
    "classes without end": ("timm_vit", "timm", "", "config.json", {"num_classes": 10**12}, "sets num_classes"),
    "layers of a half": ("hf_clip", "hf", "#modality=text", "config.json",
                         {"text_config": {"num_hidden_layers": 10**7}}, "sets num_hidden_layers = 10000000;"),
    "preprocessing of timm": ("timm_vit", "timm", "", "config.json", {"pretrained_cfg": {"interpolation": 7}},
                              "cannot be made from its settings"),
    "deep nesting": ("hf_bert", "hf", "", "config.json", "[" * 99_999, "is not JSON: its brackets are nested too deep"),
    "closed nesting": ("hf_bert", "hf", "", "config.json", '{"a": ' + "[" * 300 + "]" * 300 + "}",
                       "is not JSON: its brackets are nested too deep"),
    "layers in a list of lists": ("hf_bert", "hf", "", "config.json", {"depths": [[2, [10**9]]]},
                                  "sets depths = 1000000000;"),
    "a key twice": ("hf_bert", "hf", "", "config.json", '{"hidden_size": 8, "hidden_size": 16}', "'hidden_size'"),
    "no Unicode": ("hf_bert", "hf", "", "config.json", b"\xff{}", "is not JSON: 'utf-8' codec"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_settings_are_refused(case, checkpoint, tmp_path):
    builder, family, options, file, change, message = DAMAGE[case]
    folder = shutil.copytree(checkpoint(builder), tmp_path / "m")
    path = folder / file
    if isinstance(change, dict):
        change = json.dumps(merged(json.loads(path.read_text()), change))
    path.write_bytes(change.encode() if isinstance(change, str) else change)
    with pytest.raises(ModelUnavailableError, match=message):
        loaded(folder, options, family)


def merged(settings, change):
    return settings | {
        key: merged(settings[key], value) if isinstance(value, dict) and isinstance(settings.get(key), dict) else value
        for key, value in change.items()
    }


def nested(inner, levels, kind):
    for _ in range(levels):
        inner = {"a": inner} if kind is dict else [inner]
    return inner


@pytest.mark.parametrize("kind", [dict, list])
def test_counts_are_checked_at_any_depth(kind):
    check_counts(nested({"num_hidden_layers": 12}, 20_000, kind), "mine")
    with pytest.raises(ModelUnavailableError, match=r"^mine sets num_hidden_layers = 2000; no model"):
        check_counts(nested({"num_hidden_layers": 2000}, 20_000, kind), "mine")


@pytest.mark.parametrize("count", [2000, [2, 2000], [[2], [2, [2000]]], ({"layers": 2000},)])
def test_counts_are_checked_in_lists_of_lists(count):
    with pytest.raises(ModelUnavailableError, match="layers = 2000"):
        check_counts({"layers": count}, "mine")


def with_settings(folder, copy, change):
    shutil.copytree(folder, copy)
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return copy


@pytest.mark.parametrize("change", [{"architectures": 7}, {"architectures": []}, {"auto_map": [1]}, {"auto_map": "x"}])
def test_settings_that_are_not_needed_may_be_anything(change, checkpoint, tmp_path):
    assert loaded(with_settings(checkpoint("hf_bert"), tmp_path / "m", change)).space.dim == 16


def test_infinity_among_the_settings_is_read(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "m")
    path = folder / "config.json"
    path.write_text(path.read_text().replace("{", '{"time_step_limit": [0.0, Infinity],', 1))
    assert loaded(folder).space.dim == 16
