"""Binding of modalities through text: recovery, both centrings, own and joint maps, adding and removing, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

import stitchkit as sk
from stitchkit.alignment.binding.hubs import HUB_SOLVERS, text_hub
from stitchkit.core.errors import (
    DataError,
    InputError,
    LeakageError,
    NoDirectedMapError,
    SpaceMismatchError,
    UnknownNameError,
)

DIM = 5
RNG = np.random.default_rng(0)
MEANING = RNG.normal(size=(400, DIM)) * [2, 1.5, 1, 0.8, 0.6]
# where each modality lies along the first two directions of the meaning
KINDS = {"xray": (3.0, 0.0), "skin": (-1.5, 2.6), "mri": (-1.5, -2.6)}


def space(name, d):
    return sk.Space(name, d, f"fingerprint of {name}")


def embeddings(name, vectors, first=0):
    return sk.Embeddings(vectors, [f"{i + first}" for i in range(len(vectors))], space(name, vectors.shape[1]))


def loads(name, d):
    return np.random.default_rng(sum(map(ord, name))).normal(size=(DIM, d))


def seen(name, d, meaning, first=0):
    """What an encoder makes of a meaning, with an origin of its own."""
    load = loads(name, d)
    return embeddings(name, meaning @ load + load[0], first)


def rotated(seed, vectors):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(vectors.shape[1],) * 2))
    return vectors @ q


def of_kind(kind, n, seed):
    """Meanings of one modality, which lie in a place of their own."""
    z = np.random.default_rng(seed).normal(size=(n, DIM)) * [0.4, 0.4, 1.5, 1, 0.8]
    z[:, :2] += KINDS[kind]
    return z


def pairs_of(kind, *, encoder=None, text="notes", n=80, seed=None):
    """Anchors of one modality: its vectors and those of its texts, row by row."""
    meaning = of_kind(kind, n, sum(map(ord, kind)) if seed is None else seed)
    return seen(encoder or f"{kind} encoder", 12, meaning), seen(text, 9, meaning)


def three(**how):
    return {kind: pairs_of(kind, **how) for kind in KINDS}


SHARED = {name: seen(name, 9, MEANING) for name in ("notes", "letters", "codes")}


@pytest.fixture(scope="module")
def bound():
    """Three modalities, each with a text encoder of its own."""
    given = {kind: sk.ModalityPairs(*pairs_of(kind, text=text)) for kind, text in zip(KINDS, SHARED, strict=True)}
    return sk.bind(given, texts=SHARED, text="letters")


@pytest.mark.parametrize("solver", HUB_SOLVERS)
def test_exactly_rotated_text_spaces_meet_in_the_hub(solver):
    one = MEANING @ loads("notes", 9)[:, :DIM]
    views = {name: embeddings(name, rotated(i, one) + i) for i, name in enumerate(("a", "b", "c"))}
    hub = text_hub(views, "a", solver=solver)
    a, b, c = (hub.maps[name](views[name]).vectors for name in views)
    size = np.abs(a - a.mean(axis=0)).max()
    np.testing.assert_allclose(b / size, a / size, atol=1e-5)
    np.testing.assert_allclose(c / size, a / size, atol=1e-5)
    assert len({one.target for one in hub.maps.values()}) == 1


@pytest.mark.parametrize("solver", HUB_SOLVERS)
def test_the_bias_of_every_text_map_is_the_mean_of_the_shared_texts(solver):
    hub = text_hub(SHARED, "notes", solver=solver)
    for name, view in SHARED.items():
        np.testing.assert_allclose(hub.maps[name](view).vectors.mean(axis=0), hub.maps[name].bias, atol=1e-9)


def test_one_text_encoder_finds_the_items_of_every_modality(bound):
    for kind in KINDS:
        fresh = of_kind(kind, 60, seed=99)
        similarity = bound.similarity(kind, seen(f"{kind} encoder", 12, fresh), seen("letters", 9, fresh))
        assert (similarity.argmax(axis=1) == np.arange(60)).mean() > 0.8, kind


def test_modalities_are_told_apart_about_the_global_mean_only(bound):
    named = np.stack([seen("letters", 9, of_kind(kind, 80, seed=5)).vectors.mean(axis=0) for kind in KINDS])
    right = {center: [] for center in ("modality", "global")}
    for i, kind in enumerate(KINDS):
        fresh = seen(f"{kind} encoder", 12, of_kind(kind, 60, seed=99))
        for center, found in right.items():
            best = bound.similarity(kind, fresh, named, center).argmax(axis=1)
            found.append((best == i).mean())
    assert np.mean(right["global"]) > 0.95
    assert np.mean(right["modality"]) < 0.7


def test_centres_are_those_of_the_anchors_and_not_of_the_batch(bound):
    mean, text_mean = bound.centers("xray")
    x, t = pairs_of("xray", text="notes")
    np.testing.assert_allclose(mean, bound.into_hub("xray", x).vectors.mean(axis=0), atol=1e-9)
    in_hub = bound.text_maps["notes"](t).vectors
    np.testing.assert_allclose(text_mean, in_hub.mean(axis=0), atol=1e-9)
    every = np.stack([bound.modality(kind).mean for kind in KINDS])
    np.testing.assert_allclose(bound.global_means[0], every.mean(axis=0), atol=1e-12)


def test_items_of_one_class_meet_across_modalities_about_their_own_means(bound):
    classes, rows = np.arange(40) % 4, {}
    centres = np.random.default_rng(3).normal(size=(4, DIM)) * 3
    for kind in ("xray", "skin"):
        meaning = of_kind(kind, 40, seed=7) * 0.3 + centres[classes]
        meaning[:, :2] = KINDS[kind]
        rows[kind] = bound.unit_rows(kind, seen(f"{kind} encoder", 12, meaning))
    found = classes[(rows["xray"] @ rows["skin"].T).argmax(axis=1)]
    assert (found == classes).mean() > 0.7


def test_with_one_text_space_every_modality_is_solved_as_if_it_were_alone():
    given = {kind: pairs_of(kind) for kind in ("xray", "skin")}
    both = sk.bind(given, maps="own")
    for kind, (x, t) in given.items():
        alone = sk.align(x, t)
        fresh, texts = (seen(name, d, of_kind(kind, 30, 8)) for name, d in ((f"{kind} encoder", 12), ("notes", 9)))
        np.testing.assert_allclose(
            both.similarity(kind, fresh, texts), cosine_in_hub(alone, x, t, fresh, texts), atol=1e-9
        )
        assert both.modality(kind).record["solver"] == alone.record["solver"]


def cosine_in_hub(alone, x, t, fresh, texts):
    """Literal: inner products of the common space, over lengths in the text space."""
    weights = np.ones(alone.source_map.target.dim) if alone.weights is None else alone.weights
    a = (alone.source_map(fresh).vectors * weights) @ alone.target_map.weight.T
    b = texts.vectors - t.vectors.mean(axis=0)
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


def test_zero_shot_through_the_hub_ranks_as_the_alignment_alone_does():
    x, t = pairs_of("xray")
    fresh = seen("xray encoder", 12, of_kind("xray", 50, 8))
    named = seen("notes", 9, np.stack([np.eye(DIM)[i] * 2 + [3, 0, 0, 0, 0] for i in (2, 3, 4)]))
    prompts = sk.PromptSet("three", {"a": ("0",), "b": ("1",), "c": ("2",)}, multiclass=True)
    alone = sk.zeroshot(sk.align(x, t), named, prompts).scores(fresh).values
    both = sk.bind({"xray": (x, t), "skin": pairs_of("skin")}, maps="own")
    texts = both.into_hub("text", named)
    through = sk.zeroshot(both.alignment("xray"), texts, prompts).scores(fresh).values
    assert (alone.argmax(axis=1) == through.argmax(axis=1)).mean() > 0.95


def test_a_joint_map_is_one_function_for_all_that_share_an_encoder():
    given = {kind: pairs_of(kind, encoder="one encoder") for kind in KINDS}
    joint = sk.bind(given, maps="joint")
    fresh = seen("one encoder", 12, of_kind("xray", 20, 8))
    first, second, third = (joint.into_hub(kind, fresh).vectors for kind in KINDS)
    np.testing.assert_allclose(second, first, atol=1e-9)
    np.testing.assert_allclose(third, first, atol=1e-9)
    (compared,) = joint.record["compared"]
    assert compared["chosen"] != "own"
    assert set(compared["mrr"]["own"]) == set(KINDS)


def test_the_joint_map_is_ridge_regression_of_all_anchors_together():
    given = {kind: pairs_of(kind, encoder="one encoder") for kind in KINDS}
    joint = sk.bind(given, maps="joint", solver=sk.Ridge(alpha=0.5))
    x = np.concatenate([one.vectors for one, _ in given.values()])
    t = np.concatenate([one.vectors for _, one in given.values()])
    centred = x - x.mean(axis=0)
    literal = SklearnRidge(alpha=0.5 * (centred**2).sum() / x.shape[1]).fit(x, t)
    mapped = centred @ literal.coef_.T
    scale = (mapped * (t - t.mean(axis=0))).sum() / (mapped**2).sum()
    fresh = seen("one encoder", 12, of_kind("mri", 20, 8))
    expected = scale * (fresh.vectors - x.mean(axis=0)) @ literal.coef_.T + t.mean(axis=0)
    np.testing.assert_allclose(joint.into_hub("mri", fresh).vectors, expected, atol=1e-8)


def test_where_one_map_cannot_serve_all_each_modality_keeps_its_own():
    meaning = {kind: of_kind(kind, 80, seed=i) for i, kind in enumerate(KINDS)}
    given = {
        kind: (embeddings("one encoder", rotated(i, z @ loads("x", 12))), seen("notes", 9, z))
        for i, (kind, z) in enumerate(meaning.items())
    }
    found = sk.bind(given)
    assert found.record["compared"][0]["chosen"] == "own"
    shared = sk.bind({kind: (seen("one encoder", 12, z[:8]), seen("notes", 9, z[:8])) for kind, z in meaning.items()})
    assert shared.record["compared"][0]["chosen"] != "own"  # eight anchors are few, three times as many are not


@pytest.mark.parametrize(("loss", "chosen"), [(0.01, "joint, ridge 1"), (0.03, "own")])
def test_a_joint_map_is_not_chosen_where_one_modality_loses_by_it(monkeypatch, loss, chosen):
    better = {"own": (0.5, 0.8, 0.5), "joint, ridge 0.1": (0.9, 0.5, 0.9), "joint, ridge 1": (0.8, 0.8 - loss, 0.8)}
    order = iter(better.values())
    monkeypatch.setattr(
        "stitchkit.alignment.binding.images.held_out_ranks", lambda *_, **__: dict(zip(KINDS, next(order), strict=True))
    )
    given = {kind: pairs_of(kind, encoder="one encoder") for kind in KINDS}
    assert sk.bind(given).record["compared"][0]["chosen"] == chosen


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_few_anchors_of_one_encoder_are_bound_without_a_comparison(n):
    given = {kind: pairs_of(kind, encoder="one encoder", n=n) for kind in KINDS}
    few = sk.bind(given)
    assert few.hub.dim == 9
    assert sk.bind(given, maps="joint").record["compared"][0]["chosen"].startswith("joint")


def test_a_patient_of_two_modalities_is_held_out_of_both():
    """Noise in which each patient has the same vector in both: only a patient seen in training is found."""
    rng = np.random.default_rng(0)
    noise, texts, order = rng.normal(size=(60, 12)), rng.normal(size=(60, 9)), rng.permutation(60)
    people = np.asarray([f"p{i}" for i in range(60)])
    given = {}
    for kind, rows in (("frontal", np.arange(60)), ("lateral", order)):
        x, t = embeddings("one encoder", noise[rows]), embeddings("notes", texts[rows])
        given[kind] = sk.ModalityPairs(x, t, groups=people[rows])
    (compared,) = sk.bind(given, solver=sk.Ridge(alpha=0.1)).record["compared"]
    assert all(value < 0.2 for value in compared["mean"].values())  # chance is .078


def test_means_of_items_and_of_texts_differ_where_a_map_is_joint():
    given = {kind: pairs_of(kind, encoder="one encoder", n=30) for kind in KINDS}
    noisy = {
        kind: (embeddings("one encoder", x.vectors + np.random.default_rng(1).normal(size=x.vectors.shape)), t)
        for kind, (x, t) in given.items()
    }
    joint = sk.bind(noisy, maps="joint")
    for kind, (x, t) in noisy.items():
        mean, text_mean = joint.centers(kind)
        np.testing.assert_allclose(mean, joint.into_hub(kind, x).vectors.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(text_mean, t.vectors.mean(axis=0), atol=1e-9)
        assert np.abs(mean - text_mean).max() > 0.05
    texts = np.stack([t.vectors.mean(axis=0) for _, t in noisy.values()]).mean(axis=0)
    np.testing.assert_allclose(joint.global_means[1], texts, atol=1e-9)


def test_changes_take_a_modality_out_of_what_was_compared():
    joint = sk.bind({kind: pairs_of(kind, encoder="one encoder") for kind in KINDS}, maps="joint")
    again = joint.remove("mri").add("mri", pairs_of("mri"))
    assert again.record["compared"][0]["modalities"] == ["xray", "skin"]
    before, after = (one.alignment("xray", "global").source_map.target for one in (joint, again.remove("skin")))
    assert before != after  # the global mean has moved


def test_a_solver_of_ones_own_binds_modalities_of_one_encoder():
    class Own:
        needs = frozenset({"moments"})

        def fit(self, evidence):
            return sk.Ridge(alpha=0.3).fit(evidence)

    given = {kind: pairs_of(kind, encoder="one encoder") for kind in ("xray", "skin")}
    own, ridge = (sk.bind(given, solver=solver, maps="own") for solver in (Own(), sk.Ridge(alpha=0.3)))
    assert own.digests == ridge.digests
    assert sk.bind(given, solver=Own()).record["compared"]


def test_many_texts_are_ranked_in_part(monkeypatch):
    noise = np.random.default_rng(0).normal(size=(2, 120, 12))
    given = {
        kind: (embeddings("one encoder", x), pairs_of(kind, n=120)[1])
        for kind, x in zip(("xray", "skin"), noise, strict=True)
    }
    whole = sk.bind(given, solver=sk.Ridge(alpha=1.0)).record["compared"][0]["mean"]
    monkeypatch.setattr("stitchkit.alignment.binding.images.JUDGED", 3)
    monkeypatch.setattr("stitchkit.alignment.binding.images.GALLERY", 1)
    part = sk.bind(given, solver=sk.Ridge(alpha=1.0)).record["compared"][0]["mean"]
    assert all(value < 0.15 for value in whole.values())  # of 120 texts, by chance
    assert all(value > 0.3 for value in part.values())  # of four


def test_torch_gives_the_numbers_of_numpy():
    torch = pytest.importorskip("torch")
    given = {kind: pairs_of(kind, encoder="one encoder") for kind in KINDS}
    plain = {kind: tuple(one.vectors for one in pair) for kind, pair in given.items()}
    tensors = {kind: tuple(torch.from_numpy(one) for one in pair) for kind, pair in plain.items()}
    one, other = (sk.bind(views, solver=sk.Ridge(alpha=0.1)) for views in (plain, tensors))
    for kind, (x, t) in plain.items():
        similarity = other.similarity(kind, tensors[kind][0], tensors[kind][1])
        np.testing.assert_allclose(similarity.numpy(), one.similarity(kind, x, t), atol=1e-9)
    np.testing.assert_allclose(other.global_means[0].numpy(), one.global_means[0], atol=1e-9)


def test_the_order_of_anchors_and_of_modalities_changes_nothing(bound):
    order = np.random.default_rng(1).permutation(80)
    given = {kind: pairs_of(kind) for kind in KINDS}
    turned = {kind: (x.take(order), t) for kind, (x, t) in reversed(given.items())}
    one, other = sk.bind(given, maps="own", solver=sk.Ridge(0.1)), sk.bind(turned, maps="own", solver=sk.Ridge(0.1))
    for kind in KINDS:
        fresh = seen(f"{kind} encoder", 12, of_kind(kind, 9, 8))
        np.testing.assert_allclose(one.into_hub(kind, fresh).vectors, other.into_hub(kind, fresh).vectors, atol=1e-9)


def test_an_encoder_that_shares_its_text_space_needs_no_texts():
    meaning = of_kind("mri", 50, 4)
    clip_like = embeddings("mri side", seen("codes", 9, meaning).vectors + 0.7)  # a gap between the two modalities
    given = {
        "xray": sk.ModalityPairs(*pairs_of("xray", text="notes")),
        "mri": sk.ModalityPairs(clip_like, text_space="codes"),
    }
    found = sk.bind(given, texts=SHARED, text="notes")
    fresh = of_kind("mri", 40, 12)
    images = embeddings("mri side", seen("codes", 9, fresh).vectors + 0.7)
    mean, text_mean = found.centers("mri")
    np.testing.assert_allclose(mean, found.into_hub("mri", clip_like).vectors.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(text_mean, found.text_maps["codes"].bias)
    assert np.linalg.norm(found.into_hub("mri", images).vectors - found.text_maps["codes"](images.vectors)) < 1e-9
    assert "shares the text space" in found.modality("mri").record["notes"][0]


def test_a_partner_modality_stands_in_for_texts():
    meaning = of_kind("xray", 80, 20)
    ct = seen("ct encoder", 10, meaning)
    given = {
        "ct": sk.ModalityPairs(ct, partner=("xray", seen("xray encoder", 12, meaning))),
        "xray": pairs_of("xray"),
        "skin": pairs_of("skin"),
    }
    found = sk.bind(given)
    assert found.names == ("ct", "xray", "skin")
    fresh = of_kind("xray", 50, 21)
    similarity = found.similarity("ct", seen("ct encoder", 10, fresh), seen("notes", 9, fresh))
    assert (similarity.argmax(axis=1) == np.arange(50)).mean() > 0.8


def test_partners_that_lead_nowhere_are_named():
    given = {
        "ct": sk.ModalityPairs(seen("ct encoder", 10, MEANING[:9]), partner=("mri", seen("m", 12, MEANING[:9]))),
        "mri": sk.ModalityPairs(seen("m", 12, MEANING[:9]), partner=("ct", seen("ct encoder", 10, MEANING[:9]))),
        "xray": pairs_of("xray"),
    }
    with pytest.raises(UnknownNameError, match="no partner that is linked with texts is called 'mri'"):
        sk.bind(given)


@pytest.mark.parametrize("known", [True, False], ids=["known text space", "new text space"])
def test_adding_and_removing_leave_every_other_map_as_it_is_to_the_bit(bound, known):
    before = {kind: one.to_hub.weight.tobytes() for kind, one in bound.modalities.items()}
    meaning, text = of_kind("mri", 60, 40), "notes" if known else "labels"
    pairs = seen("ct encoder", 10, meaning), seen(text, 9, meaning)
    texts = None if known else {"labels": seen("labels", 9, MEANING), "notes": SHARED["notes"]}
    more = bound.add("ct", pairs, texts=texts, text_encoder="" if known else "demo:text")
    assert {kind: more.modality(kind).to_hub.weight.tobytes() for kind in before} == before
    change = more.record["changes"][-1]
    assert change["added"] == "ct"
    assert change["before"] == {kind: change["after"][kind] for kind in before} == bound.digests
    assert bound.names == tuple(KINDS)
    fresh = of_kind("mri", 40, 41)
    similarity = more.similarity("ct", seen("ct encoder", 10, fresh), seen("letters", 9, fresh))
    assert (similarity.argmax(axis=1) == np.arange(40)).mean() > 0.8
    less = more.remove("xray")
    assert less.digests == {name: digest for name, digest in more.digests.items() if name != "xray"}
    assert less.record["changes"][-1]["removed"] == "xray"
    assert dict(more.text_encoders) == ({} if known else {"labels": "demo:text"})


def test_the_last_modality_stays(bound):
    one = bound.remove("xray").remove("skin")
    with pytest.raises(InputError, match="'mri' is the only modality"):
        one.remove("mri")


def test_widths_may_differ_a_hundred_times():
    wide = np.random.default_rng(0).normal(size=(DIM, 1200))
    meaning = of_kind("xray", 60, 1)
    given = {
        "xray": (embeddings("wide", meaning @ wide), seen("notes", 9, meaning)),
        "skin": (embeddings("narrow", of_kind("skin", 60, 2)[:, :2]), seen("notes", 9, of_kind("skin", 60, 2))),
    }
    assert sk.bind(given).to_hub("skin").weight.shape == (2, 9)


def one_modality_less(given):
    return {"xray": given["xray"]}


def with_row(kind, n):
    return lambda given: {**given, kind: (given[kind][0].take(np.arange(n)), given[kind][1].take(np.arange(n)))}


def without_ids(given):
    x, t = given["skin"]
    return {**given, "skin": (x, sk.Embeddings(t.vectors, [f"other {i}" for i in range(len(t))], t.space))}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (one_modality_less, InputError, "binding joins at least two modalities; got 1"),
        (with_row("skin", 0), InputError, "the modality 'skin': .*got 0"),
        (with_row("skin", 1), InputError, "the modality 'skin': .*got 1"),
        (without_ids, DataError, "the modality 'skin': 80 of 80 ids are not in"),
        (lambda given: {**given, "a/b": given["skin"]}, InputError, "a modality is named by letters"),
        (lambda given: {**given, "text": given["skin"]}, InputError, "'text' names the texts"),
        (lambda given: {**given, "XRAY": given["skin"]}, InputError, "there is a modality 'XRAY' already"),
        (
            lambda given: {**given, "ct": sk.ModalityPairs(given["skin"][0], partner="xray")},
            InputError,
            "the partner of 'ct' must be",
        ),
        (
            lambda given: {**given, "ct": sk.ModalityPairs(*given["skin"], partner=("xray", given["xray"][0]))},
            InputError,
            "'ct' has texts and a partner",
        ),
        (lambda given: {**given, "ct": 5}, InputError, "the modality 'ct' must be a pair"),
        (lambda given: {**given, "ct": sk.ModalityPairs(given["skin"][0])}, InputError, "'ct' has no texts"),
        (lambda given: list(given), InputError, "modalities must be a mapping"),
    ],
)
def test_bad_modalities_are_named(change, error, said):
    given = {kind: pairs_of(kind) for kind in ("xray", "skin")}
    with pytest.raises(error, match=said):
        sk.bind(change(given))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"hub": "xray"}, InputError, "'xray' is a modality; the hub is a text space: 'text'"),
        ({"hub": "nowhere"}, UnknownNameError, "no hub is called 'nowhere'"),
        ({"text": "nowhere"}, UnknownNameError, "no text space of the query is called"),
        ({"hub": "notes", "hub_solver": "gcca", "texts": SHARED}, InputError, "'notes' is to be the hub"),
        ({"hub_solver": "pls"}, UnknownNameError, "no solver of a hub is called 'pls'"),
        ({"maps": "both"}, UnknownNameError, "no choice of maps is called 'both'"),
        ({"solver": "relative"}, NoDirectedMapError, "no affine maps"),
        ({"texts": {}}, InputError, "texts must be a mapping"),
        ({"texts": {"xray": SHARED["notes"]}}, InputError, "names a modality and a text space"),
        ({"texts": {"codes": SHARED["codes"]}}, SpaceMismatchError, "fit none of the text spaces 'codes'"),
    ],
)
def test_bad_settings_are_named(settings, error, said):
    with pytest.raises(error, match=said):
        sk.bind({kind: pairs_of(kind) for kind in ("xray", "skin")}, **settings)


def test_texts_of_two_encoders_need_a_shared_list():
    given = {"xray": pairs_of("xray"), "skin": pairs_of("skin", text="letters")}
    with pytest.raises(InputError, match="are of two encoders"):
        sk.bind(given)


def test_vectors_of_another_encoder_are_refused(bound):
    with pytest.raises(SpaceMismatchError):
        bound.into_hub("xray", pairs_of("skin")[0])


def test_no_record_of_a_bound_modality_says_that_it_has_no_common_centre(bound):
    for kind in KINDS:
        record = bound.alignment(kind).record
        assert record["common_centre"].startswith("the hub")
        assert not any("no common centre" in note for note in record["notes"])


def test_each_modality_is_known_by_the_hashes_of_its_own_anchors(bound):
    x, t = pairs_of("xray", text="notes")
    texts = bound.text_maps["notes"](t)
    with pytest.raises(LeakageError):
        sk.gate(bound.alignment("xray"), x, texts, min_recall_at_1=0.1)
    fresh = of_kind("skin", 30, 77)
    others = seen("skin encoder", 12, fresh, first=500), bound.into_hub("text", seen("letters", 9, fresh, first=500))
    assert sk.gate(bound.alignment("skin"), *others, min_recall_at_1=0.1).passed


def test_images_of_two_modalities_are_compared_alike_whether_or_not_the_maps_whiten_the_texts():
    """CSA's maps divide the texts by their spread; noise along directions that hardly vary must not decide."""
    rng = np.random.default_rng(2)
    spread = np.array([1.0] * DIM + [0.02] * 20)
    turn = np.linalg.qr(rng.normal(size=(25, 25)))[0]
    meaning = {kind: of_kind(kind, 120, seed=i) for i, kind in enumerate(("xray", "skin"))}
    given = {}
    for kind, z in meaning.items():
        own = np.concatenate([z, rng.normal(size=(120, 20))], axis=1) * spread
        texts = embeddings("notes", own @ turn)
        x = seen(f"{kind} encoder", 12, z)
        noisy = embeddings(f"{kind} encoder", x.vectors + rng.normal(size=x.vectors.shape) * 0.5)
        given[kind] = (noisy, texts)
    fresh = of_kind("xray", 80, 30)
    shares = {}
    for solver in (sk.Ridge(alpha=0.01), sk.CSA(kappa=0.001)):
        found = sk.bind(given, maps="own", solver=solver)
        rows = [found.comparable_rows(kind, seen(f"{kind} encoder", 12, fresh)) for kind in ("xray", "skin")]
        np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1)
        shares[solver.__class__.__name__] = ((rows[0] @ rows[1].T).argmax(axis=1) == np.arange(80)).mean()
        plain = [found.unit_rows(kind, seen(f"{kind} encoder", 12, fresh)) for kind in ("xray", "skin")]
        shares[f"{solver.__class__.__name__}, for texts"] = (
            (plain[0] @ plain[1].T).argmax(axis=1) == np.arange(80)
        ).mean()
    print(shares)
    assert shares["CSA"] > shares["CSA, for texts"]
    assert abs(shares["CSA"] - shares["Ridge"]) < 0.15


def test_the_weights_between_modalities_are_the_root_of_the_texts_covariance_and_stay(bound):
    covariances = []
    for kind in KINDS:
        _, t = pairs_of(kind, text={"xray": "notes", "skin": "letters", "mri": "codes"}[kind])
        in_hub = bound.text_maps[bound.modality(kind).text_space](t).vectors
        covariances.append(np.cov(in_hub.T, bias=True))
    np.testing.assert_allclose(bound.text_root @ bound.text_root, np.mean(covariances, axis=0), atol=1e-9)
    meaning = of_kind("mri", 60, 40)
    more = bound.add("ct", (seen("ct encoder", 10, meaning), seen("notes", 9, meaning)))
    assert more.text_root is bound.text_root is more.remove("ct").text_root


@pytest.mark.parametrize("first", [True, False])
def test_an_empty_modality_and_an_empty_list_are_refused_without_warnings(first):
    rng = np.random.default_rng(0)
    full, empty = (rng.normal(size=(20, 5)), rng.normal(size=(20, 4))), (np.zeros((0, 5)), np.zeros((0, 4)))
    pairs = {"one": empty if first else full, "two": full if first else empty}
    with pytest.raises(InputError, match=r"the modality '(one|two)': got 0 anchors"):
        sk.bind(pairs)
    named = {name: sk.ModalityPairs(*full, text_space=name + "-texts") for name in ("one", "two")}
    with pytest.raises(InputError, match="the list of texts of 'one-texts' is empty"):
        sk.bind(named, texts={"one-texts": empty[1], "two-texts": empty[1]})


def noisy(name, d, meaning, scale=1.0):
    """What an encoder makes of a meaning, with noise of its own."""
    rng = np.random.default_rng(sum(map(ord, name)) + len(meaning))
    return embeddings(name, meaning @ loads(name, d) + scale * rng.normal(size=(len(meaning), d)))


def test_the_map_into_the_hub_keeps_the_weighted_inner_products_of_its_alignment():
    """On noisy anchors CSA weighs its directions by their held-out correlations."""
    meaning = of_kind("xray", 120, 1)
    x, t = noisy("xray encoder", 12, meaning), noisy("notes", 9, meaning)
    other = pairs_of("skin")
    space = sk.bind({"xray": (x, t), "skin": other}, solver=sk.CSA())
    fitted = sk.align(x, t, solver=sk.CSA(), anchor_hashes=False, progress=False)
    assert fitted.weights.min() < 0.6 * fitted.weights.max()
    a, b = fitted.source_map.weight, fitted.target_map.weight
    literal = (x.vectors - x.vectors.mean(axis=0)) @ a @ np.diag(fitted.weights) @ b.T
    found = space.into_hub("xray", x).vectors - t.vectors.mean(axis=0)
    factor = (literal * found).sum() / (literal * literal).sum()
    np.testing.assert_allclose(found, factor * literal, atol=1e-8)


def test_the_hub_of_canonical_correlations_keeps_their_weights():
    views = {name: noisy(name, 9, MEANING, 4.0) for name in SHARED}
    hub = text_hub(views, "notes", solver="gcca")
    joint = sk.align_many(views, solver="gcca", anchor_hashes=False)
    assert joint.weights.min() < 0.6 * joint.weights.max()
    for one, other in (("notes", "letters"), ("codes", "notes")):
        found = hub.maps[one](views[one]).vectors @ hub.maps[other](views[other]).vectors.T
        literal = (joint.maps[one](views[one]).vectors * joint.weights) @ joint.maps[other](views[other]).vectors.T
        np.testing.assert_allclose(found, literal, atol=1e-8)


def test_modalities_composed_through_their_text_space_keep_the_means_of_their_own_texts():
    given = {kind: sk.ModalityPairs(*pairs_of(kind, text=text)) for kind, text in zip(KINDS, SHARED, strict=True)}
    space = sk.bind(given, texts=SHARED, text="letters", hub="letters", hub_solver="composition")
    for kind, text in zip(KINDS, SHARED, strict=True):
        one = space.modality(kind)
        texts = space.text_maps[text](given[kind].texts).vectors
        np.testing.assert_allclose(one.mean, texts.mean(axis=0), atol=1e-8)
    assert np.linalg.norm(space.modality("skin").mean - space.modality("mri").mean) > 1
