"""Laws of the fused network and of its losses."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from stitchkit.core.fused_heads import fused_logits
from stitchkit.core.fusion_rows import FusionRows
from stitchkit.training.fusion import fit
from stitchkit.training.fusion.fit import Tensors, TrainingRows, classifier_loss, fit_network, held_loss, new_network
from stitchkit.training.fusion.losses import contrastive_loss, info_nce, item_losses, sigmoid_pairs
from stitchkit.training.fusion.network import shown_subsets, subset_columns
from stitchkit.training.fusion.recipe import FusionRecipe, paper_recipe

WIDTHS = {"ct": 12, "age": 1, "report": 1200}
EQUAL = {"ct": 12, "mri": 12, "pet": 12}
N, CLASSES = 40, 3


def data_of(widths=WIDTHS, holes=0.4, seed=0, multiclass=True, n=N):
    rng = np.random.default_rng(seed)
    present = rng.random((n, len(widths))) > holes
    present[~present.any(axis=1), 0] = True
    vectors = {name: rng.normal(size=(n, width)) for name, width in widths.items()}
    targets = np.eye(CLASSES)[rng.integers(0, CLASSES, n)] if multiclass else rng.integers(0, 2, (n, CLASSES)) * 1.0
    if not multiclass:
        targets[rng.random(targets.shape) < 0.2] = np.nan
        targets[np.isnan(targets).all(axis=1)] = 0
    return TrainingRows(
        rows=FusionRows([f"r{i}" for i in range(n)], vectors, present),
        targets=targets,
        groups=None,
        multiclass=multiclass,
        normed=frozenset(name for name, width in widths.items() if width >= 8),
        tables=frozenset(),
    )


def network_of(data, recipe, seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = new_network(data, recipe)
        for token in network.token:  # trained ones are not zero
            token.data.normal_()
    return network.eval()


def loss_of(network, data, recipe):
    loss = classifier_loss(network, Tensors.of(data, recipe), np.arange(N), recipe, np.random.default_rng(0))
    return float(loss.detach())


@pytest.mark.parametrize("widths", [WIDTHS, EQUAL], ids=["other widths", "equal widths"])
@pytest.mark.parametrize("token", ["substitute", "add"])
def test_the_trained_network_is_the_one_that_scores(token, widths):
    data = data_of(widths)
    recipe = FusionRecipe(hidden=16, stages=3, token=token)
    network = network_of(data, recipe)
    own = network.double()
    with torch.no_grad():
        vectors = {name: torch.tensor(one) for name, one in data.rows.vectors.items()}
        logits = own(vectors, torch.arange(N), torch.tensor(data.rows.present))
    found = fused_logits(own.weights(), data.rows, token, data.normed)
    np.testing.assert_allclose(found, logits.numpy(), atol=1e-10)


@pytest.mark.parametrize("token", ["substitute", "add"])
@pytest.mark.parametrize("multiclass", [True, False])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loss_of_all_subsets_equals_a_double_loop(token, multiclass, weight):
    data = data_of(multiclass=multiclass)
    recipe = FusionRecipe(hidden=16, token=token, subset_weight=weight)
    network = network_of(data, recipe)
    found = loss_of(network, data, recipe)

    names, total = data.rows.names, 0.0
    for i in range(N):
        has = [m for m in range(len(names)) if data.rows.present[i, m]]
        whole, parts = 0.0, []
        for size in range(1, len(has) + 1):
            for subset in combinations(has, size):
                mask = np.asarray([[m in subset for m in range(len(names))]])
                one = FusionRows(["x"], {name: v[[i]] for name, v in data.rows.vectors.items()}, mask)
                logits = fused_logits(network.weights(), one, token, data.normed)[0]
                truth = data.targets[i]
                if multiclass:
                    loss = np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[truth.argmax()]
                else:
                    known = ~np.isnan(truth)
                    loss = np.mean(np.logaddexp(0, logits[known]) - truth[known] * logits[known])
                if size == len(has):
                    whole = loss
                else:
                    parts.append(loss)
        total += (whole + weight * sum(parts)) / (1 + len(parts))
    assert found == pytest.approx(total / N, rel=1e-5)


def test_the_loss_is_the_same_for_modalities_in_another_order():
    data = data_of()
    order = ["report", "ct", "age"]
    columns = [list(WIDTHS).index(name) for name in order]
    rows = FusionRows(data.rows.ids, {name: data.rows.vectors[name] for name in order}, data.rows.present[:, columns])
    other = TrainingRows(rows, data.targets, None, True, data.normed, frozenset())
    recipe = FusionRecipe(hidden=16)
    first, second = network_of(data, recipe), network_of(other, recipe, seed=2)
    second.take_weights(first.weights())
    losses = [loss_of(net, one, recipe) for net, one in ((first, data), (second, other))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_each_row_shows_each_of_its_subsets_once():
    present = np.asarray([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
    rows, masks, whole = shown_subsets(present, subset_columns(3, 4, np.random.default_rng(0)))
    assert np.bincount(rows, minlength=4).tolist() == [7, 3, 1, 0]
    assert len({(row, tuple(mask)) for row, mask in zip(rows.tolist(), masks.tolist(), strict=True)}) == 11
    assert (masks[whole] == present[rows[whole]]).all()
    assert whole.sum() == 3
    assert masks.any(axis=1).all()


def test_of_many_modalities_the_whole_the_single_ones_and_a_sample_are_shown():
    columns = subset_columns(7, 3, np.random.default_rng(0))
    assert columns.shape == (11, 7)
    assert columns[0].all()
    assert (columns[1:8] == np.eye(7, dtype=bool)).all()
    assert ((columns[8:].sum(axis=1) > 1) & (columns[8:].sum(axis=1) < 7)).all()


def test_the_sigmoid_loss_of_three_terms_equals_its_formula():
    rng = np.random.default_rng(0)
    a, b, f = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in rng.normal(size=(3, 9, 5)))
    labels = rng.integers(0, 3, 9)
    t, bias = 7.0, -3.0

    def term(x, y):
        total = 0.0
        for i in range(9):
            for j in range(9):
                s = 1 if labels[i] == labels[j] else -1
                total += -np.log(1 / (1 + np.exp(-s * (t * (x[i] @ y[j]) + bias))))
        return total / 81

    tensors = {k: torch.tensor(one) for k, one in enumerate((a, b, f))}
    same = torch.tensor(labels[:, None] == labels[None])
    owners = {k: torch.arange(9) for k in range(3)}
    scale = torch.tensor(np.log(t)), torch.tensor(bias)
    found = contrastive_loss(tensors, owners, same, "sigmoid", *scale)
    assert float(found) == pytest.approx(term(a, b) + term(a, f) + term(b, f), rel=1e-6)
    assert float(sigmoid_pairs(tensors[0], tensors[1], same, *scale)) == pytest.approx(term(a, b), rel=1e-9)


def test_rows_that_lack_a_modality_are_in_the_terms_of_the_others_alone():
    rng = np.random.default_rng(0)
    z = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(6, 4))), dim=1)
    same = torch.eye(6, dtype=torch.bool)
    scale = torch.tensor(2.0), torch.tensor(-1.0)
    views, owners = {0: z[:4], 1: z[4:]}, {0: torch.tensor([0, 1, 2, 3]), 1: torch.tensor([1, 5])}
    found = contrastive_loss(views, owners, same, "sigmoid", *scale)
    wanted = sigmoid_pairs(z[:4], z[4:], same[:4][:, [1, 5]], *scale)
    assert float(found) == pytest.approx(float(wanted))
    alone = contrastive_loss(views, owners, same, "infonce", *scale)  # row 1 alone has both
    assert float(alone) == pytest.approx(float(info_nce(z[[1]], z[[4]])))


def test_class_weights_scale_the_loss_of_their_class():
    logits, targets = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 0, 1]]
    plain = item_losses(logits, targets, multiclass=True, class_weights=torch.ones(2, 3))
    weights = torch.tensor([[1.0, 1, 1], [2.0, 3, 5]])
    weighted = item_losses(logits, targets, multiclass=True, class_weights=weights)
    torch.testing.assert_close(weighted, plain * weights[1][[0, 1, 2, 0, 1]])


def test_the_defaults_and_the_publication_have_one_lambda_and_one_token():
    own, paper = FusionRecipe(), paper_recipe("modality-dropout")
    assert (own.subset_weight, own.token) == (paper.subset_weight, paper.token) == (1.0, "substitute")
    assert own.to_dict()["lambda"] == 1.0


# training


@pytest.mark.parametrize("token", ["substitute", "mean"])
def test_vectors_are_standardised_by_the_rows_that_have_them(token):
    """Rows without a modality hold zeros, which are no vectors."""
    data = data_of(EQUAL)
    data.rows.vectors["ct"][:] += 7 * data.rows.present[:, [0]]
    network = network_of(data, FusionRecipe(hidden=16, token=token))
    for m, (name, values) in enumerate(data.rows.vectors.items()):
        there = values[data.rows.present[:, m]]
        weights = network.weights()
        np.testing.assert_allclose(weights[f"center.{name}"], there.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(weights[f"scale.{name}"], there.std(axis=0), rtol=1e-5)


def test_the_held_out_loss_is_of_all_subsets_without_dropout_whatever_is_drawn_in_training():
    data = data_of()
    recipe = FusionRecipe(hidden=16, dropout=0.5)
    network, tensors = network_of(data, recipe), Tensors.of(data, recipe)
    wanted = loss_of(network, data, recipe)
    for subsets in ("all", "random"):
        network.train()
        assert held_loss(network, tensors, recipe.with_settings(subsets=subsets)) == pytest.approx(wanted, rel=1e-6)
    whole = held_loss(network, tensors, recipe.with_settings(subsets="full"))
    logits = fused_logits(network.weights(), data.rows, "substitute", data.normed)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert whole == pytest.approx(-np.log(shares[data.targets == 1]).mean(), rel=1e-5)
    assert abs(whole - wanted) > 0.01


def test_the_strength_and_the_epochs_of_the_least_held_out_loss_are_trained_on_all_rows(monkeypatch):
    data = data_of()
    curves = {0.01: [3.0, 2.0, 2.5], 0.1: [1.9, 1.0, 1.5], 1.0: [1.1, 1.2, 1.3]}
    trained = []

    def train(run, number, rows, held, strength, epochs):
        trained.append((len(rows.rows), held is not None, strength, epochs))
        return network_of(data, run.recipe), curves[strength] if held is not None else []

    monkeypatch.setattr(fit, "_train", train)
    fitted = fit_network(data, FusionRecipe(hidden=16, epochs=3, weight_decay=tuple(curves)), progress=False)
    assert (fitted.weight_decay, fitted.epochs, fitted.losses) == (0.1, 2, curves)
    assert trained[-1] == (N, False, 0.1, 2)
    assert [one[1:] for one in trained[:-1]] == [(True, strength, 3) for strength in curves]
    assert all(one[0] < N for one in trained[:-1])


def test_a_step_shrinks_with_the_width_of_a_modality_and_the_decay_of_a_step_does_not():
    data = data_of()
    recipe = FusionRecipe(hidden=16, learning_rate=0.004)
    network = network_of(data, recipe)
    groups = {id(one["params"][0]): one for one in fit._optimizer(recipe, [network], 0.5).param_groups}
    rates = [groups[id(one)]["lr"] for one in network.enter]
    np.testing.assert_allclose(rates, [0.04, 0.04, 0.004 * 128 / 1200])  # ten times the recipe's at most
    matrices = [groups[id(one)] for one in network.parameters() if one.ndim > 1]
    np.testing.assert_allclose([one["lr"] * one["weight_decay"] for one in matrices], 0.004 * 0.5)
    others = [groups[id(one)] for one in network.parameters() if one.ndim < 2]
    assert {(one["lr"], one["weight_decay"]) for one in others} == {(0.004, 0.0)}


@pytest.mark.parametrize("contrastive", ["sigmoid", "infonce", "none"])
def test_the_classifier_is_new_after_the_contrastive_stage(monkeypatch, contrastive):
    data, began, seen = data_of(), [], []
    make, loss = fit.new_network, fit.classifier_loss

    def beginning(*given):
        network = make(*given)
        began.append(network.out.weight.detach().clone())
        return network

    def first(network, *given):
        seen.append(network.out.weight.detach().clone())
        return loss(network, *given)

    monkeypatch.setattr(fit, "new_network", beginning)
    monkeypatch.setattr(fit, "classifier_loss", first)
    recipe = FusionRecipe(hidden=16, epochs=1, contrastive_epochs=1, contrastive=contrastive, held=0)
    fit_network(data, recipe, progress=False)
    assert len(began) == 1
    assert torch.equal(began[0], seen[0]) == (contrastive == "none")
