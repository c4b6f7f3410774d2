"""A number of one has its noun in the singular, in everything that is printed of results."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.evaluation.leakage import audit

PACKAGE = Path(sk.__file__).parent
PLURAL = re.compile(r" (?:[a-z-]+ )?(patients|people)\b")
NAMED = re.compile(r"^[A-Z_]+$")  # a constant is no number of one


def plurals_after_numbers():
    """F-strings of the package in which "patients" follows a number that may be one."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, after in zip(node.values, node.values[1:], strict=False):
                if not isinstance(before, ast.FormattedValue) or not isinstance(after, ast.Constant):
                    continue
                what = ast.unparse(before.value)
                if PLURAL.match(str(after.value)) and not what.startswith("counted(") and not NAMED.match(what):
                    found.append(f"{path.name}:{node.lineno}: {{{what}}}{after.value}")
    return found


def test_numbers_of_patients_are_counted():
    allowed = ("holding out", "learning_curve.py", "measured_curves.py", "{s}", "{what}", "{judged}")
    assert [one for one in plurals_after_numbers() if not any(word in one for word in allowed)] == []


def test_leaks_of_one_are_in_the_singular():
    notes = audit(["a", "b"], ["a", "c"], np.array(["p", "q"]), np.array(["p", "r"]), allow=True)
    assert notes == [
        "LEAKAGE: 1 item is both anchors and test items",
        "LEAKAGE: 1 patient has both anchors and test items",
    ]


def rows(n, width, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


ONE = re.compile(r"(?<![\d.,@=])\b1 (?!is\b|has\b|was\b)(?:[a-z-]+ )?([a-z]+s)\b")
SINGULAR = {"class", "across", "is", "has", "was", "this", "its", "tells", "shows", "says", "fits"}


X, Y = rows(60, 4), rows(60, 4, 1)
ALIGNMENT = sk.align(X[:40], Y[:40], solver="ridge", nested=False)
FRESH = X[40:], Y[40:]
IDS = [f"i{i}" for i in range(60)]
TRUTH = (np.arange(60) % 3 == 0).astype(float)[:, None]
SCORES = sk.Scores(TRUTH + rows(60, 1), "logit", IDS, ("Edema",))
OF_ONE = {
    "one class": lambda: sk.evaluate(SCORES, sk.Labels(TRUTH, IDS, ("Edema",)), replicates=5, progress=False),
    "one patient with it": lambda: sk.evaluate(
        SCORES, sk.Labels(TRUTH, IDS, ("Edema",), np.where(TRUTH[:, 0] == 1, "p", IDS)),
        replicates=5, min_positives=1, progress=False,
    ),
    "retrieval of one patient": lambda: sk.evaluate_retrieval(ALIGNMENT, *FRESH, groups=np.zeros(20)),
    "a gate of one patient": lambda: sk.gate(ALIGNMENT, *FRESH, groups=np.zeros(20), min_mrr=0, by="value"),
    "coverage of one prompt": lambda: sk.diagnose(
        ALIGNMENT, X, Y, prompts={"one": Y[:1]}, replicates=5, groups=np.arange(60) % 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ONE)
def test_results_of_one_say_so_in_the_singular(name):
    printed = str(OF_ONE[name]())
    wrong = [found.group(0) for found in ONE.finditer(printed) if found.group(1) not in SINGULAR]
    assert wrong == [], printed
