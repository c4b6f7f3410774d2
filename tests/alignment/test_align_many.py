"""The verbs ``align_many`` and ``align_through``: pairing, names, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import DataError, InputError, NoDirectedMapError, SpaceMismatchError, UnknownNameError

N = 60
RNG = np.random.default_rng(2)
LOADS = {"xray": RNG.normal(size=(4, 7)), "text": RNG.normal(size=(4, 6)), "ct": RNG.normal(size=(4, 5))}


def rows_of(n, seed, noise=0.1):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    return {name: z @ load + noise * rng.normal(size=(n, load.shape[1])) for name, load in LOADS.items()}


VIEWS, NEW = rows_of(N, 1), rows_of(30, 2)
IDS = np.array([f"p{i}" for i in range(N)])


def named(name, rows, ids=IDS, mark="f"):
    return sk.Embeddings(rows, ids, sk.Space(name, rows.shape[1], f"{mark}-{name}"))


EMBEDDED = {name: named(name, rows) for name, rows in VIEWS.items()}


@pytest.mark.parametrize(
    "solver", ["procrustes", "gcca", sk.GCCA(kappa=0.01), sk.GeneralisedProcrustes(rank=3)], ids=str
)
def test_three_spaces_are_bound_and_every_two_of_them_match(library, solver):
    joint = sk.align_many({name: library(rows) for name, rows in VIEWS.items()}, solver=solver)
    assert joint.names == ("xray", "text", "ct")
    for a in joint.names:
        for b in joint.names:
            alignment = joint.between(a, b)
            similarity = alignment.similarity(library(NEW[a]), library(NEW[b]))
            assert (to_numpy(similarity).argmax(axis=1) == np.arange(30)).mean() > 0.25  # chance is 0.03
            assert type(similarity) is type(library(NEW[a]))
            assert alignment.record["between"] == [a, b]
    with pytest.raises(NoDirectedMapError, match="meets in a common space"):
        joint.between("ct", "text").to_target  # noqa: B018


@pytest.mark.parametrize("solver", ["procrustes", "gcca"])
def test_embeddings_are_paired_by_id_and_know_their_spaces(solver):
    order = np.random.default_rng(5).permutation(N)
    mixed = {**EMBEDDED, "ct": named("ct", VIEWS["ct"][order], IDS[order])}
    found, plain = (sk.align_many(views, solver=solver) for views in (mixed, EMBEDDED))
    np.testing.assert_array_equal(found.map_of("ct").weight, plain.map_of("ct").weight)
    assert found.map_of("ct").source == EMBEDDED["ct"].space
    assert found.common.fingerprint is not None
    with pytest.raises(SpaceMismatchError, match="other weights or preprocessing"):
        found.map_of("ct")(named("ct", VIEWS["ct"], mark="g"))
    unnamed = sk.align_many(list(EMBEDDED.values()), solver=solver)
    assert unnamed.names == ("xray", "text", "ct")


def test_common_spaces_of_two_fits_are_told_apart():
    one, other = (
        sk.align_many(EMBEDDED),
        sk.align_many({**EMBEDDED, "xray": named("xray", VIEWS["xray"] + VIEWS["text"][:, :1])}),
    )
    with pytest.raises(SpaceMismatchError, match="same width"):
        one.common.require(other.common, "a head")


def test_groups_are_kept_together_and_the_seed_is_told():
    groups = np.arange(N) // 2
    twins = {name: np.repeat(rows[:30], 2, axis=0) for name, rows in VIEWS.items()}
    loose, kept = (sk.align_many(twins, solver=sk.GCCA(power=1.0), groups=one) for one in (None, groups))
    assert not np.allclose(loose.weights, kept.weights)
    by_id = {name: named(name, rows) for name, rows in twins.items()}
    again = sk.align_many(
        by_id, solver=sk.GCCA(power=1.0), groups=dict(zip(IDS.tolist(), groups.tolist(), strict=True))
    )
    np.testing.assert_array_equal(again.weights, kept.weights)
    assert kept.record["seed"] == 0
    other = sk.align_many(twins, solver=sk.GCCA(power=1.0), groups=groups, seed=4)
    assert not np.allclose(other.weights, kept.weights)
    np.testing.assert_allclose(other.map_of("ct").weight, kept.map_of("ct").weight, atol=1e-10)


REFUSED = {
    "one view": ({"xray": VIEWS["xray"]}, InputError, "at least two; got 1"),
    "no view": ({}, InputError, "at least two; got 0"),
    "another n": ({**VIEWS, "ct": VIEWS["ct"][:-1]}, InputError, "'xray' has 60 rows and 'ct' has 59"),
    "another n, by id": (
        {**EMBEDDED, "xray": named("xray", VIEWS["xray"][:-1], IDS[:-1])}, InputError, "'xray' has 59 rows"
    ),
    "missing ids": (
        {**EMBEDDED, "ct": named("ct", VIEWS["ct"], [f"q{i}" for i in range(N)])}, DataError, "not in the view 'ct'"
    ),
    "a number for a name": ({"xray": VIEWS["xray"], 1: VIEWS["ct"]}, InputError, "a view needs a name.*got 1"),
    "an empty name": ({"xray": VIEWS["xray"], "": VIEWS["ct"]}, InputError, "a view needs a name.*got ''"),
    "two of one name": ([EMBEDDED["ct"], EMBEDDED["ct"]], InputError, "two views are called 'ct'"),
    "arrays without names": ([VIEWS["xray"], VIEWS["ct"]], InputError, "plain arrays have no name"),
    "one item": ({name: rows[:1] for name, rows in VIEWS.items()}, InputError, "got 1 anchor"),
    "a constant view": ({**VIEWS, "ct": np.ones((N, 5))}, InputError, "all 60 vectors of 'ct' are the same"),
    "NaN": ({**VIEWS, "ct": np.full((N, 5), np.nan)}, InputError, "holds NaN"),
}  # fmt: skip


@pytest.mark.parametrize("solver", ["procrustes", "gcca"])
@pytest.mark.parametrize("case", REFUSED)
def test_views_that_cannot_be_bound_are_refused(case, solver):
    views, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        sk.align_many(views, solver=solver)


def test_arrays_of_two_libraries_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="different libraries"):
        sk.align_many({**VIEWS, "ct": torch.asarray(VIEWS["ct"])})


def test_solvers_and_spaces_nobody_knows_are_named():
    with pytest.raises(UnknownNameError, match="'gca'; nearest: gcca"):
        sk.align_many(VIEWS, solver="gca")
    for wrong, words in ((sk.Ridge(), "got a Ridge"), (sk.GCCA, "got the class GCCA")):
        with pytest.raises(InputError, match=words):
            sk.align_many(VIEWS, solver=wrong)
    with pytest.raises(InputError, match="groups has no entry for 60 anchors"):
        sk.align_many(VIEWS, solver="gcca", groups={})
    with pytest.raises(UnknownNameError, match="'xay'; nearest: xray"):
        sk.align_many(VIEWS).between("xay", "ct")


# two spaces through a third

OTHER = rows_of(40, 3)
OTHER_IDS = np.array([f"o{i}" for i in range(40)])


def test_two_spaces_are_joined_by_a_hub_that_each_has_seen(library):
    alignment = sk.align_through(
        (library(VIEWS["xray"]), library(VIEWS["text"])),
        (library(OTHER["text"]), library(OTHER["ct"])),
        solver=sk.HubComposition(kappa=0.1),  # the noise is low
    )
    similarity = to_numpy(alignment.similarity(library(NEW["xray"]), library(NEW["ct"])))
    assert (similarity.argmax(axis=1) == np.arange(30)).mean() > 0.5  # chance is 0.03
    predicted = to_numpy(alignment.to_target(library(NEW["xray"])))
    assert ((predicted - NEW["ct"]) ** 2).sum() < 0.3 * ((NEW["ct"] - NEW["ct"].mean(0)) ** 2).sum()
    assert alignment.record["anchors"] == [N, 40]


def test_moments_embeddings_and_arrays_give_one_alignment():
    arrays = (VIEWS["xray"], VIEWS["text"]), (OTHER["text"], OTHER["ct"])
    order = np.random.default_rng(6).permutation(40)
    embedded = (
        (EMBEDDED["xray"], EMBEDDED["text"]),
        (named("text", OTHER["text"][order], OTHER_IDS[order]), named("ct", OTHER["ct"], OTHER_IDS)),
    )
    plain = sk.align_through(*arrays)
    for pair in (embedded, [sk.Moments.of(*both) for both in arrays]):
        found = sk.align_through(*pair, solver=sk.HubComposition())
        np.testing.assert_allclose(found.to_target.weight, plain.to_target.weight, atol=1e-10)
    assert sk.align_through(*embedded).source == EMBEDDED["xray"].space


def test_pairs_that_cannot_be_composed_are_refused():
    left, right = (VIEWS["xray"], VIEWS["text"]), (OTHER["text"], OTHER["ct"])
    with pytest.raises(SpaceMismatchError, match=r"the hub takes \(n, 6\) .*got \(n, 5\)"):
        sk.align_through(left, right[::-1])
    with pytest.raises(SpaceMismatchError, match="the hub takes vectors of 'text'"):
        sk.align_through(
            (EMBEDDED["xray"], EMBEDDED["text"]),
            (named("text", OTHER["text"], OTHER_IDS, mark="g"), named("ct", OTHER["ct"], OTHER_IDS)),
        )
    with pytest.raises(InputError, match="'a' has 60 rows and 'the hub of a' has 59"):
        sk.align_through((left[0], left[1][:-1]), right)
    with pytest.raises(InputError, match="got 1 anchor"):
        sk.align_through((left[0][:1], left[1][:1]), right)
    for wrong in (left[0], (left[0],), "xray", None):
        with pytest.raises(InputError, match=r"source must be a pair \(a, the hub of a\)"):
            sk.align_through(wrong, right)
    for wrong in (sk.HubComposition, "hub"):
        with pytest.raises(InputError, match="solver must be a HubComposition"):
            sk.align_through(left, right, solver=wrong)


def test_one_plain_array_does_not_switch_pairing_by_id_off():
    order = np.random.default_rng(5).permutation(N)
    shuffled = named("text", VIEWS["text"][order], IDS[order])
    for views in (
        {"xray": EMBEDDED["xray"], "text": shuffled, "ct": VIEWS["ct"]},
        {"ct": VIEWS["ct"], "xray": EMBEDDED["xray"], "text": shuffled},
    ):
        with pytest.raises(InputError, match=r"'xray' and 'text' have other ids.*'ct' is a plain array"):
            sk.align_many(views)
    mixed = sk.align_many({**EMBEDDED, "ct": VIEWS["ct"]})
    np.testing.assert_array_equal(mixed.map_of("ct").weight, sk.align_many(EMBEDDED).map_of("ct").weight)
