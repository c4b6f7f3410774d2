"""Classes of an item by its nearest labelled items, and by the means of a few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.wording import counted, setting

NEIGHBOURS, TEMPERATURE = 20, 0.07  # of Caron et al., ICCV 2021
ROWS = 1024  # test items whose similarities are in memory at once


def nearest_scores(
    train: Embeddings, labels: Labels, test: Embeddings, *, multiclass: bool = False,
    neighbours: int = NEIGHBOURS, temperature: float = TEMPERATURE,
) -> Scores:  # fmt: skip
    """Share of each class among the nearest training items of each test item, weighed by their cosines.

    Parameters
    ----------
    train : (n, d), test : (m, d)
        Vectors of one space.
    labels
        Labels of the training items, by id. Neighbours whose label of a class is not known do not count for it.
    multiclass
        Exactly one class applies to an item. Default: False
    neighbours
        Nearest items that count, by cosine. Default: 20
    temperature
        Neighbours weigh exp(cosine / temperature). Default: 0.07

    Returns
    -------
    Scores
        Margins (m, c): the share of the class among the neighbours; of classes that do not exclude each other minus its
        share among all training items.

    Raises
    ------
    InputError
        For fewer than one neighbour.

    References
    ----------
    Wu et al., CVPR 2018; Caron et al., ICCV 2021.
    """
    if neighbours < 1:
        raise InputError("nearest items need at least 1 neighbour; got " + setting("neighbours", neighbours) + ".")
    train.space.require(test.space, "the training items")
    truth = labels.of_ids(train.ids).values
    known, present = ~np.isnan(truth), np.nan_to_num(truth)
    prior = present.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    x, y = _units(test), _units(train)
    count, values = min(neighbours, len(y)), np.zeros((len(x), truth.shape[1]))
    for start in range(0, len(x), ROWS):
        near = x[start : start + ROWS] @ y.T
        rows = np.argpartition(-near, count - 1, axis=1)[:, :count]
        weights = np.exp((np.take_along_axis(near, rows, axis=1) - 1) / temperature)
        of_class = np.einsum("ik,ikc->ic", weights, present[rows])
        total = np.einsum("ik,ikc->ic", weights, known[rows].astype(float))
        share = np.divide(of_class, total, out=np.tile(prior, (len(rows), 1)), where=total > 0)
        values[start : start + ROWS] = share if multiclass else share - prior
    return Scores(values, "margin", test.ids, labels.classes)


def few_shot_scores(
    train: Embeddings, labels: Labels, test: Embeddings, shots: int, draw: int, *, multiclass: bool, seed: int = 0
) -> Scores | None:
    """Cosine with the mean of a few labelled items of each class, minus that with the mean of others.

    Parameters
    ----------
    train : (n, d), test : (m, d)
        Vectors of one space.
    labels
        Labels of the training items, by id.
    shots
        Labelled items of each class; of classes that do not exclude each other also as many without the class.
    draw, seed
        Number of the draw, and seed of all.
    multiclass
        Exactly one class applies to an item: the others are the shots of the other classes.

    Returns
    -------
    Scores or None
        Margins (m, c); None where a class has fewer items than ``shots``.
    """
    if shots < 1:
        raise InputError(f"few shots are at least 1 item of each class; got {counted(shots, 'shot')}.")
    train.space.require(test.space, "the training items")
    truth, rng = labels.of_ids(train.ids).values, np.random.default_rng((seed, shots, draw))
    x, y = _units(test), _units(train)
    of, others = ([np.flatnonzero(column == value) for column in truth.T] for value in (1, 0))
    if min(len(rows) for rows in (of if multiclass else [*of, *others])) < shots:
        return None
    means = np.stack([y[rng.choice(rows, shots, replace=False)].mean(axis=0) for rows in of])
    if multiclass:
        rest: Sequence[np.ndarray] = [np.delete(means, c, axis=0).mean(axis=0) for c in range(len(means))]
    else:
        rest = [y[rng.choice(rows, shots, replace=False)].mean(axis=0) for rows in others]
    values = x @ _rows_to_units(means).T - x @ _rows_to_units(np.stack(rest)).T
    return Scores(values, "margin", test.ids, labels.classes)


def _units(vectors: Embeddings) -> np.ndarray:
    return _rows_to_units(to_numpy(vectors.vectors).astype(np.float64))


def _rows_to_units(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; those of length 0 stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)
