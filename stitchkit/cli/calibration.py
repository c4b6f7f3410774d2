"""Probabilities and thresholds on the command line: scores of items that are neither anchors nor test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import DataError, InputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.core.calibrations import Calibration, Thresholds
    from stitchkit.core.scores import Labels, Scores

NONE = "none"


@dataclass(frozen=True, slots=True)
class Calibrating:
    """Scores of the calibration items, the method, and the rule of the thresholds."""

    scores: Scores
    method: str | None
    rule: str | None
    at: float | None

    @classmethod
    def of(cls, path: Path | None, method: str | None, threshold: str | None, multiclass: bool) -> Calibrating | None:
        """The checked request; None if there is none."""
        from stitchkit.evaluation.scores.calibrate import METHODS
        from stitchkit.evaluation.scores.thresholds import RULES, check_rule
        from stitchkit.storage.scores import read_scores

        if path is None:
            if method or threshold:
                raise InputError("probabilities and thresholds are fitted on other items: pass --calibrate SCORES.csv.")
            return None
        if method not in (None, NONE, *METHODS):
            raise UnknownNameError.of("method of calibration", str(method), [NONE, *METHODS])
        rule, _, share = (threshold or "youden").partition("=")
        if rule not in (NONE, *RULES):
            raise UnknownNameError.of("rule for thresholds", rule, [NONE, *RULES], "Or write sensitivity=0.9.")
        try:
            at = float(share) if share else None
        except ValueError as error:
            raise InputError(f"--threshold {threshold}: {share!r} is no number. Write sensitivity=0.9.") from error
        if rule != NONE:
            check_rule(rule, at)
        usual = "temperature" if multiclass else "platt"  # class by class, the best one would no longer be the best
        method = None if method == NONE else method or usual
        return cls(read_scores(path), method, None if rule == NONE else rule, at)

    def check(self, labels: Labels, ids: np.ndarray, groups: np.ndarray | None, *, allow_leakage: bool) -> None:
        """Raise where a calibration item, or its patient, is also a test item's (``ids``, ``groups``: (n,))."""
        from stitchkit.evaluation.leakage import audit

        known = labels.of_ids(self.scores.ids)
        audit(known.ids, ids, known.groups, groups, allow=allow_leakage, sides=("calibration items", "test items"))

    def fitted(
        self, labels: Labels, classes: tuple[str, ...], **how: Any
    ) -> tuple[Calibration | None, Thresholds | None]:
        """Both, as far as they were asked for, on the items' labels."""
        import stitchkit as sk

        seen, multiclass = self.scores.of_classes(classes), how.pop("multiclass")
        seed, least, progress = how.pop("seed"), how.pop("min_positives"), how.pop("progress")
        calibration = None
        if self.method is not None and seen.kind != "probability":
            lacking: list[str] = []
            if not multiclass:  # where one class applies, all are calibrated together
                seen, lacking = _calibratable(seen, labels)
            calibration = sk.calibrate(seen, labels, method=self.method, multiclass=multiclass, **how)
            calibration = replace(calibration, notes=(*lacking, *calibration.notes))
        thresholds = None
        if self.rule is not None:
            thresholds = sk.choose_thresholds(
                seen, labels, rule=self.rule, at=self.at, seed=seed, min_positives=least, progress=progress, **how
            )
        return calibration, thresholds


def _calibratable(scores: Scores, labels: Labels) -> tuple[Scores, list[str]]:
    """Scores of the classes that can be calibrated, and notes on the others; raises if there is none."""
    from stitchkit.evaluation.scores.calibrate import calibratable

    kept, reasons = calibratable(scores, labels)
    if not kept:
        said = "; ".join(f"{label}: {why}" for label, why in list(reasons.items())[:5])
        raise DataError(
            f"no class can be calibrated, since both positives and negatives are needed. {said}. Give --calibrate "
            f"scores of more items, or pass --calibration none."
        )
    notes = [f"{label}: {why}, so it has no calibration and no threshold" for label, why in reasons.items()]
    return scores.of_classes(kept), notes
