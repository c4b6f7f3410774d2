"""Probes: heads fitted on frozen embeddings, to judge a space at the same label budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import checked_groups, rows_of
from stitchkit.core.scores import Labels
from stitchkit.metrics.auroc import auroc

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, on standardised features
FOLDS = 5


def fit_probe(
    embeddings: Any,
    labels: Labels,
    *,
    groups: Any = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> LinearHead:
    """One logistic regression a class on standardised features, its strength chosen by grouped cross-validation.

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

    Returns
    -------
    LinearHead
        Over the embeddings' space, in logits.
    """
    x, y, cluster, space = _matched(embeddings, labels, groups)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    features, basis = _in_span((x - mean) / sd)
    strength = _chosen(features, y, cluster, strengths, seed)
    inner, bias = _fit_all(features, y, strength)
    weight = (basis @ inner if basis is not None else inner) / sd[:, None]
    return LinearHead(space, labels.classes, weight, bias - mean @ weight)


def _matched(embeddings: Any, labels: Labels, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Any]:
    given = as_embeddings(embeddings, "the probe's vectors")
    cluster = labels.groups if groups is None else checked_groups(groups, len(labels))
    if isinstance(embeddings, Embeddings):
        here = np.isin(labels.ids, given.ids)
        rows = rows_of(labels.ids[here], given.ids, "the embeddings")
        labels, cluster = labels.take(np.flatnonzero(here)), None if cluster is None else cluster[here]
        given = given.take(rows)
    if len(given) != len(labels):
        raise InputError(f"{len(given)} vectors came with {len(labels)} labelled rows. Give one of each.")
    if len(given) < 4:
        raise InputError(f"a probe needs labelled items; got {len(given)}. Check that labels and vectors share ids.")
    return to_numpy(given.vectors).astype(np.float64), labels.values, cluster, given.space


def _in_span(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Features in the span of the rows where those are fewer: the same logistic regression, smaller."""
    if features.shape[0] >= features.shape[1]:
        return features, None
    u, s, vh = np.linalg.svd(features, full_matrices=False)
    return u * s, vh.T


def _chosen(
    features: np.ndarray, y: np.ndarray, groups: np.ndarray | None, strengths: Sequence[float], seed: int
) -> float:
    from sklearn.model_selection import GroupKFold, KFold

    clusters = len(y) if groups is None else len(np.unique(groups))
    k = min(FOLDS, clusters)
    if k < 2 or len(strengths) == 1:
        return strengths[0]
    splitter = KFold(k, shuffle=True, random_state=seed)
    if groups is not None:
        splitter = GroupKFold(k, shuffle=True, random_state=seed)
    splits = list(splitter.split(features, groups=groups))
    means = []
    for strength in strengths:
        held = np.full(y.shape, np.nan)
        for train, test in splits:
            weight, bias = _fit_all(features[train], y[train], strength)
            held[test] = features[test] @ weight + bias
        known = [~np.isnan(column) for column in y.T]
        aurocs = [auroc(held[rows, c], y[rows, c]) for c, rows in enumerate(known)]
        means.append(float(np.nanmean(aurocs)) if not np.isnan(aurocs).all() else 0.5)
    return strengths[int(np.argmax(means))]


def _fit_all(features: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, c) and biases (c,) of one balanced logistic regression a class."""
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((features.shape[1], y.shape[1])), np.zeros(y.shape[1])
    for c in range(y.shape[1]):
        known = ~np.isnan(y[:, c])
        present = int((y[known, c] == 1).sum())
        if min(present, int(known.sum()) - present) < 2:
            continue
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)
        model.fit(features[known], y[known, c])
        weight[:, c], bias[c] = model.coef_[0], model.intercept_[0]
    return weight, bias
