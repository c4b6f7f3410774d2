"""What the tests of solvers share: every solver of the table with its settings, data, and fitting."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from stitchkit.core.moments import Evidence, Moments
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.least_squares import LeastSquares
from stitchkit.solvers.procrustes import Procrustes
from stitchkit.solvers.ridge import Ridge

PLAIN = {"least_squares": LeastSquares(), "ridge": Ridge(), "procrustes": Procrustes(), "csa": CSA()}
WEAK = {  # as little regularisation as possible: noise-free maps come back
    "least_squares": LeastSquares(),
    "ridge": Ridge(alpha=1e-9),
    "procrustes": Procrustes(),
    "csa": CSA(kappa=1e-9),
}
SCALED = {
    "ridge both": Ridge(scale="both"),
    "procrustes both": Procrustes(scale="both"),
    "csa both": CSA(scale="both"),
}
SOURCE_SCALED = {
    "ridge source": Ridge(scale="source"),
    "procrustes source": Procrustes(scale="source"),
    "csa source": CSA(scale="source"),
}
CUT = {"procrustes rank 2": Procrustes(rank=2), "csa dims 2": CSA(dims=2)}
EVERY = PLAIN | SCALED | SOURCE_SCALED | CUT


def solver_of(name):
    module, attribute = SOLVERS[name].split(":")
    return getattr(import_module(module), attribute)


def paired(n, d_s, d_t, *, noise=0.1, seed=0):
    """Anchors of two correlated spaces with means and unequal spreads."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d_s)) * rng.uniform(0.5, 2, d_s) + rng.normal(size=d_s)
    y = x @ rng.normal(size=(d_s, d_t)) / d_s**0.5 + noise * rng.normal(size=(n, d_t)) + rng.normal(size=d_t)
    return x, y


def rotation(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def evidence(x, y, *, rows=True, chunk=8192):
    """Everything a solver may want: moments, three folds, the rows."""
    n = x.shape[0]
    cuts = [(k * n // 3, (k + 1) * n // 3) for k in range(3)]
    folds = [Moments.of(x[a:b, :], y[a:b, :], chunk=chunk) for a, b in cuts]
    return Evidence(Moments.of(x, y, chunk=chunk), folds, (x, y) if rows else None)


def fit(solver, x, y, **how):
    return solver.fit(evidence(x, y, **how))
