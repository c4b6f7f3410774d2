"""Equal scores in a ranking: measures of a true target are means over all orders of what scores the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Places of true targets, whose order among equal scores is not known.

    Its measures are expectations over a random order of equal scores: a score that says nothing is at chance exactly.

    Parameters
    ----------
    above : (...) int
        Rivals that score higher.
    equal : (...) int
        Rivals of the same score.
    right : (...) int
        True targets of that score: 1, or more where several are right and the best of them counts.

    Examples
    --------
    >>> same = Ranks.of(np.array([0, 2]), np.array([3, 0]))  # four of one score; third, alone
    >>> same.middle.tolist(), same.recall(1).tolist(), same.reciprocal.round(4).tolist()
    ([2.5, 3.0], [0.25, 0.0], [0.5208, 0.3333])
    """

    above: np.ndarray
    equal: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, above: np.ndarray, equal: np.ndarray, right: np.ndarray | int = 1) -> Ranks:
        """Whole numbers of one shape; ``right`` may be one number for all."""
        higher, same = (np.asarray(one, dtype=np.int64) for one in (above, equal))
        return cls(higher, same, np.broadcast_to(np.asarray(right, dtype=np.int64), higher.shape))

    @classmethod
    def joined(cls, parts: Sequence[Ranks]) -> Ranks:
        """All of ``parts``, one after the other."""
        return cls(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("above", "equal", "right")))

    def __len__(self) -> int:
        return len(self.above)

    def take(self, rows: np.ndarray) -> Ranks:
        """The places at positions ``rows`` (k,)."""
        return Ranks(self.above[rows], self.equal[rows], self.right[rows])

    @property
    def middle(self) -> np.ndarray:
        """``1 + above + equal / 2`` (...): the mean place where one target is right."""
        places: np.ndarray = 1 + self.above + self.equal / 2
        return places

    @property
    def reciprocal(self) -> np.ndarray:
        """Expected reciprocal rank (...), in (0, 1]."""
        found = 1 / (1 + self.above)
        tied = self.equal > 0
        if not tied.any():
            return found
        alone = tied & (self.right == 1)
        sums = harmonic_sums(int((self.above + self.equal).max()) + 1)
        last = self.above + self.equal + 1
        found = np.where(alone, (sums[last] - sums[self.above]) / (self.equal + 1), found)
        several = tied & ~alone
        if several.any():
            found[several] = _reciprocal_of_best(self.above[several], self.equal[several], self.right[several])
        return found

    def recall(self, k: int) -> np.ndarray:
        """Chance (...) that the target, or the best of several, is among the best ``k``."""
        room = np.clip(k - self.above, 0, self.equal + self.right)  # places left for what scores the same
        found = np.minimum(room / (self.equal + 1), 1.0)
        several = (self.equal > 0) & (self.right > 1)
        if several.any():
            equal, right, left = self.equal[several], self.right[several], room[several]
            found[several] = 1 - _none_of(equal + right, right, left)
        return found

    def reached(self, ks: Sequence[int]) -> np.ndarray:
        """Reciprocal rank and recall at each of ``ks``: (..., 1 + len(ks))."""
        return np.stack([self.reciprocal, *(self.recall(k) for k in ks)], axis=-1)

    @property
    def logarithm(self) -> np.ndarray:
        """Expected natural logarithm of the rank (...), where one target is right; 0 is the best."""
        from scipy.special import gammaln

        sums = gammaln(self.above + self.equal + 2.0) - gammaln(self.above + 1.0)
        logs: np.ndarray = np.where(self.equal > 0, sums / (self.equal + 1), np.log(1.0 + self.above))
        return logs


def harmonic_sums(n: int) -> np.ndarray:
    """Sums of the first 0, 1, ... n reciprocals, (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def _reciprocal_of_best(above: np.ndarray, equal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Expected reciprocal rank (n,) of the best of ``right`` among ``equal + right`` of one score."""
    kinds, of_kind = np.unique(np.stack([above, equal, right]), axis=1, return_inverse=True)
    means = []
    for higher, rivals, own in kinds.T.tolist():
        place = np.arange(1, rivals + 2)
        behind = _none_of(np.array(rivals + own), np.array(own), np.arange(rivals + 2))  # none among the first r
        means.append(float(np.sum((behind[:-1] - behind[1:]) / (higher + place))))
    found: np.ndarray = np.asarray(means)[of_kind.reshape(-1)]
    return found


def _none_of(size: np.ndarray, right: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Chance that none of ``right`` among ``size`` in random order is among the ``first``: a ratio of binomials."""
    from scipy.special import gammaln

    behind = size - first
    logs = gammaln(behind + 1.0) - gammaln(np.maximum(behind - right, 0) + 1.0)
    logs = logs - gammaln(size + 1.0) + gammaln(size - right + 1.0)
    chance: np.ndarray = np.where(behind >= right, np.exp(logs), 0.0)
    return chance


def weighted_ranks(scores: np.ndarray, weight: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Sums over all candidates of their weight times their reciprocal rank and recalls, over all orders of ties.

    Parameters
    ----------
    scores : (b, n)
        Scores of n candidates for each of b queries.
    weight : (n,)
        Weight of each candidate.
    ks
        Places of the recalls.

    Returns
    -------
    (b, 1 + len(ks)) float64

    Examples
    --------
    >>> weighted_ranks(np.array([[0.9, 0.1, 0.5]]), np.array([1, 2, 0]), ks=[1]).round(3)  # 1/1 + 2/3, and 1
    array([[1.667, 1.   ]])
    """
    order = np.argsort(scores, axis=1)[:, ::-1]
    place = np.arange(1, scores.shape[1] + 1)
    weights, places = weight[order], np.stack([1 / place, *(np.where(place <= k, 1.0, 0.0) for k in ks)], axis=1)
    sums: np.ndarray = weights @ places
    row, above, size = _tied_groups(np.take_along_axis(scores, order, axis=1))
    if len(row):
        rows, of_row = np.unique(row, return_inverse=True)
        first, last = (of_row, above), (of_row, above + size)
        mass, below = _running(weights[rows]), _running(places.T).T
        mean = (below[above + size] - below[above]) / size[:, None]
        for column in range(places.shape[1]):
            apart = _running(weights[rows] * places[:, column])
            np.add.at(sums[:, column], row, (mass[last] - mass[first]) * mean[:, column] - apart[last] + apart[first])
    return sums


def _tied_groups(falling: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, number of higher scores and size of every group of equal scores in rows sorted from the highest, (b, n)."""
    same = falling[:, 1:] == falling[:, :-1]
    rows = np.flatnonzero(same.any(axis=1))
    edges = np.diff(np.pad(same[rows], ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, first), (_, last) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return rows[row], first, last - first + 1


def _running(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... n columns, (b, n + 1)."""
    return np.pad(np.cumsum(values, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
