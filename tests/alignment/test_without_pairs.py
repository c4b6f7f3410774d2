"""Alignment without pairs: solved where geometry decides, refused where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.alignment.pools.align_without_pairs import align_without_pairs
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, NoDirectedMapError, NotIdentifiedError, SpaceMismatchError
from stitchkit.core.space import Space

D = 16


def cloud(n, sample, *, world=0):
    """``n`` rows of a world of clusters of unequal size and place; ``sample`` draws other rows of the same world."""
    rng = np.random.default_rng(world)
    spread = np.linspace(2, 0.3, D)
    centres, sizes = rng.normal(size=(15, D)) * spread, rng.dirichlet(np.full(15, 2.0))
    draw = np.random.default_rng([world, sample])
    return centres[draw.choice(15, n, p=sizes)] + 0.35 * draw.normal(size=(n, D)) * spread


def turned(rows):
    return 3 * rows @ np.linalg.qr(np.random.default_rng(7).normal(size=(D, D)))[0] + 1


@pytest.mark.parametrize("same", [True, False], ids=["the same items", "other items"])
def test_a_turned_clustered_space_is_solved(same):
    x = cloud(260, 0)
    y = turned(x[np.random.default_rng(1).permutation(260)] if same else cloud(300, 1))
    new = cloud(100, 2)
    found = align_without_pairs(x, y, clusters=10)
    assert (found.similarity(new, turned(new)).argmax(axis=1) == np.arange(100)).mean() > 0.95
    confidence = found.record["confidence"]
    assert confidence["agreement"] > 0.9
    assert confidence["mixing"] > (0.9 if same else 0.35)
    assert found.record["notes"]
    with pytest.raises(NoDirectedMapError):
        found.to_target  # noqa: B018


@pytest.mark.parametrize("kind", ["unrelated worlds", "round clouds", "one round cloud turned"])
def test_what_geometry_does_not_decide_is_refused(kind):
    rng = np.random.default_rng(4)
    round_one = rng.normal(size=(260, D))
    x, y = {
        "unrelated worlds": (cloud(260, 0), turned(cloud(260, 0, world=5))),
        "round clouds": (round_one, rng.normal(size=(260, D))),
        "one round cloud turned": (round_one, turned(round_one[rng.permutation(260)])),
    }[kind]
    with pytest.raises(NotIdentifiedError, match=r"cannot be aligned without pairs: .* Pair a few items"):
        align_without_pairs(x, y, clusters=10)


def test_the_answer_stays_in_the_callers_library_and_is_repeatable(library):
    x, y = cloud(150, 0), turned(cloud(150, 0))
    found = align_without_pairs(*library(x, y), clusters=8)
    ours = found.similarity(*library(x[:20], y[:20]))
    assert type(ours) is type(library(x))
    np.testing.assert_allclose(
        to_numpy(ours), align_without_pairs(x, y, clusters=8).similarity(x[:20], y[:20]), atol=1e-9
    )


def test_spaces_are_kept_and_bad_input_is_refused():
    x, y = cloud(150, 0), turned(cloud(150, 0))
    named = [Embeddings(rows, range(150), Space(name, D, name)) for rows, name in ((x, "a"), (y, "b"))]
    found = align_without_pairs(*named, clusters=8, limit=120)
    assert found.record["pool_used"] == {"source": 120, "target": 120}
    with pytest.raises(SpaceMismatchError):
        found.similarity(named[1], named[0])
    with pytest.raises(InputError, match="at least 3 clusters"):
        align_without_pairs(x, y, clusters=2)
    with pytest.raises(InputError, match="too few for 20 clusters"):
        align_without_pairs(x[:60], y)
    with pytest.raises(InputError, match="NaN"):
        align_without_pairs(np.where(np.arange(150)[:, None] == 3, np.nan, x), y)


def test_flat_clouds_fit_whatever_they_hold_and_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(NotIdentifiedError, match="the target is 2 wide"):
        align_without_pairs(rng.normal(size=(200, 5)), rng.normal(size=(200, 2)))


@pytest.mark.parametrize("setting", [{"clusters": 5.5}, {"clusters": 2}, {"seed": -1}, {"seed": 0.5}])
def test_settings_are_whole_numbers(setting):
    rows = np.random.default_rng(0).normal(size=(200, 5))
    with pytest.raises(InputError, match=next(iter(setting))):
        align_without_pairs(rows, rows, **setting)


def test_a_side_of_too_few_rows_is_named():
    rows = np.random.default_rng(0).normal(size=(200, 5))
    with pytest.raises(InputError, match="0 rows of the source are too few for 20 clusters"):
        align_without_pairs(rows[:0], rows)
