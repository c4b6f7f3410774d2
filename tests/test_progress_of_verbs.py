"""Verbs that may take long show a bar that ends full, on stderr alone, and none when told so."""

from __future__ import annotations

import re

import numpy as np
import pytest

import stitchkit as sk

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6))
Y = X @ np.linalg.qr(RNG.normal(size=(6, 6)))[0] + 0.3 * RNG.normal(size=(60, 6))
POOL = RNG.normal(size=(40, 6)), RNG.normal(size=(45, 6))

VERBS = {
    "align": (lambda **more: sk.align(X, Y, **more), {"choosing a map": 25}),
    "align few": (lambda **more: sk.align(X[:30], Y[:30], **more), {"choosing a map": 25}),
    "align one family, not nested": (
        lambda **more: sk.align(X, Y, solver="ridge", nested=False, **more),
        {"choosing a map": 25},
    ),
    "align with pools": (lambda **more: sk.align(X[:12], Y[:12], pool=POOL, **more), {"matching the pools": 11}),
    "learning curve": (
        lambda **more: sk.learning_curve(X, Y, sizes=[10, 20, 40], draws=2, solver="ridge", replicates=20, **more),
        {"learning curve": 6},
    ),
    "compare": (
        lambda **more: sk.compare(X, Y, solvers=["ridge", "asif"], **more),
        {"comparing, solvers": 2},
    ),
    "search layers": (
        lambda **more: sk.search_layers({1: X, 2: Y}, {1: X, 2: Y, 3: X * X}, shuffles=5, replicates=20, **more),
        {"shuffling, pairs of layers": 6},
    ),
}


@pytest.mark.parametrize(("verb", "bars"), VERBS.values(), ids=VERBS)
def test_its_bars_end_full(verb, bars, capfd):
    verb(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    for what, total in bars.items():
        assert re.search(rf"{what}.* {total}/{total} ", err), err
    assert err.count("/s") == len(bars)


@pytest.mark.parametrize("verb", [verb for verb, _ in VERBS.values()], ids=VERBS)
def test_it_is_silent_when_told(verb, capfd):
    verb(progress=False)
    assert capfd.readouterr() == ("", "")
