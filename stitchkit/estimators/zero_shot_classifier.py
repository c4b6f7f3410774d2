"""The classifier whose classes are named by text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.prompts import PromptSet, PromptVectors
from stitchkit.core.roles import Encoder, Solver
from stitchkit.core.wording import setting
from stitchkit.estimators.anchor_rows import (
    align_rows,
    nameless,
    source_rows,
    target_argument,
    target_rows,
)
from stitchkit.estimators.class_names import any_number, labels_in, named_classes
from stitchkit.zero_shot import zeroshot


class ZeroShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """``sk.align`` and ``sk.zeroshot`` as a classifier whose classes are named by text.

    A score is a cosine or a margin and no probability, so there is no ``predict_proba``: ``CalibratedClassifierCV``
    makes one from labels.

    Parameters
    ----------
    prompts
        Names for the classes. A mapping of labels to the vectors of their prompts, each (p, d_t) or (d_t,), or a
        multi-class ``PromptSet``: one class applies. A ``PromptSet`` of one class with negatives: it applies or not,
        1 or 0. Another ``PromptSet``: any number apply, 1 or 0 each (n, c). None: every class is an axis of its own,
        which is the baseline without meaning for names that have one.
    text
        Embeddings of a ``PromptSet``'s texts, with the texts as ids; or the text encoder, which ``clone`` copies.
    solver, nested, seed
        As in :class:`AlignTransformer`; a search is judged by how the prompts read held-out anchors.

    Attributes
    ----------
    classes_ : (c,)
        Labels, sorted; in the prompt set's order where any number apply.
    alignment_ : Alignment
        As ``sk.align`` returns it; ``sk.zeroshot(clf.alignment_, ...)`` names other classes.
    head_ : ZeroShotHead
        As ``sk.zeroshot`` returns it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> names = {label: rng.normal(size=8) for label in ("effusion", "mass", "nodule")}
    >>> labels = rng.choice(list(names), 120)
    >>> reports = np.stack([names[label] for label in labels]) + 0.1 * rng.normal(size=(120, 8))
    >>> x = reports @ rng.normal(size=(8, 12))
    >>> classifier = ZeroShotClassifier(names).fit(x[:80], reports[:80])  # no labels
    >>> classifier.score(x[80:], labels[80:])
    1.0
    """

    def __init__(
        self,
        prompts: PromptSet | Mapping[Any, Any] | None = None,
        text: Encoder | Embeddings | None = None,
        *,
        solver: str | Solver = "auto",
        nested: bool = False,
        seed: int = 0,
    ) -> None:
        self.prompts = prompts
        self.text = text
        self.solver = solver
        self.nested = nested
        self.seed = seed

    def fit(self, X: Any, y: Any = None, *, target: Any = None, groups: Any = None) -> ZeroShotClassifier:
        """Fit the map on anchors, and name the classes.

        Parameters
        ----------
        X : (n, d_s)
            Source vectors of the anchors.
        y : (n, d_t) or (n,)
            Their text vectors; or labels, for anchors whose text is their class's prompts (the mean of the vectors).
        target : (n, d_t), optional
            The text vectors where ``y`` must be labels for others to score or calibrate by; ``y`` is then not read.
        groups : (n,), optional
            Patient of each anchor; folds of the search never split one.

        Raises
        ------
        InputError
            If text vectors and prompts do not go together, or a label is named by no prompt.
        """
        source, (values, name) = source_rows(self, X), target_argument(self, y, target)
        labels = labels_in(values) if name == "y" else None
        names = named_classes(self.prompts, self.text, labels)
        vectors = target_rows(values, name) if labels is None else names.vectors_of(labels)
        width = names.embeddings.space.dim
        if vectors.shape[1] != width:
            raise InputError(
                f"{name} holds text vectors (n, {vectors.shape[1]}) and those of the prompts are {width} wide. Embed "
                f"both with one encoder; where y is 0 or 1 for each class, give the text vectors as "
                + setting("target")
                + "."
            )
        by = PromptVectors.distinct_or_none(names.prompts, names.embeddings)
        self.alignment_ = align_rows(self, source, vectors, groups, "match", by)
        self.head_ = zeroshot(self.alignment_, names.embeddings, names.prompts)
        self._order = np.arange(len(names.labels)) if any_number(self.prompts) else np.argsort(names.labels)
        self.classes_ = names.labels[self._order]
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Cosines or margins (n, c) of ``X`` (n, d_s), in the order of ``classes_``.

        Scores of two classes of which one applies (n,): the second's minus the first's, in [-4, 4].
        """
        check_is_fitted(self)
        values = self.head_.scores(nameless(source_rows(self, X, reset=False))).values
        if values.shape[1] == 1:
            return values[:, 0]
        values = values[:, self._order]
        return values[:, 1] - values[:, 0] if self.head_.multiclass and len(self._order) == 2 else values

    def predict(self, X: Any) -> np.ndarray:
        """The class of highest score (n,); where any number apply, 1 (n, c) for those nearer than their negatives.

        Raises
        ------
        InputError
            If any number apply and there are no negatives.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.asarray(self.classes_[(scores > 0).astype(np.intp)])
        if self.head_.multiclass:
            return np.asarray(self.classes_[scores.argmax(axis=1)])
        if self.head_.negative is None:
            raise InputError(
                "these prompts allow several classes at once and have no negatives, so no score is a yes. Use "
                "decision_function with thresholds of your own, or give the prompt set negatives."
            )
        return (scores > 0).astype(np.intp)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.classifier_tags.multi_label = any_number(self.prompts)
        return tags
