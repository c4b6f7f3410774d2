"""Maps for a head are chosen by the head's own outputs: the formula, the kinds of heads, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, softmax

import stitchkit as sk
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.scores import Scores

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
    np.testing.assert_allclose(criterion.wanted, centred, atol=1e-12)
    assert criterion.entries(np.array([[0.5], [1.0]])).mean() == 0.75


def test_many_classes_are_turned_into_fewer_columns_without_changing_a_cosine():
    head = head_of(40, multiclass=True)
    found = HeadAgreement(head, as_embeddings(Y)).wanted
    logits = head.scores(Y).values
    centred = logits - logits.mean(axis=1, keepdims=True)
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
    assert (record["held_out"]["chance_agreement"] > 0.3) == multiclass
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
    assert driven["chosen_by"] == HeadAgreement.words


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
