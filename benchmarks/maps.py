"""Maps: least squares, orthogonal, every map after one pass, CCA. Peers: latentis (torch float32), scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.data import pairs
from benchmarks.harness import Case, Row


def affine() -> Case:
    """Least squares in float64 and with float32 products against ``torch.linalg.lstsq`` in float32."""
    import torch
    from latentis.transform.translate.functional import lstsq_align_state

    import stitchkit as sk

    x, y = pairs(100_000, 768, 512)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64), y.astype(np.float64) - y.mean(0, dtype=np.float64)
    right = np.linalg.qr(np.concatenate(centred, axis=1), mode="r")
    reference = np.linalg.solve(right[:768, :768], right[:768, 768:])
    scale = np.linalg.norm(right[:, 768:])

    def fit(precision: str) -> Any:
        evidence = sk.Evidence(sk.Moments.of(x, y, precision=precision))
        return sk.LeastSquares().fit(evidence).to_target

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        weights = {"latentis": results["latentis lstsq float32"]["matrix"].numpy().astype(np.float64)}
        weights |= {name: results[name].weight for name in ("exact", "fast")}
        errors = {
            name: float(np.linalg.norm(right[:768, :768] @ (weight - reference)) / scale)
            for name, weight in weights.items()
        }
        _at_most(errors, exact=1e-10, fast=1e-4)
        return errors

    contestants = {
        "latentis lstsq float32": lambda: lstsq_align_state(tx, ty),
        "exact": lambda: fit("exact"),
        "fast": lambda: fit("fast"),
    }
    return Case(contestants, check)


def orthogonal() -> Case:
    """The orthogonal map: float64 SVD of the cross scatter against latentis' float32 one."""
    import torch
    from latentis.transform.translate.functional import svd_align_state

    import stitchkit as sk

    x, y = pairs(100_000, 768, 768)
    x, y = x - x.mean(0), y - y.mean(0)  # latentis does not centre
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    wide = x.astype(np.float64), y.astype(np.float64)
    wide = wide[0] - wide[0].mean(0), wide[1] - wide[1].mean(0)
    u, _, vh = np.linalg.svd(wide[0].T @ wide[1])
    reference = u @ vh

    def from_moments() -> Any:
        return sk.Procrustes(stretch=False).fit(sk.Evidence(sk.Moments.of(x, y))).to_target

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        weights = {"latentis": results["latentis SVD float32"]["matrix"].numpy().astype(np.float64)}
        weights |= {name: results[name].weight for name in ("exact", "fast", "exact, from moments")}
        errors = {name: float(np.linalg.norm(weight - reference) / 768**0.5) for name, weight in weights.items()}
        _at_most(errors, exact=1e-8, fast=errors["latentis"])
        return errors

    contestants = {
        "latentis SVD float32": lambda: svd_align_state(tx, ty),
        "exact": lambda: sk.orthogonal_map(x, y),
        "fast": lambda: sk.orthogonal_map(x, y, precision="fast"),
        "exact, from moments": from_moments,
    }
    return Case(contestants, check)


def every_map() -> Case:
    """What all maps cost once the moments are there, beside one exact pass over the rows."""
    import stitchkit as sk
    from stitchkit.metrics.cka import cka
    from stitchkit.solvers.frames import Frame
    from stitchkit.solvers.procrustes import ProcrustesPath
    from stitchkit.solvers.reduced_rank import ReducedRankPath
    from stitchkit.solvers.ridge import ALPHAS, RidgePath

    x, y = pairs(100_000, 768, 512)
    moments = sk.Moments.of(x, y)

    def after() -> Any:
        evidence = sk.Evidence(moments)
        frame = Frame.of(evidence)  # whose decompositions its paths share
        ridges = RidgePath(frame, ALPHAS[:20])
        fitted = [
            sk.LeastSquares().fit(evidence),
            ProcrustesPath(frame, (None,)).alignment(0),
            ReducedRankPath(frame, 0.1, (64,)).alignment(0),
            *(ridges.alignment(at) for at in range(20)),
        ]
        return fitted, np.linalg.svd(_whitened(moments), compute_uv=True), cka(moments)

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        fitted = results["all maps after it"][0]
        if any(not np.isfinite(one.to_target.weight).all() for one in fitted):
            raise AssertionError("a map is not finite")
        return {}

    return Case({"one exact pass": lambda: sk.Moments.of(x, y), "all maps after it": after}, check)


def canonical() -> Case:
    """All 128 canonical pairs against two of scikit-learn's."""
    from sklearn.cross_decomposition import CCA

    import stitchkit as sk

    x, y = (rows.astype(np.float64) for rows in pairs(5000, 256, 128, latent=32))

    def ours() -> Any:
        evidence = sk.Evidence(sk.Moments.of(x, y))
        return np.linalg.svd(_whitened(evidence.moments), full_matrices=False)[1]

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        peer = results["scikit-learn CCA, 2 pairs"]
        a, b = peer.transform(x, y)
        theirs = np.asarray([np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(2)])
        error = float(np.abs(theirs - results["all 128 pairs"][:2]).max())
        if error > 1e-3:
            raise AssertionError(f"canonical correlations differ from scikit-learn's by {error}")
        return {"correlations": error}

    peer = "scikit-learn CCA, 2 pairs"
    return Case({peer: lambda: CCA(2, scale=False, max_iter=2000).fit(x, y), "all 128 pairs": ours}, check)


def _whitened(moments: Any) -> np.ndarray:
    """``Lx^-1 Sxy Ly^-T`` with Cholesky factors of both scatters: its singular values are canonical correlations."""
    from scipy.linalg import solve_triangular

    left, right = (np.linalg.cholesky(scatter) for scatter in (moments.scatter_ss, moments.scatter_tt))
    half = solve_triangular(left, moments.scatter_st, lower=True)
    return solve_triangular(right, half.T, lower=True).T


def _at_most(errors: Mapping[str, float], **limits: float) -> None:
    for name, limit in limits.items():
        if not errors[name] <= limit:
            raise AssertionError(f"{name}: error {errors[name]:.1e}, allowed {limit:.1e}")


ROWS = [
    Row("affine", "100,000 x 768 -> 512", affine),
    Row("orthogonal", "100,000 x 768 -> 768", orthogonal),
    Row("every-map", "100,000 x 768 -> 512", every_map),
    Row("cca", "5,000 x 256, 128", canonical),
]
