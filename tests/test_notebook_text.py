"""Results in notebooks: every result with a text shows it, escaped, and values have short descriptions."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk

ROOMS = ("core", "evaluation", "studies", "training")
PARTS = {
    "Interval",
    "Duplicate",
    "SideCounts",
    "ClassPatients",
    "PermutedNull",
    "Association",
    "Cell",
    "Job",
    "ArmRun",
}  # of results and runs
DIGESTED = {"LearningCurve", "Needed"}  # kept simulations are of their very code


def results():
    for room in ROOMS:
        package = importlib.import_module(f"stitchkit.{room}")
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                own = inspect.isclass(value) and value.__module__ == module.__name__ and "__str__" in vars(value)
                if own and dataclasses.is_dataclass(value) and name not in PARTS | DIGESTED:
                    yield value


@pytest.mark.parametrize("value", list(results()), ids=lambda one: one.__name__)
def test_a_result_with_a_text_shows_it_in_a_notebook(value):
    assert hasattr(value, "_repr_html_"), value


def test_the_text_is_escaped():
    x = np.random.default_rng(0).normal(size=(40, 3))
    space = sk.Space("<b>net</b>", 3, "f")
    fitted = sk.align(sk.Embeddings(x, range(40), space), x, solver="ridge")
    html = sk.gate(
        fitted, sk.Embeddings(x[:20], range(20), space), x[:20], min_mrr=0.1, allow_leakage=True
    )._repr_html_()
    for text in (html, fitted._repr_html_()):
        assert text.startswith("<pre")
        assert "<b>" not in text


def test_values_are_described_in_a_line():
    classes = tuple("abcdefg")
    labels = sk.Labels(values=np.zeros((3, 7)), classes=classes, ids=["1", "2", "3"], groups=["p", "p", "q"])
    assert repr(labels) == "Labels(3 items of 2 patients, 7 classes: a, b, c, d, e, ...)"
    scores = sk.Scores(values=np.zeros((2, 1)), kind="logit", ids=["1", "2"], classes=("edema",))
    assert repr(scores) == "Scores(logits of 2 items, 1 class: edema)"
    assert repr(sk.read_prompts("view")).startswith("PromptSet('view', 2 classes, ")
    ids = ["1", "2"]
    pairs = sk.AnchorSet(ids, sk.Items(ids, [Path("a.png"), Path("b.png")], "image"), sk.Items(ids, ["x", "y"], "text"))
    assert repr(pairs) == "AnchorSet(2 pairs, image -> text)"
