"""Pairs of thumbnails that may show the same: the few most alike of each, by fingerprints in several views."""

from __future__ import annotations

import numpy as np

from stitchkit.datasets.fingerprints import VIEWS, tiles, view_fingerprints

CANDIDATE = 0.62  # cosine of fingerprints, up to the sign, from which a pair is looked at closely
CLOSEST = 8  # candidates kept for each image, on either side
MANY = 4 * CLOSEST  # pairs an image of a tile beyond which only the closest are kept at once
PAIR = np.dtype([("first", np.int64), ("second", np.int64), ("cosine", np.float32), ("view", np.int8)])


def candidate_pairs(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Pairs whose fingerprints are alike in one of the views, sorted by position.

    Parameters
    ----------
    first : (n, 64, 64) uint8
        Thumbnails.
    second : (m, 64, 64) uint8, optional
        The other side; by default the pairs are among ``first``, each once.

    Returns
    -------
    structured array
        ``first`` and ``second`` are positions; ``cosine`` is absolute; ``view`` is the row of ``VIEWS`` that the first
        image is seen in, or minus the row that the second one is seen in. Of each image at most the eight most
        alike, and those of whose eight it is one.
    """
    left = [view_fingerprints(first, view) for view in range(len(VIEWS))]
    right = left if second is None else [view_fingerprints(second, view) for view in range(len(VIEWS))]
    kept = np.zeros(0, dtype=PAIR)
    for rows, others in tiles(len(first), None if second is None else len(second)):
        parts = [kept]
        for columns in others:
            pairs = _of_tile([one[rows] for one in left], [one[columns] for one in right])
            if second is None and rows == columns:
                pairs = pairs[pairs["first"] < pairs["second"]]
            pairs["first"] += rows.start
            pairs["second"] += columns.start
            parts.append(_closest(pairs, second is None))
        kept = _closest(np.concatenate(parts), second is None)
    return np.sort(kept, order=("first", "second"))


def _of_tile(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """All pairs from the candidates' cosine on, each once, in the view in which it is most alike."""
    parts = [_alike(left[0], right[0], 0)]
    for view in range(1, len(VIEWS)):
        parts += [_alike(left[view], right[0], view), _alike(left[0], right[view], -view)]
    pairs = np.concatenate(parts)
    pairs = pairs[np.lexsort((-pairs["cosine"], pairs["second"], pairs["first"]))]
    again = (pairs["first"][1:] == pairs["first"][:-1]) & (pairs["second"][1:] == pairs["second"][:-1])
    return np.asarray(pairs[np.r_[True, ~again][: len(pairs)]])


def _alike(left: np.ndarray, right: np.ndarray, view: int) -> np.ndarray:
    """Pairs whose cosine is large, up to its sign."""
    cosines = left @ right.T
    np.abs(cosines, out=cosines)
    alike = cosines >= CANDIDATE
    if np.count_nonzero(alike) > MANY * sum(cosines.shape):  # frames of one series: only the closest of each matter
        k = min(CLOSEST + 1, *cosines.shape)  # an image may be its own closest
        of_row, of_column = (np.partition(cosines, -k, axis=axis).take(-k, axis=axis) for axis in (1, 0))
        alike &= (cosines >= of_row[:, None]) | (cosines >= of_column[None, :])
    rows, columns = np.nonzero(alike)
    pairs = np.zeros(len(rows), dtype=PAIR)
    pairs["first"], pairs["second"], pairs["view"] = rows, columns, view
    pairs["cosine"] = cosines[rows, columns]
    return pairs


def _closest(pairs: np.ndarray, one_side: bool) -> np.ndarray:
    """Pairs that are among the closest of one of their images."""
    second = pairs["second"] if one_side else -1 - pairs["second"]  # two sides: names apart
    images = np.concatenate([pairs["first"], second])
    order = np.lexsort((-np.tile(pairs["cosine"], 2), images))
    ordered = images[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=int)
    place = np.arange(len(ordered)) - np.repeat(begins, np.diff(np.r_[begins, len(ordered)]))
    keep = np.zeros(len(pairs), dtype=bool)
    keep[order[place < CLOSEST] % max(len(pairs), 1)] = True
    return pairs[keep]
