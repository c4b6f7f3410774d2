"""Calibration and thresholds of one set of items: scores to probabilities, and probabilities to decisions."""

from __future__ import annotations

from stitchkit.core.calibrations import Calibration, Thresholds
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.scores.calibrate import Anchors, calibrate_possible_classes
from stitchkit.evaluation.scores.thresholds import choose_thresholds

USUAL = "usual"


def fit_decisions(
    scores: Scores,
    labels: Labels,
    *,
    method: str | None,
    rule: str | None,
    at: float | None = None,
    multiclass: bool = False,
    on_probabilities: bool = False,
    min_positives: int = MIN_POSITIVES,
    anchors: Anchors = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    allow_leakage: bool = False,
    progress: bool | None = None,
) -> tuple[Calibration | None, Thresholds | None]:
    """A calibration of the classes that have one, and thresholds of the same classes.

    Parameters
    ----------
    scores : (n, c), labels, anchors, allow_leakage
        As in :func:`stitchkit.calibrate`.
    method
        Method of calibration, ``"usual"`` for the usual one, which leaves probabilities as they are; None for no
        calibration.
    rule, at, min_positives, replicates, seed, progress
        As in :func:`stitchkit.choose_thresholds`; no rule for no thresholds.
    multiclass
        Exactly one class applies.
    on_probabilities
        Thresholds of the calibrated probabilities, where there are any, instead of the scores. Default False.

    Raises
    ------
    DataError
        If no class can be calibrated, or none has enough items for a threshold.
    LeakageError
        If an item or a patient is an anchor's.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random((400, 1)) < 0.3).astype(float)
    >>> ids = [f"scan{i}" for i in range(400)]
    >>> scores = Scores(truth + rng.normal(size=(400, 1)), "logit", ids, ("Edema",))
    >>> labels = Labels(truth, ids, ("Edema",))
    >>> calibration, thresholds = fit_decisions(
    ...     scores, labels, method="platt", rule="youden", on_probabilities=True, replicates=20
    ... )
    >>> calibration.kind, thresholds.kind
    ('logit', 'probability')
    """
    calibration = thresholds = None
    if method is not None:
        named = None if method == USUAL else method
        calibration = calibrate_possible_classes(
            scores, labels, method=named, multiclass=multiclass, anchors=anchors, allow_leakage=allow_leakage
        )
    if rule is not None:
        chosen = scores if calibration is None else scores.of_classes(calibration.classes)
        if calibration is not None and on_probabilities:
            chosen = calibration(scores)
        thresholds = choose_thresholds(
            chosen,
            labels,
            rule=rule,
            at=at,
            min_positives=min_positives,
            anchors=anchors,
            replicates=replicates,
            seed=seed,
            allow_leakage=allow_leakage,
            progress=progress,
        )
    return calibration, thresholds
