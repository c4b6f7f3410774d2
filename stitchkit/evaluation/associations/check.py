"""The verb ``evaluate_associations``: findings that anchors mention, scored as though none did, and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.errors import DataError
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.patients import count_patients
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels
from stitchkit.core.seeds import check_seed
from stitchkit.evaluation.associations.associate import (
    AnchoredMentions,
    anchored_inputs,
    check_settings,
    company,
    fault_of,
    mention_columns,
)
from stitchkit.evaluation.associations.associations import KIND
from stitchkit.evaluation.associations.class_mentions import Mentions
from stitchkit.evaluation.associations.cooccurrence import permuted_weights
from stitchkit.evaluation.associations.partner_scores import held_out_partners, ridge_fits
from stitchkit.evaluation.associations.results import ABNORMAL, ASSOCIATION, AssociationEvaluation, nulls_of
from stitchkit.evaluation.scores.class_patients import (
    carriers,
    count_class_patients,
    judged_classes,
    note_on_carriers,
    notes_on_patients,
    positive_patients,
)
from stitchkit.evaluation.scores.results import AUROC, Evaluation, Method
from stitchkit.evaluation.scores.tables import auroc_rows
from stitchkit.metrics.auroc import auroc_within
from stitchkit.metrics.auroc_intervals import AurocPulls

TRUTH = (
    "each finding was scored without the anchors that mention it, out of fold, and is judged by their mentions; pairs "
    "are of one fold. It tells what association is worth for findings like these, not for one that no anchor mentions"
)


def evaluate_associations(
    vectors: Any,
    texts: Any,
    pool: Any,
    prompts: PromptSet | str | Path | None = None,
    *,
    no_finding: str | None = None,
    groups: Any = None,
    folds: int = 5,
    permutations: int = 199,
    min_positives: int = MIN_POSITIVES,
    seed: int = 0,
) -> AssociationEvaluation:
    """AUROC of scores by association on findings whose truth is known: those that the anchors mention.

    Each such finding in turn is treated as one that no anchor mentions: the anchors that mention it are left out of the
    fit, the others score it in the fold that was held out, and the mentions there are its truth. The ridge's strength
    is chosen once, on all anchors.

    Parameters
    ----------
    vectors : (n, d), texts, pool, prompts, no_finding, groups, folds, permutations, seed
        As in :func:`stitchkit.fit_associations`.
    min_positives
        Findings that the anchors of fewer patients mention, or do not mention, are listed, not judged; default 10.

    Returns
    -------
    AssociationEvaluation
        AUROC of each finding and their mean, beside "abnormal" alone and permuted weights.

    Raises
    ------
    InputError
        As :func:`stitchkit.fit_associations`.
    DataError
        If no finding can be judged.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shown = rng.random((400, 3)) < [0.3, 0.3, 0.3]
    >>> shown[:, 1] |= shown[:, 0]  # the second always accompanies the first
    >>> x = shown + 0.5 * rng.normal(size=(400, 3))
    >>> names = ("Congestion", "Edema", "Mass")
    >>> texts = [" ".join(f"{name}." for name, one in zip(names, row) if one) or "Normal." for row in shown]
    >>> prompts = PromptSet("three", {name: (name,) for name in names})
    >>> found = evaluate_associations(x[:200], texts[:200], texts[200:], prompts)
    >>> found.table.main.classes["Congestion"].value > 0.7
    True
    """
    check_seed(seed)
    check_settings(folds=(folds, 2), permutations=(permutations, 1), min_positives=(min_positives, 1),
                   seed=(seed, 0))  # fmt: skip
    anchors, texts_of_pool = anchored_inputs(vectors, texts, pool, prompts, no_finding, groups)
    truth = Labels(
        anchors.mentions.columns(anchors.anchored), anchors.x.ids,
        anchors.anchored, anchors.people.astype(str),
    )  # fmt: skip
    fold = _folds(anchors, folds, seed)
    judged, not_judged, positives = judged_classes(truth, min_positives, fold)
    y = mention_columns(anchors.mentions, anchors.anchored).astype(np.float64)
    strength = held_out_partners(anchors.wide, y, anchors.people, folds=folds, seed=seed).strength
    scored = {}
    for name in judged:
        rests = [anchors.without(name, np.flatnonzero(fold != number)) for number in range(fold.max() + 1)]
        if why := fault_of(name, anchors, texts_of_pool) or next(filter(None, (rest.fault for rest in rests)), ""):
            not_judged[name] = why
        else:
            scored[name] = _fold_scores(name, anchors.wide, rests, texts_of_pool, fold, strength, permutations, seed)
    if not scored:
        listed = "; ".join(f"{name}: {why}" for name, why in not_judged.items())
        raise DataError(f"no anchored finding can be judged: {listed}. Give more anchors or a larger pool.")
    methods, nulls = _fold_aurocs(scored, truth, fold)
    notes = [TRUTH] + ([] if anchors.groups is not None else ["patients are not known: every anchor counts as one"])
    numbers = count_class_patients(truth if anchors.groups is not None else replace(truth, groups=None), fold)
    notes += notes_on_patients(numbers, list(scored))
    notes += note_on_carriers(carriers(truth, list(scored), fold), "means over classes and their differences")
    table = Evaluation(
        methods=methods,
        positives=positives,
        not_judged=not_judged,
        n=len(truth),
        patients=count_patients(anchors.groups),
        anchors=None,
        kind=KIND,
        notes=tuple(notes),
        settings={"level": 0.95, "seed": seed, "min_positives": min_positives, "folds": folds},
        positive_patients={} if anchors.groups is None else positive_patients(truth),
    )
    return AssociationEvaluation(table, nulls_of(tuple(scored), *nulls))


def _folds(anchors: AnchoredMentions, folds: int, seed: int) -> np.ndarray:
    fold = np.empty(len(anchors.x), dtype=np.int64)
    for number, rows in enumerate(assign(len(anchors.x), anchors.people, seed=seed, k=folds)):
        fold[rows] = number
    return fold


def _fold_scores(
    name: str, x: np.ndarray, rests: list[AnchoredMentions], pool: Mentions, fold: np.ndarray, strength: float,
    permutations: int, seed: int,
) -> np.ndarray:  # fmt: skip
    """Scores (2 + b, n) of one finding by fits on ``rests``: by association, "abnormal", weights permuted."""
    scores = np.empty((2 + permutations, len(fold)))
    for number, rest in enumerate(rests):
        weights = company(pool, (name,), rest.anchored).weights
        y = mention_columns(rest.mentions, rest.anchored).astype(np.float64)
        p = ridge_fits(rest.wide, y, [strength])[0](x[fold == number])
        permuted = permuted_weights(weights, permutations, seed)[:, 0]
        scores[:, fold == number] = np.vstack([p @ weights[0], -p[:, -1], permuted @ p.T])
    return scores


def _fold_aurocs(
    scored: dict[str, np.ndarray], truth: Labels, fold: np.ndarray
) -> tuple[tuple[Method, ...], tuple[np.ndarray, np.ndarray]]:
    """Rows of the table, and AUROCs (f,) by the true and (b, f) by permuted weights."""
    named = truth.of_classes(tuple(scored))
    columns = zip(scored.values(), named.values.T, strict=True)
    point = np.stack([[auroc_within(row, side, fold) for row in rows] for rows, side in columns], axis=1)
    pulls = {
        name: AurocPulls.of(np.stack([rows[at] for rows in scored.values()], axis=1), named.values, named.groups, fold)
        for at, name in enumerate((ASSOCIATION, ABNORMAL))
    }
    methods = tuple(Method(name, {AUROC: one}) for name, one in auroc_rows(pulls, named, tuple(scored), fold).items())
    return methods, (point[0], point[2:])
