"""Solvers: settings that turn evidence (moments, folds, anchor rows) into an alignment."""

from __future__ import annotations

SOLVERS = {  # name -> "module:attr"
    "least_squares": "stitchkit.solvers.least_squares:LeastSquares",
    "ridge": "stitchkit.solvers.ridge:Ridge",
    "procrustes": "stitchkit.solvers.procrustes:Procrustes",
    "csa": "stitchkit.solvers.csa:CSA",
}

SEARCHED = {  # purpose -> families that "auto" searches; for a head CSA is ridge, or ridge with a cut
    "match": ("procrustes", "ridge", "csa"),
    "head": ("procrustes", "ridge"),
}

TRACKS = {  # families that can be searched along a path of strengths: name -> function giving its tracks
    "procrustes": "stitchkit.solvers.procrustes:tracks",
    "ridge": "stitchkit.solvers.ridge:tracks",
    "csa": "stitchkit.solvers.csa:tracks",
}
