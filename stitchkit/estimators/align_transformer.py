"""The transformer: source vectors mapped to where target vectors are."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.maps import unit
from stitchkit.core.roles import Solver
from stitchkit.estimators.anchor_rows import align_rows, nameless, source_rows, target_argument, target_rows
from stitchkit.metrics.ranks import distinct_rows, pair_ranks
from stitchkit.solvers import SEARCHED


class AlignTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """``sk.align`` as a transformer of source vectors (n, d_s).

    Parameters
    ----------
    solver
        A name or a solver value, as in ``sk.align``.
    purpose
        ``"head"``: :meth:`transform` gives vectors in the target's own units and :meth:`score` is R². ``"match"``:
        unit rows in the common space, and the mean reciprocal rank. A search is judged accordingly.
    nested
        Also estimate how well the search does on unseen pairs, in ``alignment_.record["held_out"]``.
    seed
        Seed of the fold assignment, default 0.

    Attributes
    ----------
    alignment_ : Alignment
        As ``sk.align`` returns it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 6))
    >>> y = x @ rng.normal(size=(6, 4))
    >>> mapper = AlignTransformer().fit(x[:80], y[:80])
    >>> mapper.transform(x[80:]).shape, round(mapper.score(x[80:], y[80:]), 3)
    ((20, 4), 1.0)
    """

    def __init__(
        self, solver: str | Solver = "auto", *, purpose: str = "head", nested: bool = False, seed: int = 0
    ) -> None:
        self.solver = solver
        self.purpose = purpose
        self.nested = nested
        self.seed = seed

    def fit(self, X: Any, y: Any = None, *, target: Any = None, groups: Any = None) -> AlignTransformer:
        """Fit the map on anchors.

        Parameters
        ----------
        X : (n, d_s), y : (n, d_t)
            Source and target vectors of the same n items, paired by row.
        target : (n, d_t), optional
            The target vectors where ``y`` must be the labels that a later step of a pipeline learns; ``y`` is then
            not read.
        groups : (n,), optional
            Patient of each item; folds of the search never split one.

        Raises
        ------
        InputError
            If the target vectors are missing or no vectors.
        NoDirectedMapError
            With ``purpose="head"`` for a solver that only meets in a common space.
        UnknownNameError
            For a purpose or solver that does not exist.
        """
        if self.purpose not in SEARCHED:
            raise UnknownNameError.of("purpose", self.purpose, SEARCHED)
        source, vectors = source_rows(self, X), target_rows(*target_argument(self, y, target))
        fitted = align_rows(self, source, vectors, groups, self.purpose)
        self._n_features_out = (fitted.to_target if self.purpose == "head" else fitted.source_map).target.dim
        self.alignment_ = fitted
        return self

    def transform(self, X: Any) -> np.ndarray:
        """``X`` (n, d_s) mapped into the target's units (n, d_t); for matching to rows (n, k) in the common space.

        Inner products of those with rows of :meth:`transform_target` are ``alignment_.similarity``.
        """
        check_is_fitted(self)
        source = nameless(source_rows(self, X, reset=False))
        if self.purpose == "head":
            return np.asarray(self.alignment_.to_target(source).vectors)
        rows, weights = np.asarray(unit(self.alignment_.source_map(source).vectors)), self.alignment_.weights
        return rows if weights is None else rows * weights.astype(rows.dtype)

    def transform_target(self, y: Any) -> np.ndarray:
        """Target vectors (n, d_t) put where :meth:`transform` puts source vectors; for a head they are there."""
        check_is_fitted(self)
        target = nameless(target_rows(y, "y"))
        self.alignment_.target.require(target.space, "transform_target")
        if self.purpose == "head":
            return np.asarray(target.vectors)
        return np.asarray(unit(self.alignment_.target_map(target).vectors))

    def score(self, X: Any, y: Any) -> float:
        """Retrieval of ``y`` (n, d_t) by ``X`` (n, d_s); take fresh pairs, those of :meth:`fit` flatter the map.

        Returns
        -------
        float
            For a head R² over all coordinates together, at most 1, 0 for the mean (``"variance_weighted"``, which no
            rotation of the target changes). For matching the mean reciprocal rank of each item's own among the
            distinct rows of ``y``, in (0, 1]: more rows make it harder.
        """
        mapped, vectors = np.asarray(self.transform(X)), target_rows(y, "y")
        check_consistent_length(mapped, vectors)
        if self.purpose == "head":
            return float(r2_score(vectors, mapped, multioutput="variance_weighted"))
        _, first, truth = np.unique(distinct_rows(vectors), return_index=True, return_inverse=True)
        ranks = pair_ranks(mapped, self.transform_target(vectors[first]), truth.reshape(-1))
        return float(np.mean(ranks.reciprocal))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required, tags.target_tags.multi_output, tags.target_tags.single_output = True, True, False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
