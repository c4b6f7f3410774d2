"""DeCLIP's objective: views of texts, the literal formulas of its losses, and the queue of earlier captions."""

from __future__ import annotations

import copy
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from small_pairs import FACTS, SHAPE, TEXT, N, content, info_nce, outputs_of, parts, texts, unit

from stitchkit.core.errors import DataError, InputError
from stitchkit.encoders.pair_network import ImageInput, TableInput
from stitchkit.encoders.shared.network import SharedNetwork
from stitchkit.training import loop
from stitchkit.training.checkpoints import read_state
from stitchkit.training.gradient_cache import cached_backward
from stitchkit.training.loop import train
from stitchkit.training.objectives import declip
from stitchkit.training.objectives.declip import Declip, DeclipSettings, nearest, view_agreement
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.masked_words import masked_word_loss
from stitchkit.training.objectives.views import image_view, text_view
from stitchkit.training.recipes import read_recipe


def test_a_view_of_a_text_lacks_some_words_or_has_some_change_places():
    """Words are numbered, so that order and loss can be read off."""
    whole = replace(TEXT, context=22)
    ids = torch.arange(100, 122).expand(600, 22).clone()
    ids[:, 21] = 49
    views = text_view(ids, content(ids), RowDraws(0, 0, np.arange(600)), whole)
    shorter = 0
    for row, view in zip(ids.tolist(), views.tolist(), strict=True):
        at = view.index(49)
        if at < 21:  # two of twenty words stand behind the end, and the others follow each other in order
            assert view[: at + 1] == [*sorted(view[:at]), 49]
            assert at == 19
            shorter += 1
        else:
            places = [place for place, (one, two) in enumerate(zip(row, view, strict=True)) if one != two]
            assert len(places) == 4
            assert all(row[view.index(row[place])] == view[place] for place in places)  # each pair has swapped
        assert view[0] == row[0]
    assert 250 < shorter < 350
    assert len(views.unique(dim=0)) > 400
    other = text_view(ids, content(ids), RowDraws(0, 1, np.arange(600)), whole)
    assert (other != views).any(dim=1).float().mean() > 0.9


def test_a_view_of_a_text_belongs_to_its_row_and_not_to_the_length_of_its_chunk():
    ids = texts()
    whole = text_view(ids, content(ids), RowDraws(0, 0, np.arange(N)), TEXT)
    part = text_view(ids[1:3, :9], content(ids[1:3, :9]), RowDraws(0, 0, np.arange(1, 3)), TEXT)
    for one, two in zip(whole[1:3].tolist(), part.tolist(), strict=True):
        assert one[: one.index(49) + 1] == two[: two.index(49) + 1]


def test_what_a_view_has_lost_is_not_attended_to():
    ids = texts()
    attended = (torch.arange(12) <= content(ids).sum(dim=1, keepdim=True) + 1).long()
    batch = {"input_ids": ids, "attention_mask": attended}
    draws = RowDraws(0, 0, np.arange(N))
    view = text_view(batch, content(ids), draws, TEXT)
    assert torch.equal(view["input_ids"], text_view(ids, content(ids), draws, TEXT))
    for row, mask in zip(view["input_ids"].tolist(), view["attention_mask"].tolist(), strict=True):
        length = row.index(49) + 1
        assert mask == [1] * length + [0] * (12 - length)
    assert not torch.equal(view["attention_mask"], attended)


def test_a_text_of_one_word_or_none_stays_as_it_is():
    for length in (0, 1):
        ids = texts([length] * 40)
        assert torch.equal(text_view(ids, content(ids), RowDraws(0, 0, np.arange(40)), TEXT), ids)
    ids = texts([2] * 40)
    views = text_view(ids, content(ids), RowDraws(0, 0, np.arange(40)), TEXT)
    for row, view in zip(ids.tolist(), views.tolist(), strict=True):
        assert view[1:4] == [row[2], row[1], 49] or view[1:3] in ([row[1], 49], [row[2], 49])


def test_the_agreement_of_views_is_the_literal_formula_and_projections_get_no_gradient():
    rng = torch.Generator().manual_seed(0)
    one, two, from_one, from_two = (torch.randn(N, 3, generator=rng, dtype=torch.float64) for _ in range(4))
    cosine = [(unit(p.numpy()) * unit(z.numpy())).sum(axis=1).mean() for p, z in ((from_one, two), (from_two, one))]
    sides = [side.requires_grad_() for side in (one, two, from_one, from_two)]
    loss = view_agreement(*sides)
    assert float(loss.detach()) == pytest.approx(-np.mean(cosine), abs=1e-12)
    loss.backward()
    assert one.grad is None
    assert two.grad is None
    assert torch.autograd.gradcheck(lambda a, b: view_agreement(one, two, a, b), (from_one, from_two))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_the_nearest_of_a_queue_has_the_largest_cosine(monkeypatch, rows):
    rng = torch.Generator().manual_seed(0)
    queue, vectors = torch.nn.functional.normalize(torch.randn(9, 4, generator=rng)), torch.randn(7, 4, generator=rng)
    monkeypatch.setattr(declip, "TILE", 4 * 9 * rows)
    found = nearest(vectors, queue)
    for vector, one in zip(vectors.numpy(), found.numpy(), strict=True):
        cosines = queue.numpy() @ vector / np.linalg.norm(vector)
        np.testing.assert_array_equal(one, queue[cosines.argmax()])


@pytest.mark.parametrize("equal", [True, False])
def test_declip_is_the_weighted_sum_of_its_five_losses(equal):
    network, inputs = parts()
    objective = Declip(DeclipSettings(unimodal=0.3, views=0.15, neighbours=0.25, share=0.5, queue=8,
                                      equal_captions=equal), SHAPE)  # fmt: skip
    same = [0, 1, 2, 0, 3] if equal else list(range(N))
    first = outputs_of(objective, network, inputs)
    before = copy.deepcopy(objective)
    losses = [objective.loss(first, FACTS)]
    earlier = unit(first["text"][0].detach().numpy())
    second = outputs_of(objective, network, inputs, step=1)
    middle = copy.deepcopy(objective)
    losses.append(objective.loss(second, FACTS))
    for step, (outputs, clone, loss) in enumerate(zip((first, second), (before, middle), losses, strict=True)):
        with torch.no_grad():
            image, view = outputs["image"]
            text, other, tokens, words, places = outputs["text"]
            scale = clone.log_scale
            pairs = [info_nce(one, two, scale, same)
                     for one, two in ((image, text), (view, text), (image, other), (view, other))]  # fmt: skip
            seen = [clone.projector(one) for one in (image, view)]
            within = view_agreement(*seen, *(clone.predictor(one) for one in seen))
            within = within + masked_word_loss(clone.head, tokens, words, places)
            close = [earlier[(earlier @ vector).argmax()] for vector in unit(text.numpy())]
            near = info_nce(image, torch.as_tensor(np.stack(close)), scale, same) if step else 0  # none is earlier yet
            expected = 0.3 * pairs[0] + 0.3 * float(within) + 0.15 * np.mean(pairs[1:]) + 0.25 * near
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_views_are_of_the_items_and_the_masked_form_is_of_the_text():
    network, inputs = parts()
    objective, draws = Declip(DeclipSettings(queue=8), SHAPE), RowDraws(0, 2, np.arange(N))
    outputs = outputs_of(objective, network, inputs, step=2)
    ids = inputs["text"]
    seen = {"image": image_view(inputs["image"], draws, "view", False),
            "text": text_view(ids, content(ids), draws, TEXT)}  # fmt: skip
    for name, view in seen.items():
        torch.testing.assert_close(outputs[name][0], network(name, inputs[name]).pooled)
        torch.testing.assert_close(outputs[name][1], network(name, view).pooled)
    words, places = outputs["text"][3:]
    assert torch.equal(words, ids)
    assert not (places & ~content(ids)).any()


def test_the_queue_keeps_the_latest_captions_and_forgets_the_oldest():
    network, inputs = parts()
    objective, said = Declip(DeclipSettings(queue=7), SHAPE), []
    for step in range(4):
        inputs["text"] = texts(seed=step)
        outputs = outputs_of(objective, network, inputs, step)
        objective.loss(outputs, FACTS)
        said.extend(unit(outputs["text"][0].detach().numpy()))
        kept = objective.queue[: min(7, len(said))].numpy()
        expected = np.stack(said[-7:])
        order = [int(np.abs(kept - one).sum(axis=1).argmin()) for one in expected]
        assert sorted(order) == list(range(len(expected)))
        np.testing.assert_allclose(kept[order], expected, atol=1e-6)
    short = Declip(DeclipSettings(queue=3), SHAPE)  # shorter than a batch
    short.loss(outputs, FACTS)
    np.testing.assert_allclose(np.sort(short.queue, axis=0), np.sort(said[-3:], axis=0), atol=1e-6)


def test_a_validation_changes_neither_the_queue_nor_the_statistics():
    network, inputs = parts()
    objective = Declip(DeclipSettings(queue=8), SHAPE)
    objective.loss(outputs_of(objective, network, inputs), FACTS)
    state = copy.deepcopy(objective.state_dict())
    assert {"queue", "count", "projector.1.running_mean"} <= set(state)
    objective.eval()
    with torch.no_grad():
        values = [float(objective.loss(outputs_of(objective, network, inputs, 1), FACTS)) for _ in range(2)]
    assert values[0] == values[1]
    assert all(torch.equal(value, state[name]) for name, value in objective.state_dict().items())
    objective.train()
    objective.loss(outputs_of(objective, network, inputs, 1), FACTS)
    assert int(objective.count) == 2 * N


@pytest.mark.parametrize("sizes", [[N], [2, 2, 1]])
def test_chunks_take_the_same_way_when_there_are_earlier_captions(sizes):
    network, inputs = parts()
    objective, starts = Declip(DeclipSettings(queue=8), SHAPE), np.cumsum([0, *sizes])
    plain_network, plain = copy.deepcopy((network, objective))
    for step in range(3):
        network.zero_grad()
        plain_network.zero_grad()

        def forward(chunk, step=step):
            return outputs_of(objective, network, inputs, step, slice(starts[chunk], starts[chunk + 1]))

        cached_backward(forward, len(sizes), lambda outputs: objective.loss(outputs, FACTS))
        plain.loss(outputs_of(plain, plain_network, inputs, step), FACTS).backward()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(value, objective.state_dict()[name], atol=1e-5, rtol=1e-4, msg=name)
    for (name, one), two in zip(network.named_parameters(), plain_network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-5, rtol=1e-3, msg=name)


def test_pairs_of_texts_and_images_without_texts_are_refused():
    with pytest.raises(InputError, match=r"'declip' draws .*, and there are no images: findings, impression"):
        Declip(DeclipSettings(), replace(SHAPE, inputs={"findings": TEXT, "impression": TEXT}))
    for other in (ImageInput(16, 8, 1), TableInput(3)):
        with pytest.raises(InputError, match=r"'declip' masks words, and there are no texts: image, other\. Give"):
            Declip(DeclipSettings(), replace(SHAPE, inputs={"image": ImageInput(16, 8, 1), "other": other}))


@pytest.mark.parametrize("modality", ["text"])
def test_encoders_without_tokens_are_refused(modality, monkeypatch):
    monkeypatch.setattr(SharedNetwork, "longest", lambda self, one: 0 if one == modality else 12)
    with pytest.raises(InputError, match=f"'declip' reads tokens, and the encoder of '{modality}' gives none"):
        Declip(DeclipSettings(), SHAPE).check_network(SharedNetwork(SHAPE))


def test_shares_of_the_loss_above_one_are_refused(recipe):
    path = recipe(objective={"name": "declip", "unimodal": 0.5, "views": 0.4, "neighbours": 0.2})
    with pytest.raises(DataError, match=r"'unimodal', 'views' and 'neighbours' are shares .* got 0\.5, 0\.4 and 0\.2"):
        read_recipe(path)
    with pytest.raises(msgspec.ValidationError, match="at most 1 together"):
        msgspec.convert({"views": 1, "neighbours": 0.1}, DeclipSettings)
    assert DeclipSettings(unimodal=0.7, views=0.1, neighbours=0.2).views == 0.1


def test_a_run_that_is_stopped_goes_on_the_same_way(recipe, tmp_path, monkeypatch):
    """With all that the objective keeps: queue and statistics."""
    pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
    path = recipe(objective={"name": "declip", "queue": 20}, training={"chunk": 5, "epochs": 2})
    train(path, tmp_path / "whole", device="cpu", progress=False)
    step = loop._Run._step

    def stops(self, batch):
        if self.step == 4:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Run, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(path, tmp_path / "cut", device="cpu", progress=False)
    train(path, tmp_path / "cut", device="cpu", progress=False)
    states = [read_state(tmp_path / one / "run") for one in ("whole", "cut")]
    for part in ("objective", "network"):
        assert all(torch.equal(value, states[1][part][name]) for name, value in states[0][part].items())
    assert int(states[0]["objective"]["count"]) == 96
