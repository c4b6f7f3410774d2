"""The network of the shared encoder: what is shared is one object, and modality tokens move nothing out of place."""

from __future__ import annotations

import pytest
import torch

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.encoders.shared.network import (
    MODALITY_TOKEN,
    TOKEN_WISE,
    ImageInput,
    SharedNetwork,
    SharedShape,
    TableInput,
    TextInput,
)

INPUTS = {"image": ImageInput(32, 8), "text": TextInput(12, 40, 39), "row": TableInput(5)}
BOTH = [(TOKEN_WISE, 4), (MODALITY_TOKEN, 1), (MODALITY_TOKEN, 3)]


def network(mode=TOKEN_WISE, size=4, shared=None, seed=0, inputs=INPUTS):
    torch.manual_seed(seed)
    return SharedNetwork(SharedShape(32, 3, 4, 16, shared, mode, size, inputs))


def batch(modality, n=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    if modality == "image":
        return torch.randn(n, 3, 32, 32, generator=rng)
    if modality == "row":
        return torch.randn(n, 5, generator=rng)
    ids = torch.randint(1, 39, (n, 12), generator=rng)
    ids[:, 0] = 0
    ids[torch.arange(n), torch.arange(n) + 3] = 39  # text i has i + 2 words
    return ids


@pytest.mark.parametrize("shared", [None, (), (0,), (1, 2), (2, 0)])
def test_shared_layers_are_the_same_modules_and_the_others_are_not(shared):
    net = network(shared=shared)
    common = set(range(3) if shared is None else shared)
    ways = {name: net.blocks(name) for name in INPUTS}
    for layer in range(3):
        modules = {id(blocks[layer]) for blocks in ways.values()}
        assert len(modules) == (1 if layer in common else 3)
    block = sum(one.numel() for one in net.blocks("image")[0].parameters())
    rest = sum(one.numel() for name, one in net.named_parameters() if not name.startswith(("shared.", "own.")))
    assert sum(one.numel() for one in net.parameters()) == rest + block * (len(common) + 3 * (3 - len(common)))


def test_without_shared_layers_it_is_two_separate_encoders():
    net = network(shared=())
    for modality, other in (("image", "text"), ("text", "image")):
        net.zero_grad()
        net(modality, batch(modality)).pooled.sum().backward()
        touched = {name for name, one in net.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
        assert touched
        assert not any(f".{other}." in name for name in touched)
        alone = network(shared=(), inputs={modality: INPUTS[modality]}, seed=1)
        alone.load_state_dict({name: value for name, value in net.state_dict().items() if name in alone.state_dict()})
        assert torch.equal(alone(modality, batch(modality)).pooled, net(modality, batch(modality)).pooled)


@pytest.mark.parametrize(("mode", "size"), BOTH)
def test_a_gradient_reaches_every_parameter_and_every_modality_feature(mode, size):
    net = network(mode, size, shared=(1,))
    row = batch("row")
    row[0, :] = torch.nan
    loss = sum(net(name, one).pooled.pow(2).sum() for name, one in
               (("image", batch("image")), ("text", batch("text")), ("row", row)))  # fmt: skip
    loss.backward()
    for name, one in net.named_parameters():
        assert one.grad is not None, name
        assert one.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("mode", "size"), BOTH)
def test_what_follows_the_end_of_a_text_changes_nothing(mode, size):
    net = network(mode, size).eval()
    ids = batch("text")
    changed = ids.clone()
    for i in range(len(ids)):
        changed[i, i + 4 :] = 7
    with torch.no_grad():
        one, two = net("text", ids), net("text", changed)
        cut = net("text", ids[:1, :4])
    assert torch.equal(one.pooled, two.pooled)
    assert torch.equal(one.mask, two.mask)
    torch.testing.assert_close(one.tokens[one.mask], two.tokens[two.mask])
    torch.testing.assert_close(cut.pooled[0], one.pooled[0])  # a shorter context is the same text


@pytest.mark.parametrize(("mode", "size"), BOTH)
def test_a_word_before_the_end_changes_the_text(mode, size):
    net = network(mode, size).eval()
    ids = batch("text")
    changed = ids.clone()
    changed[:, 1] = (changed[:, 1] + 1) % 38
    with torch.no_grad():
        assert (net("text", ids).pooled - net("text", changed).pooled).abs().max(dim=1).values.min() > 1e-6


def test_the_first_end_token_is_pooled_even_where_padding_looks_like_it():
    net = network(MODALITY_TOKEN, 2).eval()
    ids = batch("text")
    padded = ids.clone()
    for i in range(len(ids)):
        padded[i, i + 4 :] = 39
    with torch.no_grad():
        assert torch.equal(net("text", ids).pooled, net("text", padded).pooled)


@pytest.mark.parametrize(("mode", "size"), BOTH)
def test_the_mask_marks_content_alone(mode, size):
    net = network(mode, size).eval()
    row = batch("row")
    row[0, 2] = torch.nan
    with torch.no_grad():
        image, text, table = net("image", batch("image")), net("text", batch("text")), net("row", row)
    assert image.tokens.shape == (5, 17, 16)
    assert image.mask.sum(1).tolist() == [16] * 5
    assert text.mask.sum(1).tolist() == [2, 3, 4, 5, 6]
    assert table.mask.sum(1).tolist() == [4, 5, 5, 5, 5]
    assert torch.equal(image.pooled, image.tokens[:, 0])


def test_one_modality_token_is_the_layout_of_the_original():
    """With one token, and it alone: start, token, words; the end of the text one place later."""
    net = network(MODALITY_TOKEN, 1)
    stem = net.stems["text"]
    tokens = stem(batch("text"))
    assert tokens.shape == (5, 13, 32)
    torch.testing.assert_close(tokens[:, 1], stem.extra.expand(5, -1))
    torch.testing.assert_close(stem.remove(tokens), stem.words(batch("text")) + stem.position)


def test_token_wise_features_are_joined_to_every_token_but_the_class_token():
    net = network(TOKEN_WISE, 4)
    stem = net.stems["image"]
    with torch.no_grad():
        stem.position.zero_()
        stem.norm = torch.nn.Identity()
        tokens = stem(batch("image"))
    torch.testing.assert_close(tokens[:, 1:, 28:], stem.features.expand(5, 16, -1))
    torch.testing.assert_close(tokens[:, 0], stem.first.expand(5, -1))
    assert stem.patches.out_channels == 28


def test_a_missing_value_is_not_a_zero():
    net = network().eval()
    row = batch("row")
    gone, zero = row.clone(), row.clone()
    gone[:, 1], zero[:, 1] = torch.nan, 0.0
    with torch.no_grad():
        assert torch.isfinite(net("row", gone).pooled).all()
        assert not torch.allclose(net("row", gone).pooled, net("row", zero).pooled)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"mode": "token"}, UnknownNameError, "token_wise"),
        ({"heads": 5}, InputError, "5 heads"),
        ({"size": 32}, InputError, "leaves nothing"),
        ({"shared": (3,)}, InputError, "layers 0 to 2"),
        ({"inputs": {"image": ImageInput(30, 8)}}, InputError, "multiple of patches"),
    ],
)
def test_forms_that_cannot_be_built_are_named(change, error, said):
    given = {"width": 32, "layers": 3, "heads": 4, "dim": 16, "size": 4, "inputs": INPUTS}
    with pytest.raises(error, match=said):
        SharedShape(**{**given, **change})


def test_positions_of_images_start_as_wide_as_patches_and_those_of_texts_narrow():
    torch.manual_seed(0)
    inputs = {"image": ImageInput(64, 8, 1), "text": TextInput(64, 100, 99)}
    network = SharedNetwork(SharedShape(64, 1, 2, 8, inputs=inputs))
    assert float(network.stems["image"].position.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert float(network.stems["text"].position.detach().std()) == pytest.approx(0.01, rel=0.1)
