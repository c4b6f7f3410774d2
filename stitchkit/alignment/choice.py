"""The search for a solver: shortlist by fold moments, decide by rank on held-out pairs, report on outer folds.

Within a track (a family with one scaling) the strength is chosen by d', the separation of true from random pairs
that fold moments alone give; a stronger regularisation wins within one standard error. Between tracks of a family the
mean reciprocal rank of held-out pairs decides; between families too, but within one paired standard error of the best
the family with the fewer degrees of freedom wins.
A head is chosen by held-out R2 instead: matching and driving a head are different purposes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.alignment.folds import Fold, Folds
from stitchkit.core.alignments import weighed
from stitchkit.metrics.ranks import pair_ranks, shuffled_reciprocal
from stitchkit.progress import Progress
from stitchkit.solvers.csa import mean_reliability
from stitchkit.solvers.frames import Frame, View
from stitchkit.solvers.paths import Path, Track, fit_width

FINALISTS = 2  # tracks of one kind that are judged by rank

Error = Callable[[np.ndarray, np.ndarray], float]
Split = tuple[int, frozenset[int], int]  # which assignment of folds, what is left out of training, what is judged


@dataclass(frozen=True, slots=True)
class Finalist:
    """One track at its chosen strength, judged fold by fold."""

    track: Track
    at: int
    value: Any  # the strength
    separation: float  # mean d' (or R2 for a head) over folds
    judged: np.ndarray  # reciprocal ranks of held-out pairs, or R2 of each fold
    clusters: np.ndarray  # of each entry of ``judged``: its patient, or for R2 its assignment of folds
    freedom: float
    weights: Any  # (k,) or None

    @property
    def mean(self) -> float:
        return float(self.judged.mean())

    def record(self, search: Search) -> dict[str, Any]:
        """What the record keeps of it."""
        purpose = search.purpose
        names = ("r2", "r2") if purpose == "head" else ("separation", "mrr")
        return {
            "solver": self.track.family,
            "scale": self.track.scale,
            **({} if self.track.pca is None else {"pca": self.track.pca}),
            **self.track.settings,
            self.track.strength: self.value,
            names[0]: self.separation,
            names[1]: self.mean,
            "se": search.error(self.judged, self.clusters),
            "freedom": round(self.freedom),
        }


@dataclass(frozen=True, slots=True)
class Outer:
    """Results of the whole procedure on outer folds.

    Parameters
    ----------
    judged : (m,)
        Reciprocal ranks of held-out pairs, or R2 of each fold.
    clusters : (m,)
        What each entry belongs to: its patient, or for R2 its assignment of folds.
    expected : (m,)
        What the same rankings reach with pairs shuffled within a fold, on average; 0 for R2.
    variance
        Of the sum of the latter over random shuffles, as if every entry counted by itself; 0 for R2.
    """

    judged: np.ndarray
    clusters: np.ndarray
    expected: np.ndarray
    variance: float

    @property
    def chance(self) -> float:
        """The mean over shuffled pairs."""
        return float(self.expected.mean())

    def is_above_chance(self, error: Error) -> bool:
        """True where the mean is above chance at a level of 1 in 40, by the larger of two standard errors.

        One is that of the excess over independent clusters, the other that of random shuffles. Repeated assignments
        of folds cut the same pairs anew and make neither smaller.
        """
        excess = self.judged - self.expected
        spread = max(error(excess, self.clusters), self.variance**0.5 / len(excess))
        return bool(excess.mean() > _quantile(len(np.unique(self.clusters)) - 1) * spread)


def _quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, max(freedom, 1)))


@dataclass(slots=True)
class Desk:
    """What the search has already worked out, within a memory budget in bytes."""

    room: int = field(default_factory=lambda: memory_size() // 4)
    frames: dict[tuple[str, int | None, int, frozenset[int]], Frame] = field(default_factory=dict)
    views: dict[tuple[int, int, int], View] = field(default_factory=dict)  # of the training set at hand
    scored: set[tuple[int, frozenset[int]]] = field(default_factory=set)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes still fit; if so they are taken."""
        if self.room < size:
            return False
        self.room -= size
        return True

    paths: dict[tuple[int, int, frozenset[int]], Path] = field(default_factory=dict)
    curves: dict[tuple[int, int, frozenset[int], int], list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """Tracks over one or several assignments of folds; what was measured is kept for the outer loop."""

    tracks: Sequence[Track]
    repeats: Sequence[Folds]
    purpose: str
    bar: Progress = field(default_factory=lambda: Progress(False))  # counts training sets
    desk: Desk = field(default_factory=lambda: Desk())

    def choose(self) -> tuple[Finalist, list[Finalist]]:
        """The winner and every finalist, from all folds."""
        self.bar.begin("choosing a map, training sets", sum(len(folds.parts) for folds in self.repeats))
        pairs = [(r, frozenset[int]()) for r in range(len(self.repeats))]
        return self._choose(pairs)

    def outer(self, repeats: int) -> Outer:
        """The whole procedure, choice included, on outer folds of the first ``repeats`` assignments."""
        counts = [len(folds.parts) for folds in self.repeats[:repeats]]
        self.bar.begin("judging the choice, training sets", sum(k * (k - 1) // 2 for k in counts))
        parts, clusters = [], []
        for r, folds in enumerate(self.repeats[:repeats]):
            for o in range(len(folds.parts)):
                without = frozenset({o})
                winner, _ = self._choose([(r, without)])
                path = self._path(winner.track, r, without)
                parts.append(self._beside_chance(path, winner.at, winner.weights, folds.parts[o]))
                clusters.append(self._clusters(r, o))
        judged, expected = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return Outer(judged, np.concatenate(clusters), expected, sum(part[2] for part in parts) * repeats)

    def _choose(self, within: Iterable[tuple[int, frozenset[int]]]) -> tuple[Finalist, list[Finalist]]:
        splits = [
            (r, without | {i}, i)
            for r, without in within
            for i in range(len(self.repeats[r].parts))
            if i not in without
        ]
        curves = self._curves(splits)
        repeat = np.asarray([r for r, _, _ in splits])
        strengths = [along_path(curve, repeat) for curve in curves]
        finalists = [
            self._finalist(track, at, float(curve[:, at].mean()), splits)
            for track, at, curve in self._shortlist(strengths, curves)
        ]
        return between(finalists, self.error), finalists

    def _shortlist(self, strengths: list[int], curves: list[np.ndarray]) -> list[tuple[Track, int, np.ndarray]]:
        """What is judged by rank: of each kind of map the best by d', which does not compare one kind with another."""
        found = list(zip(self.tracks, strengths, curves, strict=True))
        uncut = [(track, 0, curve) for track, at, curve in found if track.uncut and at != 0]
        rows = sorted(found + uncut, key=lambda row: -float(row[2][:, row[1]].mean()))
        kinds = [(track.family, track.scale, track.pca, track.uncut and at == 0) for track, at, _ in rows]
        ranks = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
        return [row for row, rank in zip(rows, ranks, strict=True) if rank < FINALISTS]

    def _curves(self, splits: Sequence[Split]) -> list[np.ndarray]:
        """The shortlist's criterion for each track, (splits, strengths): one path scored on one held-out fold."""
        for r, without, _ in splits:
            if (r, without) in self.desk.scored:
                continue
            for track in self.tracks:
                path = self._path(track, r, without)
                for held in without:  # an outer fold and an inner one leave out the same two: both are scored now
                    view = self._view(path.frame, r, held)
                    score = path.explained(view) if self.purpose == "head" else path.separation(view)
                    self.desk.curves[id(track), r, without, held] = score
            self.desk.scored.add((r, without))
            self.bar.step(1)
            self.desk.views.clear()
        return [np.asarray([self.desk.curves[id(track), *split] for split in splits]) for track in self.tracks]

    def _view(self, frame: Frame, r: int, held: int) -> View:
        """A held-out fold seen from a frame; tracks of one frame share it, with all that they work out on it."""
        key = (id(frame), r, held)
        if key not in self.desk.views:
            self.desk.views[key] = frame.view(self.repeats[r].parts[held].evidence)
        return self.desk.views[key]

    def _path(self, track: Track, r: int, without: frozenset[int]) -> Path:
        """The track's path on everything but some folds; what fits on the desk is not computed twice."""
        key = (id(track), r, without)
        if key not in self.desk.paths:
            path = track.open(self._frame(track.scale, track.pca, r, without))
            if not self.desk.has_room(24 * path.frame.source.width * path.frame.target.width):
                return path
            self.desk.paths[key] = path
        return self.desk.paths[key]

    def _frame(self, scale: str, pca: int | None, r: int, without: frozenset[int]) -> Frame:
        """The coordinates of a training set; its principal part is cut from the whole."""
        key = (scale, pca, r, without)
        if key not in self.desk.frames:
            if pca is None:
                frame = Frame.of(self.repeats[r].evidence(without), scale, draft=True)
            else:
                frame = self._frame(scale, None, r, without).cut(pca)
            a, b = frame.source.width, frame.target.width
            if not self.desk.has_room(16 * (a * a + b * b) + 8 * a * b):
                return frame
            self.desk.frames[key] = frame
        return self.desk.frames[key]

    def _finalist(self, track: Track, at: int, separation: float, splits: Sequence[Split]) -> Finalist:
        paths = [self._path(track, r, without) for r, without, _ in splits]
        folds = [self.repeats[r].parts[held] for r, _, held in splits]
        weights = [path.reliability(at, fold.evidence) for path, fold in zip(paths, folds, strict=True)]
        judged = []
        for i, (path, fold) in enumerate(zip(paths, folds, strict=True)):
            others = mean_reliability(weights[:i] + weights[i + 1 :])  # never the judged fold's own
            judged.append(self._judge(path, at, others, fold))
        freedom = float(np.mean([path.freedom(at) for path in paths]))
        value = track.strengths[at]
        clusters = np.concatenate([self._clusters(r, held) for r, _, held in splits])
        whole = mean_reliability(weights)
        return Finalist(track, at, value, separation, np.concatenate(judged), clusters, freedom, whole)

    def _clusters(self, r: int, held: int) -> np.ndarray:
        """What the judged entries of a fold belong to: the queries' groups, or for a head the assignment."""
        return np.asarray([r]) if self.purpose == "head" else self.repeats[r].parts[held].groups

    def error(self, values: np.ndarray, clusters: np.ndarray) -> float:
        """Standard error of the mean of judged entries (or differences of them)."""
        return fold_error(values, clusters) if self.purpose == "head" else standard_error(values, clusters)

    def _beside_chance(self, path: Path, at: int, weights: Any, fold: Fold) -> tuple[np.ndarray, np.ndarray, float]:
        """Judged entries of a fold, their expectation over shuffled pairs, and the variance of its sum."""
        if self.purpose == "head":
            judged = self._judge(path, at, weights, fold)
            return judged, np.zeros(len(judged)), 0.0
        return shuffled_reciprocal(*_sides(path, at, weights, fold), fold.truth)

    def _judge(self, path: Path, at: int, weights: Any, fold: Fold) -> np.ndarray:
        if self.purpose == "head":
            return np.asarray([path.explained(fold.evidence)[at]])
        return 1 / held_out_ranks(path, at, weights, fold)


def memory_size() -> int:
    """Bytes of memory of this machine; 8 GB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def held_out_ranks(path: Path, at: int, weights: Any, fold: Fold) -> np.ndarray:
    """Rank of each judged query's true target among the fold's distinct targets."""
    return pair_ranks(*_sides(path, at, weights, fold), fold.truth)


def _sides(path: Path, at: int, weights: Any, fold: Fold) -> tuple[Any, Any]:
    """A fold's queries and distinct targets as rows whose inner products are their similarities."""
    to_common, from_target = path.common(at)
    left = path.frame.source.coordinates(fold.queries) @ to_common
    right = path.frame.target.coordinates(fold.gallery)
    right = right if from_target is None else right @ from_target
    return weighed(left, right, fit_width(weights, int(left.shape[1])))


def along_path(curve: np.ndarray, repeat: np.ndarray) -> int:
    """The strength chosen from a criterion (splits, strengths): one standard error toward more regularised.

    The standard error is that of the split-wise difference to the best strength; ``repeat`` (splits,) tells the
    assignment of folds that a split belongs to.
    """
    best = int(curve.mean(axis=0).argmax())
    chosen = best
    for at in range(best + 1, curve.shape[1]):
        if within_one_error(curve[:, best] - curve[:, at], repeat, fold_error):
            chosen = at
    return chosen


def between(finalists: Sequence[Finalist], error: Error | None = None) -> Finalist:
    """The best of each family by its mean; of these the best, or a simpler one within one paired standard error."""
    families = dict.fromkeys(one.track.family for one in finalists)
    heads = [max((f for f in finalists if f.track.family == name), key=lambda f: f.mean) for name in families]
    best = max(heads, key=lambda one: one.mean)
    rule = error or standard_error
    close = [one for one in heads if within_one_error(best.judged - one.judged, best.clusters, rule)]
    return min(close, key=lambda one: one.freedom)


def within_one_error(loss: np.ndarray, clusters: np.ndarray, error: Error) -> bool:
    """Whether the mean of ``loss`` (m,) is clearly within one standard error of zero, rounding apart."""
    return bool(loss.mean() <= error(loss, clusters) * (1 - 1e-9))


def standard_error(values: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of the mean of ``values`` (m,) whose entries are independent between clusters only."""
    _, of_entry = np.unique(clusters, return_inverse=True)
    sums = np.bincount(of_entry.reshape(-1), weights=values - values.mean())
    g = len(sums)
    return float(np.sqrt(np.sum(sums**2) * g / (g - 1)) / len(values)) if g > 1 else 0.0


def fold_error(values: np.ndarray, repeat: np.ndarray) -> float:
    """Standard error of a mean over folds (m,): that of one assignment of folds, averaged over assignments.

    Repeating the assignment cuts the same items anew and makes nothing more certain.
    """
    parts = [values[repeat == one] for one in np.unique(repeat)]
    return float(np.mean([part.std(ddof=1) / len(part) ** 0.5 if len(part) > 1 else 0.0 for part in parts]))
