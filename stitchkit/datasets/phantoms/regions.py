"""Regions of a phantom's findings: the pixels by which the film with a finding differs from the film without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom
from stitchkit.datasets.phantoms.film import film_levels

LEAST = 4.0  # grey levels of difference above which a pixel belongs to a finding


def finding_regions(phantom: Phantom, size: int = 224) -> dict[str, NDArray[np.bool_]]:
    """Region of each finding of a phantom, by its name: masks (size, size).

    Both films are drawn with the same seed and all other findings, so that anatomy, texture and noise are the same. The
    share of True is the chance of a place that is drawn at random.

    Parameters
    ----------
    phantom
        The facts of the film. A finding of severity 0 has no region; a faint one may have an empty one.
    size
        Pixels a side.

    Examples
    --------
    >>> from stitchkit.datasets.phantoms import draw_phantoms
    >>> one = draw_phantoms(1, seed=0)[0].with_severity(effusion=0.9)
    >>> region = finding_regions(one)["effusion"]
    >>> region.shape, bool(0 < region.mean() < 0.3)
    ((224, 224), True)
    """
    levels = film_levels(phantom, size)
    there = [name for name, severity in zip(FINDINGS, phantom.severities, strict=True) if severity > 0]
    return {name: np.abs(levels - film_levels(phantom.with_severity(**{name: 0.0}), size)) > LEAST for name in there}
