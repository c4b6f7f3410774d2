"""Marks of common spaces: one for each fit, so that vectors of another are refused."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import SpaceMismatchError
from stitchkit.core.space import Space, common_fingerprint

ONE, OTHER = Space("a", 2, "f1"), Space("b", 3, "f2")
W = np.array([[1.0, -2.0], [0.5, 0.0]])


def test_every_part_of_a_mark_counts(library):
    mark = common_fingerprint([ONE, OTHER], 50, weights=[library(W)])
    assert mark == f"f1|f2|50|{(3.5).hex()}"
    others = [
        common_fingerprint([OTHER, ONE], 50, weights=[W]),
        common_fingerprint([ONE, Space("b", 3, "f3")], 50, weights=[W]),
        common_fingerprint([ONE, OTHER], 51, weights=[W]),
        common_fingerprint([ONE, OTHER], "pools", weights=[W]),
        common_fingerprint([ONE, OTHER], 50, weights=[W + 1e-15]),
        common_fingerprint([ONE, OTHER], 50, weights=[W, W]),
    ]
    assert len({mark, *others}) == 7


@pytest.mark.parametrize("spaces", [[ONE, Space.of_array(3)], [Space.of_array(2), OTHER]])
def test_a_nameless_space_leaves_no_mark(spaces):
    assert common_fingerprint(spaces, 50, weights=[W]) is None


def test_vectors_of_another_fit_are_refused_however_many_spaces_it_joined():
    rng, ids = np.random.default_rng(0), np.arange(40)
    z = rng.normal(size=(40, 4))
    views = {
        name: sk.Embeddings(z @ rng.normal(size=(4, 5)) + 0.1 * rng.normal(size=(40, 5)), ids, Space(name, 5, name))
        for name in "abc"
    }

    def half(rows):
        a, b, c = (one.take(rows) for one in views.values())
        solver = sk.Relative()
        return (
            sk.align(a, b, solver=solver),
            sk.align_many({"a": a, "b": b, "c": c}).between("a", "b"),
            sk.align_through((a, b), (b, c)),
        )

    for one, other in zip(half(np.arange(20)), half(np.arange(20, 40)), strict=True):
        assert one.source_map.target.fingerprint is not None
        one.source_map.target.require(one.target_map.target, "its own space")
        with pytest.raises(SpaceMismatchError, match="fingerprint"):
            one.source_map.target.require(other.target_map.target, "the other fit's space")
