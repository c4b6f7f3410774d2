"""Criteria that judge maps by prompts: scores of mapped held-out vectors against scores of the anchors' own targets.

The prompts are mapped with each draft, as :func:`stitchkit.zeroshot` maps them, and labels are not needed: an anchor's
own target says which prompts fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from stitchkit.alignment.criteria import (
    FEW_TARGETS,
    ReciprocalRank,
    balanced_entries,
    margin_entries,
    margins,
    weights_of_kinds,
)
from stitchkit.alignment.folds import Fold, Folds
from stitchkit.alignment.head_agreement import correlation_entries, side_by_side
from stitchkit.core.arrays import Array, like, namespace, to_numpy, working_float
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.maps import unit
from stitchkit.core.prompts import PromptVectors, draw_prompts
from stitchkit.metrics.ranks import reciprocal_ranks
from stitchkit.solvers.axes import Axes
from stitchkit.solvers.drafts import Draft, FilterDraft

FLAT = 1e-6  # spread of cosines over anchors below which they are rounding
TEXTS = 1000  # of more texts a random part is used, since every draft keeps their vectors in memory
SHRINK = 0.1  # of the mean eigenvalue, added to the targets' covariance where they are whitened


class PromptCriterion(ReciprocalRank):
    """Prompts beside the gallery of every fold, and their scores of the fold's queries.

    Parameters
    ----------
    prompts
        Prompt vectors in the target space.
    target
        The target vectors of all anchors.
    judged : (q,)
        Rows of the anchors that are held out in any fold.
    """

    judges: bool  # True where the scores of the anchors' own targets differ

    def __init__(self, prompts: PromptVectors, target: Embeddings, judged: np.ndarray) -> None:
        self.prompts, self.beside = prompts, len(prompts.embeddings)
        rows, texts = (to_numpy(one.vectors).astype(np.float64) for one in (target, prompts.embeddings))
        self.texts = texts
        self.toward: WeakKeyDictionary[Axes, np.ndarray] = WeakKeyDictionary()
        self.read = np.zeros((len(rows), len(prompts.prompts.classes)))  # scores of the targets themselves
        mean = rows[judged].mean(axis=0)
        self.read[judged] = self._read(rows[judged] - mean, texts - mean)

    def galleries(self, folds: Folds) -> Folds:
        """``folds`` whose galleries end with the prompts, numbered after the anchors."""
        n = len(folds.target)
        more = np.arange(n, n + self.beside)
        parts = (replace(one, gallery=np.concatenate([one.gallery, more])) for one in folds.parts)
        return replace(folds, parts=tuple(parts))

    def table(self, target: Embeddings) -> Array:
        """The target vectors of all anchors, then those of the prompts."""
        known = working_float(target.vectors)
        return namespace(known).concat([known, like(self.prompts.embeddings.vectors, known, dtype=known.dtype)])

    def scores(self, draft: Draft, at: int, weights: Any) -> np.ndarray:
        """Scores (q, c) of the draft's queries, as a zero-shot head of its map would give them.

        They are projections where a map shows one direction, and angles would be signs.
        """
        if draft.rank(at) == 1:
            queries, gallery = (to_numpy(rows).astype(np.float64) for rows in draft.rows(at))
            projections: np.ndarray = queries @ self.prompts.directions(gallery[-self.beside :], flat=True).T
            return projections
        queries, gallery = (to_numpy(rows).astype(np.float64) for rows in draft.sides(at, weights))
        compared_whole = isinstance(draft, FilterDraft) and _fills_the_target(draft.axes)
        toward = self._whole(draft.axes) if compared_whole else self.prompts.directions(gallery[-self.beside :])
        scores: np.ndarray = queries @ toward.T
        return scores

    def _whole(self, axes: Axes) -> np.ndarray:
        """Class directions (c, r_t) where vectors are compared in the whole target space.

        Directions of a prompt outside the span of the anchors' targets are orthogonal to every mapped vector, but
        count in the prompt's length.
        """
        if axes not in self.toward:
            inside = to_numpy(axes.gallery).astype(np.float64)[-self.beside :]
            rows, mean = (to_numpy(part) for part in axes.lower())
            rest = self.texts - mean - inside @ rows
            rest = rest if axes.target_scale is None else rest * to_numpy(axes.target_scale)
            whole = self.prompts.directions(unit(np.concatenate([inside, rest], axis=1)))
            self.toward[axes] = whole[:, : inside.shape[1]]
        return self.toward[axes]

    def _read(self, rows: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores (q, c) of centred targets (q, d_t) by centred prompts (p, d_t)."""
        scores: np.ndarray = unit(rows) @ self.prompts.directions(unit(texts)).T
        return scores


class PromptRank(PromptCriterion):
    """Reciprocal rank, among the classes, of the one whose prompts are nearest to a held-out anchor's own target.

    It is averaged over these classes. Where the anchors' texts are the prompts it is the balanced reciprocal rank of
    the texts; where every anchor has a text of its own, only distinctions between the prompts count.
    """

    name = "prompt_mrr"

    def __init__(self, prompts: PromptVectors, target: Embeddings, judged: np.ndarray) -> None:
        super().__init__(prompts, target, judged)
        self.nearest = self.read.argmax(axis=1)
        self.read_as = np.unique(self.nearest[judged])
        apart = self.read[judged] - self.read[judged].mean(axis=1, keepdims=True)
        self.judges = len(self.read_as) > 1 and bool(apart.std(axis=0).max() > FLAT)
        self.words = (
            f"margin between the prompts of {_number_of_classes(prompts)}: reciprocal rank, on held-out "
            f"anchors, of the class that the anchor's own target is nearest to, averaged over classes"
        )

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Reciprocal rank of the nearest class, its mean over the fold's queries, and the class's number, (q, 3)."""
        nearest = self.nearest[fold.queries]
        each = reciprocal_ranks(self.scores(draft, at, weights))
        return np.column_stack([each[np.arange(len(each)), nearest], each.mean(axis=0)[nearest], nearest])

    def entries(self, measures: np.ndarray) -> np.ndarray:
        return balanced_entries(measures[:, 0], measures[:, 2])

    def by_chance(self, measures: np.ndarray) -> np.ndarray:
        """Entries (n,) of pairs shuffled within a fold."""
        return balanced_entries(measures[:, 1], measures[:, 2])


class PromptMargin(PromptRank):
    """Margin, among few classes, of the one whose prompts are nearest to a held-out anchor's own target.

    The correlation of scores with which class that is, as in :class:`stitchkit.alignment.criteria.Margin`.
    """

    name = "prompt_margin"

    def __init__(self, prompts: PromptVectors, target: Embeddings, judged: np.ndarray) -> None:
        super().__init__(prompts, target, judged)
        self.words = self.words.replace("reciprocal rank,", "correlation of scores,")
        self.weights = weights_of_kinds(self.nearest[judged])

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Margin of the nearest class, its mean over the fold's queries, squared length and weight, (q, 4)."""
        scores, nearest = self.scores(draft, at, weights), self.nearest[fold.queries]
        margin, square = margins(scores, nearest).T
        classes = np.arange(scores.shape[1])
        on_average = margins(np.tile(scores.mean(axis=0), (len(classes), 1)), classes)[:, 0]
        return np.column_stack([margin, on_average[nearest], square, self.weights[nearest]])

    def entries(self, measures: np.ndarray) -> np.ndarray:
        return margin_entries(measures[:, 0], measures[:, 2], measures[:, 3])

    def by_chance(self, measures: np.ndarray) -> np.ndarray:
        return margin_entries(measures[:, 1], measures[:, 2], measures[:, 3])


class PromptAgreement(PromptCriterion):
    """Correlation of the scores of mapped held-out vectors with those of the anchors' own targets, mean over classes.

    For prompts of which several may apply. Targets are read whitened: by plain cosines a common finding's text also
    scores for findings of similar wording, and maps that repeat this would be preferred.
    """

    name = "prompt_agreement"

    def __init__(self, prompts: PromptVectors, target: Embeddings, judged: np.ndarray) -> None:
        super().__init__(prompts, target, judged)
        flat = self.read[judged].std(axis=0) <= FLAT
        self.read[:, flat] = 0.0
        self.judges = not flat.all()
        self.words = (
            f"margin between the prompts of {_number_of_classes(prompts)}: correlation, over held-out "
            f"anchors, of scores of mapped vectors with those of the anchors' own targets, averaged over classes"
        )

    def measures(self, draft: Draft, at: int, weights: Any, fold: Fold) -> np.ndarray:
        """Scores of mapped vectors and of the targets, (q, 2 c)."""
        return np.concatenate([self.scores(draft, at, weights), self.read[fold.queries]], axis=1)

    def pool(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        """Measures of splits that are each judged by a map of their own: the size of margins differs between maps."""
        return side_by_side(measures)

    def entries(self, measures: np.ndarray) -> np.ndarray:
        return correlation_entries(*np.split(measures, 2, axis=1))

    def _read(self, rows: np.ndarray, texts: np.ndarray) -> np.ndarray:
        # directions outside the span of few rows all get the same factor, so that a thin SVD is enough
        _, sizes, across = np.linalg.svd(rows, full_matrices=False)
        values = sizes**2 / len(rows)
        least = SHRINK * (values.sum() / rows.shape[1] or 1.0)
        less = 1 - np.sqrt(least / (values + least))

        def whiten(some: np.ndarray) -> np.ndarray:
            """``some`` (m, d_t) times the root of the shrunk covariance's inverse, but for one factor of all."""
            rest: np.ndarray = some - (some @ across.T) * less @ across
            return rest

        return super()._read(whiten(rows), whiten(texts))


def criterion_of(prompts: PromptVectors, target: Embeddings, repeats: Sequence[Folds]) -> PromptCriterion:
    """The criterion of a prompt set: ranks where one class applies, correlations where several may.

    Raises
    ------
    SpaceMismatchError
        For prompts of another text encoder.
    """
    target.space.require(prompts.embeddings.space, "the choice by prompts")
    judged = np.unique(np.concatenate([part.queries for folds in repeats for part in folds.parts]))
    many = len(prompts.prompts.classes)
    several = not prompts.prompts.multiclass or many == 1
    criterion = PromptAgreement if several else PromptMargin if many < FEW_TARGETS else PromptRank
    return criterion(_few(prompts), target, judged)


def _few(prompts: PromptVectors) -> PromptVectors:
    """Prompts of at most ``TEXTS`` texts, drawn equally from each class."""
    sides = len(prompts.prompts.classes) * (2 if prompts.prompts.negative else 1)
    if len(prompts.embeddings) <= max(TEXTS, sides):
        return prompts
    drawn = draw_prompts(prompts.prompts, max(TEXTS // sides, 1), 0)
    return PromptVectors.distinct_or_none(drawn, prompts.embeddings) or prompts


def _fills_the_target(axes: Axes) -> bool:
    """True where a fit keeps the whole target space; fewer pairs than dimensions span only a part of it."""
    return axes.pca is None and axes.count - 1 >= axes.widths[1]


def _number_of_classes(prompts: PromptVectors) -> str:
    many = len(prompts.prompts.classes)
    return "one class" if many == 1 else f"{many} classes"
