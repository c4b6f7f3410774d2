"""The four maps of the anchor-based line of work, to the letter, from moments alone.

All four standardise both sides per feature with the anchors' statistics (unbiased deviation; a constant feature keeps
its unit), pad the narrower side with zeros, fit, take the padding off and undo the target's scaling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, float64, like, namespace, svd
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.maps import AffineMap
from stitchkit.solvers.conditions import method, reciprocal
from stitchkit.solvers.frames import Frame, require, rows_at_hand
from stitchkit.solvers.least_squares import solve
from stitchkit.solvers.sides import about_mean

RCOND = 1e-10
STEPS, RATE, BETAS, TINY = 300, 1e-3, (0.9, 0.999), 1e-8
WIDE = 128  # of both sides, from which the steps are in single precision


@dataclass(frozen=True)
class Preset:
    """One of the four published maps R between standardised spaces, by name.

    ``"linear"``: least squares. ``"l-ortho"``: the polar factor of the least-squares R. ``"ortho"``: the polar factor
    of X'Y. ``"affine"``: a linear layer with bias, 300 full-batch steps of Adam at rate 1e-3 on the mean squared
    error; in single precision, as the published code, where both sides are at least 128 wide. The common space is the
    target's own space, centred on the anchors.

    Where anchors are fewer than dimensions the two orthogonal maps keep the partial isometry that the anchors
    identify; the published code completes it to a full rotation in a way that the anchors do not determine.

    Parameters
    ----------
    name
        ``"affine"``, ``"linear"``, ``"l-ortho"`` or ``"ortho"``.
    seed
        Seed of the layer's first weights, which only ``"affine"`` draws. Default: 0

    References
    ----------
    arXiv 2503.04478; Maiorca et al., "Latent space translation via semantic alignment", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.moments.moments import Moments
    >>> x = np.random.default_rng(0).normal(size=(60, 4))
    >>> fitted = Preset("linear").fit(Evidence(Moments.of(x, 3 * x[:, :2] + 1)))
    >>> bool(np.allclose(fitted.to_target(x), 3 * x[:, :2] + 1))
    True
    """

    name: str
    seed: int = 0
    needs = frozenset({"moments"})

    def __post_init__(self) -> None:
        if self.name not in PRESETS:
            raise UnknownNameError.of("published map", self.name, PRESETS)
        if self.seed < 0:
            raise InputError(f"seed must be at least 0; got {self.seed}.")

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space is the target space, centred."""
        require(self, evidence)
        return _in_target_units(PRESETS[self.name](evidence, self.seed), {"name": self.name, "seed": self.seed})


@dataclass(frozen=True, slots=True, eq=False)
class StandardisedMap:
    """A map between standardised spaces, in a frame's coordinates."""

    frame: Frame
    weight: Array  # (r_s, r_t)
    bias: Array  # (r_t,)
    rank: int
    record: dict[str, Any]


def _linear(evidence: Evidence, seed: int) -> StandardisedMap:
    frame = Frame.of(evidence, "both")
    solution = solve(frame, evidence.anchors, RCOND)
    return StandardisedMap(
        frame, solution.weight, _no_bias(frame), max(min(solution.rank, frame.target.width), 1), {**solution.record}
    )


def _l_ortho(evidence: Evidence, seed: int) -> StandardisedMap:
    linear = _linear(evidence, seed)
    weight, rank, _ = _polar(linear.weight)
    return replace(linear, weight=weight, rank=rank)


def _ortho(evidence: Evidence, seed: int) -> StandardisedMap:
    frame = Frame.of(evidence, "both")
    weight, rank, rcond = _polar(frame.st)
    return StandardisedMap(frame, weight, _no_bias(frame), rank, {"method": method(frame, "svd"), "rcond": rcond})


def _affine(evidence: Evidence, seed: int) -> StandardisedMap:
    # Adam is not rotation-equivariant, so that it needs all features and not the span of few anchors
    frame = Frame.of_features(evidence.moments, "both")
    d_s, d_t = frame.moments.shape
    fresh = first_layer(max(d_s, d_t), seed)
    layer = np.vstack([fresh[0].T[:d_s, :d_t], fresh[1][:d_t]])  # (d_s + 1, d_t), the bias below
    layer = like(np.ascontiguousarray(layer), frame.ss)  # in the order of the gradients, which is faster
    xp, single = namespace(layer), min(d_s, d_t) >= WIDE

    def cast(array: Array) -> Array:
        return xp.astype(array, xp.float32 if single else xp.float64, copy=False)

    factor = 2 / (frame.moments.weight * max(d_s, d_t))
    by_rows = _rows_gradient(frame, evidence, factor, cast)
    gradient = by_rows or _scatter_gradient(frame, factor, cast)
    weight = _adam(cast(layer[:d_s, :]), gradient)
    # both sides are centred, so that the gradients of bias and weight are independent
    bias = _adam(layer[d_s, :], lambda at: factor * frame.moments.weight * at)
    rank = min(frame.source_rank, frame.target_rank)
    record = {"method": "adam on rows" if by_rows else "adam on moments", "steps": STEPS, "rate": RATE}
    record["precision"] = "single" if single else "double"
    return StandardisedMap(frame, float64(weight), bias, rank, record)


def _scatter_gradient(frame: Frame, factor: float, cast: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """``factor`` times half the gradient of the summed squared error by the weight."""
    ss, st = cast(factor * frame.ss), cast(factor * frame.st)
    return lambda weight: ss @ weight - st


def _rows_gradient(
    frame: Frame, evidence: Evidence, factor: float, cast: Callable[[Array], Array]
) -> Callable[[Array], Array] | None:
    """The same from the anchors' rows; None where the scatter costs less than their two products."""
    rows = rows_at_hand(evidence)
    if rows is None or 2 * frame.moments.count >= frame.moments.shape[0]:
        return None
    sides = zip((frame.source, frame.target), rows, strict=True)
    a, b = (cast(about_mean(side.coordinates(part))) for side, part in sides)
    across = factor * namespace(a).matrix_transpose(a)
    return lambda weight: across @ (a @ weight - b)


def _adam(value: Array, gradient: Callable[[Array], Array]) -> Array:
    """``value`` after Kingma and Ba's steps against ``gradient``; constant factors are kept out of the means."""
    xp, (b1, b2) = namespace(value), BETAS
    value, first, second = xp.asarray(value, copy=True), xp.zeros_like(value), xp.zeros_like(value)
    for t in range(1, STEPS + 1):  # in place: such arrays are large, and there are hundreds of steps
        at = gradient(value)
        first *= b1
        first += at
        at *= at
        second *= b2
        second += at
        unit = ((1 - b2**t) / (1 - b2)) ** 0.5
        size = xp.sqrt(second)
        size += TINY * unit
        step = first / size
        step *= RATE * unit * (1 - b1) / (1 - b1**t)
        value -= step
    return value


PRESETS: dict[str, Callable[[Evidence, int], StandardisedMap]] = {
    "affine": _affine,
    "l-ortho": _l_ortho,
    "linear": _linear,
    "ortho": _ortho,
}


def first_layer(width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (width, width), outputs by inputs, and bias (width,) of a fresh linear layer.

    Uniform within 1 / sqrt(width), as ``torch.nn.Linear`` draws them, from numpy's generator. Entries of padded
    inputs and outputs have no influence on the others, so that the fit leaves them out.
    """
    rng, bound = np.random.default_rng(seed), width**-0.5
    return rng.uniform(-bound, bound, (width, width)), rng.uniform(-bound, bound, width)


def _polar(matrix: Array) -> tuple[Array, int, float]:
    """The partial isometry of ``matrix`` on the directions it identifies, their number, and the last one's share."""
    xp = namespace(matrix)
    u, s, vh = svd(matrix)
    rank = max(int(xp.sum(xp.astype(s > RCOND * xp.max(s), xp.int64))), 1)
    linked = 1.0 if bool(s[0] > 0) else 0.0  # sides that do not vary together turn nothing
    return linked * (u[:, :rank] @ vh[:rank, :]), rank, reciprocal(s[:rank])


def _no_bias(frame: Frame) -> Array:
    return namespace(frame.st).zeros_like(frame.st[0, :])


def _in_target_units(fitted: StandardisedMap, settings: dict[str, Any]) -> Alignment:
    """Both maps into the centred target space, target scaling undone."""
    frame, m = fitted.frame, fitted.frame.moments
    record = {"solver": "preset", "settings": settings, **fitted.record}
    same = eye_like(fitted.weight, frame.target.width)
    inner = frame.alignment(fitted.weight, same, fitted.weight, rank=fitted.rank, record=record)
    common = replace(inner.source_map.target, dim=m.target.dim)
    directed, identity = inner.to_target, eye_like(fitted.weight, m.target.dim)
    offset = frame.target.lower(fitted.bias[None, :])[0, :]
    zero = namespace(offset).zeros_like(offset)
    return Alignment(
        AffineMap(m.source, common, directed.center, directed.weight, offset, fitted.rank),
        AffineMap(m.target, common, m.mean_t, identity, zero, fitted.rank),
        None,
        replace(directed, bias=directed.bias + offset),
        {**inner.record, "r2": inner.record["r2"] - _lost(fitted)},
    )


def _lost(fitted: StandardisedMap) -> float:
    """The share of the standardised target scatter that a bias away from the mean adds to the residual."""
    frame, xp = fitted.frame, namespace(fitted.bias)
    whole = frame.target_spread
    return frame.moments.weight * float(xp.sum(fitted.bias * fitted.bias)) / whole if whole > 0 else 0.0
