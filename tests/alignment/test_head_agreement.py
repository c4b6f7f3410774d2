"""Maps for a head are chosen by the head's own outputs: the formula, the kinds of heads, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, softmax

import stitchkit as sk
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.head_agreement import HeadAgreement, correlation_entries, side_by_side
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.scores import Scores
from stitchkit.solvers.axes import Extent
from stitchkit.solvers.ridge import tracks

RNG = np.random.default_rng(0)
Y = RNG.normal(size=(80, 9))
X = Y @ RNG.normal(size=(9, 12)) + 0.5 * RNG.normal(size=(80, 12))
SPACE = sk.Space("array", 9, None)


def head_of(classes, *, multiclass=False, kind="logit", space=SPACE, seed=1):
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i}" for i in range(classes))
    return sk.LinearHead(
        space, names, rng.normal(size=(space.dim, classes)), rng.normal(size=classes), kind, multiclass
    )


@dataclass(frozen=True)
class Opaque:
    """A head that only scores; with probabilities instead of logits where ``squash`` is given."""

    inner: sk.LinearHead
    multiclass: bool
    squash: object = None

    @property
    def space(self):
        return self.inner.space

    @property
    def classes(self):
        return self.inner.classes

    def scores(self, embeddings):
        given = self.inner.scores(embeddings)
        if self.squash is None:
            return given
        return Scores(self.squash(given.values), "probability", given.ids, given.classes)


def test_of_one_class_it_is_the_cosine_of_centred_logits():
    criterion = HeadAgreement(head_of(5, multiclass=True), as_embeddings(Y))
    logits = head_of(5, multiclass=True).scores(Y).values
    centred = logits - logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(criterion.wanted, centred - centred.mean(axis=0), atol=1e-12)
    assert criterion.entries(np.array([[0.5], [1.0]])).mean() == 0.75


def test_many_classes_are_turned_into_fewer_columns_without_changing_a_cosine():
    head = head_of(40, multiclass=True)
    found = HeadAgreement(head, as_embeddings(Y)).wanted
    logits = head.scores(Y).values
    centred = logits - logits.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    assert found.shape == (80, 10)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-9)


def test_of_several_classes_it_is_the_mean_correlation():
    rng = np.random.default_rng(3)
    found, wanted = rng.normal(size=(2, 60, 4))
    found += wanted
    wanted[:, 2] = 1.0  # does not vary, and is left out
    entries = HeadAgreement(head_of(4), as_embeddings(Y)).entries(np.concatenate([found, wanted], axis=1))
    expected = np.mean([np.corrcoef(found[:, c], wanted[:, c])[0, 1] for c in (0, 1, 3)])
    assert entries.shape == (60,)
    assert entries.mean() == pytest.approx(expected)


@pytest.mark.parametrize("multiclass", [False, True])
def test_a_head_that_only_scores_is_read_like_a_linear_one(multiclass):
    head = head_of(5, multiclass=multiclass)
    one, other = (
        sk.align(X, Y, purpose="head", head=each).record["held_out"] for each in (head, Opaque(head, multiclass))
    )
    assert other["agreement"] == pytest.approx(one["agreement"], abs=1e-9)


@pytest.mark.parametrize(("multiclass", "squash"), [(False, expit), (True, lambda z: softmax(z, axis=1))])
def test_probabilities_are_read_as_logits(multiclass, squash):
    head = head_of(5, multiclass=multiclass)
    one, other = (
        sk.align(X, Y, purpose="head", head=each).record["held_out"]["agreement"]
        for each in (head, Opaque(head, multiclass, squash))
    )
    assert other == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("multiclass", [False, True])
def test_the_number_is_that_of_fresh_items(multiclass):
    rng = np.random.default_rng(5)
    into = rng.normal(size=(9, 12))
    y = rng.normal(size=(700, 9))
    x = y @ into + 1.5 * rng.normal(size=(700, 12))
    head = head_of(5, multiclass=multiclass)
    held = sk.align(x[:200], y[:200], purpose="head", head=head).record["held_out"]
    fitted = sk.align(x[:160], y[:160], purpose="head", head=head, nested=False)
    found, wanted = head.scores(fitted.to_target(x[200:])).values, head.scores(y[200:]).values
    if multiclass:
        found, wanted = (one - one.mean(axis=1, keepdims=True) for one in (found, wanted))
        found, wanted = found - wanted.mean(axis=0), wanted - wanted.mean(axis=0)
        each = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
        fresh = each.mean()
    else:
        fresh = np.mean([np.corrcoef(found[:, c], wanted[:, c])[0, 1] for c in range(5)])
    assert held["agreement"] == pytest.approx(fresh, abs=0.04)
    assert {"agreement_se", "r2", "se", "above_chance"} <= set(held)


@pytest.mark.parametrize("multiclass", [False, True])
def test_unrelated_spaces_are_at_chance_however_much_the_heads_biases_agree(multiclass):
    rng = np.random.default_rng(8)
    inner = head_of(5, multiclass=multiclass)
    head = sk.LinearHead(SPACE, inner.classes, inner.weight, 3 * inner.bias, multiclass=multiclass)
    record = sk.align(rng.normal(size=(80, 12)), rng.normal(size=(80, 9)), purpose="head", head=head).record
    assert not record["held_out"]["above_chance"]
    assert any(note.startswith("held out, agreement") for note in record["notes"])
    assert abs(record["held_out"]["chance_agreement"]) < 0.1
    assert sk.align(X, Y, purpose="head", head=head).record["held_out"]["above_chance"]


def test_what_the_head_does_not_read_does_not_decide():
    """Five loud target features that nothing predicts would drown the four that the head reads."""
    rng = np.random.default_rng(7)
    z = rng.normal(size=(300, 4))
    x = np.concatenate([z + 0.3 * rng.normal(size=(300, 4)), 3 * rng.normal(size=(300, 8))], axis=1)
    y = np.concatenate([z, 30 * rng.normal(size=(300, 5))], axis=1)
    weight = np.zeros((9, 4))
    weight[:4] = np.eye(4)
    head = sk.LinearHead(SPACE, tuple("abcd"), weight, np.zeros(4))
    agreement = {}
    for name, more in (("by the head", {"head": head}), ("by R2", {})):
        fitted = sk.align(x[:60], y[:60], purpose="head", nested=False, **more)
        found = head.scores(fitted.to_target(x[60:])).values
        agreement[name] = np.mean([np.corrcoef(found[:, c], z[60:, c])[0, 1] for c in range(4)])
    assert agreement["by the head"] > agreement["by R2"] + 0.02


def test_without_a_head_the_record_says_what_it_was_chosen_by():
    record = sk.align(X, Y, purpose="head").record
    assert any("no head was given" in note for note in record["notes"])
    assert record["chosen_by"] == "held-out R2"
    driven = sk.align(X, Y, purpose="head", head=head_of(3)).record
    assert not any("no head was given" in note for note in driven["notes"])
    assert driven["chosen_by"].endswith("mean of correlations of each class's outputs")
    one_of_many = sk.align(X, Y, purpose="head", head=head_of(3, multiclass=True)).record
    assert one_of_many["chosen_by"].endswith("mean of cosines of one item's logits")


def test_a_head_of_another_space_is_refused():
    other = head_of(3, space=sk.Space("array", 8, None))
    for solver in ("auto", sk.Ridge()):
        with pytest.raises(SpaceMismatchError):
            sk.align(X, Y, purpose="head", head=other, solver=solver)


def test_a_head_for_matching_is_refused():
    with pytest.raises(InputError, match="purpose='head'"):
        sk.align(X, Y, head=head_of(3))


def test_a_head_of_nan_is_refused():
    broken = sk.LinearHead(SPACE, ("a", "b"), np.full((9, 2), np.nan), np.zeros(2))
    with pytest.raises(InputError, match="NaN or infinite"):
        sk.align(X, Y, purpose="head", head=broken)


def test_a_head_whose_outputs_do_not_vary_is_refused():
    flat = sk.LinearHead(SPACE, ("a", "b"), np.zeros((9, 2)), np.array([1.0, -1.0]))
    with pytest.raises(InputError, match="the same scores"):
        sk.align(X, Y, purpose="head", head=flat)


def test_of_very_many_classes_a_random_part_is_judged_alike_for_all_heads():
    head = head_of(300)
    linear, opaque = (HeadAgreement(one, as_embeddings(Y)) for one in (head, Opaque(head, False)))
    assert linear.wanted.shape == (80, 100)
    np.testing.assert_allclose(linear.wanted, opaque.wanted, atol=1e-12)
    full, part = (sk.align(X, Y, purpose="head", head=one).record for one in (head_of(100), head))
    assert part["held_out"]["agreement"] == pytest.approx(full["held_out"]["agreement"], abs=0.03)
    note = "agreement is that of 100 of the head's 300 classes, drawn at random"
    assert note in part["notes"]
    assert note not in full["notes"]


def test_large_biases_leave_the_choice_as_it_is():
    head = head_of(4)
    far = sk.LinearHead(SPACE, head.classes, head.weight, head.bias + 1e5)
    one, other = (sk.align(X, Y, purpose="head", head=each).record for each in (head, far))
    assert one["settings"] == other["settings"]
    assert one["held_out"]["agreement"] == pytest.approx(other["held_out"]["agreement"], abs=1e-6)


@pytest.mark.parametrize("multiclass", [False, True])
def test_what_a_head_says_of_every_item_neither_chooses_nor_counts(multiclass):
    head = head_of(3, multiclass=multiclass)
    partial = sk.LinearHead(
        SPACE, head.classes, head.weight, head.bias + np.array([40.0, 0.0, -40.0]), "logit", multiclass
    )
    one, other = (sk.align(X, Y, purpose="head", head=each).record for each in (head, partial))
    assert one["settings"] == other["settings"]
    assert other["held_out"]["above_chance"]
    assert other["held_out"]["agreement"] == pytest.approx(one["held_out"]["agreement"], abs=1e-6)


def test_splits_with_maps_of_their_own_are_put_side_by_side():
    rng = np.random.default_rng(2)
    wanted = rng.normal(size=(4, 30, 3))
    splits = [np.concatenate([one + rng.normal(size=one.shape), one], axis=1) for one in wanted]
    moved = [
        one * np.repeat([size, 1], 3) + np.repeat([off, 0], 3)
        for one, size, off in zip(splits, (1, 7, 0.1, 3), (0, 5, -2, 1), strict=True)
    ]
    ours, reference = (correlation_entries(*np.split(side_by_side(some), 2, axis=1)) for some in (moved, splits))
    np.testing.assert_allclose(ours, reference, atol=1e-9)
    pooled = correlation_entries(*np.split(np.concatenate(splits), 2, axis=1))
    assert ours.mean() == pytest.approx(pooled.mean(), abs=0.03)
    apart = correlation_entries(*np.split(np.concatenate(moved), 2, axis=1))
    assert apart.mean() < pooled.mean() - 0.2


def test_a_softmax_over_one_class_is_refused():
    with pytest.raises(InputError, match="multiclass=False"):
        sk.align(X, Y, purpose="head", head=head_of(1, multiclass=True))


def test_entries_spread_as_the_mean_correlation_does():
    rng = np.random.default_rng(6)
    wanted = rng.normal(size=(300, 4))
    found = wanted + 0.3 * rng.normal(size=wanted.shape)
    entries = correlation_entries(found, wanted)
    left_out = np.array(
        [
            np.mean([np.corrcoef(np.delete(found[:, c], i), np.delete(wanted[:, c], i))[0, 1] for c in range(4)])
            for i in range(300)
        ]
    )
    jackknife = np.sqrt(299 / 300 * np.sum((left_out - left_out.mean()) ** 2))
    assert entries.std(ddof=1) / 300**0.5 == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("multiclass", [False, True])
def test_a_curve_scores_every_strength_as_its_measures_do(multiclass):
    folds = Folds.of(as_embeddings(X), as_embeddings(Y), assign(80, None, seed=0))
    criterion = HeadAgreement(head_of(4, multiclass=multiclass), as_embeddings(Y))
    axes = TrainingSets(X, Y, folds.evidence().moments).axes(folds, 0, ["none"])["none"]
    for track in tracks(Extent(64, (12, 9)), "head")[:1]:
        draft, fold = track.draft(axes), folds.parts[0]
        curve = criterion.curve(draft, fold)
        for at in (0, 7, len(draft) - 1):
            wanted = criterion.entries(criterion.measures(draft, at, None, fold)).mean()
            assert criterion.score([curve], at) == pytest.approx(wanted, abs=1e-5)


def test_outputs_of_any_size_are_told_apart():
    head = head_of(3)
    for size in (1e-30, 1e37, 1e60):
        huge = sk.LinearHead(SPACE, head.classes, head.weight * size, head.bias * size)
        one, other = (sk.align(X, Y, purpose="head", head=each).record for each in (head, huge))
        assert one["settings"] == other["settings"]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_class_that_hardly_varies_beside_its_bias_is_left_out(size):
    head = head_of(4)
    flat = sk.LinearHead(SPACE, head.classes, head.weight * [1, 1, 1, 1e-13], head.bias + size * np.eye(4)[3])
    criterion = HeadAgreement(flat, as_embeddings(Y))
    assert not criterion.wanted[:, 3].any()
    three = sk.LinearHead(SPACE, head.classes[:3], head.weight[:, :3], head.bias[:3])
    one, other = (sk.align(X, Y, purpose="head", head=each).record["held_out"]["agreement"] for each in (flat, three))
    assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("squash", [None, lambda z: softmax(z, axis=1)])
def test_of_two_classes_it_is_the_correlation_of_the_difference_of_their_logits(squash):
    head = head_of(2, multiclass=True)
    criterion = HeadAgreement(head if squash is None else Opaque(head, True, squash), as_embeddings(Y))
    logits = head.scores(Y).values
    difference = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(criterion.wanted, (difference - difference.mean())[:, None], atol=1e-9)
    record = sk.align(X, Y, purpose="head", head=head).record
    assert record["chosen_by"].endswith("the correlation of the difference of the two logits")
    assert record["held_out"]["agreement"] > 0.5
