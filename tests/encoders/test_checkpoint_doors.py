"""Folders that are not checkpoints, files that are not weights, hubs that do not answer: each has its own words."""

from __future__ import annotations

import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stitchkit.core.errors import InputError, MissingExtraError, ModelUnavailableError, UnknownNameError
from stitchkit.encoders import EncoderName, load_encoder
from stitchkit.encoders.checkpoints import check_weights, fingerprint
from stitchkit.encoders.hub import importing, is_offline, network, unavailable

FAMILIES = {"timm": "timm_vit", "hf": "hf_bert"}


@pytest.fixture(params=sorted(FAMILIES))
def copied(request, checkpoint, tmp_path):
    """A family, and a copy of a good checkpoint of it to break."""
    return request.param, shutil.copytree(checkpoint(FAMILIES[request.param]), tmp_path / "copy")


def refuses(copied, message, error=ModelUnavailableError):
    family, folder = copied
    with pytest.raises(error, match=message):
        load_encoder(f"{family}:{folder}", device="cpu")


def test_a_missing_folder_is_named(copied):
    with pytest.raises(ModelUnavailableError, match="there is no folder /nowhere/at/all"):
        load_encoder(f"{copied[0]}:local-dir:/nowhere/at/all")
    with pytest.raises(ModelUnavailableError, match="there is no folder nowhere/at/all"):
        load_encoder(f"{copied[0]}:nowhere/at/all")


def test_a_file_instead_of_a_folder_is_refused(copied):
    with pytest.raises(ModelUnavailableError, match="Give the folder that holds it"):
        load_encoder(f"{copied[0]}:{copied[1]}/model.safetensors")


def test_a_folder_with_a_revision_is_refused(copied):
    with pytest.raises(InputError, match="no revisions"):
        load_encoder(f"{copied[0]}:local-dir:/nowhere@main")
    shutil.rmtree(copied[1])


def test_a_folder_without_config_is_refused(copied):
    (copied[1] / "config.json").unlink()
    refuses(copied, "holds no config.json")


@pytest.mark.parametrize("text", ["[1, 2]", "{not json"])
def test_a_config_that_is_no_json_object_is_refused(copied, text):
    (copied[1] / "config.json").write_text(text)
    refuses(copied, "config.json is not")


def test_a_config_of_nothing_is_refused(copied):
    (copied[1] / "config.json").write_text("{}")
    refuses(copied, "names no timm architecture" if copied[0] == "timm" else "model_type")


def test_a_folder_without_weights_is_refused(copied):
    (copied[1] / "model.safetensors").unlink()
    refuses(copied, "holds no weights")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page"),
        (b"\n<html>sign in</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "is a git-LFS pointer"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00[1, 2]  ", "not a whole safetensors file"),
        (np.uint64(10**12).tobytes() + b"{}", "not a whole safetensors file"),
    ],
)
def test_weights_that_are_something_else_are_refused(copied, content, message):
    (copied[1] / "model.safetensors").write_bytes(content)
    refuses(copied, f"model.safetensors {message}|model.safetensors is {message}")


@pytest.mark.parametrize("lost", [1, 1000])
def test_weights_that_were_cut_short_are_refused(copied, lost):
    file = copied[1] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-lost])
    refuses(copied, "the copy was cut short")


def test_a_pointer_beside_good_safetensors_does_not_matter(copied):
    (copied[1] / "pytorch_model.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert load_encoder(f"{copied[0]}:{copied[1]}", device="cpu").space.dim == 16


@pytest.mark.parametrize(("family", "suffix"), [("hf", "bin"), ("timm", "bin"), ("timm", "pth")])
def test_a_pickle_of_tensors_loads_and_one_with_code_is_refused(family, suffix, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(FAMILIES[family]), tmp_path / "copy")
    state = load_file(folder / "model.safetensors")
    wanted = load_encoder(f"{family}:{folder}", device="cpu").space.fingerprint
    (folder / "model.safetensors").unlink()
    file = folder / f"pytorch_model.{suffix}"
    torch.save(state, file)
    assert load_encoder(f"{family}:{folder}", device="cpu").space.fingerprint == wanted
    torch.save({**state, "args": Fraction(1, 2)}, file)
    refuses(
        (family, folder), "a pickle that would run code when opened, so they are refused. Convert them to safetensors"
    )


def test_missing_weights_are_refused(copied):
    file = copied[1] / "model.safetensors"
    state = load_file(file)
    gone = next(key for key in sorted(state) if key.endswith("weight") and "pooler" not in key and "head" not in key)
    del state[gone]
    save_file(state, file, metadata={"format": "pt"})
    refuses(copied, gone if copied[0] == "hf" else "Error.s. in loading state_dict")


def test_weights_of_another_shape_are_refused(copied):
    file = copied[1] / "model.safetensors"
    state = load_file(file)
    key = next(key for key in sorted(state) if key.endswith("weight") and state[key].ndim == 2)
    save_file({**state, key: state[key][:1].clone()}, file, metadata={"format": "pt"})
    refuses(copied, "cannot be loaded")


def test_weights_of_another_model_are_refused_with_a_stray_key(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    save_file({f"other.{i}": torch.ones(2) for i in range(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"they would be random\. It holds 3 the model does not know"):
        load_encoder(f"hf:{folder}", device="cpu")


def test_known_buffers_of_old_checkpoints_are_dropped(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("hf_bert"), tmp_path / "copy")
    state = load_file(folder / "model.safetensors")
    state["embeddings.position_ids"] = torch.arange(24)[None]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    wanted = load_encoder(f"hf:{checkpoint('hf_bert')}", device="cpu").space.fingerprint
    assert load_encoder(f"hf:{folder}", device="cpu").space.fingerprint == wanted


@pytest.mark.parametrize("missing", ["tokenizer", "preprocessor"])
def test_weights_without_their_preprocessing_are_refused(checkpoint, tmp_path, missing):
    folder = shutil.copytree(checkpoint("hf_bert" if missing == "tokenizer" else "hf_vit"), tmp_path / "copy")
    for file in [*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("preprocessor*")]:
        file.unlink()
    message = "vocabulary file is missing" if missing == "tokenizer" else "image processor"
    with pytest.raises(ModelUnavailableError, match=message):
        load_encoder(f"hf:{folder}", device="cpu")


@pytest.mark.parametrize(
    "name", ["hf:org/name", "hf:hf-hub:org/name@main", "timm:hf-hub:org/name@main", "timm:resnet18.a1_in1k"]
)
def test_a_hub_out_of_reach_is_explained(name):
    with pytest.raises(ModelUnavailableError) as caught:
        load_encoder(name, device="cpu")
    repository = "timm/resnet18.a1_in1k" if "resnet" in name else "org/name"
    for hint in (f"https://huggingface.co/{repository} ", "HF_TOKEN", ":local-dir:/path/to/folder", "HF_HUB_OFFLINE"):
        assert hint in str(caught.value)


def test_offline_forbids_calls_inside_the_block_only(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with network(True):
        assert is_offline()
    with network(None):
        assert not is_offline()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with network(False):
        assert is_offline()


def test_weights_from_a_plain_address_are_not_fetched_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelUnavailableError, match=r"seresnet18-4bb0ce65\.pth, which is not at"):
        load_encoder("timm:legacy_seresnet18.in1k", device="cpu")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatedRepoError", "is gated"),
        ("RepositoryNotFoundError", "no such public repository"),
        ("RevisionNotFoundError", "no such revision"),
    ],
)
def test_what_the_hub_says_is_passed_on(kind, message):
    from huggingface_hub import errors

    cause = getattr(errors, kind).__new__(getattr(errors, kind))  # its constructor wants a whole response
    error = OSError("wrapped")
    error.__cause__ = cause
    told = unavailable(EncoderName.parse("hf:org/name@v1"), "org/name", error)
    assert message in str(told)
    assert "https://huggingface.co/org/name " in str(told)


def test_an_unknown_timm_model_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no timm model is called 'resnet_18'; nearest: .*resnet18"):
        load_encoder("timm:resnet_18")
    with pytest.raises(UnknownNameError, match=r"no weights called 'resnet18\.mine' for 'resnet18'; it has resnet18"):
        load_encoder("timm:resnet18.mine")
    with pytest.raises(InputError, match=r"Write timm:hf-hub:timm/resnet18\.a1_in1k@v1"):
        load_encoder("timm:resnet18.a1_in1k@v1")


def test_a_timm_model_without_weights_is_refused():
    import timm

    bare = min(set(timm.list_models()) - {name.partition(".")[0] for name in timm.list_pretrained()})
    with pytest.raises(UnknownNameError, match=f"no weights called {bare!r} for {bare!r}; it has none"):
        load_encoder(f"timm:{bare}")


def test_remote_code_needs_a_full_commit():
    for name in ("hf:org/name", "hf:org/name@main", "hf:org/name@abcdef0"):
        with pytest.raises(InputError, match="Pin the commit"):
            load_encoder(name, trust_remote_code=True)
    with pytest.raises(ModelUnavailableError, match="org/name"):
        load_encoder(f"hf:org/name@{'a1' * 20}", trust_remote_code=True, device="cpu")


def test_torch_and_torchvision_of_different_builds_are_recognized(tmp_path, monkeypatch):
    (tmp_path / "fake_vision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = r"timm cannot be used because torchvision .* --force-reinstall torch"
    with pytest.raises(MissingExtraError, match=message), importing("timm"):
        import fake_vision  # noqa: F401
    with pytest.raises(RuntimeError, match="something else"), importing("timm"):
        raise RuntimeError("something else")


def test_a_missing_library_names_the_pip_line():
    with pytest.raises(MissingExtraError, match="pip install timm"), importing("timm"):
        raise ModuleNotFoundError("No module named 'timm'")


def test_the_fingerprint_sees_names_values_shapes_and_settings():
    base = {"a": torch.ones(2, 3), "b": torch.arange(3)}
    mark = fingerprint(base, {"pool": "cls"})
    assert mark == fingerprint(dict(reversed(base.items())), {"pool": "cls", "prompt": None})
    assert mark == fingerprint({"a": torch.ones(2, 3, dtype=torch.float64), "b": base["b"]}, {"pool": "cls"})
    others = [
        fingerprint({**base, "a": torch.ones(3, 2)}, {"pool": "cls"}),
        fingerprint({**base, "a": torch.ones(2, 3) * 1.0001}, {"pool": "cls"}),
        fingerprint({"c": base["a"], "b": base["b"]}, {"pool": "cls"}),
        fingerprint(base, {"pool": "mean"}),
        fingerprint(base, {"pool": "cls"}, [b"code"]),
    ]
    assert len({mark, *others}) == 6
    assert len(mark) == 16


def test_the_header_of_safetensors_may_be_padded(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    check_weights(tmp_path / "model.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    check_weights(tmp_path / "empty.safetensors")
