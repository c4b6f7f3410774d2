"""Objectives over tokens: losses by their literal formulas, masked places, equal captions, and tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.training.objectives import objective_type, token_pairs
from stitchkit.training.objectives.clip import contrastive_loss
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.filip import Filip, FilipSettings, late_similarities
from stitchkit.training.objectives.gloria import local_similarity
from stitchkit.training.objectives.objective import BatchFacts
from stitchkit.training.objectives.sparc import grouped_patches, word_loss
from stitchkit.training.objectives.token_pairs import caption_cross_entropy

N, P, T, D = 5, 4, 6, 3
SHAPE = SharedShape(
    width=16, layers=1, heads=2, dim=8, size=2, inputs={"image": ImageInput(16, 8, 1), "text": TextInput(8, 50, 49)}
)


def tokens(seed=0):
    """Patches and words of five pairs; a class token, padding and special tokens are masked."""
    rng = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(N, count, D, generator=rng, dtype=torch.float64) for count in (P, T))
    mask, other = torch.ones(N, P, dtype=torch.bool), torch.zeros(N, T, dtype=torch.bool)
    mask[:, 0] = False
    for row, length in enumerate([1, 2, 4, 3, 4]):
        other[row, 1 : 1 + length] = True
    return x, mask, y, other


def content(rows, mask):
    """Unit tokens of each item that count."""
    return [row[keep].numpy() / np.linalg.norm(row[keep].numpy(), axis=1, keepdims=True)
            for row, keep in zip(rows, mask, strict=True)]  # fmt: skip


def test_late_similarities_are_the_literal_formulas():
    x, mask, y, other = tokens()
    there, back = late_similarities(x, mask, y, other)
    for i, patches in enumerate(content(x, mask)):
        for j, words in enumerate(content(y, other)):
            near = patches @ words.T
            assert float(there[i, j]) == pytest.approx(near.max(axis=1).mean(), abs=1e-12)
            assert float(back[i, j]) == pytest.approx(near.max(axis=0).mean(), abs=1e-12)


def test_local_similarities_are_the_literal_formula():
    x, mask, y, other = tokens()
    found = local_similarity(x, mask, y, other, 4.0, 5.0)
    for i, patches in enumerate(content(x, mask)):
        for j, words in enumerate(content(y, other)):
            terms = []
            for word in words:
                weights = np.exp(4 * patches @ word)
                context = (weights / weights.sum()) @ patches
                terms.append(np.exp(5 * (context @ word) / np.linalg.norm(context)))
            assert float(found[i, j]) == pytest.approx(np.log(sum(terms)) / 5, abs=1e-12)


def test_grouped_patches_and_the_loss_of_words_are_the_literal_formulas():
    x, mask, y, other = tokens()
    grouped = grouped_patches(x, mask, y)
    losses = []
    for i in range(N):
        patches, words = x[i][mask[i]].numpy(), y[i].numpy()
        groups = []
        for t in range(T):
            near = patches @ words[t]
            share = (near - near.min()) / (near.max() - near.min())
            share[share < 1 / len(patches)] = 0
            groups.append(share / share.sum() @ patches)
            np.testing.assert_allclose(grouped[i, t].numpy(), groups[-1], atol=1e-12)
        unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (words, np.stack(groups))]
        some = np.flatnonzero(other[i].numpy())
        logits = 2.5 * (unit[0] @ unit[1].T)[np.ix_(some, some)]
        for k in range(len(some)):
            losses += [(np.log(np.exp(one[k]).sum()) - one[k, k]) / 2 for one in (logits, logits.T)]
    found = word_loss(x, mask, y, other, torch.tensor(np.log(2.5), dtype=torch.float64))
    assert float(found) == pytest.approx(sum(losses) / int(other.sum()), abs=1e-12)


def test_equal_captions_are_left_out_of_the_negatives_and_are_no_positives():
    logits = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    captions = torch.tensor([0, 1, 0, 2])
    total = 0.0
    for i in range(4):
        others = [j for j in range(4) if j == i or captions[j] != captions[i]]
        total += (np.log(np.exp(logits[i, others].numpy()).sum()) - float(logits[i, i])) / 4
    assert float(caption_cross_entropy(logits, captions)) == pytest.approx(total, abs=1e-12)
    plain = torch.nn.functional.cross_entropy(logits, torch.arange(4))
    torch.testing.assert_close(caption_cross_entropy(logits, None), plain)
    assert float(caption_cross_entropy(logits, torch.zeros(4, dtype=torch.long))) == 0  # nothing to tell apart


LOSSES = {
    "filip": lambda x, mask, y, other: torch.stack(late_similarities(x, mask, y, other)),
    "gloria": lambda x, mask, y, other: local_similarity(x, mask, y, other, 4.0, 5.0),
    "sparc": lambda x, mask, y, other: word_loss(x, mask, y, other, torch.tensor(1.0, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    x, mask, y, other = tokens()
    assert torch.autograd.gradcheck(
        lambda a, b: LOSSES[name](a, mask, b, other), (x.requires_grad_(), y.requires_grad_())
    )


@pytest.mark.parametrize("name", LOSSES)
def test_masked_places_do_not_count(name):
    x, mask, y, other = tokens()
    noise = torch.randn(N, max(P, T), D, dtype=torch.float64) * 100
    changed = [torch.where(keep[..., None], rows, noise[:, : rows.shape[1]]) for rows, keep in ((x, mask), (y, other))]
    torch.testing.assert_close(LOSSES[name](changed[0], mask, changed[1], other), LOSSES[name](x, mask, y, other))


@pytest.mark.parametrize("name", ["filip", "gloria"])
def test_a_text_without_words_has_a_similarity_of_zero(name):
    x, mask, y, other = tokens()
    found = LOSSES[name](x, mask, y, other)
    other[2] = False
    without = LOSSES[name](x, mask, y, other)
    assert (without[..., 2] == 0).all()
    torch.testing.assert_close(without[..., [0, 1, 3, 4]], found[..., [0, 1, 3, 4]])


def test_a_masked_patch_does_not_count_at_any_temperature():
    """The masked patch is the word itself; the other one is opposite to it."""
    x, y = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]), torch.tensor([[[1.0, 0.0]]])
    mask, other = torch.tensor([[False, True]]), torch.tensor([[True]])
    for attention in (1.0, 100.0, 1e5):
        assert float(local_similarity(x, mask, y, other, attention, 5.0)) == pytest.approx(-1)


@pytest.mark.parametrize("name", LOSSES)
def test_a_text_without_words_gives_finite_gradients(name):
    x, mask, y, other = tokens()
    other[2] = False
    found = LOSSES[name](x.requires_grad_(), mask, y.requires_grad_(), other)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()
    assert (y.grad[2] == 0).all()


@pytest.mark.parametrize("name", ["filip", "gloria"])
@pytest.mark.parametrize("pairs", [1, 3, N, 2 * N + 1])
def test_tiles_give_the_numbers_and_gradients_of_the_whole(monkeypatch, name, pairs):
    x, mask, y, other = tokens()
    ends = []
    for tile in (token_pairs.TILE, 8 * P * T * pairs):
        monkeypatch.setattr(token_pairs, "TILE", tile)
        sides = [one.clone().requires_grad_() for one in (x, y)]
        found = LOSSES[name](sides[0], mask, sides[1], other)
        (found * torch.linspace(-1, 1, found.numel(), dtype=torch.float64).reshape(found.shape)).sum().backward()
        ends.append((found.detach(), sides[0].grad, sides[1].grad))
    for one, two in zip(*ends, strict=True):
        torch.testing.assert_close(one, two, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["gloria", "sparc"])
def test_without_the_local_part_the_loss_is_that_of_clip(name):
    torch.manual_seed(0)
    network, kind = SharedNetwork(SHAPE), objective_type(name)
    ids = torch.randint(1, 48, (6, 8))
    ids[:, -1] = 49
    inputs, captions = {"image": torch.randn(6, 1, 16, 16), "text": ids}, torch.tensor([0, 1, 2, 0, 3, 4])
    losses = []
    for weight in (0, 1):
        objective = kind(kind.Settings(local=weight), SHAPE)
        outputs = {
            one: objective.outputs(network, one, batch, RowDraws(0, 0, np.arange(6))) for one, batch in inputs.items()
        }
        losses.append(objective.loss(outputs, BatchFacts(captions, {})))
    plain = contrastive_loss(outputs["image"][0], outputs["text"][0], objective.log_scale, captions)
    torch.testing.assert_close(losses[0], plain)
    assert abs(float((losses[1] - plain).detach())) > 0.1


def test_texts_of_any_length_have_outputs_of_one_length():
    network = SharedNetwork(SHAPE)
    short = torch.tensor([[1, 49, 0], [1, 5, 49]])
    _, words, mask = token_pairs.token_outputs(network, "text", short)
    assert words.shape == (2, 8, 8)
    assert mask.sum(dim=1).tolist() == [0, 1]
    _, patches, mask = token_pairs.token_outputs(network, "image", torch.randn(2, 1, 16, 16))
    assert patches.shape == (2, 5, 8)
    assert mask.sum(dim=1).tolist() == [4, 4]


def test_filip_is_the_late_interaction_and_the_weighed_loss_of_whole_items():
    """The published loss, which is of tokens alone, leaves the pooled vectors without a gradient."""
    x, mask, y, other = (one.float() if one.is_floating_point() else one for one in tokens())
    pooled = [torch.randn(N, 4, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(2)]
    outputs = {"image": (pooled[0], x, mask), "text": (pooled[1], y, other)}
    facts = BatchFacts(torch.arange(N), {})
    there, back = late_similarities(x, mask, y, other)
    rows = torch.arange(N)
    fine = sum(torch.nn.functional.cross_entropy(one / 0.07, rows) for one in (there, back.T)) / 2
    published = Filip(FilipSettings(whole=0.0), SHAPE)
    torch.testing.assert_close(published.loss(outputs, facts), fine)
    both = Filip(FilipSettings(whole=0.5), SHAPE)
    whole = contrastive_loss(*pooled, both.log_scale)
    torch.testing.assert_close(both.loss(outputs, facts), fine + 0.5 * whole)
    both.loss(outputs, facts).backward()
    assert all(one.grad.abs().sum() > 0 for one in pooled)
