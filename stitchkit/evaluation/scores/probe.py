"""Probes: heads fitted on frozen embeddings, to judge a space at the same label budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import Items, checked_groups, rows_of
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.scores import Labels
from stitchkit.core.seeds import check_seed
from stitchkit.evaluation.scores.logistic import PrincipalRows, fit_columns
from stitchkit.metrics.auroc import auroc
from stitchkit.runtime.threads import one_blas_thread

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, on standardised features
FOLDS = 5
MANY = 20_000_000  # entries of vectors; below, a second BLAS thread costs more than it gives (up to 5,000 x 768 tried)
ENTRIES = 2_000_000  # rows x columns fitted together: some 150 MB of working arrays


def fit_probe(
    embeddings: Any,
    labels: Labels,
    *,
    groups: Any = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> LinearHead:
    """One logistic regression a class on standardised features, its strength chosen by grouped cross-validation.

    The optimum is that of scikit-learn's ``LogisticRegression(C=..., class_weight="balanced")``; all classes, folds
    and strengths are fitted together, each strength from the one below it.

    Parameters
    ----------
    embeddings : (n, d)
        Embeddings; those without labels are left out. A plain array is paired with the labels by row.
    labels : Labels
        Unknown (NaN) entries are left out class by class; classes with fewer than two of a kind score 0.
    groups : (n,), optional
        Patients of the labelled rows; ``labels.groups`` if not given.
    strengths
        Values of C to choose among, by mean held-out AUROC over classes.

    seed
        Seed of the folds, default 0.

    Returns
    -------
    LinearHead
        Over the embeddings' space, in logits.

    Raises
    ------
    InputError
        If vectors and labels differ in number, or fewer than four items have both.

    Examples
    --------
    >>> import numpy as np
    >>> from stitchkit import Labels, fit_probe
    >>> x = np.random.default_rng(0).normal(size=(40, 3))
    >>> labels = Labels((x[:, :1] > 0).astype(float), [f"i{row}" for row in range(40)], ("a",))
    >>> fit_probe(x, labels).weight.shape
    (3, 1)
    """
    check_seed(seed)
    x, y, cluster, space = _match(embeddings, labels, groups)
    with one_blas_thread(x.size < MANY):
        mean, sd = x.mean(axis=0), x.std(axis=0)
        sd = np.where(sd > 0, sd, 1.0)
        design = PrincipalRows.of((x - mean) / sd)
        strength = _choose_strength(design, y, cluster, strengths, seed)
        whole = np.zeros(len(x), dtype=int)
        inner = np.zeros((design.rows.shape[1], y.shape[1]))
        for part in _parts(y, whole):
            inner[:, part.classes] = fit_columns(design, part.truth, strength * part.weights)
        weight = design.weight(inner) / sd[:, None]
        return LinearHead(space, labels.classes, weight, inner[-1] - mean @ weight)


def probe_items(anchors: AnchorSet, labels: Labels, test_ids: Any) -> Items | None:
    """Source items of the anchors that a probe learns from: labelled, and not among the test; None if there are none.

    Parameters
    ----------
    labels
        Labels, by id.
    test_ids : (n,)
        Test items.

    Examples
    --------
    >>> items = Items(["a", "b", "c"], ["one", "two", "three"], "text")
    >>> anchors = AnchorSet(items.ids, items, items)
    >>> probe_items(anchors, Labels(np.ones((2, 1)), ["b", "c"], ("Edema",)), ["c"]).ids.tolist()
    ['b']
    """
    labelled = np.isin(anchors.ids, labels.ids) & ~np.isin(anchors.ids, np.asarray(test_ids))
    return anchors.source_items.take(np.flatnonzero(labelled)) if labelled.any() else None


def _match(embeddings: Any, labels: Labels, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Any]:
    vectors = as_embeddings(embeddings, "the probe's vectors")
    cluster = labels.groups if groups is None else checked_groups(groups, len(labels))
    if isinstance(embeddings, Embeddings):
        here = np.isin(labels.ids, vectors.ids)
        rows = rows_of(labels.ids[here], vectors.ids, "the embeddings")
        labels, cluster = labels.take(np.flatnonzero(here)), None if cluster is None else cluster[here]
        vectors = vectors.take(rows)
    if len(vectors) != len(labels):
        raise InputError(f"{len(vectors)} vectors came with {len(labels)} labelled rows. Give one of each.")
    if len(vectors) < 4:
        raise InputError(f"a probe needs labelled items; got {len(vectors)}. Check that labels and vectors share ids.")
    return to_numpy(vectors.vectors).astype(np.float64), labels.values, cluster, vectors.space


def _choose_strength(
    design: PrincipalRows, y: np.ndarray, groups: np.ndarray | None, strengths: Sequence[float], seed: int
) -> float:
    """The strength of the best mean AUROC over classes; every row is scored by the fold that held it out."""
    clusters = patients_or_rows(groups, len(y))
    k = min(FOLDS, clusters)
    if k < 2 or len(strengths) == 1:
        return strengths[0]
    scored = _held_out(design, y, fold_numbers(len(y), groups, k, seed), strengths)
    known = [~np.isnan(column) for column in y.T]
    means = []
    for strength in strengths:
        aurocs = [auroc(scored[strength][rows, c], y[rows, c]) for c, rows in enumerate(known)]
        means.append(float(np.nanmean(aurocs)) if not np.isnan(aurocs).all() else 0.5)
    return strengths[int(np.argmax(means))]


def fold_numbers(n: int, groups: np.ndarray | None, k: int, seed: int) -> np.ndarray:
    """The fold (n,) from 1 to k that holds each row out: scikit-learn's shuffled ``KFold`` or ``GroupKFold``."""
    random = np.random.RandomState(seed)  # scikit-learn's generator, so that a seed keeps its folds
    if groups is None:
        return _deal(random.permutation(n), k)
    unique, group = np.unique(groups, return_inverse=True)
    return np.asarray(_deal(random.permutation(len(unique)), k)[group])


def _deal(order: np.ndarray, k: int) -> np.ndarray:
    """Numbers 1 to k (n,) for positions in ``order`` (n,), in k runs as even as can be."""
    fold = np.empty(len(order), dtype=int)
    for number, some in enumerate(np.array_split(order, k), start=1):
        fold[some] = number
    return fold


def _held_out(
    design: PrincipalRows, y: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> dict[float, np.ndarray]:
    """Scores (n, c) of held-out rows by strength; every strength begins where the weaker one before it ended."""
    scored = {strength: np.zeros(y.shape) for strength in strengths}
    for part in _parts(y, fold):
        start = None
        for strength in sorted(scored):
            start = fit_columns(design, part.truth, strength * part.weights, start)
            rows, column = np.nonzero(part.held)
            scored[strength][rows, part.classes[column]] = (design.rows @ start)[rows, column]
    return scored


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Columns fitted together: each is one class on the rows outside one fold."""

    classes: np.ndarray  # (k,) positions
    truth: np.ndarray  # (n, k), 0 where unknown
    weights: np.ndarray  # (n, k), 0 for rows held out and unknown; both kinds of a class weigh alike
    held: np.ndarray  # (n, k), rows of the fold held out


def _parts(y: np.ndarray, fold: np.ndarray) -> Iterator[_Part]:
    """Columns of every class and fold, a few at a time; none for those with fewer than two of a kind.

    Parameters
    ----------
    y : (n, c) of 0, 1 and NaN
    fold : (n,)
        The number of the fold that holds a row out; 0 for rows that none does.
    """
    folds = np.unique(fold)
    columns = [(c, held) for held in folds for c in range(y.shape[1])]
    at_once = max(1, ENTRIES // len(y))
    for first in range(0, len(columns), at_once):
        some = columns[first : first + at_once]
        classes = np.asarray([c for c, _ in some])
        held = np.stack([(fold == number) & (number > 0) for _, number in some], axis=1)
        used = ~np.isnan(y[:, classes]) & ~held
        truth = np.nan_to_num(y[:, classes])
        present, known = (truth * used).sum(axis=0), used.sum(axis=0)
        fit = np.minimum(present, known - present) >= 2
        if not fit.any():
            continue
        share = np.where(truth == 1, present, known - present)[:, fit]
        weights = np.where(used[:, fit], known[fit] / (2 * share), 0.0)
        yield _Part(classes[fit], truth[:, fit], weights, held[:, fit])
