"""Calibration, thresholds and conformal sets of a fused head for each subset of modalities, on patients held out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.fused_heads import FusedHead, SubsetDecisions
from stitchkit.core.fusion_rows import FusionRows
from stitchkit.core.least_patients import SUBSET_PATIENTS
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.decision_fits import USUAL, fit_decisions
from stitchkit.evaluation.scores.evaluate import evaluate
from stitchkit.evaluation.scores.results import Evaluation, is_above_chance
from stitchkit.evaluation.scores.thresholds import conformal_sets

MOST_LISTED = 4  # modalities of which all subsets are calibrated; of more, the whole, single ones and those that occur
THRESHOLD_DRAWS = 200  # resamples for the interval of a threshold
AS_THEY_ARE, MASK = "all that is there", "the mask alone"


def fit_subset_decisions(
    head: FusedHead, rows: FusionRows, labels: Labels, *, alpha: float = 0.1, seed: int = 0
) -> tuple[tuple[SubsetDecisions, ...], list[str]]:
    """Decisions of each subset, the pooled ones first, and notes in words.

    A subset is fitted on every item that has at least its modalities, with the others hidden. One with fewer than
    thirty patients borrows what all items gave, each with what it has.

    Parameters
    ----------
    rows
        Items of patients who were not trained on; those without any modality are left out.
    labels
        Their labels, with patients where these are known.
    alpha
        Share of errors of conformal sets, default 0.1.
    """
    known = rows.take(np.flatnonzero(rows.present.any(axis=1)))
    if not len(known):
        return (), ["nothing was calibrated: no item was held out"]
    pooled, why = _decisions(head, known, labels, (), alpha, seed)
    if pooled is None:
        return (), [f"nothing was calibrated: {why}"]
    fits, notes = [pooled], []
    for names in listed_subsets(head, rows):
        columns = np.asarray([name in names for name in head.names])
        some = known.take(np.flatnonzero(known.present[:, columns].all(axis=1))).only(names)
        people = _patients(some, labels)
        fitted, why = None, f"{counted(people, 'patient')} held out, fewer than {SUBSET_PATIENTS}"
        if people >= SUBSET_PATIENTS:
            fitted, why = _decisions(head, some, labels, names, alpha, seed)
        if fitted is None:
            notes.append(f"{' and '.join(names)}: calibrated on all items, each with what it has: {why}")
            fitted = SubsetDecisions(
                present=names, calibration=pooled.calibration, thresholds=pooled.thresholds,
                conformal=pooled.conformal, patients=people, items=len(some), borrowed=True,
            )  # fmt: skip
        fits.append(fitted)
    return tuple(fits), notes


def listed_subsets(head: FusedHead, rows: FusionRows) -> list[tuple[str, ...]]:
    """Subsets of the modalities that are calibrated, the larger first."""
    names = head.names
    if len(names) <= MOST_LISTED:
        return [one for size in range(len(names), 0, -1) for one in combinations(names, size)]
    present = [one for one in rows.masks if one]
    return list(dict.fromkeys([names, *((name,) for name in names), *present]))


def _patients(rows: FusionRows, labels: Labels) -> int:
    return patients_or_rows(labels.of_ids(rows.ids).groups, len(rows)) if len(rows) else 0


def _decisions(
    head: FusedHead, rows: FusionRows, labels: Labels, names: tuple[str, ...], alpha: float, seed: int
) -> tuple[SubsetDecisions | None, str]:
    """The decisions of some rows as they are; None with the reason where no class can be decided."""
    scores, own = head.scores(rows), labels.of_ids(rows.ids)
    method, thresholds = "temperature" if head.multiclass else USUAL, None
    try:
        learnt, known = _learnt(head, scores, own)
        calibration, _ = fit_decisions(learnt, known, method=method, rule=None, multiclass=head.multiclass)
    except DataError as error:
        return None, str(error).rstrip(".")
    try:
        thresholds = fit_decisions(
            learnt, known, method=None, rule="youden", replicates=THRESHOLD_DRAWS, seed=seed, progress=False
        )[1]
    except DataError:
        thresholds = None  # too few of every class; the calibration stands without
    conformal = conformal_sets(scores, own, alpha=alpha, seed=seed)
    return SubsetDecisions(
        present=names,
        calibration=calibration,
        thresholds=thresholds,
        conformal=conformal,
        patients=_patients(rows, labels),
        items=len(rows),
    ), ""


def _learnt(head: FusedHead, scores: Scores, labels: Labels) -> tuple[Scores, Labels]:
    """The scores and labels of the classes that the head learnt; the others have one score for every item."""
    if not head.unseen:
        return scores, labels
    classes = tuple(label for label in head.classes if label not in head.unseen)
    own = labels.of_classes(classes)
    some = np.flatnonzero(own.values.sum(axis=1) == 1) if head.multiclass else np.arange(len(own))
    if not classes or not len(some):
        raise DataError("no item held out has a class that training showed")
    return scores.of_classes(classes).take(some), own.take(some)


def evaluate_fused(
    head: FusedHead,
    rows: FusionRows,
    labels: Labels,
    *,
    calibrated: bool = True,
    progress: bool | None = None,
    **settings: Any,
) -> Evaluation:
    """An evaluation of a fused head with what is there, with each modality alone, and of the mask alone.

    Every row of the table is of the same items: one that lacks what a row of the table shows gets the prior there.

    Parameters
    ----------
    rows
        Items of patients who were not trained on.
    calibrated
        Probabilities by the head's calibrations, default True; else what the network states, as logits.
    settings
        Further arguments of :func:`stitchkit.evaluate`.
    """
    scores = head.probabilities(rows) if calibrated else head.scores(rows)
    others = other_scores(head, rows, calibrated=calibrated)
    result = evaluate(
        scores, labels, others=others, multiclass=head.multiclass, name=AS_THEY_ARE, progress=progress, **settings
    )
    return replace(result, notes=(*head.row_notes(rows), *mask_notes(result), *result.notes))


def other_scores(head: FusedHead, rows: FusionRows, *, calibrated: bool) -> dict[str, Scores]:
    """Scores of the same items with one modality alone, of each that there is, and by the mask alone."""
    score, others = head.probabilities if calibrated else head.scores, {}
    if len(head.names) > 1:
        shown = ((name, rows.only([name])) for name in head.names)
        others = {f"{name} alone": score(one) for name, one in shown if one.present.any()}
    return {**others, MASK: head.mask_scores(rows)}


def mask_notes(result: Evaluation) -> list[str]:
    """A note where the mere presence of modalities tells the label: by macro AUROC, or of a class."""
    alone = next((one for one in result.methods if one.name == MASK), None)
    if alone is None:
        return []
    if is_above_chance(alone.macro):
        return [
            f"SHORTCUT: which modalities are there tells the label already: macro AUROC {alone.macro} from the mask "
            f"alone. Scores that use it fail where modalities are missing for other reasons"
        ]
    classes = [label for label, interval in alone.classes.items() if is_above_chance(interval)]
    if classes:
        return [
            f"which modalities are there tells something of {', '.join(classes)}: AUROC of the mask alone above chance"
        ]
    return []
