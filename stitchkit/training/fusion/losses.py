"""Losses of a fused head: of all subsets of its modalities together, and of pairs of rows before the classifier."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NCE_SCALE = 1 / 0.07  # of InfoNCE


def item_losses(logits: Tensor, targets: Tensor, *, multiclass: bool, class_weights: Tensor) -> Tensor:
    """Cross entropies (k,) of logits (k, c); of several classes the mean over those whose label is known.

    Parameters
    ----------
    targets : (k, c)
        1, 0, or NaN where a label is not known; of one class each if ``multiclass``.
    class_weights : (2, c)
        Weights of negatives and positives of each class; of one class an item the second row alone.
    """
    if multiclass:
        at = targets.argmax(dim=1)
        return F.cross_entropy(logits, at, reduction="none") * class_weights[1][at]
    known = ~torch.isnan(targets)
    truth = torch.where(known, targets, 0.0)
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = torch.where(truth == 1, class_weights[1], class_weights[0]) * known
    return (each * weight).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def subset_weights(rows: np.ndarray, whole: np.ndarray, subset_weight: float) -> np.ndarray:
    """Weights (k,) of shown subsets: 1 for a whole row, lambda for a part, divided by the row's number of subsets."""
    number = np.bincount(rows)
    return np.asarray(np.where(whole, 1.0, subset_weight) / number[rows])


def all_subset_loss(losses: Tensor, weights: Tensor, n: int) -> Tensor:
    """Mean over ``n`` rows of ``(CE(whole) + lambda * sum of CE(part)) / subsets``; ``losses`` and ``weights`` (k,)."""
    return (losses * weights).sum() / n


def same_class(targets: Tensor) -> Tensor:
    """True (n, n) for rows that share a class, or have none; labels that are not known count as absent."""
    truth = torch.nan_to_num(targets, nan=0.0)
    none = truth.sum(dim=1) == 0
    return (truth @ truth.T > 0) | (none[:, None] & none[None])


def sigmoid_pairs(a: Tensor, b: Tensor, same: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """``-mean log sigmoid(s (t a.b + bias))`` over pairs of rows, s = +1 for rows of one class and -1 for others.

    Parameters
    ----------
    a : (p, d), b : (q, d)
        Unit vectors.
    same : (p, q) bool
    """
    sign = torch.where(same, 1.0, -1.0)
    return -F.logsigmoid(sign * (log_scale.exp() * a @ b.T + bias)).mean()


def info_nce(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit vectors (p, d) of the same rows, without labels."""
    logits, at = a @ b.T * NCE_SCALE, torch.arange(len(a))
    return F.cross_entropy(logits, at) + F.cross_entropy(logits.T, at)


def contrastive_loss(
    views: dict[int, Tensor], owners: dict[int, Tensor], same: Tensor, form: str, log_scale: Tensor, bias: Tensor
) -> Tensor:
    """Sum over all pairs of views of one loss each: of two modalities, (a, b), (a, fused) and (b, fused).

    Parameters
    ----------
    views
        Number of a view -> unit vectors (p, d): one of each modality alone, and the fused ones.
    owners
        Number of a view -> row (p,) of each of its vectors.
    same : (n, n) bool
        Rows of one class.
    form
        ``"sigmoid"`` or ``"infonce"``.
    """
    total = torch.zeros(())
    for i, j in combinations(sorted(views), 2):
        if form == "sigmoid":
            total = total + sigmoid_pairs(views[i], views[j], same[owners[i]][:, owners[j]], log_scale, bias)
            continue
        both = sorted(set(owners[i].tolist()) & set(owners[j].tolist()))
        first, second = (torch.isin(owners[k], torch.tensor(both, dtype=torch.int64)) for k in (i, j))
        if both:
            total = total + info_nce(views[i][first], views[j][second])
    return total
