"""Solvers: settings that turn evidence (moments, folds, anchor rows) into an alignment."""

from __future__ import annotations

SOLVERS = {  # name -> "module:attr"
    "least_squares": "stitchkit.solvers.least_squares:LeastSquares",
    "ridge": "stitchkit.solvers.ridge:Ridge",
    "procrustes": "stitchkit.solvers.procrustes:Procrustes",
    "csa": "stitchkit.solvers.csa:CSA",
    "isometric_ridge": "stitchkit.solvers.isometric_ridge:IsometricRidge",
    "reduced_rank": "stitchkit.solvers.reduced_rank:ReducedRank",
    "pls": "stitchkit.solvers.pls:PLS",
    "relative": "stitchkit.solvers.relative:Relative",
    "asif": "stitchkit.solvers.relative:ASIF",
    "lowdin": "stitchkit.solvers.pools.lowdin:Lowdin",
}

SEARCHED = {  # purpose -> families that "auto" searches; for a head CSA is ridge, or ridge with a cut
    "match": ("procrustes", "ridge", "csa", "lowdin", "reduced_rank"),
    "head": ("procrustes", "ridge", "isometric_ridge"),
}

TRACKS = {  # families that can be searched along a path of strengths: name -> function giving its tracks
    "procrustes": "stitchkit.solvers.procrustes:tracks",
    "ridge": "stitchkit.solvers.ridge:tracks",
    "csa": "stitchkit.solvers.csa:tracks",
    "isometric_ridge": "stitchkit.solvers.isometric_ridge:tracks",
    "reduced_rank": "stitchkit.solvers.reduced_rank:tracks",
    "pls": "stitchkit.solvers.pls:tracks",
    "lowdin": "stitchkit.solvers.lowdin_moments:tracks",
}

MANY = {  # solvers for more than two spaces: name -> "module:attr"
    "procrustes": "stitchkit.solvers.generalised_procrustes:GeneralisedProcrustes",
    "gcca": "stitchkit.solvers.gcca:GCCA",
}
