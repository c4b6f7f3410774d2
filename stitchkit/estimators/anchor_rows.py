"""Anchors of both adapters: rows checked as scikit-learn checks them, and the alignment of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from stitchkit.alignment.align import align
from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.space import Space
from stitchkit.core.wording import setting

FLOATS = [np.float64, np.float32, np.float16]  # kept as they come; anything else becomes the first


def target_argument(estimator: Any, y: Any, target: Any) -> tuple[Any, str]:
    """The argument that holds the anchors' target vectors, and its name."""
    if target is None and y is None:
        raise InputError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. Give the target vectors "
            f"(n, d_t) of the same items, as y or as " + setting("target") + "."
        )
    return (y, "y") if target is None else (target, "target")


def source_rows(estimator: Any, X: Any, *, reset: bool = True) -> np.ndarray:
    """``X`` (n, d_s) as scikit-learn checks it."""
    _refuse_embeddings(X, "X")
    return np.asarray(validate_data(estimator, X, reset=reset, dtype=FLOATS, ensure_min_samples=1 + reset))


def target_rows(values: Any, name: str) -> np.ndarray:
    """Vectors (n, d_t) checked in the same way."""
    _refuse_embeddings(values, name)
    if np.asarray(values).ndim == 1:
        raise InputError(
            f"{name} must be vectors (n, d_t); got shape {np.asarray(values).shape}. Where y is the labels that a "
            f"later step learns, give the target vectors as " + setting("target") + "."
        )
    return np.asarray(check_array(values, dtype=FLOATS, input_name=name))


def _refuse_embeddings(values: Any, name: str) -> None:
    if isinstance(values, Embeddings):
        raise InputError(f"{name} must be a plain array: scikit-learn pairs by row. Give its .vectors, in one order.")


def nameless(vectors: np.ndarray) -> Embeddings:
    """Rows whose zeros are points, not empty items: a step before may have moved the origin."""
    ids = np.arange(len(vectors)).astype(np.str_)
    return Embeddings.without_checks(vectors, ids, Space.of_array(vectors.shape[1]))


def align_rows(
    estimator: Any,
    source: np.ndarray,
    target: np.ndarray,
    groups: Any,
    purpose: str,
    prompts: PromptVectors | None = None,
) -> Alignment:
    """``sk.align`` of rows (n, d_s) and (n, d_t) with the settings of an estimator."""
    check_consistent_length(source, target)
    settings = {"solver": estimator.solver, "nested": estimator.nested, "seed": estimator.seed}
    return align(
        nameless(source), nameless(target), groups=groups, purpose=purpose, prompts=prompts, progress=False, **settings
    )
