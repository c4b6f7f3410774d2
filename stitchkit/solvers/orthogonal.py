"""The orthogonal map alone, from the cross scatter alone: a third of the sums that moments hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, float64, namespace, svd, working_float
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.chunks import CHUNK, PairedRows, check_paired

PRECISIONS = ("exact", "fast")


def orthogonal_map(x: Any, y: Any, *, precision: str = "exact", rcond: float = 1e-10) -> AffineMap:
    """The map ``(x - mean_x) U V' + mean_y`` with ``Sxy = U S V'``, read from the rows in one pass.

    The same map as ``align(x, y, solver=Procrustes(stretch=False)).to_target``, for when nothing else is wanted: no
    choice, no scale, no held-out number. Only the cross scatter is added up.

    Parameters
    ----------
    x : (n, d_s), y : (n, d_t)
        Paired rows: arrays of one library, memory maps, or embeddings with the same ids.
    precision
        ``"exact"``: float64 products. ``"fast"``: products of float32 (or narrower) chunks in float32, added up and
        decomposed in float64.
    rcond
        Directions whose singular value is below ``rcond`` times the largest are dropped.

    Raises
    ------
    InputError
        Rows that do not match, fewer than two, NaN, infinity or zero rows.

    References
    ----------
    Schoenemann, Psychometrika 31 (1966).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, turn = rng.normal(size=(50, 4)), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> bool(np.allclose(orthogonal_map(x, x @ turn + 1)(x), x @ turn + 1))
    True
    """
    if precision not in PRECISIONS:
        raise UnknownNameError.of("precision", precision, PRECISIONS)
    pairs = PairedRows.of(x, y, None)
    n = len(pairs)
    check_paired(n, n)
    cross: Array = None
    mean_s: Array = None
    mean_t: Array = None
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        a, b, _ = pairs.read(start, stop)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and overflow are looked for below
            part_s, part_t, part = _centred_moments(a, b, precision)
        if not math.isfinite(float(namespace(part).sum(part))):
            pairs.refuse(start, stop)
        if cross is None:
            cross, mean_s, mean_t = part, part_s, part_t
            continue
        step_s, step_t = part_s - mean_s, part_t - mean_t
        cross = cross + part + (start * (stop - start) / stop) * namespace(part).linalg.outer(step_s, step_t)
        mean_s = mean_s + step_s * ((stop - start) / stop)
        mean_t = mean_t + step_t * ((stop - start) / stop)
    u, s, vh = svd(cross)
    xp = namespace(s)
    if not float(s[0]) > 0:
        raise InputError("the two sides do not vary together at all, so nothing says how to turn one onto the other.")
    rank = max(int(xp.sum(xp.astype(s > rcond * xp.max(s), xp.int64))), 1)
    return AffineMap(pairs.x.space, pairs.y.space, mean_s, u[:, :rank] @ vh[:rank, :], mean_t, rank)


def _centred_moments(a: Array, b: Array, precision: str) -> tuple[Array, Array, Array]:
    """Means (d_s,), (d_t,) and the cross scatter (d_s, d_t) about them, of one chunk."""
    xp = namespace(a, b)
    narrow = precision == "fast" and all(working_float(rows[:1, :]).dtype == xp.float32 for rows in (a, b))
    dtype = xp.float32 if narrow else xp.float64
    means, sides = [], []
    for rows in (a, b):
        near = xp.astype(float64(rows[0, :]), dtype)
        side = xp.astype(rows, dtype) - near
        off = xp.sum(side, axis=0, dtype=xp.float64) / int(side.shape[0])
        side -= xp.astype(off, dtype)
        means.append(float64(near) + off)
        sides.append(side)
    return means[0], means[1], float64(xp.matrix_transpose(sides[0]) @ sides[1])
