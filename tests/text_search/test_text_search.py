"""Search by text: the order of similarities by hand, both centrings, tiles, spreads, spaces, and bad input."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, SpaceMismatchError, UnknownNameError
from stitchkit.text_search import search as module
from stitchkit.text_search.results import BINS, Spread
from stitchkit.text_search.search import search

RNG = np.random.default_rng(0)
DIM = 5
LOADS = {name: RNG.normal(size=(DIM, d)) for name, d in (("xray", 12), ("skin", 10), ("notes", 9))}
OFFSET = {"xray": np.eye(DIM)[0] * 4, "skin": np.eye(DIM)[1] * 4}


def meanings(kind, n, seed):
    return np.random.default_rng(seed).normal(size=(n, DIM)) + OFFSET[kind]


def vectors(encoder, meaning, ids=None):
    made = meaning @ LOADS[encoder]
    ids = [f"{encoder} {i}" for i in range(len(made))] if ids is None else ids
    return sk.Embeddings(made, ids, sk.Space(encoder, made.shape[1], f"fingerprint of {encoder}"))


def anchors(kind):
    meaning = meanings(kind, 80, seed=1)
    return vectors(kind, meaning, np.arange(80)), vectors("notes", meaning, np.arange(80))


GALLERY = {kind: vectors(kind, meanings(kind, 40, seed=2)) for kind in OFFSET}
TEXTS = vectors(
    "notes", np.concatenate([meanings("skin", 40, seed=2)[:3], meanings("xray", 40, seed=2)[:2]]), list("abcde")
)


@pytest.fixture(scope="module")
def bound():
    return sk.bind({kind: anchors(kind) for kind in OFFSET}, solver=sk.Ridge(alpha=0.01))


def ids_of(hits):
    return [(hit.modality, hit.id) for hit in hits]


@pytest.mark.parametrize("center", ["global", "modality"])
def test_the_lists_are_those_of_all_similarities_in_order(bound, center):
    result = search(bound, TEXTS, GALLERY, top=7, center=center)
    assert result.center == center
    every = {kind: bound.similarity(kind, GALLERY[kind], TEXTS, center) for kind in OFFSET}
    for q, one in enumerate(result.queries):
        rows = [(-every[kind][i, q], kind, GALLERY[kind].ids[i]) for kind in OFFSET for i in range(40)]
        assert ids_of(one.hits) == [row[1:] for row in sorted(rows)[:7]]
        np.testing.assert_allclose(
            [hit.similarity for hit in one.hits], [-row[0] for row in sorted(rows)[:7]], atol=1e-6
        )
        assert [hit.rank for hit in one.hits] == list(range(1, 8))
        for kind, part in one.modalities.items():
            order = np.argsort(-every[kind][:, q])[:7]
            assert ids_of(part.hits) == [(kind, GALLERY[kind].ids[i]) for i in order]


def test_a_text_finds_its_own_item_and_the_global_mean_its_modality(bound):
    result = search(bound, TEXTS, GALLERY, top=10)
    for one, kind, i in zip(result.queries, ("skin",) * 3 + ("xray",) * 2, (0, 1, 2, 0, 1), strict=True):
        assert ids_of(one.hits)[0] == (kind, f"{kind} {i}")
        assert {hit.modality for hit in one.hits} == {kind}
    about_own = search(bound, TEXTS, GALLERY, top=10, center="modality")
    assert any(len({hit.modality for hit in one.hits}) == 2 for one in about_own.queries)


@pytest.mark.parametrize(("block", "queries"), [(7, 2), (1, 1), (40, 5)])
def test_tiles_change_nothing(bound, monkeypatch, block, queries):
    whole = search(bound, TEXTS, GALLERY, top=9).to_dict()
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "QUERIES", queries)
    parts = search(bound, TEXTS, GALLERY, top=9).to_dict()
    for one, other in zip(whole["queries"], parts["queries"], strict=True):
        assert [hit["id"] for hit in one["hits"]] == [hit["id"] for hit in other["hits"]]
        for name in ("mean", "sd", "best", "best_z"):
            assert one["gallery"][name] == pytest.approx(other["gallery"][name], abs=1e-6)


def test_the_spread_is_that_of_all_similarities_of_the_gallery(bound):
    (one,) = search(bound, TEXTS.take(np.arange(1)), GALLERY).queries
    parts = {kind: bound.similarity(kind, GALLERY[kind], TEXTS, "global")[:, 0] for kind in OFFSET}
    every = np.concatenate(list(parts.values()))
    for spread, values in ((one.spread, every), *((one.modalities[kind].spread, parts[kind]) for kind in OFFSET)):
        assert spread.n == len(values) == spread.counts.sum()
        assert (spread.mean, spread.sd, spread.best) == pytest.approx((values.mean(), values.std(), values.max()))
        np.testing.assert_array_equal(spread.counts, np.histogram(values, np.linspace(-1, 1, BINS + 1))[0])
    hit = one.hits[3]
    assert hit.z == pytest.approx((hit.similarity - every.mean()) / every.std())


def test_the_expected_best_of_normal_draws_is_that_of_simulated_draws():
    spread = Spread(n=100, mean=0.0, sd=1.0, best=3.0, counts=np.zeros(BINS))
    draws = np.random.default_rng(0).normal(size=(4000, 100)).max(axis=1)
    assert spread.expected_z == pytest.approx(draws.mean(), abs=0.03)
    assert spread.expected_z < NormalDist().inv_cdf(0.995)


def test_vectors_in_the_hub_are_taken_as_they_are(bound):
    result = search(bound, TEXTS, GALLERY, top=5)
    in_hub = {kind: bound.into_hub(kind, one) for kind, one in GALLERY.items()}
    queries = bound.into_hub("text", TEXTS)
    for texts in (TEXTS, queries):
        again = search(bound, texts, in_hub, top=5)
        assert [ids_of(one.hits) for one in again.queries] == [ids_of(one.hits) for one in result.queries]


def test_plain_arrays_are_told_from_vectors_in_the_hub():
    plain = sk.bind({kind: tuple(one.vectors for one in anchors(kind)) for kind in OFFSET}, solver=sk.Ridge(alpha=0.01))
    arrays = {kind: one.vectors for kind, one in GALLERY.items()}
    in_hub = {kind: sk.Embeddings(plain.into_hub(kind, one), np.arange(40), plain.hub) for kind, one in arrays.items()}
    texts = sk.Embeddings(TEXTS.vectors, TEXTS.ids, sk.Space("array", 9))
    one, other = search(plain, texts, arrays, top=5), search(plain, texts, in_hub, top=5)
    assert [ids_of(part.hits) for part in one.queries] == [ids_of(part.hits) for part in other.queries]


def test_an_alignment_and_one_shared_space_are_searched_too(bound):
    pairs = anchors("xray")
    alignment = sk.align(*pairs, solver=sk.CSA())
    (one,) = search(alignment, TEXTS.take(np.arange(3, 4)), GALLERY["xray"], top=4).queries
    similarity = alignment.similarity(GALLERY["xray"], TEXTS)[:, 3]
    assert ids_of(one.hits) == [("items", GALLERY["xray"].ids[i]) for i in np.argsort(-similarity)[:4]]
    reports = vectors("notes", meanings("skin", 40, seed=2))
    (one,) = search(None, TEXTS.take(np.arange(1)), {"reports": reports}, top=1).queries
    assert ids_of(one.hits) == [("reports", "notes 0")]
    assert one.hits[0].similarity == pytest.approx(1)


def test_arrays_of_torch_are_searched_like_those_of_numpy(bound):
    torch = pytest.importorskip("torch")
    result = search(bound, TEXTS, GALLERY, top=5)
    lent = {kind: sk.Embeddings(torch.asarray(one.vectors), one.ids, one.space) for kind, one in GALLERY.items()}
    again = search(bound, TEXTS, lent, top=5)
    assert [ids_of(one.hits) for one in again.queries] == [ids_of(one.hits) for one in result.queries]


def test_modalities_restrict_and_short_galleries_give_what_they_have(bound):
    few = {**GALLERY, "xray": GALLERY["xray"].take(np.arange(3))}
    (one, *_) = search(bound, TEXTS, few, modalities=["xray"]).queries
    assert list(one.modalities) == ["xray"]
    assert len(one.hits) == 3
    (one, *_) = search(bound, TEXTS, {"xray": GALLERY["xray"].take(np.arange(1))}).queries
    assert one.hits[0].z is None
    assert "z" not in one.spread.in_words()


def test_the_table_holds_every_list_and_says_what_a_similarity_is_not(bound):
    result = search(bound, TEXTS.take(np.arange(2)), GALLERY, top=2)
    text = str(result)
    assert "'a'" in text
    assert "not a probability" in text
    assert "about the mean over all modalities" in text
    assert len(list(result.rows())) == 4
    assert len(list(result.rows(each=True))) == 8
    assert any(line == "'b', skin" for line in result.lines(each=True))


@pytest.mark.parametrize(("scale", "noted"), [(1.0, False), (0.05, True)])
def test_a_modality_whose_similarities_hardly_vary_is_noted(scale, noted):
    space, rng = sk.Space("one", 6, "f"), np.random.default_rng(0)
    near = np.eye(6)[0] + scale * rng.normal(size=(40, 6))
    gallery = {"near": near, "wide": rng.normal(size=(40, 6))}
    parts = {name: sk.Embeddings(one, np.arange(40), space) for name, one in gallery.items()}
    result = search(None, sk.Embeddings(np.ones((1, 6)), ["a"], space), parts)
    assert bool(result.notes) is noted
    assert ("similarities of 'near' vary less than those of 'wide'" in str(result)) is noted
    assert "vary less" not in "".join(result.lines(each=True))


class Words:
    """A text encoder of two known words."""

    name, modality = "python:words", "text"
    space = sk.Space("notes", 9, "fingerprint of notes")

    def prepare(self, items):
        return items

    def knows(self, texts):
        return ["lung" in one for one in texts]

    def encode(self, batch):
        from stitchkit.core.roles import Encoded

        return Encoded(np.stack([np.arange(1.0, 10) * len(one) for one in batch]))


def test_one_text_without_a_known_word_among_others_is_refused(bound):
    assert search(bound, ["lung", "a lung"], GALLERY, text=Words(), store=None).text == "python:words"
    with pytest.raises(InputError, match="knows no word of 'zzz'"):
        search(bound, ["lung", "zzz"], GALLERY, text=Words(), store=None)


def other_encoder(gallery):
    one = gallery["xray"]
    return {**gallery, "xray": sk.Embeddings(one.vectors, one.ids, sk.Space("ct", 12, "another"))}


def no_rows(gallery):
    one = gallery["xray"]
    return {"xray": sk.Embeddings(one.vectors[:0], one.ids[:0], one.space)}


@pytest.mark.parametrize(
    ("change", "settings", "error", "said"),
    [
        (None, {"texts": []}, InputError, "there is no text"),
        (None, {"texts": ["a", " "]}, InputError, "text 2 of the search is empty"),
        (None, {"texts": ["a", "b", "a"]}, InputError, "text 3 of the search repeats text 1, 'a'"),
        (None, {"texts": "a"}, InputError, "texts are read by an encoder"),
        (None, {"top": 0}, InputError, "at least one item; got top=0"),
        (None, {"center": "mean"}, UnknownNameError, "no centring is called 'mean'"),
        (None, {"modalities": ["ct"]}, UnknownNameError, "no modality of this gallery is called 'ct'"),
        (lambda gallery: {"ct": gallery["xray"]}, {}, UnknownNameError, "no modality of this bound space"),
        (lambda gallery: gallery["xray"], {}, InputError, "is a mapping of its modalities"),
        (lambda _: {}, {}, InputError, "holds no modality"),
        (no_rows, {}, InputError, "the gallery of 'xray' holds no items"),
        (other_encoder, {}, SpaceMismatchError, "'ct'"),
    ],
)
def test_bad_input_is_named(bound, change, settings, error, said):
    settings = {"texts": TEXTS, **settings}
    gallery = GALLERY if change is None else change(GALLERY)
    with pytest.raises(error, match=said):
        search(bound, settings.pop("texts"), gallery, **settings)


def test_a_centring_is_of_a_bound_space_alone():
    with pytest.raises(InputError, match="center='global' is of a bound space"):
        search(None, TEXTS, TEXTS, center="global")
    with pytest.raises(InputError, match="got str"):
        search("bound", TEXTS, TEXTS)
