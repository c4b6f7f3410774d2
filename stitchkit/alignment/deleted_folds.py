"""Standard errors of out-of-fold numbers, allowing for the influence of each anchor on the maps of the other folds.

The spread of held-out entries takes every fold's map as given. With few anchors a dimension, another draw of anchors
moves the maps as well, and that spread is too small. The jackknife that deletes one fold at a time repeats the whole
with every other fold's map fitted without it; where maps vary much it is too large, since second-order terms count
twice in it (Efron and Stein 1981, Annals of Statistics 9, 586-596). The geometric mean of the two is what is printed
(``tests/alignment/test_standard_errors.py`` holds it against the spread of draws). From 400 anchors of wide spaces on,
where repeating the fits would double the search, the correction of Nadeau and Bengio (2003, Machine Learning 52,
239-281, section 3) stands in, in full up to three anchors a dimension and less with more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stitchkit.alignment.criteria import Criterion
from stitchkit.alignment.folds import Folds
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.arrays import Array, to_numpy
from stitchkit.solvers.paths import Track

LEAST_FOLDS, LEAST_ROWS = 4, 5  # folds of an assignment, and anchors left in a training set, for deletion to be usable
MANY, WIDE = 400, 256  # anchors and dimensions from which refitting would double the time of the search
A_DIMENSION = 3  # anchors a dimension up to which the correction counts in full
ASSIGNMENTS = 3  # at most that many are repeated

Kept = tuple[Track, int]  # the map of a fold: its track and the position of its strength


def standard_errors(
    sets: TrainingSets,
    repeats: Sequence[Folds],
    chosen: Mapping[tuple[int, int], Kept],
    judges: Sequence[Criterion],
    alone: Sequence[float],
    values: Array,
) -> list[float]:
    """Standard error of each judge's number, from those ``alone`` that take the maps as given.

    Parameters
    ----------
    chosen
        Assignment and fold -> the map that judges the fold.
    values : (r,)
        Eigenvalues of a training set's source scatter, from which the effective number of dimensions follows.
    """
    n, widths, k = sets.whole.count, sets.whole.shape, len(repeats[0].parts)
    if n >= MANY and max(widths) >= WIDE:
        share = min(1.0, A_DIMENSION * _dimensions(values, widths[0]) / n) * k / (k - 1)
        return [one * (1 + share) ** 0.5 for one in alone]
    deleted = deletion_errors(sets, repeats, chosen, judges)
    return [joint_error(*both) for both in zip(alone, deleted, strict=True)]


def _dimensions(values: Array, width: int) -> float:
    """Effective number of directions, relative to the mean variance of all ``width``; all where they vary alike."""
    rows = to_numpy(values).astype(np.float64)
    return float(2 * np.sum(rows / (rows + (rows.sum() / width or 1.0))))


def deletion_errors(
    sets: TrainingSets, repeats: Sequence[Folds], chosen: Mapping[tuple[int, int], Kept], judges: Sequence[Criterion]
) -> list[float]:
    """Jackknife standard error of each judge's number: folds deleted one at a time, averaged over assignments.

    0 where too little is left to fit.

    Parameters
    ----------
    chosen
        Assignment and fold -> the map of the fold; it is not chosen again.
    """
    variances = [_variances(sets, repeats[r], r, chosen, judges) for r in sorted({r for r, _ in chosen})[:ASSIGNMENTS]]
    known = [one for one in variances if one is not None]
    return np.sqrt(np.mean(known, axis=0)).tolist() if known else [0.0] * len(judges)


def _variances(
    sets: TrainingSets, folds: Folds, r: int, chosen: Mapping[tuple[int, int], Kept], judges: Sequence[Criterion]
) -> list[float] | None:
    k, sizes = len(folds.parts), sorted(len(part.rows) for part in folds.parts)
    if k < LEAST_FOLDS or sum(sizes[:-2]) < LEAST_ROWS:
        return None
    without: list[list[list[np.ndarray]]] = [[[] for _ in range(k)] for _ in judges]  # by judge and deleted fold
    for a in range(k):
        for b in range(a + 1, k):
            pair = folds.join(a, b)
            maps = {f: chosen[r, f] for f in (a, b)}
            axes = sets.axes(pair, 0, list(dict.fromkeys(track.scale for track, _ in maps.values())))
            first = len(folds.parts[a].queries)
            for judged, deleted in ((a, b), (b, a)):
                track, at = maps[judged]
                whole = axes[track.scale]
                draft = track.draft(whole if track.pca is None else whole.cut(track.pca))
                rows = slice(first) if judged == a else slice(first, None)
                for j, judge in enumerate(judges):
                    without[j][deleted].append(judge.measures(draft, at, None, pair.parts[0])[rows])
    values = np.array([[_value(judge, one) for one in parts] for judge, parts in zip(judges, without, strict=True)])
    spread: list[float] = ((k - 1) * values.var(axis=1)).tolist()
    return spread


def _value(judge: Criterion, measures: Sequence[np.ndarray]) -> float:
    return float(judge.entries(judge.pool(measures)).mean())


def joint_error(entries: float, deletion: float) -> float:
    """The geometric mean of the two standard errors, at least that of the ``entries``."""
    return float((entries * max(entries, deletion)) ** 0.5)
