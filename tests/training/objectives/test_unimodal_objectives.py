"""Objectives with a loss within one modality: views of images and masked words, by their literal formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import ImageInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.training.objectives.clip import contrastive_loss
from stitchkit.training.objectives.clip_mlm import ClipMlm, ClipMlmSettings
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.masked_words import masked_words
from stitchkit.training.objectives.objective import BatchFacts
from stitchkit.training.objectives.slip import Slip, SlipSettings, view_loss
from stitchkit.training.objectives.views import image_view

TEXT = TextInput(40, 500, 49)
SHAPE = SharedShape(width=16, layers=1, heads=2, dim=8, size=2, inputs={"image": ImageInput(16, 8, 1), "text": TEXT})
FACTS = BatchFacts(torch.tensor([0, 1, 2, 0]), {})


def texts(n=4, seed=0):
    """Start, 37 words, end, padding."""
    ids = torch.randint(50, 500, (n, 40), generator=torch.Generator().manual_seed(seed))
    ids[:, 0], ids[:, 38], ids[:, 39] = 1, 49, 0
    return ids


def test_the_loss_of_views_is_the_literal_formula():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 5, 3))
    views = np.concatenate([one, two])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    total = 0.0
    for i in range(10):
        others = [j for j in range(10) if j != i]
        total += (np.log(np.exp(views[i] @ views[others].T / 0.1).sum()) - views[i] @ views[(i + 5) % 10] / 0.1) / 10
    sides = [torch.as_tensor(side).requires_grad_() for side in (one, two)]
    assert float(view_loss(*sides, 0.1).detach()) == pytest.approx(total, abs=1e-12)
    assert torch.autograd.gradcheck(lambda a, b: view_loss(a, b, 0.1), sides)


def test_a_view_is_half_an_image_or_more_and_belongs_to_its_row():
    """On a plane that rises to the right a view is a part of it: its slope tells the share, its mean the place."""
    slope = torch.linspace(-1, 1, 33)[None, None, None, :].expand(200, 1, 33, 33)
    draws = RowDraws(0, 0, np.arange(200))
    views = image_view(slope, draws, "view 0", flip=False)
    drawn = torch.from_numpy(draws.uniform("view 0", 6))
    contrast = 1 + 0.4 * (2 * drawn[:, 4] - 1)
    spread = (views[:, 0, 16, 24] - views[:, 0, 16, 8]) / contrast / (slope[0, 0, 0, 24] - slope[0, 0, 0, 8])
    torch.testing.assert_close(spread, (0.5 + 0.5 * drawn[:, 0]).sqrt(), atol=1e-4, rtol=0)
    alone = image_view(slope[:1], RowDraws(0, 0, np.array([7])), "view 0", flip=False)
    torch.testing.assert_close(alone[0], views[7])
    assert (image_view(slope, draws, "view 1", flip=False) - views).abs().mean() > 0.1
    mirrored = image_view(slope, draws, "view 0", flip=True)
    backwards = ((mirrored[:, 0, 16, 24] - mirrored[:, 0, 16, 8]) < 0).float().mean()
    assert 0.35 < float(backwards) < 0.65


def test_slip_is_clip_and_the_loss_of_views_behind_the_head():
    torch.manual_seed(0)
    network, images, draws = SharedNetwork(SHAPE), torch.randn(4, 1, 16, 16), RowDraws(0, 2, np.arange(4))
    objective = Slip(SlipSettings(views=0.5), SHAPE)
    outputs = {"image": objective.outputs(network, "image", images, draws),
               "text": objective.outputs(network, "text", texts(), draws)}  # fmt: skip
    assert [len(one) for one in outputs.values()] == [3, 1]
    views = [objective.head(network("image", image_view(images, draws, f"view {i}", False)).pooled) for i in range(2)]
    plain = contrastive_loss(outputs["image"][0], outputs["text"][0], objective.log_scale, FACTS.captions)
    torch.testing.assert_close(objective.loss(outputs, FACTS), plain + 0.5 * view_loss(*views, 0.1))


def test_words_are_chosen_masked_and_replaced_in_their_shares():
    ids, mask = texts(400), torch.zeros(400, 40, dtype=torch.bool)
    mask[:, 1:38] = True
    hidden, chosen = masked_words(ids, mask, RowDraws(0, 0, np.arange(400)), 0.15, TEXT)
    assert not chosen[~mask].any()
    assert torch.equal(hidden[~chosen], ids[~chosen])
    words = int(chosen.sum())
    assert words / mask.sum() == pytest.approx(0.15, abs=0.01)
    masked, same = (hidden == 0)[chosen].sum() / words, (hidden == ids)[chosen].sum() / words
    assert float(masked) == pytest.approx(0.8, abs=0.03)
    assert float(same) == pytest.approx(0.1, abs=0.03)
    assert not (hidden[mask] == TEXT.end).any()  # the text would end there
    part, some = masked_words(ids[5:7, :30], mask[5:7, :30], RowDraws(0, 0, np.arange(5, 7)), 0.15, TEXT)
    assert torch.equal(part, hidden[5:7, :30])
    assert torch.equal(some, chosen[5:7, :30])
    later, _ = masked_words(ids, mask, RowDraws(0, 1, np.arange(400)), 0.15, TEXT)
    assert not torch.equal(later, hidden)


def test_no_word_is_replaced_by_the_end_of_the_text():
    """Of a vocabulary of five words every fourth replacement would be the end."""
    ids, small = torch.ones(400, 12, dtype=torch.int64), TextInput(12, 5, 3)
    hidden, chosen = masked_words(ids, ids == 1, RowDraws(0, 0, np.arange(400)), 0.9, small)
    assert set(hidden[chosen].tolist()) == {0, 1, 2, 4}


def test_clip_mlm_is_clip_and_the_cross_entropy_of_the_chosen_words():
    torch.manual_seed(0)
    network, draws, ids = SharedNetwork(SHAPE), RowDraws(0, 0, np.arange(4)), texts()
    objective = ClipMlm(ClipMlmSettings(mlm=2.0, share=0.3), SHAPE)
    outputs = {"image": objective.outputs(network, "image", torch.randn(4, 1, 16, 16), draws),
               "text": objective.outputs(network, "text", ids, draws)}  # fmt: skip
    hidden, chosen = masked_words(ids, network("text", ids).mask, draws, 0.3, TEXT)
    logits = objective.head(network("text", hidden).tokens).log_softmax(dim=2)
    terms = [-logits[i, t, ids[i, t]] for i, t in chosen.nonzero().tolist()]
    plain = contrastive_loss(outputs["image"][0], outputs["text"][0], objective.log_scale, FACTS.captions)
    torch.testing.assert_close(objective.loss(outputs, FACTS), plain + 2 * torch.stack(terms).mean())
    nothing = {**outputs, "text": (*outputs["text"][:3], torch.zeros_like(chosen))}
    torch.testing.assert_close(objective.loss(nothing, FACTS), plain)


def test_modalities_that_an_objective_lacks_are_named():
    two_texts = replace(SHAPE, inputs={"findings": TEXT, "impression": TEXT})
    with pytest.raises(InputError, match="'slip' draws views, and there are no images: findings, impression"):
        Slip(SlipSettings(), two_texts)
    two_images = replace(SHAPE, inputs={"left": ImageInput(16, 8, 1), "right": ImageInput(16, 8, 1)})
    with pytest.raises(InputError, match="'clip_mlm' masks words, and there are no texts: left, right"):
        ClipMlm(ClipMlmSettings(), two_images)
