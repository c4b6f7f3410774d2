"""The criterion for driving a head: agreement of its outputs on mapped and on true held-out vectors.

Squared error in the target's units ranks maps otherwise than a head does: it counts directions that the head ignores,
and those that the head reads may be small. Labels are not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from stitchkit.alignment.folds import Fold
from stitchkit.alignment.rules import standard_error, within_one_error
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.maps import unit
from stitchkit.core.roles import Head
from stitchkit.core.wording import setting
from stitchkit.solvers.axes import Axes
from stitchkit.solvers.drafts import Draft

LEAST = 1e-12  # probabilities are clipped to this before they become logits, so that 0 and 1 stay finite
FLAT = 1e-10  # spread of a class's outputs, of their size, below which they do not vary
CLASSES = 100  # of more independent classes a random part is compared, since outputs of all strengths are in memory


class HeadAgreement:
    """Agreement of a head's outputs on mapped held-out vectors with those on the true target vectors.

    Multi-class: the mean over items of the cosine between the two rows of logits, each minus its mean over classes and
    minus the mean row of the anchors' own targets: what a head says of every item would make all maps look right.
    One of two classes: the correlation over items of the difference of the two logits, for a cosine would be its sign.
    Multi-label: the mean over classes of the correlation over all held-out items; classes whose outputs do not vary
    are left out, and of more than 100 a random 100 are judged. Probabilities are read as logits.

    Parameters
    ----------
    head
        A head over the target space.
    target : (n, d_t)
        The target vectors of all anchors.

    Raises
    ------
    SpaceMismatchError
        For a head over another space.
    InputError
        For a head whose outputs do not vary over the anchors, or are not finite.
    """

    name = curve_name = "agreement"
    ranks, beside = False, 0

    def __init__(self, head: Head, target: Embeddings) -> None:
        head.space.require(target.space, "the head")
        self.head, self.space = head, target.space
        self.multiclass = bool(getattr(head, "multiclass", False))
        if self.multiclass and len(head.classes) == 1:
            raise InputError(
                f"a head of one class, {head.classes[0]!r}, with "
                + setting("multiclass", True)
                + " gives every item the probability 1. Set "
                + setting("multiclass", False)
                + ", or give it the other classes."
            )
        self.of_two = self.multiclass and len(head.classes) == 2
        self.multiclass = self.multiclass and not self.of_two
        how = "cosines of one item's logits" if self.multiclass else "correlations of each class's outputs"
        how = "the correlation of the difference of the two logits" if self.of_two else f"mean of {how}"
        self.words = f"agreement of the head's outputs on held-out anchors, {how}"
        self.linear = _affine(head, self.multiclass, self.of_two)
        self.part: np.ndarray | None = None  # classes that are judged; None for all
        self.readouts: WeakKeyDictionary[Axes, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()
        head.scores(target)  # refuses NaN and infinity by class
        wanted = self._outputs(to_numpy(target.vectors).astype(np.float64))
        varying = np.flatnonzero(_varying(wanted))
        if not len(varying):
            raise InputError(
                f"the head gives every one of the {len(target)} target vectors the same scores, so that nothing tells "
                f"maps apart by it. Leave head out, or check that it is the target's."
            )
        if not self.multiclass and len(varying) > CLASSES:
            self.part = np.sort(np.random.default_rng(0).choice(varying, CLASSES, replace=False))
            wanted = wanted[:, self.part]
            self.linear = self.linear and (self.linear[0][:, self.part], self.linear[1][self.part])
        self.middle = wanted.mean(axis=0)
        # zero for constant classes, whose difference from the mean is rounding
        self.wanted = np.where(_varying(wanted), wanted - self.middle, 0)

    def curve(self, draft: Draft, fold: Fold) -> np.ndarray:
        """Multi-class (strengths, q, 2) measures; else (strengths + 1, q, c) outputs, last of the true targets."""
        rows, mean = self._readout(draft.axes)
        inner = to_numpy(draft.inner) @ rows  # once for all strengths
        every = [to_numpy(draft.coordinates(at)) for at in range(len(draft))]
        read = (left @ inner[: left.shape[1]] + mean for left in every)
        if self.multiclass:
            return np.stack([self._measures(one, fold) for one in read])
        every_and_true = [*(self._centred_outputs(one) for one in read), self.wanted[fold.queries]]
        size = np.abs(self.wanted).max(axis=0)  # classes in units of their own: single precision ends at 3e38
        return np.stack([(one / np.where(size > 0, size, 1)).astype(np.float32) for one in every_and_true])

    def strength(self, curves: Sequence[np.ndarray], repeat: np.ndarray, clusters: Sequence[np.ndarray]) -> int:
        entries, owners = self._along(np.concatenate(curves, axis=1)), np.concatenate(clusters)
        best = int(entries.mean(axis=1).argmax())
        chosen = best
        for at in range(best + 1, len(entries)):
            if within_one_error(entries[best] - entries[at], owners, standard_error):
                chosen = at
        return chosen

    def score(self, curves: Sequence[np.ndarray], at: int) -> float:
        rows = [at] if self.multiclass else [at, -1]
        return float(self._along(np.concatenate([curve[rows] for curve in curves], axis=1)).mean())

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Multi-class (q, 2): the cosine, and its mean over the fold's true targets; else (q, 2 c) both outputs."""
        rows, mean = self._readout(draft.axes)
        return self._measures(to_numpy(draft.predictions(at)) @ rows + mean, fold)

    def read(self, vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Measures, as :meth:`measures`, of target vectors (q, d_t) that stand for the anchors ``queries`` (q,)."""
        rows = vectors if self.linear is None else vectors @ self.linear[0] + self.linear[1]
        return self._against(rows, queries)

    def pool(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        """Measures of splits that are each judged by a map of their own."""
        return np.concatenate(measures) if self.multiclass else side_by_side(measures)

    def by_chance(self, measures: np.ndarray) -> np.ndarray:
        """Entries (n,) of pairs shuffled within a fold."""
        chance: np.ndarray = measures[:, 1] if self.multiclass else np.zeros(len(measures))
        return chance

    def entries(self, measures: np.ndarray) -> np.ndarray:
        if self.multiclass:
            cosines: np.ndarray = measures[:, 0]
            return cosines
        return correlation_entries(*np.split(measures, 2, axis=1))

    def error(self, measures: np.ndarray, clusters: np.ndarray) -> float:
        """Standard error of the value over ``clusters`` (n,), the maps taken as given."""
        return standard_error(self.entries(measures), clusters)

    def _along(self, curve: np.ndarray) -> np.ndarray:
        """Entries (strengths, n) of pooled curves."""
        return curve[..., 0] if self.multiclass else correlation_entries(curve[:-1], curve[-1])

    def _centred_outputs(self, read: np.ndarray) -> np.ndarray:
        """Outputs (q, c) about their middle from what :meth:`_readout` makes of a fold's queries."""
        outputs: np.ndarray = (read if self.linear is not None else self._outputs(read)) - self.middle
        return outputs

    def _measures(self, read: np.ndarray, fold: Fold) -> np.ndarray:
        """Measures of what :meth:`_readout` makes of a fold's queries."""
        return self._against(read, fold.queries)

    def _against(self, read: np.ndarray, queries: np.ndarray) -> np.ndarray:
        outputs, wanted = self._centred_outputs(read), self.wanted[queries]
        if not self.multiclass:
            return np.concatenate([outputs, wanted], axis=1)
        outputs, wanted = unit(outputs), unit(wanted)
        return np.stack([np.sum(outputs * wanted, axis=1), outputs @ wanted.mean(axis=0)], axis=1)

    def _readout(self, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
        """Rows (r_t, c) and offset (c,) by which a linear head's logits are read from target coordinates.

        For other heads raw target vectors, c = d_t.
        """
        if axes not in self.readouts:
            rows, mean = (to_numpy(part) for part in axes.lower())
            if self.linear is not None:
                rows, mean = rows @ self.linear[0], mean @ self.linear[0] + self.linear[1]
            self.readouts[axes] = rows.astype(to_numpy(axes.queries[:1]).dtype), mean
        return self.readouts[axes]

    def _outputs(self, vectors: np.ndarray) -> np.ndarray:
        """Logits (m, c) of raw target vectors (m, d_t); centred over classes, where one applies."""
        if self.linear is not None:
            logits: np.ndarray = vectors @ self.linear[0] + self.linear[1]
            return logits
        scores = self.head.scores(Embeddings(vectors, np.arange(len(vectors)).astype(str), self.space))
        values = np.asarray(scores.values, dtype=np.float64)
        if scores.kind == "probability":
            clipped = np.clip(values, LEAST, 1 - LEAST)
            values = np.log(clipped) if self.multiclass or self.of_two else np.log(clipped / (1 - clipped))
        values = values[:, 1:] - values[:, :1] if self.of_two else values
        values = values if self.part is None else values[:, self.part]
        return values - values.mean(axis=1, keepdims=True) if self.multiclass else values


def _affine(head: Head, multiclass: bool, of_two: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight (d, c) and bias (c,) of a linear head's logits, None for other heads; of two, their difference.

    For one class of many they are centred over classes and turned, so that c is at most d + 1: cosines between rows
    do not change.
    """
    if not isinstance(head, LinearHead) or head.kind != "logit":
        return None
    weight, bias = (to_numpy(part).astype(np.float64) for part in (head.weight, head.bias))
    if of_two:
        return weight[:, 1:] - weight[:, :1], bias[1:] - bias[:1]
    if not multiclass:
        return weight, bias
    both = np.concatenate([weight, bias[None, :]])
    both = both - both.mean(axis=1, keepdims=True)
    if both.shape[1] > both.shape[0]:
        both = np.transpose(np.linalg.qr(both.T, mode="r"))
    return both[:-1], both[-1]


def side_by_side(splits: Sequence[np.ndarray]) -> np.ndarray:
    """Measures (n, 2 c) of splits whose maps may give outputs of another size and offset.

    Both halves are taken about the split's means, and the first half, found through a map, at one size.
    """
    rows = []
    for one in splits:
        halves = np.split(one, 2, axis=1)
        outputs, wanted = (np.where(_varying(half), half - half.mean(axis=0), 0) for half in halves)
        size = float(np.sqrt(np.mean(outputs * outputs)))
        rows.append(np.concatenate([outputs / (size or 1.0), wanted], axis=1))
    return np.concatenate(rows)


def correlation_entries(outputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The mean over classes of the correlation over items, linear in each item's part: entries (..., n).

    Their mean over items is the correlation itself. ``outputs`` is (..., n, c), ``wanted`` (n, c).
    """
    kept = _varying(wanted)
    if not kept.any():
        return np.zeros(outputs.shape[:-1])
    u, v = _standardise(outputs[..., kept]), _standardise(wanted[..., kept])
    both = u * v
    each = both.mean(axis=-2, keepdims=True)
    linear: np.ndarray = np.mean(both - each * (u * u + v * v) / 2 + each, axis=-1)
    return linear


def _varying(outputs: np.ndarray) -> np.ndarray:
    """Classes (c,) whose outputs (n, c) differ between items."""
    spread: np.ndarray = outputs.std(axis=0) > FLAT * np.abs(outputs).max(axis=0)
    return spread


def _standardise(values: np.ndarray) -> np.ndarray:
    """Columns (..., n, c) of mean 0 and mean square 1; a constant one is all zeros."""
    values = values.astype(np.float64, copy=False)
    centred = values - values.mean(axis=-2, keepdims=True)
    spread = np.sqrt(np.mean(centred * centred, axis=-2, keepdims=True))
    alive = spread > FLAT * np.abs(values).max(axis=-2, keepdims=True)
    result: np.ndarray = centred / np.where(alive, spread, np.inf)
    return result
