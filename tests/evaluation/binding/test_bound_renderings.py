"""Four renderings of phantoms bound by the demo's encoders: the truth across renderings is known exactly."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def renderings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        yield import_module("benchmarks.binding.renderings")


@pytest.fixture(scope="module")
def data(renderings):
    return renderings.drawn(anchors=120, tested=100)


@pytest.fixture(scope="module")
def judged(renderings, data):
    bound, result = renderings.bound_and_judged(data, solver=renderings.RIDGE, shots=())
    print(f"\n{result}")
    return bound, result


def test_one_text_encoder_tells_the_renderings_apart(judged):
    assert judged[1].identified.value >= 0.95
    assert judged[1].chance_identified == 0.25


def test_every_rendering_is_named_by_text_above_chance(judged):
    for kind, one in judged[1].modalities.items():
        assert one.zero_shot.main.macro.low > 0.5, kind


def test_the_same_finding_is_found_across_renderings_above_chance(judged):
    """On average over the twelve directions; single ones have 100 queries each."""
    found = judged[1].cross_modal
    assert len(found) == 12
    above = np.asarray([one.first.value - one.chance_first for one in found])
    error = 0.5 / 100**0.5  # at most, of one direction: the same phantoms are the queries of all
    assert above.mean() > 2 * error
    assert all(one.precision > one.chance for one in found)


def test_the_same_phantom_is_found_in_another_rendering_above_chance(renderings, data, judged):
    itself = renderings.same_phantom(data, judged[0])
    for pair, one in itself.items():
        print(pair, one)
    clear = [one for pair, one in itself.items() if "speckle" not in pair]
    assert len(clear) == 6
    assert all(one.low > 1 / len(data.tested) for one in clear)
