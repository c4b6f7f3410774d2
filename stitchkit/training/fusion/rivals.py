"""Rivals of a fused head: other ways to score rows that lack a modality, each as strong as it gets.

Every network has the recipe of the fused head and chooses its weight decay and epochs on the same held-out patients.
Unequal regularisation alone makes differences as large as those between methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import UnknownNameError
from stitchkit.core.fused_heads import FusedHead
from stitchkit.core.fusion_rows import FusionRows
from stitchkit.core.scores import Labels
from stitchkit.core.space import Space
from stitchkit.core.table_features import TableRows
from stitchkit.training.fusion.fit import TrainingRows, fit_network, held_out
from stitchkit.training.fusion.fuse import fuse, labelled
from stitchkit.training.fusion.recipe import FusionRecipe

FUSED, ALONE, BOOSTING = "fused", "alone", "boosting"
NETWORKS: dict[str, dict[str, Any]] = {  # arms that are one network over all modalities -> changes of the recipe
    FUSED: {},
    "fused, no contrastive stage": {"contrastive": "none"},
    "random dropout": {"subsets": "random", "contrastive": "none"},
    "zero filling": {"subsets": "full", "token": "zero", "contrastive": "none"},
    "mean filling": {"subsets": "full", "token": "mean", "contrastive": "none"},
}
PLAIN = "zero filling"  # the head that needs every modality, for what fills in vectors or adds branches
AVERAGE, ENSEMBLE, IMPUTED = "average of single heads", "ensemble of branches", "stitch-impute"
ARMS = (*NETWORKS, AVERAGE, ENSEMBLE, IMPUTED, BOOSTING)  # beside one "NAME alone" for each modality
LEAVES = (4, 8, 16, 31)  # of boosting's trees
LEAST_PAIRS = 10  # rows with both modalities, without which no map is fitted between them

Probabilities = Callable[[FusionRows], np.ndarray]
Filling = Callable[[FusionRows], FusionRows]


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """Fitted rivals by name: each gives probabilities (n, c) of rows, whatever these lack.

    Parameters
    ----------
    head
        The fused head, which joins rows.
    scorers
        Name -> probabilities of rows; a row that an arm cannot read gets the prior.
    strengths
        Name of a network -> weight decay and epochs that were chosen.
    """

    head: FusedHead
    scorers: Mapping[str, Probabilities]
    strengths: Mapping[str, tuple[float, int]]


def fit_arms(
    modalities: Mapping[str, Any],
    labels: Labels,
    recipe: FusionRecipe,
    *,
    arms: Sequence[str] = ARMS,
    progress: bool | None = None,
) -> Arms:
    """The rivals fitted on the same training rows.

    Parameters
    ----------
    modalities, labels
        As in :func:`stitchkit.fuse`: of training rows alone.
    arms
        Names of :data:`ARMS`, the fused head always; single heads are fitted where they are needed, and reported.
    """
    for name in arms:
        if name not in ARMS:
            raise UnknownNameError.of("rival of a fused head", name, ARMS)
    labels, _ = labelled(labels)

    def network(inputs: Mapping[str, Any], changes: Mapping[str, Any]) -> FusedHead:
        own = recipe.with_settings(**changes)
        return fuse(inputs, labels, recipe=own, held=0, allow_leakage=True, progress=progress)

    wanted = [name for name in NETWORKS if name in arms or name == FUSED]
    if PLAIN not in wanted and {ENSEMBLE, IMPUTED} & set(arms):
        wanted.append(PLAIN)
    heads = {name: network(modalities, NETWORKS[name]) for name in wanted}
    single = {name: network({name: one}, {"contrastive": "none"}) for name, one in modalities.items()}
    scorers: dict[str, Probabilities] = {name: _of_network(one) for name, one in heads.items()}
    alone = {f"{name} {ALONE}": _of_single(one, name) for name, one in single.items()}
    if AVERAGE in arms:
        scorers[AVERAGE] = _average([(alone[f"{name} {ALONE}"], [name]) for name in single])
    if ENSEMBLE in arms:
        branches = [(alone[f"{name} {ALONE}"], [name]) for name in single]
        scorers[ENSEMBLE] = _average([*branches, (scorers[PLAIN], list(modalities))])
    if IMPUTED in arms:
        rows = heads[PLAIN].rows(modalities, labels.ids)
        fill = _filling(rows, labels)
        plain = recipe.with_settings(**NETWORKS[PLAIN])
        heads[IMPUTED] = _trained_again(heads[PLAIN], rows, fill(rows), labels, plain, progress)
        scorers[IMPUTED] = _imputed(heads[IMPUTED], fill)
    if BOOSTING in arms and any(isinstance(one, TableRows) for one in modalities.values()):
        scorers[BOOSTING] = _boosting(heads[FUSED], modalities, labels, recipe)
    every = {**heads, **{f"{name} {ALONE}": one for name, one in single.items()}}
    strengths = {name: (one.record["weight_decay"], one.record["epochs"]) for name, one in every.items()}
    return Arms(head=heads[FUSED], scorers={**scorers, **alone}, strengths=strengths)


def _of_network(head: FusedHead) -> Probabilities:
    return lambda rows: head.probabilities(rows).values


def _of_single(head: FusedHead, name: str) -> Probabilities:
    """Probabilities by one modality; a row without it gets the prior."""

    def score(rows: FusionRows) -> np.ndarray:
        place = rows.names.index(name)
        return head.probabilities(FusionRows(rows.ids, {name: rows.vectors[name]}, rows.present[:, [place]])).values

    return score


def _average(branches: Sequence[tuple[Probabilities, Sequence[str]]]) -> Probabilities:
    """The mean probability of the branches that a row has everything for; of none, what the first says."""

    def score(rows: FusionRows) -> np.ndarray:
        values = np.stack([branch(rows) for branch, _ in branches])
        usable = np.stack([
            rows.present[:, [name in names for name in rows.names]].all(axis=1) for _, names in branches
        ])  # fmt: skip
        usable[0] |= ~usable.any(axis=0)
        return np.asarray((values * usable[:, :, None]).sum(axis=0) / usable.sum(axis=0)[:, None])

    return score


def _imputed(head: FusedHead, fill: Filling) -> Probabilities:
    """The head that needs every modality, with missing vectors predicted from those that are there."""
    return lambda rows: head.probabilities(fill(rows)).values


def _filling(rows: FusionRows, labels: Labels) -> Filling:
    """Rows with missing vectors predicted from those that are there, by maps fitted on rows that have both."""
    maps = {
        (one, other): to_other
        for i, one in enumerate(rows.names)
        for j, other in enumerate(rows.names)
        if i != j and (to_other := _map_between(rows, labels, i, j)) is not None
    }

    def fill(some: FusionRows) -> FusionRows:
        vectors, present = dict(some.vectors), some.present.copy()
        for j, other in enumerate(some.names):
            total, count = np.zeros_like(some.vectors[other]), np.zeros(len(some))
            for i, one in enumerate(some.names):
                use = some.present[:, i] & ~some.present[:, j]
                if (one, other) in maps and use.any():
                    total[use] += maps[one, other](some.vectors[one][use])
                    count += use
            predicted = count > 0
            vectors[other] = some.vectors[other].copy()
            vectors[other][predicted] = total[predicted] / count[predicted, None]
            present[:, j] |= predicted
        return FusionRows(some.ids, vectors, present)

    return fill


def _trained_again(
    head: FusedHead, rows: FusionRows, filled: FusionRows, labels: Labels, recipe: FusionRecipe, progress: bool | None
) -> FusedHead:
    """The head trained on rows as they are filled in; itself where training rows have no gap to fill."""
    if (rows.present == filled.present).all():
        return head
    some = np.flatnonzero(filled.present.any(axis=1))
    data = TrainingRows(
        rows=filled.take(some),
        targets=labels.values[some],
        groups=None if labels.groups is None else labels.groups[some],
        multiclass=head.multiclass,
        normed=head.normed,
        tables=frozenset(one.name for one in head.modalities if one.table is not None),
    )
    fitted = fit_network(data, recipe, progress=progress)
    record = {**head.record, "weight_decay": fitted.weight_decay, "epochs": fitted.epochs}
    return replace(head, weights=fitted.network.weights(), record=record)


def _map_between(rows: FusionRows, labels: Labels, i: int, j: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """A ridge map from one modality's vectors to another's, its strength chosen on folds of patients."""
    both = rows.present[:, i] & rows.present[:, j]
    x, y = (rows.vectors[rows.names[k]] for k in (i, j))
    some = np.flatnonzero(both & x.any(axis=1) & y.any(axis=1))  # a table's row may lie on the mean in every column
    if len(some) < LEAST_PAIRS:
        return None
    groups = None if labels.groups is None else labels.groups[some]
    sides = [Embeddings(one[some], rows.ids[some], Space(rows.names[k], one.shape[1])) for one, k in ((x, i), (y, j))]
    directed = align(sides[0], sides[1], groups=groups, solver="ridge", purpose="head", progress=False).to_target
    space = sides[0].space

    def predict(vectors: np.ndarray) -> np.ndarray:
        ids = np.arange(len(vectors)).astype(str)
        return np.asarray(to_numpy(directed(Embeddings.without_checks(vectors, ids, space)).vectors))

    return predict


def _boosting(head: FusedHead, modalities: Mapping[str, Any], labels: Labels, recipe: FusionRecipe) -> Probabilities:
    """Gradient boosting on the columns of the tables, gaps and all; its leaves are chosen on held-out patients."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    tables = {one.name for one in head.modalities if one.table is not None}

    def columns(rows: FusionRows) -> np.ndarray:
        parts = []
        for m, name in enumerate(rows.names):
            if name in tables:
                parts.append(np.where(rows.present[:, [m]], rows.vectors[name], np.nan))
        return np.concatenate(parts, axis=1)

    rows = head.rows(modalities, labels.ids)
    some = np.flatnonzero(~np.isnan(columns(rows)).all(axis=1))
    data = TrainingRows(
        rows=rows.take(some),
        targets=labels.values[some],
        groups=None if labels.groups is None else labels.groups[some],
        multiclass=head.multiclass,
        normed=frozenset(),
        tables=frozenset(),
    )
    rest, held = held_out(data, recipe if recipe.held else replace_held(recipe))
    x = columns(data.rows)

    def boosted(at: np.ndarray, truth: np.ndarray, leaves: int) -> Any:
        weight = "balanced" if recipe.balanced else None
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=leaves, learning_rate=0.05, max_iter=100, class_weight=weight, random_state=recipe.seed
        )
        return model.fit(x[at], truth[at].astype(int))

    def best_boosted(truth: np.ndarray) -> Any:  # (n,), NaN where the label is not known
        every, inner, outer = (at[~np.isnan(truth[at])] for at in (np.arange(len(truth)), rest, held))
        classes = np.unique(truth[every]).astype(int)
        if len(classes) < 2:
            return None
        if len(np.unique(truth[inner])) < len(classes) or not len(outer):
            return boosted(every, truth, LEAVES[0])
        losses = [
            log_loss(truth[outer].astype(int), boosted(inner, truth, leaves).predict_proba(x[outer]), labels=classes)
            for leaves in LEAVES
        ]
        return boosted(every, truth, LEAVES[int(np.argmin(losses))])

    if head.multiclass:
        models = [best_boosted(data.targets.argmax(axis=1).astype(float))]
    else:
        models = [best_boosted(truth) for truth in data.targets.T]

    def score(some: FusionRows) -> np.ndarray:
        values, read = np.tile(head.prior, (len(some), 1)), columns(some)
        there = ~np.isnan(read).all(axis=1)
        if not there.any():
            return values
        for c, model in enumerate(models):
            if model is None:
                continue
            shares = model.predict_proba(read[there])
            if head.multiclass:
                values[there] = 0.0
                values[np.ix_(there, model.classes_)] = shares
            else:
                values[there, c] = shares[:, 1]
        return values

    return score


def replace_held(recipe: FusionRecipe) -> FusionRecipe:
    """The recipe with the usual share of patients held out, for arms that need one."""
    return recipe.with_settings(held=FusionRecipe().held)


def with_holes(modalities: Mapping[str, Any], rates: Mapping[str, float], seed: int = 0) -> dict[str, Any]:
    """The inputs with a share of the rows of each modality taken out at random, for comparisons.

    Parameters
    ----------
    rates
        Modality -> share of its rows that are taken out, in [0, 1).
    """
    rng = np.random.default_rng(seed)
    kept = {}
    for name, one in modalities.items():
        some = np.flatnonzero(rng.random(len(one)) >= rates.get(name, 0.0))
        kept[name] = one.take(some)
    return kept
