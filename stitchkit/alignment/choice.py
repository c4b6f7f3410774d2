"""The search for a solver: shortlist by fold moments, decide by rank on held-out pairs, report on outer folds.

Within a track (a family with one scaling) the strength is chosen by d', the separation of true from random pairs
that fold moments alone give; a stronger regularisation wins within one standard error. Between tracks of a family the
mean reciprocal rank of held-out pairs decides; between families too, but within one paired standard error of the best
the family with the fewer degrees of freedom wins.
A head is chosen by held-out R2 instead: matching and driving a head are different purposes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.alignment.folds import Fold, Folds
from stitchkit.core.alignments import Alignment
from stitchkit.metrics.ranks import tiled_ranks
from stitchkit.solvers.csa import mean_reliability
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.paths import Path, Track

FINALISTS = 2  # tracks that are judged by rank, of those of a family with a path and of those without one

Split = tuple[int, frozenset[int], int]  # which assignment of folds, what is left out of training, what is judged


@dataclass(frozen=True, slots=True)
class Finalist:
    """One track at its chosen strength, judged fold by fold."""

    track: Track
    at: int
    value: Any  # the strength
    separation: float  # mean d' (or R2 for a head) over folds
    judged: np.ndarray  # reciprocal ranks of held-out pairs, or R2 of each fold
    freedom: float
    weights: Any  # (k,) or None

    @property
    def mean(self) -> float:
        return float(self.judged.mean())

    def record(self, purpose: str) -> dict[str, Any]:
        """What the record keeps of it."""
        names = ("r2", "r2") if purpose == "head" else ("separation", "mrr")
        return {
            "solver": self.track.family,
            "scale": self.track.scale,
            **self.track.settings,
            self.track.strength: self.value,
            names[0]: self.separation,
            names[1]: self.mean,
            "se": standard_error(self.judged),
            "freedom": round(self.freedom),
        }


@dataclass(slots=True)
class Desk:
    """What the search has already worked out, within a memory budget in bytes."""

    room: int = 3 << 29
    frames: dict[tuple[str, int, frozenset[int]], Frame] = field(default_factory=dict)
    paths: dict[tuple[int, int, frozenset[int]], Path] = field(default_factory=dict)
    curves: dict[tuple[int, int, frozenset[int], int], list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """Tracks over one or several assignments of folds; what was measured is kept for the outer loop."""

    tracks: Sequence[Track]
    repeats: Sequence[Folds]
    purpose: str
    desk: Desk = field(default_factory=lambda: Desk())

    def choose(self) -> tuple[Finalist, list[Finalist]]:
        """The winner and every finalist, from all folds."""
        pairs = [(r, frozenset[int]()) for r in range(len(self.repeats))]
        return self._choose(pairs)

    def outer(self) -> np.ndarray:
        """Held-out ranks (or R2 of each fold) of the whole procedure, choice included: one entry a judged pair."""
        out = []
        for r, folds in enumerate(self.repeats):
            for o in range(len(folds.parts)):
                without = frozenset({o})
                winner, _ = self._choose([(r, without)])
                path = self._path(winner.track, r, without)
                out.append(self._judge(path, winner.at, winner.weights, folds.parts[o]))
        return np.concatenate(out)

    def _choose(self, within: Iterable[tuple[int, frozenset[int]]]) -> tuple[Finalist, list[Finalist]]:
        splits = [
            (r, without | {i}, i)
            for r, without in within
            for i in range(len(self.repeats[r].parts))
            if i not in without
        ]
        curves = self._curves(splits)
        strengths = [along_path(curve) for curve in curves]
        finalists = [
            self._finalist(track, at, float(curve[:, at].mean()), splits)
            for track, at, curve in self._shortlist(strengths, curves)
        ]
        return between(finalists), finalists

    def _shortlist(self, strengths: list[int], curves: list[np.ndarray]) -> list[tuple[Track, int, np.ndarray]]:
        rows = sorted(
            zip(self.tracks, strengths, curves, strict=True), key=lambda row: -float(row[2][:, row[1]].mean())
        )
        kinds = sorted({(row[0].family, len(row[0].strengths) > 1) for row in rows})
        best = [[r for r in rows if (r[0].family, len(r[0].strengths) > 1) == kind][:FINALISTS] for kind in kinds]
        return [row for some in best for row in some]

    def _curves(self, splits: Sequence[Split]) -> list[np.ndarray]:
        """The shortlist's criterion for each track, (splits, strengths): one path scored on one held-out fold."""
        for r, without, _ in splits:
            for track in self.tracks:
                if (id(track), r, without, min(without)) in self.desk.curves:
                    continue
                path = self._path(track, r, without)
                for held in without:  # an outer fold and an inner one leave out the same two, so both are scored now
                    part = self.repeats[r].parts[held].evidence
                    score = path.explained(part) if self.purpose == "head" else path.separation(part)
                    self.desk.curves[id(track), r, without, held] = score
        return [np.asarray([self.desk.curves[id(track), *split] for split in splits]) for track in self.tracks]

    def _path(self, track: Track, r: int, without: frozenset[int]) -> Path:
        """The track's path on everything but some folds; what fits on the desk is not computed twice."""
        key = (id(track), r, without)
        if key not in self.desk.paths:
            place = (track.scale, r, without)
            known = place in self.desk.frames
            evidence = self.repeats[r].evidence
            frame = self.desk.frames[place] if known else Frame.of(evidence(without), track.scale)
            path = track.open(frame)
            a, b = frame.source.width, frame.target.width
            size = 24 * a * b + (0 if known else 16 * (a * a + b * b) + 8 * a * b)
            if self.desk.room < size:
                return path
            self.desk.room -= size
            self.desk.frames[place], self.desk.paths[key] = frame, path
        return self.desk.paths[key]

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
        return Finalist(track, at, value, separation, np.concatenate(judged), freedom, mean_reliability(weights))

    def _judge(self, path: Path, at: int, weights: Any, fold: Fold) -> np.ndarray:
        if self.purpose == "head":
            return np.asarray([path.explained(fold.evidence)[at]])
        return 1 / held_out_ranks(path.alignment(at, weights), fold)


def held_out_ranks(fitted: Alignment, fold: Fold) -> np.ndarray:
    """Rank of each judged query's true target among the fold's distinct targets."""
    return tiled_ranks(lambda a, b: fitted.similarity(fold.queries[a:b, :], fold.gallery), fold.truth)


def along_path(curve: np.ndarray) -> int:
    """The strength (column) chosen from a criterion (folds, strengths): one standard error toward more regularised.

    The standard error is that of the fold-wise difference to the best strength.
    """
    best = int(curve.mean(axis=0).argmax())
    chosen = best
    for at in range(best + 1, curve.shape[1]):
        loss = curve[:, best] - curve[:, at]
        if loss.mean() <= standard_error(loss):
            chosen = at
    return chosen


def between(finalists: Sequence[Finalist]) -> Finalist:
    """The best of each family by its mean; of these the best, or a simpler one within one paired standard error."""
    families = {one.track.family for one in finalists}
    heads = [max((f for f in finalists if f.track.family == name), key=lambda f: f.mean) for name in families]
    best = max(heads, key=lambda one: one.mean)

    def close(one: Finalist) -> bool:
        loss = best.judged - one.judged
        return bool(loss.mean() <= standard_error(loss))

    return min((one for one in heads if close(one)), key=lambda one: one.freedom)


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean; 0 for a single value."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
