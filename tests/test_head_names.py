"""Names of heads: what each means for a target, and what is refused before an encoder is loaded."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.head_names import HeadChoice, head_called


@pytest.fixture(scope="module")
def encoders():
    return {name: sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text")}


@pytest.fixture
def probe(encoders, tmp_path):
    space = encoders["medical"].space
    return sk.save(sk.LinearHead(space, ("Edema",), np.ones((space.dim, 1)), np.zeros(1)), tmp_path / "probe")


def test_without_a_name_an_image_encoder_gives_its_own_head_or_a_note(encoders):
    usual = HeadChoice.of(None)
    head, note = usual.linear(encoders["medical"])
    assert head.classes == encoders["medical"].classifier().classes
    assert note == ""
    assert usual.linear(encoders["general"])[1].startswith("no head: encoder 'demo:general' has no classifier")
    assert usual.linear(encoders["text"]) == (None, "")


def test_a_named_head_that_is_not_there_is_refused(encoders):
    with pytest.raises(InputError, match="has no classifier"):
        HeadChoice.of("own").linear(encoders["general"])
    with pytest.raises(InputError, match="head='nowhere' is no folder"):
        HeadChoice.of("nowhere")
    with pytest.raises(InputError, match="there is no folder nowhere"):
        head_called("nowhere", encoders["medical"])
    with pytest.raises(InputError, match="prompts need the text encoder"):
        HeadChoice.of("prompts:view").linear(encoders["medical"])


def test_a_folder_is_a_head_over_the_targets_vectors(encoders, probe):
    assert HeadChoice.of(str(probe)).linear(encoders["medical"])[0].classes == ("Edema",)
    for refused in (HeadChoice.of(str(probe)).linear, lambda target: head_called(str(probe), target)):
        with pytest.raises(SpaceMismatchError, match="the head in"):
            refused(encoders["general"])


@pytest.mark.parametrize(
    ("name", "is_linear", "is_of_encoder"),
    [
        (None, False, False),
        ("none", False, False),
        ("prompts:view", False, False),
        ("own", True, True),
        ("python:heads.py:edema", True, True),
        ("a/folder", True, False),
    ],
)
def test_the_kind_of_a_head_is_known_by_its_name(name, is_linear, is_of_encoder):
    assert (HeadChoice(name).is_linear, HeadChoice(name).is_of_encoder) == (is_linear, is_of_encoder)


@pytest.mark.parametrize(("name", "words"), [("none", "drives no head"), ("prompts:view", "drives no head")])
def test_a_name_of_no_linear_head_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        HeadChoice.of_linear(name)


def test_without_an_encoder_a_linear_head_is_in_a_folder(probe):
    assert HeadChoice.of_linear(str(probe), encoder=False).probe.classes == ("Edema",)
    with pytest.raises(InputError, match="belongs to a target encoder"):
        HeadChoice.of_linear("own", encoder=False)
