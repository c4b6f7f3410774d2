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
    return renderings.drawn(anchors=200, tested=100)


@pytest.fixture(scope="module")
def judged(renderings, data):
    bound, result = renderings.bound_and_judged(data, shots=())
    print(f"\n{result}")
    return bound, result


def test_one_text_encoder_tells_the_renderings_apart(judged):
    assert judged[1].identified.value >= 0.95
    assert judged[1].chance_identified == 0.25


def test_every_rendering_is_named_by_text_above_chance(judged):
    for kind, one in judged[1].modalities.items():
        assert one.zero_shot.main.macro.low > 0.5, kind


def test_the_same_finding_is_found_across_renderings_above_chance(judged):
    """Between all but the speckled drawings, in which the general encoder sees little."""
    assert len(judged[1].cross_modal) == 12
    for one in judged[1].cross_modal:
        assert one.precision > one.chance
        if "speckle" not in (one.query, one.gallery):
            assert one.first.low > one.chance_first


def test_the_same_phantom_is_found_in_another_rendering_above_chance(renderings, data, judged):
    """On average over the six directions without speckle."""
    itself = renderings.same_phantom(data, judged[0])
    clear = np.asarray([one.value for pair, one in itself.items() if "speckle" not in pair])
    chance, n = 1 / len(data.tested), len(data.tested)
    print(clear.round(3), chance)
    assert clear.mean() > chance + 3 * (chance * (1 - chance) / n) ** 0.5  # as if all directions were one
