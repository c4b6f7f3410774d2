"""Single solvers that the choice is held against: each one value of its settings, the same for every task."""

from __future__ import annotations

import stitchkit as sk

MATCHING = {
    **{f"Procrustes, {scale}": sk.Procrustes(scale=scale) for scale in ("none", "source", "both")},
    "Procrustes, rank 16": sk.Procrustes(rank=16),
    **{f"ridge {alpha:g}": sk.Ridge(alpha=alpha) for alpha in (0.1, 1.0, 10.0)},
    **{f"ridge 1, {scale}": sk.Ridge(alpha=1.0, scale=scale) for scale in ("source", "both")},
    **{f"CSA {kappa:g}": sk.CSA(kappa=kappa) for kappa in (0.01, 0.1, 1.0)},
    "CSA 1, both, 16": sk.CSA(kappa=1.0, scale="both", pca=16),
    "Löwdin": sk.Lowdin(),
    **{f"rank {r}, {alpha:g}": sk.ReducedRank(rank=r, alpha=alpha) for r, alpha in ((8, 0.1), (16, 1.0), (8, 10.0))},
}
DRIVING = {
    **{f"Procrustes, {scale}": sk.Procrustes(scale=scale) for scale in ("none", "source", "both")},
    **{f"ridge {alpha:g}": sk.Ridge(alpha=alpha) for alpha in (0.01, 0.1, 1.0, 10.0)},
    **{f"isometric ridge {alpha:g}": sk.IsometricRidge(alpha=alpha) for alpha in (0.1, 1.0, 10.0)},
    "ridge 1, source": sk.Ridge(alpha=1.0, scale="source"),
    **{f"rank {r}, {alpha:g}": sk.ReducedRank(rank=r, alpha=alpha) for r, alpha in ((8, 0.1), (16, 1.0))},
}
