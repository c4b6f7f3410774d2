"""``replicates`` and ``seed`` are arguments only where they decide a result."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import stitchkit as sk
from stitchkit.cli.main import app
from stitchkit.core.prompts import PromptSet
from stitchkit.evaluation.anchors.check import check_anchors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 5))
Y = X @ RNG.normal(size=(5, 5)) + RNG.normal(size=(90, 5))
IDS = [f"i{i}" for i in range(90)]
LABELS = sk.Labels((X[:, :2] + RNG.normal(size=(90, 2)) > 0).astype(float), IDS, ("Edema", "Mass"))
SCORES = sk.Scores(X[:, :2], "logit", IDS, ("Edema", "Mass"))
PROBABLE = sk.Scores(1 / (1 + np.exp(-X[:, :2])), "probability", IDS, ("Edema", "Mass"))
ALIGNMENT = sk.align(X[:40], Y[:40], solver="ridge", nested=False)
OTHERS = X[40:], Y[40:]
SAID = X + 0.5 * RNG.normal(size=X.shape) > 0.4
TEXTS = [" ".join(f"{name}." for name, one in zip("ABC", row, strict=False) if one) or "Normal." for row in SAID]
NAMED = PromptSet("three", {name: (name,) for name in "ABC"})

CALLS = {
    "choose_anchors": lambda **more: sk.choose_anchors(X, 9, method="random", **more).tolist(),
    "choose_thresholds": lambda **more: sk.choose_thresholds(SCORES, LABELS, progress=False, **more).low.tolist(),
    "diagnose": lambda **more: str(sk.diagnose(ALIGNMENT, *OTHERS, pairs="held-out", **more)),
    "evaluate": lambda **more: str(sk.evaluate(PROBABLE, LABELS, progress=False, **more).main),
    "learning_curve": lambda **more: str(
        sk.learning_curve(X, Y, sizes=[10, 20, 40], draws=2, solver="ridge", progress=False, **more).anchors_for(0.7)
    ),
    "search_layers": lambda **more: str(
        sk.search_layers({1: X, 2: X**3}, {1: Y, 2: Y**3}, shuffles=5, progress=False, **more)
    ),
    "stitchability": lambda **more: str(sk.stitchability(X, Y, 5, shuffles=5, **more)),
}


def with_argument(name):
    """Public functions that take the argument."""
    functions = {one: getattr(sk, one) for one in sk.__all__} | {"check_anchors": check_anchors}
    return {
        one
        for one, function in functions.items()
        if inspect.isfunction(function) and name in inspect.signature(function).parameters
    }


def test_every_function_that_takes_replicates_is_in_the_table():
    assert with_argument("replicates") <= set(CALLS)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"choose_anchors"}))
def test_another_number_of_resamples_is_another_result(name):
    assert CALLS[name](replicates=20) != CALLS[name](replicates=150)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_another_seed_is_another_result(name):
    few = {} if name == "choose_anchors" else {"replicates": 20}
    assert CALLS[name](seed=0, **few) != CALLS[name](seed=1, **few)


REFUSED = {
    "gate": lambda **more: sk.gate(ALIGNMENT, *OTHERS, min_mrr=0, **more),
    "evaluate_retrieval": lambda **more: sk.evaluate_retrieval(ALIGNMENT, *OTHERS, **more),
    "fit_associations": lambda **more: sk.fit_associations(X, TEXTS, TEXTS, NAMED, **more),
    "evaluate_associations": lambda **more: sk.evaluate_associations(X, TEXTS, TEXTS, NAMED, **more),
    "prompt_sensitivity": lambda **more: sk.prompt_sensitivity(ALIGNMENT, None, NAMED, X, LABELS, **more),
    "check_anchors": lambda **more: check_anchors(IDS, **more),
    "compare": lambda **more: sk.compare(X, Y, solvers=["ridge"], **more),
}


@pytest.mark.parametrize("name", REFUSED)
def test_resamples_are_no_argument_where_nothing_is_resampled(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'replicates'"):
        REFUSED[name](replicates=100)


@pytest.mark.parametrize("name", ["gate", "evaluate_retrieval"])
def test_a_seed_is_no_argument_where_nothing_is_drawn(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        REFUSED[name](seed=1)


def test_a_gate_keeps_only_settings_that_decide_it():
    assert REFUSED["gate"]().to_dict()["settings"] == {"margin": 0.02, "level": 0.95}
    assert "replicates" not in json.dumps(REFUSED["gate"]().to_dict())


COMMANDS = {
    "gate": ["gate", "map"],
    "anchors check": ["anchors", "check", "anchors.csv"],
    "compare": ["compare", "a", "b"],
}


@pytest.mark.parametrize(
    ("command", "option"),
    [("gate", "--replicates"), ("gate", "--seed"), ("anchors check", "--replicates"), ("compare", "--replicates")],
)
def test_options_without_effect_are_not_known(command, option):
    done = CliRunner().invoke(app, [*COMMANDS[command], option, "5"])
    assert done.exit_code == 2
    assert f"No such option: {option}" in done.output
