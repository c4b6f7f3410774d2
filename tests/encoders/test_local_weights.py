"""The family local: equal to the networks of timm and torchvision, and every way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_files import SHUFFLE, timm_model, torchvision_model

import stitchkit as sk
from stitchkit.core.errors import InputError, ModelUnavailableError, SpaceMismatchError, UnknownNameError

RESNET = "#arch=timm/test_resnet"
TORCHVISION = f"#arch=torchvision/{SHUFFLE}&size=64"


def loaded(file, options=RESNET, **settings):
    return sk.load_encoder(f"local:{file}{options}", device="cpu", **settings)


def refuses(file, words, options=RESNET, error=ModelUnavailableError):
    with pytest.raises(error) as caught:
        loaded(file, options)
    assert words in str(caught.value)


@pytest.fixture
def file(tmp_path):
    torch.save(timm_model(num_classes=4).state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_vectors_and_logits_are_those_of_timm(file, images):
    import timm

    model = timm_model(num_classes=4)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(Image.fromarray(one).convert("RGB")) for one in images])
    with torch.inference_mode():
        wanted = model.forward_head(model.forward_features(batch), pre_logits=True).numpy()
        logits = model(batch).numpy()
    encoder = loaded(file)
    x = sk.embed(encoder, images, store=None)
    np.testing.assert_allclose(x.vectors, wanted, atol=1e-6)
    np.testing.assert_allclose(encoder.classifier().scores(x).values, logits, atol=1e-5)


def test_vectors_and_logits_are_those_of_torchvision(tmp_path, images):
    from torchvision.models import get_model_weights

    model = torchvision_model(num_classes=3)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    encoder = loaded(tmp_path / "w.pth", f"#arch=torchvision/{SHUFFLE}")
    transform = get_model_weights(SHUFFLE).DEFAULT.transforms()
    batch = torch.stack([transform(Image.fromarray(one).convert("RGB")) for one in images])
    with torch.inference_mode():
        logits = model(batch).numpy()
        model.fc = torch.nn.Identity()
        wanted = model(batch).numpy()
    x = sk.embed(encoder, images, store=None)
    np.testing.assert_allclose(x.vectors, wanted, atol=1e-6)
    np.testing.assert_allclose(encoder.classifier().scores(x).values, logits, atol=1e-5)


def test_safetensors_wrappers_and_training_states_hold_the_same_weights(file, tmp_path):
    state = torch.load(file, weights_only=True)
    spaces = [loaded(file).space]
    save_file(state, tmp_path / "w.safetensors")
    spaces.append(loaded(tmp_path / "w.safetensors").space)
    torch.save({"a": {"model": {f"module.{key}": one for key, one in state.items()}}, "epoch": 1}, tmp_path / "t.pt")
    spaces.append(loaded(tmp_path / "t.pt", f"{RESNET}&key=a.model").space)
    assert len({one.fingerprint for one in spaces}) == 1


def test_a_classifier_may_be_another_or_absent(file, tmp_path):
    state = torch.load(file, weights_only=True)
    bare = {key: one for key, one in state.items() if not key.startswith("fc.")}
    for extra in ({}, {"fc.1.weight": torch.zeros(2, 3)}):
        torch.save({**bare, **extra}, tmp_path / "bare.pth")
        encoder = loaded(tmp_path / "bare.pth")
        assert encoder.space.fingerprint == loaded(file).space.fingerprint
        with pytest.raises(InputError, match="no linear classifier"):
            encoder.classifier()
    state = {key: one for key, one in torchvision_model().state_dict().items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "tv.pth")
    with pytest.raises(InputError, match="no linear classifier"):
        loaded(tmp_path / "tv.pth", TORCHVISION).classifier()


def test_preprocessing_is_that_of_the_options(file, images, tmp_path):
    plain = loaded(file).prepare(images)
    assert plain.shape[2:] == (160, 160)
    other = loaded(file, f"{RESNET}&size=64&mean=0.1,0.2,0.3&std=0.5,0.5,0.5").prepare(images)
    assert other.shape[2:] == (64, 64)
    torch.save(torchvision_model().state_dict(), tmp_path / "tv.pth")
    options = "&mean=0.25,0.25,0.25&std=0.5,0.5,0.5"
    white = loaded(tmp_path / "tv.pth", TORCHVISION + options).prepare([np.full((70, 90), 255, np.uint8)])
    np.testing.assert_allclose(white, np.full((1, 3, 64, 64), 1.5), atol=1e-6)


def test_a_transformer_of_another_size_is_built_for_it(tmp_path, images):
    torch.save(timm_model("test_vit", img_size=96, num_classes=0).state_dict(), tmp_path / "v.pth")
    encoder = loaded(tmp_path / "v.pth", "#arch=timm/test_vit&size=96")
    assert encoder.prepare(images).shape[2:] == (96, 96)
    refuses(tmp_path / "v.pth", "have another shape, such as pos_embed", "#arch=timm/test_vit")


def test_what_changes_vectors_changes_the_fingerprint(file, tmp_path):
    marks = [loaded(file, f"{RESNET}{one}").space.fingerprint for one in ("", "&size=96", "&std=0.4,0.4,0.4")]
    torch.save(timm_model(seed=1).state_dict(), tmp_path / "other.pth")
    marks.append(loaded(tmp_path / "other.pth").space.fingerprint)
    torch.save(torchvision_model().state_dict(), tmp_path / "tv.pth")
    marks += [loaded(tmp_path / "tv.pth", TORCHVISION + one).space.fingerprint for one in ("", "&mean=0.4,0.4,0.4")]
    assert len(set(marks)) == 6


def test_one_set_of_weights_in_two_architectures_is_two_spaces(tmp_path):
    """Those with ``tf_`` pad as TensorFlow does: equal keys and shapes, other vectors."""
    torch.save(timm_model("efficientnet_lite0", num_classes=0).state_dict(), tmp_path / "w.pth")
    one, other = (loaded(tmp_path / "w.pth", f"#arch=timm/{kind}efficientnet_lite0&size=64") for kind in ("", "tf_"))
    assert one.space.fingerprint != other.space.fingerprint


def test_an_encoder_of_equal_width_and_other_weights_is_refused(file, tmp_path, images):
    torch.save(timm_model(seed=1).state_dict(), tmp_path / "other.pth")
    x = sk.embed(loaded(file), images, store=None)
    alignment = sk.align(x, sk.Embeddings(x.vectors[:, ::-1], x.ids, sk.Space("y", 96, "y")), solver="procrustes")
    with pytest.raises(SpaceMismatchError):
        alignment.to_target(sk.embed(loaded(tmp_path / "other.pth"), images, store=None))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ("", InputError, "Add #arch=timm/NAME or #arch=torchvision/NAME"),
        ("#arch=resnet18", InputError, "Add #arch=timm/NAME"),
        ("#arch=keras/resnet18", UnknownNameError, "torchvision"),
        ("#arch=timm/test_resnot", UnknownNameError, "test_resnet"),
        ("#arch=torchvision/resnet9", UnknownNameError, "resnet18"),
        ("#arch=torchvision/squeezenet1_0", InputError, "does not end in a linear layer"),
        (f"{RESNET}&size=big", InputError, "no number of pixels from 1 to 4096"),
        (f"{RESNET}&mean=a", InputError, "three numbers with commas"),
        (f"{RESNET}&mean=0.5", InputError, "mean has 1 numbers"),
        (f"{RESNET}&mean=123,116,103", ModelUnavailableError, "contradicts itself"),
        (f"{RESNET}&pool=cls", UnknownNameError, "known options: arch, key, size, mean, std"),
        (f"{RESNET}&key=model", InputError, "has no key 'model'; it has conv1.0.weight"),
        (f"@main{RESNET}", InputError, "no revisions"),
    ],
)
def test_odd_names_are_refused(file, options, error, words):
    refuses(file, words, options, error)


class _Odd:
    def __reduce__(self):
        return (print, ("run",))


def test_files_of_something_else_are_refused(file, tmp_path):
    state = torch.load(file, weights_only=True)
    odd = tmp_path / "odd.pth"
    torch.save({"model": _Odd()}, odd)
    refuses(odd, "pickle that would run code when opened, so they are refused. Convert them to safetensors")
    torch.save(timm_model(), odd)
    refuses(odd, "pickle that would run code")
    torch.save({"state_dict": state, "epoch": 1}, odd)
    refuses(odd, "it has state_dict, epoch. Choose one with #key=", error=InputError)
    odd.write_bytes(file.read_bytes()[:-500])
    refuses(odd, "cannot be loaded")
    odd.write_text("<!doctype html>")
    refuses(odd, "is a web page")
    odd.write_text("version https://git-lfs.github.com/spec/v1\n")
    refuses(odd, "git-LFS pointer")
    refuses(tmp_path / "nothing.pth", "there is no file")
    refuses(tmp_path, "Give the file")


def test_weights_that_do_not_fill_the_architecture_are_named(file, tmp_path):
    state = torch.load(file, weights_only=True)
    odd = tmp_path / "odd.pth"
    torch.save({key: one for key, one in state.items() if "layer4" not in key}, odd)
    refuses(odd, "missing (layer4.0.conv1.weight, ")
    torch.save({**state, "neck.weight": torch.zeros(2)}, odd)
    refuses(odd, "1 unexpected (neck.weight)")
    refuses(file, "those of its architecture: ", TORCHVISION)
    torch.save({**state, "bn1.weight": torch.zeros(3)}, odd)
    refuses(odd, "1 have another shape, such as bn1.weight with (3,) in the file and ")


def test_counts_of_batches_may_be_missing_as_in_old_checkpoints(file, tmp_path):
    state = {key: one for key, one in torch.load(file, weights_only=True).items() if "num_batches" not in key}
    torch.save(state, tmp_path / "old.pth")
    assert loaded(tmp_path / "old.pth").space.dim == 96
