"""Held-out numbers of a record count equal similarities over all their orders."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.held_out import HeldOut
from stitchkit.alignment.pools.branches import _best, _row
from stitchkit.metrics.tied_ranks import Ranks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("solver", ["ridge", "procrustes", "auto"])
def test_recall_of_one_dimension_is_one_over_those_that_point_the_same_way(solver):
    """Unit vectors of one dimension are +1 or -1: the true target scores as much as all on its side."""
    x = RNG.normal(size=(60, 1))
    held = sk.align(x, x, solver=solver, progress=False).record["held_out"]
    assert held["gallery"] == 12
    assert held["recall@1"] == pytest.approx(2 / 12, rel=0.4)  # about half of twelve share its side
    shuffled = sk.align(x, RNG.permutation(x), solver=solver, progress=False).record["held_out"]
    assert shuffled["recall@1"] < held["recall@1"] < held["mrr"]


@pytest.mark.parametrize("gallery", [2, 7, 40])
def test_constant_similarity_is_at_chance_in_every_number(gallery):
    same = np.zeros((2, 30), dtype=int)
    row = _row("soft", Ranks.of(same, same + gallery - 1), np.arange(30), (gallery - 1, gallery - 1))
    places = np.arange(1, gallery + 1)
    assert row["recall@1"] == pytest.approx(1 / gallery)
    assert row["mrr"] == pytest.approx(row["chance_mrr"]) == pytest.approx(np.mean(1 / places))
    assert row["log_rank"] == pytest.approx(-np.log(places).mean())
    assert row["median_rank"] == (gallery + 1) / 2


def test_a_branch_that_says_nothing_is_no_better_than_chance():
    same = np.zeros((2, 30), dtype=int)
    ranks = {name: Ranks.of(same, same + 50) for name in ("closed form", "soft", "hard")}
    branch, why = _best(ranks, np.arange(30), {"same_items": "not solved", "stable_share": 1.0}, (50, 50))
    assert branch == "closed form"
    assert "no branch ranks held-out anchors clearly better than chance" in why


def test_recall_of_a_head_is_refused():
    head = HeldOut(np.ones(3), np.arange(3), np.zeros(3), 0.0, 0)
    with pytest.raises(ValueError, match="not for a head"):
        _ = head.recall_at_1
