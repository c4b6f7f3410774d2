"""Recall both ways, against a literal count."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core import embeddings as core_embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError, UnknownNameError
from stitchkit.evaluation.retrieval.evaluate_retrieval import partner_ranks
from stitchkit.metrics import ranks
from stitchkit.metrics.proportions import by_patient, exact_interval


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(260, 6))
    x = meaning @ rng.normal(size=(6, 9)) + 0.8 * rng.normal(size=(260, 9))
    y = meaning @ rng.normal(size=(6, 7)) + 0.8 * rng.normal(size=(260, 7))
    return sk.align(x[:200], y[:200], solver=sk.Procrustes()), x[200:], y[200:]


def test_recall_is_the_literal_one_both_ways(pairs):
    alignment, x, y = pairs
    similarity = alignment.similarity(x, y)
    found = sk.evaluate_retrieval(alignment, x, y, ks=(1, 5))
    for table, direction in ((similarity, found.forward), (similarity.T, found.backward)):
        above = (table > np.diag(table)[:, None]).sum(axis=1)
        for k in (1, 5):
            assert direction.recall[k].value == np.mean(above < k)
            assert direction.recall[k].low <= direction.recall[k].value <= direction.recall[k].high
        assert (direction.gallery, direction.queries, direction.chance(5)) == (60, 60, 5 / 60)
    assert found.forward.recall[1].value > 5 / 60
    assert "gallery of 60" in str(found)
    assert "chance 0.017" in str(found)


def test_equal_targets_are_one(pairs):
    alignment, x, y = pairs
    repeated = y.copy()
    repeated[30:] = y[:30]
    found = sk.evaluate_retrieval(alignment, x, repeated, ks=(1,))
    assert (found.forward.gallery, found.forward.queries) == (30, 60)
    assert (found.backward.gallery, found.backward.queries) == (60, 30)
    similarity = alignment.similarity(x, repeated[:30])
    assert found.forward.recall[1].value == np.mean(similarity.argmax(axis=1) == np.arange(60) % 30)
    assert found.backward.recall[1].value == np.mean(similarity.argmax(axis=0) % 30 == np.arange(30))


def test_shuffled_pairs_are_at_chance(pairs):
    alignment, x, y = pairs
    order = np.random.default_rng(1).permutation(60)
    assert sk.evaluate_retrieval(alignment, x, y[order], ks=(6,)).forward.recall[6].value < 0.3


def test_repeating_a_patients_queries_does_not_narrow_the_interval(pairs):
    alignment, x, y = pairs
    once = sk.evaluate_retrieval(alignment, x, y, ks=(1,), groups=np.arange(60)).forward.recall[1]
    twice = sk.evaluate_retrieval(
        alignment, np.tile(x, (2, 1)), np.tile(y, (2, 1)), ks=(1,), groups=np.tile(np.arange(60), 2)
    ).forward.recall[1]
    assert twice.high - twice.low == pytest.approx(once.high - once.low, abs=1e-9)


def test_what_cannot_be_counted_is_refused(pairs):
    alignment, x, y = pairs
    with pytest.raises(InputError, match="k of at least 1"):
        sk.evaluate_retrieval(alignment, x, y, ks=(0,))
    with pytest.raises(InputError, match="60 rows and target has 59"):
        sk.evaluate_retrieval(alignment, x, y[:59])


def literal_csls(scores, of_rows, of_columns):
    """``2 s - r - r`` with r the mean of the ten best of each row of two score tables."""
    best = [np.sort(one, axis=1)[:, -10:].mean(axis=1) for one in (of_rows, of_columns)]
    return 2 * scores - best[0][:, None] - best[1][None, :]


@pytest.fixture(scope="module")
def pools():
    rng = np.random.default_rng(5)
    return rng.normal(size=(35, 9)), rng.normal(size=(28, 7))


def test_csls_takes_its_neighbourhoods_from_the_pools(pairs, pools):
    alignment, x, y = pairs
    scores = literal_csls(
        alignment.similarity(x, y), alignment.similarity(x, pools[1]), alignment.similarity(pools[0], y).T
    )
    found = sk.evaluate_retrieval(alignment, x, y, ks=(1, 5), csls=pools)
    for table, direction in ((scores, found.forward), (scores.T, found.backward)):
        above = (table > np.diag(table)[:, None]).sum(axis=1)
        assert [direction.recall[k].value for k in (1, 5)] == [np.mean(above < k) for k in (1, 5)]
    assert str(found).startswith("CSLS, neighbourhoods from the pool\n")
    plain = sk.evaluate_retrieval(alignment, x, y, ks=(1, 5))
    assert "CSLS" not in str(plain)
    assert plain.forward != found.forward


def test_csls_from_the_gallery_is_called_transductive(pairs):
    alignment, x, y = pairs
    similarity = alignment.similarity(x, y)
    scores = literal_csls(similarity, similarity, similarity.T)
    found = sk.evaluate_retrieval(alignment, x, y, ks=(1,), csls="gallery")
    assert found.forward.recall[1].value == np.mean(scores.argmax(axis=1) == np.arange(60))
    assert found.backward.recall[1].value == np.mean(scores.argmax(axis=0) == np.arange(60))
    assert "transductive" in str(found)


def test_csls_with_weights_and_torch_counts_the_same(pairs, pools):
    torch = pytest.importorskip("torch")
    _, x, y = pairs
    rng = np.random.default_rng(1)
    train = rng.normal(size=(80, 9))
    alignment = sk.align(train, train @ rng.normal(size=(9, 7)), solver=sk.CSA())
    assert alignment.weights is not None
    ours = sk.evaluate_retrieval(alignment, torch.asarray(x), torch.asarray(y), csls=tuple(map(torch.asarray, pools)))
    assert ours == sk.evaluate_retrieval(alignment, x, y, csls=pools)


def test_csls_without_a_neighbourhood_is_refused(pairs, pools):
    alignment, x, y = pairs
    with pytest.raises(InputError, match="a pool of 9 rows has too few"):
        sk.evaluate_retrieval(alignment, x, y, csls=(pools[0][:9], pools[1]))
    with pytest.raises(InputError, match="a gallery of 8 rows has too few"):
        sk.evaluate_retrieval(alignment, x[:8], y[:8], csls="gallery")
    with pytest.raises(InputError, match="pair"):
        sk.evaluate_retrieval(alignment, x, y, csls=pools[0])
    with pytest.raises(SpaceMismatchError, match="target pool"):
        sk.evaluate_retrieval(alignment, x, y, csls=(pools[0], pools[0]))
    with pytest.raises(UnknownNameError, match="gallery"):
        sk.evaluate_retrieval(alignment, x, y, csls="pool")


def test_the_inverted_softmax_is_the_literal_one_over_the_pools(pairs, pools):
    alignment, x, y = pairs
    similarity = alignment.similarity(x, y)
    of_y = 0.1 * np.log(np.mean(np.exp(alignment.similarity(pools[0], y) / 0.1), axis=0))
    of_x = 0.1 * np.log(np.mean(np.exp(alignment.similarity(x, pools[1]) / 0.1), axis=1))
    found = sk.evaluate_retrieval(alignment, x, y, ks=(1, 5), pool=pools)
    for table, direction in ((similarity - of_y, found.forward), (similarity.T - of_x, found.backward)):
        above = (table > np.diag(table)[:, None]).sum(axis=1)
        assert [direction.recall[k].value for k in (1, 5)] == [np.mean(above < k) for k in (1, 5)]
    assert str(found).startswith("inverted softmax over the pool, T = 0.1\n")


def test_the_inverted_softmax_is_refused_beside_csls_and_with_other_pools(pairs, pools):
    alignment, x, y = pairs
    with pytest.raises(InputError, match="csls and pool are two ways"):
        sk.evaluate_retrieval(alignment, x, y, csls=pools, pool=pools)
    with pytest.raises(InputError, match="pool must be a pair"):
        sk.evaluate_retrieval(alignment, x, y, pool="gallery")
    with pytest.raises(InputError, match="a pool of 9 rows has too few"):
        sk.evaluate_retrieval(alignment, x, y, pool=(pools[0][:9], pools[1]))
    with pytest.raises(SpaceMismatchError, match="target pool"):
        sk.evaluate_retrieval(alignment, x, y, pool=(pools[0], pools[0]))


def test_vectors_of_another_encoder_of_the_same_width_are_refused(pairs):
    _, x, y = pairs
    ids = [f"p{i}" for i in range(60)]
    spaces = {name: sk.Space(name, d, name) for name, d in (("a", 9), ("b", 7), ("other a", 9), ("other b", 7))}
    side = {name: sk.Embeddings(x if space.dim == 9 else y, ids, space) for name, space in spaces.items()}
    fitted = sk.align(side["a"], side["b"], solver=sk.Procrustes())
    sk.evaluate_retrieval(fitted, side["a"], side["b"], allow_leakage=True)
    with pytest.raises(SpaceMismatchError, match="source side"):
        sk.evaluate_retrieval(fitted, side["other a"], side["b"])
    with pytest.raises(SpaceMismatchError, match="target side"):
        sk.evaluate_retrieval(fitted, side["a"], side["other b"])


def test_each_side_is_mapped_once(pairs):
    alignment, x, y = pairs
    mapped = []

    @dataclass(frozen=True)
    class Counting:
        inner: object

        @property
        def source(self):
            return self.inner.source

        @property
        def target(self):
            return self.inner.target

        def __call__(self, rows):
            mapped.append(len(rows))
            return self.inner(rows)

    counted = replace(alignment, source_map=Counting(alignment.source_map), target_map=Counting(alignment.target_map))
    rng = np.random.default_rng(1)
    tall = [np.tile(side, (60, 1)) + 1e-3 * rng.normal(size=(3600, side.shape[1])) for side in (x, y)]
    sk.evaluate_retrieval(counted, *tall)
    assert mapped == [3600, 3600]


def test_groups_may_be_a_mapping_and_a_side_with_more_ids_is_refused(pairs):
    alignment, x, y = pairs
    ids = np.array([f"p{i}" for i in range(60)])
    source, target = sk.Embeddings(x, ids, sk.Space("a", 9)), sk.Embeddings(y, ids, sk.Space("b", 7))
    groups = dict(zip(ids.tolist(), (np.arange(60) // 4).tolist(), strict=True))
    found = sk.evaluate_retrieval(alignment, source, target, groups=groups)
    assert found.forward == sk.evaluate_retrieval(alignment, source, target, groups=np.arange(60) // 4).forward
    assert found.forward != sk.evaluate_retrieval(alignment, source, target).forward
    for verb in (sk.evaluate_retrieval, sk.diagnose, lambda *sides: sk.gate(*sides, min_mrr=0.1)):
        with pytest.raises(InputError, match="source has 58 rows and target has 60"):
            verb(alignment, source.take(np.arange(58)), target)
    with pytest.raises(InputError, match="source has 58 rows and target has 60"):
        sk.compare(source.take(np.arange(58)), target)


def test_a_target_of_several_sources_is_found_by_chance_more_often_and_the_chance_says_so():
    recall, back = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(60, 5)), np.repeat(rng.normal(size=(20, 4)), 3, axis=0)
        alignment = sk.align(rng.normal(size=(40, 5)), rng.normal(size=(40, 4)), solver=sk.Procrustes())
        found = sk.evaluate_retrieval(alignment, x, y, ks=(5,))
        recall.append(found.forward.recall[5].value)
        back.append(found.backward.recall[5].value)
    assert found.forward.chance(5) == 5 / 20
    assert (found.backward.queries, found.backward.gallery) == (20, 60)
    assert found.backward.chance(5) == pytest.approx(1 - (57 * 56 * 55 * 54 * 53) / (60 * 59 * 58 * 57 * 56))
    for values, way in ((recall, found.forward), (back, found.backward)):
        assert abs(np.mean(values) - way.chance(5)) < 3 * np.std(values) / 40**0.5


def test_all_or_nothing_has_an_interval_with_width(pairs):
    x = np.random.default_rng(3).normal(size=(90, 6))
    perfect = sk.align(x[:60], x[:60], solver=sk.Procrustes())
    whole = sk.evaluate_retrieval(perfect, x[60:], x[60:], ks=(1,)).forward.recall[1]
    assert whole == (1.0, pytest.approx(0.025 ** (1 / 30)), 1.0)
    nothing = sk.evaluate_retrieval(perfect, x[60:], np.roll(x[60:], 1, axis=0), ks=(1,)).forward.recall[1]
    assert nothing == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 30)))
    grouped = sk.evaluate_retrieval(perfect, x[60:], x[60:], ks=(1,), groups=np.arange(30) // 3).forward.recall[1]
    assert grouped.low == pytest.approx(0.025 ** (1 / 10))


def test_it_says_whether_patients_are_known(pairs):
    alignment, x, y = pairs
    assert "over pairs; patients are not known" in str(sk.evaluate_retrieval(alignment, x, y))
    known = sk.evaluate_retrieval(alignment, x, y, groups=np.arange(60) // 4)
    assert known.patients == 15
    assert "over 15 patients" in str(known)


def test_the_two_ways_have_names_that_tell_them_apart(pairs):
    alignment, x, y = pairs
    found = sk.evaluate_retrieval(alignment, x, y)
    assert (found.forward.name, found.backward.name) == ("source to target", "target to source")


def test_chance_is_known_where_recall_was_measured(pairs):
    way = sk.evaluate_retrieval(*pairs, ks=(1, 5)).backward
    assert way.chance(5) == 5 / 60
    with pytest.raises(InputError, match=r"at k = 1, 5; got k = 3\. Measure it there too: ks=\[1, 5, 3\]"):
        way.chance(3)


def test_a_chance_from_a_part_of_the_queries_is_called_an_estimate(pairs, monkeypatch):
    alignment, x, y = pairs
    y = np.concatenate([y[:10], y[:1].repeat(25, axis=0), y[1:2].repeat(25, axis=0)])
    whole = sk.evaluate_retrieval(alignment, x, y, ks=(1,))
    for name, value in (("FEW", 0), ("SORTED", 1), ("SAMPLED", 50)):
        monkeypatch.setattr(ranks, name, value)
    part = sk.evaluate_retrieval(alignment, x, y, ks=(1,))
    note = "chance going there is estimated from 50 of 60 queries, drawn at random"
    assert note in part.notes
    assert note not in whole.notes
    assert part.forward.chance(1) == pytest.approx(whole.forward.chance(1), abs=0.1)


def test_the_chance_of_ranks_has_a_column_for_each_k(pairs):
    x, y = (sk.Embeddings(side, np.arange(60), space) for side, space in zip(
        pairs[1:], (pairs[0].source, pairs[0].target), strict=True))  # fmt: skip
    assert partner_ranks(pairs[0], x, y).chance.shape == (2, 1)
    assert partner_ranks(pairs[0], x, y, ks=(1, 5)).chance.shape == (2, 3)


@pytest.mark.parametrize("known", ["none", "patients", "equal targets"])
def test_intervals_of_all_places_and_ways_are_those_of_shares_over_patients(pairs, known):
    alignment, x, y = pairs
    groups = np.arange(60) // 4 if known == "patients" else None
    y = np.concatenate([y[:30], y[:30]]) if known == "equal targets" else y
    found = sk.evaluate_retrieval(alignment, x, y, groups=groups)
    stand = partner_ranks(alignment, *(core_embeddings.as_embeddings(side) for side in (x, y)))
    people = np.arange(60) if groups is None else groups.astype(str)
    for way, own, of in ((found.forward, stand.there, people), (found.backward, stand.back, people[stand.first])):
        for k, interval in way.recall.items():
            assert interval == exact_interval(by_patient(own.recall(k), of), by_patient(np.ones(len(own)), of))
            assert interval.value == pytest.approx(np.mean(own.recall(k)))
