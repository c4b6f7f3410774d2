"""Reach of directions by anchors' vectors: the share that they vary along, beside that of anchors left out in turn.

The share of a direction u (of length one) that anchors reach is ``u' C (C + a I)^-1 u`` with C their covariance and
``a = m (1 - p / d)``, where m is its mean eigenvalue and p its participation ratio: near 1 along directions in which
the anchors vary much more than on average, near 0 where they hardly vary, and 1 everywhere if they vary alike in all
directions.

The share grows with the number of anchors, also for a finding that none of them mentions, and differs between encoders.
It is therefore compared with the share of the anchors' own spread that is reached when each anchor in turn is left
out, equal anchors together: the limits below are ratios of the odds s / (1 - s) of the two. They were chosen on one
half of a set of real reports, with four text encoders and 1 to 90 prompts; ``docs/diagnose.md`` has the errors on the
other half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.core.arrays import Array, like, namespace, svd, take, to_numpy
from stitchkit.core.maps import unit

COVERED = 0.5  # reach from which a prompt counts as covered
# Least ratio of odds of a covered prompt among m: LIMIT * m**-FALL. What none of many others has is further from what
# anchors say than a whole prompt is.
LIMIT, FALL = 0.55, 0.2
MEAN_LIMIT = 0.41  # of the difference to the mean of the others, whatever their number
MOST = 0.99  # shares above count as this: odds of shares near 1 would compare what rounding took
LEAST = 0.3  # share left out counts as at least this: where anchors hardly reach each other, it is no reference
FEW_PROMPTS = 0.25  # of the width: above, what is a prompt's own is its difference to the mean of the others
NOTHING = 1e-6  # length, in those of the anchors, below which a direction is what rounding left
ALIKE = 1e-3  # relative length below which nothing is a prompt's own: vectors in half precision are no finer


@dataclass(frozen=True, slots=True, eq=False)
class PromptReach:
    """Shares of m directions that anchors reach.

    Parameters
    ----------
    reach : (m,)
        In [0, 1]: 0.5 at the limit, 1 where a direction's own part is reached as well as an anchor left out.
    whole : (m,)
        Shares of the whole directions.
    own : (m,)
        Shares of the parts that no other direction has; NaN where there is none.
    leave_one_out
        Share of the anchors' spread that the others reach, each left out in turn.
    """

    reach: np.ndarray
    whole: np.ndarray
    own: np.ndarray
    leave_one_out: float


def prompt_reach(directions: Array, rows: Array, kinds: np.ndarray) -> PromptReach:
    """Reach of ``directions`` (m, d), from the anchors' mean, by anchors.

    Parameters
    ----------
    directions : (m, d)
        Prompts less the anchors' mean.
    rows : (n, d)
        Anchors less their mean.
    kinds : (n,)
        Label of each anchor; equal anchors share one and are left out together.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(200, 4)) * [1, 1, 1, 0.01]
    >>> found = prompt_reach(np.eye(4)[2:], rows - rows.mean(axis=0), np.arange(200))
    >>> found.reach.round(2).tolist(), round(found.leave_one_out, 2)
    ([1.0, 0.0], 0.84)
    """
    xp = namespace(rows)
    spread, axes = xp.linalg.eigh(xp.matrix_transpose(rows) @ rows / int(rows.shape[0]))
    spread = xp.clip(spread, min=0.0)
    total, width = xp.sum(spread), int(spread.shape[0])
    lengths = xp.linalg.vector_norm(directions, axis=1)
    directions = xp.where((lengths > NOTHING * total**0.5)[:, None], directions, xp.zeros_like(directions))
    level = float(xp.clip(1 - total**2 / xp.sum(spread**2) / width, min=0.0) * total / width)
    whole = _reach(directions, spread, axes, level)
    parts, limits = _own_parts(directions)
    own = _reach(parts, spread, axes, level)
    held_out = _held_out_reach(rows @ axes, spread + level, level, kinds)
    alone = np.isnan(own)
    ratio = _odds(np.where(alone, whole, own)) / _odds(np.asarray(max(held_out, LEAST)))
    limits = np.where(alone, LIMIT, limits)
    reach = [np.interp(one, (0.0, limit, 1.0), (0.0, COVERED, 1.0)) for one, limit in zip(ratio, limits, strict=True)]
    return PromptReach(np.where(np.isnan(whole), np.nan, np.asarray(reach)), whole, own, held_out)


def _odds(shares: np.ndarray) -> np.ndarray:
    kept = np.minimum(shares, MOST)
    return np.asarray(kept / (1 - kept))


def _reach(directions: Array, spread: Array, axes: Array, level: float) -> np.ndarray:
    """The share of each of ``directions`` (m, d) that the anchors reach; NaN for a direction of no length."""
    xp = namespace(directions)
    along = (unit(directions) @ axes) ** 2  # (m, d): how much of the direction lies along each axis
    some = xp.any(directions != 0, axis=1)
    shares = along @ (spread / (spread + level))
    return to_numpy(xp.where(some, shares, xp.full_like(along[:, 0], float("nan"))))


def _held_out_reach(rows: Array, ridge: Array, level: float, kinds: np.ndarray) -> float:
    """Share of the spread of ``rows`` (n, d), along the axes, that the others reach, equal rows left out together.

    Without w equal rows r the covariance is ``n / (n - w) (C - w / (n - w) r r')``, and r is n / (n - w) times as far
    from the mean. The ridge is scaled like the covariance, so that the inverse follows by Sherman and Morrison.
    """
    if level == 0:
        return 1.0
    xp, n = namespace(rows), len(kinds)
    _, first, times = np.unique(kinds, return_index=True, return_counts=True)
    some = take(rows, first)
    further = n / (n - times)
    inverse = to_numpy(xp.sum(some**2 / ridge, axis=1))  # r' (C + a I)^-1 r
    missed = level * inverse / (1 - inverse * times / (n - times))
    lengths = to_numpy(xp.sum(some**2, axis=1))
    weights = times * further**2
    return float(np.clip(1 - np.sum(weights * missed) / np.sum(weights * lengths), 0.0, 1.0))


def _own_parts(directions: Array) -> tuple[Array, np.ndarray]:
    """The part of each of ``directions`` (m, d) that the others lack, zero where there is none, and its limit."""
    rows = to_numpy(directions)
    m, d = rows.shape
    parts, limits = np.zeros_like(rows), np.full(m, LIMIT * m**-FALL)
    for i in range(m if m > 1 else 0):
        others = np.delete(rows, i, axis=0)
        part = _apart(rows[i], others) if m - 1 <= FEW_PROMPTS * d else None
        if part is None:  # so many others, or others that make it up, leave next to nothing of it
            part, limits[i] = rows[i] - others.mean(axis=0), MEAN_LIMIT
        if np.linalg.norm(part) > ALIKE * np.linalg.norm(rows[i]):
            parts[i] = part
    return like(parts, directions), limits


def _apart(one: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """The part of ``one`` (d,) outside the span of ``others`` (m, d); None where there is none."""
    _, sizes, rows = svd(others)
    kept = rows[sizes > ALIKE * sizes[0]]
    part = one - (one @ kept.T) @ kept
    return part if np.linalg.norm(part) > ALIKE * np.linalg.norm(one) else None
