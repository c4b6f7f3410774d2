"""What the tests of solvers share: every solver of the table with its settings, data, and fitting.

A new solver joins with one row in ``PLAIN`` and, if it has a directed map, one in ``WEAK``; if it has none, its row
stands in ``MEETING``. What its settings change goes into the table of that law.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from stitchkit.core.evidence import Evidence
from stitchkit.core.moments.moments import Moments
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.csa import CSA
from stitchkit.solvers.isometric_ridge import IsometricRidge
from stitchkit.solvers.least_squares import LeastSquares
from stitchkit.solvers.pls import PLS
from stitchkit.solvers.pools.lowdin import Lowdin
from stitchkit.solvers.presets import Preset
from stitchkit.solvers.procrustes import Procrustes
from stitchkit.solvers.reduced_rank import ReducedRank
from stitchkit.solvers.relative import ASIF, Relative
from stitchkit.solvers.ridge import Ridge

MEETING = {"relative": Relative(), "asif": ASIF(keep=20)}  # they meet in a common space only
PLAIN = {
    "least_squares": LeastSquares(),
    "ridge": Ridge(),
    "procrustes": Procrustes(),
    "csa": CSA(),
    "isometric_ridge": IsometricRidge(),
    "reduced_rank": ReducedRank(),
    "pls": PLS(),
    "lowdin": Lowdin(),
} | MEETING
WEAK = {  # as little regularisation as possible: noise-free maps come back
    "least_squares": LeastSquares(),
    "ridge": Ridge(alpha=1e-9),
    "procrustes": Procrustes(),
    "csa": CSA(kappa=1e-9),
    "isometric_ridge": IsometricRidge(alpha=1e-9),
    "reduced_rank": ReducedRank(alpha=1e-9),
    "pls": PLS(),
    "ridge gcv": Ridge(alpha="gcv"),
    "ridge loo": Ridge(alpha="loo"),
    "lowdin": Lowdin(shrink=1e-12),
}
STANDARDISING = (Ridge, Procrustes, CSA, IsometricRidge, ReducedRank, PLS)
SCALED = {f"{one.__name__} both": one(scale="both") for one in STANDARDISING}
SOURCE_SCALED = {f"{one.__name__} source": one(scale="source") for one in STANDARDISING}
PRINCIPAL = {f"{one.__name__} pca 4": one(pca=4) for one in STANDARDISING}
CUT = {
    "procrustes rank 2": Procrustes(rank=2),
    "csa dims 2": CSA(dims=2),
    "reduced_rank rank 2": ReducedRank(rank=2),
    "pls rank 2": PLS(rank=2),
}
CHOSEN = {"ridge gcv": Ridge(alpha="gcv"), "ridge loo": Ridge(alpha="loo")}  # the strength comes from the anchors
RIGID = {"procrustes rigid": Procrustes(stretch=False)}
PROPER = {"procrustes proper": Procrustes(reflections=False)}
PUBLISHED = {f"preset {name}": Preset(name) for name in ("linear", "l-ortho", "ortho")}
STEPPED = {"preset affine": Preset("affine")}  # Adam stops on its way: no law of what is reached holds
EVERY = PLAIN | SCALED | SOURCE_SCALED | CUT | PRINCIPAL | CHOSEN | RIGID | PROPER | PUBLISHED
DIRECTED = {name: one for name, one in EVERY.items() if name not in MEETING}
BY_MOMENTS = {name: one for name, one in EVERY.items() if "anchors" not in one.needs}


def without(settings, *tables):
    """``settings`` without what stands in ``tables``."""
    return {name: one for name, one in settings.items() if not any(name in table for table in tables)}


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
    """Everything a solver may want: moments, three folds (two of two anchors), the rows."""
    n = x.shape[0]
    k = min(n, 3)
    cuts = [(i * n // k, (i + 1) * n // k) for i in range(k)]
    folds = [Moments.of(x[a:b, :], y[a:b, :], chunk=chunk) for a, b in cuts]
    return Evidence(Moments.of(x, y, chunk=chunk), folds, (x, y) if rows else None)


def fit(solver, x, y, **how):
    return solver.fit(evidence(x, y, **how))
