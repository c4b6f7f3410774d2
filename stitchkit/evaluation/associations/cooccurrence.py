"""Company that a finding keeps in texts: how much more often than expected it is mentioned with each other one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HALF = 0.5  # added to both counts, so that a finding without company has a finite weight


@dataclass(frozen=True, slots=True, eq=False)
class Cooccurrence:
    """Counts of f findings together with g others in n texts.

    Parameters
    ----------
    together : (f, g)
        Texts that mention both.
    expected : (f, g)
        The same if mentions were independent: the product of both numbers of texts over n.
    mentions : (f,)
        Texts that mention each finding.
    others : (g,)
        Texts that mention each other one.
    n
        Number of texts.
    """

    together: np.ndarray
    expected: np.ndarray
    mentions: np.ndarray
    others: np.ndarray
    n: int

    @classmethod
    def of(cls, findings: np.ndarray, others: np.ndarray) -> Cooccurrence:
        """Counts of mentions (n, f) together with mentions (n, g).

        Examples
        --------
        >>> both = Cooccurrence.of(np.array([[1], [1], [0], [0]]), np.array([[1, 0], [1, 0], [0, 0], [0, 1]]))
        >>> both.together.tolist(), both.expected.tolist(), both.weights.round(2).tolist()
        ([[2.0, 0.0]], [[1.0, 0.5]], [[0.51, -0.69]])
        """
        left, right = findings.astype(np.float64), others.astype(np.float64)
        counts = left.sum(axis=0), right.sum(axis=0)
        return cls(left.T @ right, np.outer(*counts) / max(len(left), 1), *counts, len(left))

    @property
    def weights(self) -> np.ndarray:
        """``log((together + .5) / (expected + .5))`` (f, g): above 0 for company, below 0 for avoidance."""
        return np.asarray(np.log((self.together + HALF) / (self.expected + HALF)))

    def p_values(self) -> np.ndarray:
        """Chance (f, g) of so many texts together, or more, were mentions independent (hypergeometric, one-sided)."""
        from scipy.stats import hypergeom

        return np.asarray(
            hypergeom.sf(self.together - 1, self.n, self.others[None, :], self.mentions[:, None]), dtype=np.float64
        )


def permuted_weights(weights: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Weights (b, f, g) whose columns but the last are permuted among themselves, the same way for every finding.

    The last column is that of a normal item: without its place, a permutation would also lose that the findings are
    abnormal, which needs no company to be known.

    Parameters
    ----------
    weights : (f, g)
    draws
        Number of permutations b.
    """
    rng, g = np.random.default_rng(seed), weights.shape[1]
    orders = np.asarray([[*rng.permutation(g - 1), g - 1] for _ in range(draws)], dtype=np.int64)
    return np.asarray(weights[:, orders].transpose(1, 0, 2))
