"""Numbers of held-out pairs beside those of shuffled pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.rules import standard_error


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out pairs of the whole procedure.

    Parameters
    ----------
    judged : (m,)
        One entry for each held-out query.
    clusters : (m,)
        Patient of each query.
    expected : (m,)
        Mean of the same entries over pairs shuffled within a fold.
    variance
        Variance of the sum of ``expected`` over random shuffles, repeated assignments counted as one; 0 for a head.
    gallery
        Mean number of targets that a query was ranked among; 0 for a head.
    r2 : (m,) or None
        Entries of R2 of the same maps, for a head.
    first : (m,) or None
        Chance that the query's own target comes first, over the orders of equal scores; None for a head.
    prompted : ((m,), (m,)) or None
        Entries of the prompts' criterion of the same maps, and those of shuffled pairs.
    errors : (float, float) or None
        For a head, the standard errors of the value and of R2 (:mod:`stitchkit.alignment.deleted_folds`).
    """

    judged: np.ndarray
    clusters: np.ndarray
    expected: np.ndarray
    variance: float
    gallery: int
    r2: np.ndarray | None = None
    first: np.ndarray | None = None
    prompted: tuple[np.ndarray, np.ndarray] | None = None
    errors: tuple[float, float] | None = None

    @property
    def explained(self) -> tuple[float, float]:
        """R2 of the same maps and its standard error."""
        if self.r2 is None or self.errors is None:
            raise ValueError("R2 is measured for a head only")
        return float(self.r2.mean()), self.errors[1]

    @property
    def recall_at_1(self) -> float:
        """Share of queries whose own target comes first, the mean over the orders of equal scores."""
        if self.first is None:
            raise ValueError("recall is measured where targets are ranked, not for a head")
        return float(self.first.mean())

    @property
    def chance(self) -> float:
        """The mean over shuffled pairs."""
        return float(self.expected.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean over clusters; for a head with the variation of maps over draws of anchors."""
        return standard_error(self.judged, self.clusters) if self.errors is None else self.errors[0]

    @property
    def is_above_chance(self) -> bool:
        """True where the mean is above chance, by the larger of two standard errors.

        The level is 1 in 200, stricter than the 1 in 40 that noise may pass at, since the maps that chose for a fold
        were fitted on its pairs too. One standard error is that of the excess over independent clusters, the other that
        of random shuffles. Repeated assignments of folds cut the same pairs anew and make neither smaller.
        """
        excess = self.judged - self.expected
        spread = max(standard_error(excess, self.clusters), self.variance**0.5 / len(excess))
        return bool(excess.mean() > _quantile(len(np.unique(self.clusters)) - 1) * spread)


def _quantile(freedom: int) -> float:
    """The 99.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # scipy.stats, which has it too, takes seconds to import

    return float(stdtrit(max(freedom, 1), 0.995))
