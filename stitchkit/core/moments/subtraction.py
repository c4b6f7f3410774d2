"""Subtraction of moments, and the digits that it costs."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from stitchkit.core.arrays import Array, float64, namespace
from stitchkit.core.errors import InputError
from stitchkit.core.moments.scatter import two_sum
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.core.moments.moments import Moments

EPS = 2.220446049250313e-16
LOSS_WARN, LOSS_REFUSE = 1e4, 1e8  # total / remaining scatter: 4 digits lost leave 11 for a fit, 8 leave too few
ZERO = 32 * EPS  # a column with less than this share of its scatter left has none
SLACK = 1e-12  # of the whole's scatter: rounding of a long sum stays far below, a foreign part seldom does


def difference(whole: Moments, part: Moments) -> Moments:
    """``whole`` without ``part``; refused where too few digits would be left, or where ``part`` was never in it."""
    rest = _rest(whole, part)
    _check_member(whole, rest)
    loss = _loss(whole, rest)
    if loss > LOSS_REFUSE:
        raise InputError(
            f"what remains is {loss:.0e} times smaller than what was there; {math.log10(loss):.0f} digits are lost. "
            f"Build the moments again from the remaining pairs."
        )
    if loss > LOSS_WARN:
        warnings.warn(
            f"subtraction lost {math.log10(loss):.0f} digits in the worst column: its scatter is good to "
            f"{20 * loss * EPS:.0e} or so. Build the moments again from the remaining pairs if that is too little",
            stacklevel=3,
        )
    s, t = _alive(whole.scatter_ss, rest.scatter_ss), _alive(whole.scatter_tt, rest.scatter_tt)
    lost = _gone(whole.scatter_ss, s) + _gone(whole.scatter_tt, t)
    if lost:
        warnings.warn(
            f"of {counted(lost, 'column')} the subtraction left nothing but rounding, and they count as "
            f"constant. If they vary "
            f"in what remains, build the moments again from the remaining pairs",
            stacklevel=3,
        )
    return replace(
        rest,
        scatter_ss=rest.scatter_ss * s[:, None] * s[None, :],
        scatter_st=rest.scatter_st * s[:, None] * t[None, :],
        scatter_tt=rest.scatter_tt * t[:, None] * t[None, :],
    )


def subtraction_loss(whole: Moments, part: Moments) -> float:
    """The largest kappa_j = S_jj(whole) / S_jj(rest) over the columns of both sides, 1 or more.

    The error of ``whole - part``, relative to sqrt(S_ii S_jj) of the rest, stayed below ``20 * 2e-16 * kappa``
    wherever it was measured. The scatter of the whole includes the distance between the parts' means, so that a
    distant site costs digits even where it is small. A column in which only rounding errors remain counts as 1: its
    scatter is set to zero, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit.core.moments.moments import Moments
    >>> rows = np.random.default_rng(0).normal(size=(100, 2))
    >>> site, rest = Moments.of(rows[:50] + 1e3, rows[:50]), Moments.of(rows[50:], rows[50:])
    >>> 1e5 < subtraction_loss(site + rest, site) < 1e6
    True
    """
    return _loss(whole, _rest(whole, part))


def _rest(whole: Moments, part: Moments) -> Moments:
    whole.require_same_spaces(part)
    count, weight = whole.count - part.count, whole.weight - part.weight
    if count < 1 or weight <= ZERO * whole.weight:
        heavy = "" if whole.weight == whole.count else f" (weights {part.weight:g} of {whole.weight:g})"
        raise InputError(
            f"cannot take {part.count} pairs out of {whole.count}{heavy}; nothing would remain. "
            f"Take out a part that is smaller than the whole."
        )
    step_s, step_t = whole.steps_to(part)
    mean_s, tail_s = two_sum(whole.mean_s, whole.tail_s - (part.weight / weight) * step_s)
    mean_t, tail_t = two_sum(whole.mean_t, whole.tail_t - (part.weight / weight) * step_t)
    outer = namespace(step_s).linalg.outer
    between = part.weight * (whole.weight / weight)
    return replace(
        whole,
        count=count,
        mean_s=mean_s,
        mean_t=mean_t,
        scatter_ss=whole.scatter_ss - part.scatter_ss - between * outer(step_s, step_s),
        scatter_st=whole.scatter_st - part.scatter_st - between * outer(step_s, step_t),
        scatter_tt=whole.scatter_tt - part.scatter_tt - between * outer(step_t, step_t),
        weight=weight,
        tail_s=tail_s,
        tail_t=tail_t,
    )


def _check_member(whole: Moments, rest: Moments) -> None:
    """Refuse a rest that no pairs can have: a negative scatter, or columns more alike than equal ones."""
    for name, before, after in (
        ("source", whole.scatter_ss, rest.scatter_ss),
        ("target", whole.scatter_tt, rest.scatter_tt),
    ):
        xp = namespace(before)
        slack = SLACK * xp.linalg.diagonal(before)
        left = xp.linalg.diagonal(after)
        if bool(xp.any(left < -slack)):
            column = int(xp.argmin(left / xp.where(slack > 0, slack, xp.ones_like(slack))))
            raise InputError(
                f"the part holds more scatter in {name} column {column} than the whole has for it, so it was never "
                f"in this sum. Take out only what was added, with the same rows, precision and weights."
            )
    xp = namespace(rest.scatter_st)
    bound_s, bound_t = (
        xp.sqrt(xp.where(after > 0, after, xp.zeros_like(after)) + SLACK * before)
        for before, after in (
            (xp.linalg.diagonal(whole.scatter_ss), xp.linalg.diagonal(rest.scatter_ss)),
            (xp.linalg.diagonal(whole.scatter_tt), xp.linalg.diagonal(rest.scatter_tt)),
        )
    )
    slack = SLACK * xp.linalg.outer(
        xp.sqrt(xp.linalg.diagonal(whole.scatter_ss)), xp.sqrt(xp.linalg.diagonal(whole.scatter_tt))
    )
    if bool(xp.any(xp.abs(rest.scatter_st) > xp.linalg.outer(bound_s, bound_t) + slack)):
        raise InputError(
            "what remains would have source and target correlated by more than 1, so the part was never in this "
            "sum. Take out only what was added, with the same rows, precision and weights."
        )


def _loss(whole: Moments, rest: Moments) -> float:
    worst = 1.0
    for before, after in ((whole.scatter_ss, rest.scatter_ss), (whole.scatter_tt, rest.scatter_tt)):
        xp = namespace(before)
        had, left = xp.linalg.diagonal(before), xp.linalg.diagonal(after)
        alive = left > ZERO * had
        ratio = xp.where(alive, had / xp.where(alive, left, xp.ones_like(left)), xp.ones_like(left))
        worst = max(worst, float(xp.max(ratio)))
    return worst


def _gone(before: Array, alive: Array) -> int:
    """Number of columns that had scatter ``before`` (d, d) and have none left."""
    xp = namespace(before)
    return int(xp.sum(xp.astype((xp.linalg.diagonal(before) > 0) & (alive == 0), xp.int64)))


def _alive(before: Array, after: Array) -> Array:
    """1 for a column with scatter left, 0 for one whose scatter is rounding, (d,)."""
    xp = namespace(before)
    return float64(xp.astype(xp.linalg.diagonal(after) > ZERO * xp.linalg.diagonal(before), xp.int32))
