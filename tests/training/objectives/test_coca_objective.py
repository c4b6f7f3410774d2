"""CoCa's objective: the captioning loss by its literal formula, what it may not see, tiles, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from run_logs import log_lines
from small_pairs import FACTS, SHAPE, TEXT, N, content, info_nce, outputs_of, parts, texts

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import ImageInput, TableInput
from stitchkit.encoders.shared.network import SharedNetwork
from stitchkit.training.loop import train
from stitchkit.training.objectives import coca
from stitchkit.training.objectives.coca import Coca, CocaSettings, caption_loss
from stitchkit.training.objectives.draws import RowDraws


def captioning(layers=2, seed=0):
    """A decoder, a head, and tokens of five pairs in double precision."""
    torch.manual_seed(seed)
    objective = Coca(CocaSettings(layers=layers), SHAPE).double()
    ids, rng = texts(), torch.Generator().manual_seed(seed)
    patches = torch.randn(N, 5, 8, generator=rng, dtype=torch.float64)
    tokens = torch.randn(N, 12, 8, generator=rng, dtype=torch.float64)
    mask = torch.ones(N, 5, dtype=torch.bool)
    mask[:, 0] = False
    return objective, [patches, mask, tokens, content(ids), ids]


def test_the_captioning_loss_is_the_literal_formula():
    """Place by place: from the tokens up to it and the patches that count, the word that follows."""
    objective, (patches, mask, tokens, known, ids) = captioning()
    terms = []
    for i in range(N):
        for t in range(int(known[i].sum()) + 1):  # from the start token to the last word
            read = objective.decoder(
                tokens[i : i + 1, : t + 1], patches[i : i + 1, mask[i]], tgt_mask=torch.ones(t + 1, t + 1).triu(1) > 0
            )
            terms.append(-objective.head(read[0, -1]).log_softmax(dim=0)[ids[i, t + 1]])
    assert sum(int(ids[i, int(known[i].sum()) + 1]) == 49 for i in range(N)) == N  # the end is predicted
    found = caption_loss(objective.decoder, objective.head, patches, mask, tokens, known, ids)
    torch.testing.assert_close(found, torch.stack(terms).mean(), atol=1e-12, rtol=1e-12)


def test_what_stands_between_words_is_read_and_not_predicted():
    """Terms of the literal formula but for those of the place that is no word."""
    objective, (patches, mask, tokens, known, ids) = captioning()
    row = int(known.sum(dim=1).argmax())
    known[row, 2] = False
    terms = [
        -objective.head(
            objective.decoder(tokens[i : i + 1, : t + 1], patches[i : i + 1, mask[i]],
                              tgt_mask=torch.ones(t + 1, t + 1).triu(1) > 0)[0, -1]
        ).log_softmax(dim=0)[ids[i, t + 1]]
        for i in range(N) for t in range(int(known[i].nonzero().max()) + 1) if (i, t) != (row, 1)
    ]  # fmt: skip
    found = caption_loss(objective.decoder, objective.head, patches, mask, tokens, known, ids)
    torch.testing.assert_close(found, torch.stack(terms).mean(), atol=1e-12, rtol=1e-12)


def test_coca_is_clip_and_the_captioning_loss():
    network, inputs = parts()
    objective = Coca(CocaSettings(caption=0.5), SHAPE)
    outputs = outputs_of(objective, network, inputs)
    (image, patches, mask), (text, tokens, known, ids) = outputs["image"], outputs["text"]
    assert torch.equal(known, content(inputs["text"]))
    with torch.no_grad():
        words = float(caption_loss(objective.decoder, objective.head, patches, mask, tokens, known, ids))
        expected = info_nce(image, text, objective.log_scale, [0, 1, 2, 0, 3]) + 0.5 * words
    assert float(objective.loss(outputs, FACTS).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_later_word_changes_no_earlier_prediction():
    network, inputs = parts(ids=texts([9] * N))
    objective = Coca(CocaSettings(), SHAPE)
    known = content(inputs["text"])
    known[:, 5:] = False  # predictions of the first five words

    def loss(changed):
        ids = inputs["text"].clone()
        ids[:, changed] = 59 - ids[:, changed] % 10  # another word
        _, patches, mask = objective.outputs(network, "image", inputs["image"], RowDraws(0, 0, np.arange(N)))
        _, tokens, _, words = objective.outputs(network, "text", ids, RowDraws(0, 0, np.arange(N)))
        return float(caption_loss(objective.decoder, objective.head, patches, mask, tokens, known, words).detach())

    plain = loss([])
    assert loss([6, 7, 8]) == pytest.approx(plain, abs=1e-6)
    assert abs(loss([5]) - plain) > 1e-3  # the last that is predicted
    assert abs(loss([2]) - plain) > 1e-3


def test_padding_and_masked_patches_change_nothing():
    objective, arguments = captioning()
    patches, mask, tokens, known, ids = arguments
    end = int(known.sum(dim=1).max()) + 1
    noise = torch.randn(N, 12, 8, dtype=torch.float64) * 100
    behind = torch.arange(12) > known.sum(dim=1, keepdim=True)  # the end token's own place, and all behind it
    other = [torch.where(mask[..., None], patches, noise[:, :5]), torch.where(behind[..., None], noise, tokens)]
    words = torch.where(torch.arange(12) > known.sum(dim=1, keepdim=True) + 1, 3, ids)
    plain = caption_loss(objective.decoder, objective.head, *arguments)
    torch.testing.assert_close(
        caption_loss(objective.decoder, objective.head, other[0], mask, other[1], known, words), plain
    )
    cut = caption_loss(objective.decoder, objective.head, patches, mask, tokens[:, : end + 1], known[:, : end + 1],
                       ids[:, : end + 1])  # fmt: skip
    torch.testing.assert_close(cut, plain)


def test_texts_without_words_have_no_captioning_loss():
    objective, (patches, mask, tokens, known, ids) = captioning()
    tokens.requires_grad_()
    loss = caption_loss(objective.decoder, objective.head, patches, mask, tokens, torch.zeros_like(known), ids)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (tokens.grad == 0).all()


def test_the_captioning_loss_has_the_gradient_of_finite_differences():
    objective, (patches, mask, tokens, known, ids) = captioning(layers=1)
    sides = [one[:2].requires_grad_() for one in (patches, tokens)]
    assert torch.autograd.gradcheck(
        lambda a, b: caption_loss(objective.decoder, objective.head, a, mask[:2], b, known[:2], ids[:2]), sides
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_tiles_give_the_captioning_loss_and_the_gradients_of_the_whole(monkeypatch, rows):
    objective, (patches, mask, tokens, known, ids) = captioning()
    ends = []
    for tile in (coca.TILE, 4 * 11 * 60 * rows):
        monkeypatch.setattr(coca, "TILE", tile)
        objective.zero_grad()
        sides = [one.clone().requires_grad_() for one in (patches, tokens)]
        found = caption_loss(objective.decoder, objective.head, sides[0], mask, sides[1], known, ids)
        found.backward()
        learnt = [*objective.decoder.parameters(), *objective.head.parameters()]
        ends.append([found.detach(), *(one.grad.clone() for one in (*sides, *learnt))])
    for one, two in zip(*ends, strict=True):
        torch.testing.assert_close(one, two, atol=1e-12, rtol=1e-12)


def test_the_decoder_has_the_layers_of_the_settings_drawn_apart_and_no_dropout():
    objective = Coca(CocaSettings(layers=3), replace(SHAPE, dim=128))
    first, second, third = objective.decoder.layers
    assert first.self_attn.num_heads == 2
    for one, two in ((first, second), (second, third)):
        assert not torch.equal(one.linear1.weight, two.linear1.weight)
        assert not torch.equal(one.self_attn.in_proj_weight, two.self_attn.in_proj_weight)
    assert all(one.p == 0 for one in objective.modules() if isinstance(one, torch.nn.Dropout))
    assert all(one.dropout == 0 for one in objective.modules() if isinstance(one, torch.nn.MultiheadAttention))


def test_pairs_of_texts_and_images_without_texts_are_refused():
    with pytest.raises(InputError, match=r"'coca' writes .*, and there are no images: findings, impression"):
        Coca(CocaSettings(), replace(SHAPE, inputs={"findings": TEXT, "impression": TEXT}))
    for other in (ImageInput(16, 8, 1), TableInput(3)):
        with pytest.raises(InputError, match=r"'coca' predicts words, and there are no texts: image, other\. Give"):
            Coca(CocaSettings(), replace(SHAPE, inputs={"image": ImageInput(16, 8, 1), "other": other}))


@pytest.mark.parametrize("modality", ["image", "text"])
def test_encoders_without_tokens_are_refused(modality, monkeypatch):
    monkeypatch.setattr(SharedNetwork, "longest", lambda self, one: 0 if one == modality else 12)
    with pytest.raises(InputError, match=f"'coca' reads tokens, and the encoder of '{modality}' gives none"):
        Coca(CocaSettings(), SHAPE).check_network(SharedNetwork(SHAPE))


def test_a_text_encoder_that_reads_later_words_is_refused_by_coca(monkeypatch):
    network, objective = SharedNetwork(SHAPE), Coca(CocaSettings(), SHAPE)
    objective.check_network(network)
    monkeypatch.setattr(SharedNetwork, "is_causal", lambda self, modality: modality != "text")
    with pytest.raises(InputError, match="'coca' predicts each word from those before it, and the encoder of 'text'"):
        objective.check_network(network)


def test_a_run_learns_captions(recipe, tmp_path):
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    path = recipe(objective={"name": "coca", "layers": 1}, training={"chunk": 5, "rate": 5e-3})
    train(path, tmp_path / "out", device="cpu", progress=False)
    losses = [line["loss"] for line in log_lines(tmp_path / "out" / "run") if "loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.5
