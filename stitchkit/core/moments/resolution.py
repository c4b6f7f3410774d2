"""Detection of columns whose spread was lost to the rounding of the input, since they lie too far from zero."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from stitchkit.core.arrays import namespace
from stitchkit.core.moments.chunks import Rows

if TYPE_CHECKING:
    from stitchkit.core.moments.moments import Moments

ENOUGH = 32  # rows for a usable standard deviation of one column; with fewer, half of the columns must be coarse
GRAIN = 0.35  # of a standard deviation: rounding in such steps adds a hundredth to the variance (its square / 12)


def warn_of_rounding(moments: Moments, sides: tuple[Rows, Rows]) -> None:
    """Warn of columns in which rounding to the input's precision makes more than 1 % of the variance."""
    sums = ((moments.mean_s, moments.scatter_ss), (moments.mean_t, moments.scatter_tt))
    for rows, (mean, scatter) in zip(sides, sums, strict=True):
        xp, dtype = namespace(scatter), rows.vectors.dtype
        if not xp.isdtype(dtype, "real floating") or dtype == xp.float64:
            continue
        sd = xp.sqrt(xp.linalg.diagonal(scatter) / moments.weight)
        coarse = (sd > 0) & (float(xp.finfo(dtype).eps) * xp.abs(mean) > GRAIN * sd)  # a constant column is no harm
        least = 1 if moments.count >= ENOUGH else coarse.shape[0] / 2
        if not int(xp.sum(xp.astype(coarse, xp.int64))) >= least:
            continue
        ratio = float(xp.max(xp.where(coarse, xp.abs(mean), 0 * mean) / xp.where(coarse, sd, 0 * sd + 1)))
        warnings.warn(
            f"{int(xp.sum(xp.astype(coarse, xp.int64)))} of {rows.space.dim} columns of {rows.name} have a mean of up "
            f"to {ratio:.0e} standard deviations: over 1 % of their variance is rounding to {dtype}. "
            f"Embed in a wider precision, or centre the vectors before they are narrowed",
            stacklevel=3,
        )
