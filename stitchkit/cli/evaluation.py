"""Requests for an evaluation: labels, anchors, settings and calibration, read and checked before there are scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.cli.flags import in_flags
from stitchkit.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.cli import options as o
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.scoring import ScoredItems
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.calibrations import Calibration, Thresholds
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.scores import Labels, Scores
    from stitchkit.datasets.anchor_tables import AnchorTable
    from stitchkit.evaluation.scores.results import Evaluation

NONE = "none"


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Labels, anchors and settings of an evaluation.

    Parameters
    ----------
    labels
        Labels of the classes to judge.
    table
        The anchors' table: its items may not be among the test, and a probe is fitted on their labels.
    classes
        Classes to judge.
    options
        As the command line gives them.
    multiclass
        True if exactly one class applies to an item.
    """

    labels: Labels
    table: AnchorTable | None
    classes: tuple[str, ...]
    options: o.Evaluation
    seed: int
    multiclass: bool = False
    calibration: CalibrationRequest | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        scored: Sequence[str],
        table: AnchorTable | None,
        options: o.Evaluation,
        columns: o.Columns,
        seed: int,
        *,
        multiclass: bool = False,
        calibration: CalibrationRequest | None = None,
    ) -> EvaluationRequest:
        """The request, the labels at ``path`` read; ``scored`` are the classes that there are scores of."""
        from stitchkit.datasets.labels import read_labels

        for label in options.classes or ():
            if label not in scored:
                raise UnknownNameError.of("scored class", label, scored)
        classes = tuple(options.classes or scored)
        labels = read_labels(
            path, classes=None if options.label_column else classes, label=options.label_column, id=columns.id_column,
            groups=columns.groups, columns=options.metadata_columns, uncertain=options.uncertain,
        ).of_classes(classes)  # fmt: skip
        return cls(labels, table, classes, options, seed, multiclass, calibration)

    def check(self, ids: np.ndarray) -> np.ndarray | None:
        """The patients of test items; raises for items without a label, or for leakage, before they are embedded."""
        from stitchkit.evaluation.scores.item_patients import patients_of_test

        pairs, allow = None if self.table is None else self.table.ids_only(), self.options.allow_leakage
        patients = patients_of_test(self.labels, ids, pairs, allow_leakage=allow)
        if self.calibration is not None:
            self.calibration.check(self.labels, ids, patients, allow_leakage=allow)
        return patients

    def evaluate(self, scored: ScoredItems, loading: Loading) -> Evaluation:
        """The evaluation; with an encoder and anchors also of a probe on their labels."""
        import stitchkit as sk
        from stitchkit.evaluation.fitted_pairs import without_anchors

        pairs, items = self._pairs(scored), scored.items
        probed = self._probed(scored, pairs, loading)
        calibration, thresholds = scored.calibration, scored.thresholds
        if self.calibration is not None:
            progress = loading.console.progress
            calibration, thresholds = self.calibration.fit(self, scored.scores.kind, pairs, progress)
        labels, own = without_anchors(self.labels, scored.alignment, scored.scores.ids, pairs)
        result = sk.evaluate(
            scored.scores.of_classes(self.classes),
            labels,
            others={name: one.of_classes(self.classes) for name, one in scored.others.items()} or None,
            calibration=_for_classes(calibration, self.classes),
            thresholds=_for_classes(thresholds, self.classes),
            multiclass=self.multiclass,
            anchors=pairs,
            items=items if items is not None and items.modality == "image" else None,
            metadata=self.options.metadata_columns,
            embeddings=probed,
            min_positives=self.options.min_positives,
            replicates=self.options.replicates,
            seed=self.seed,
            allow_leakage=self.options.allow_leakage,
            progress=loading.console.progress,
        )
        shortcuts: list[str] = []
        if scored.others:
            from stitchkit.evaluation.scores.subset_decisions import mask_notes

            shortcuts = mask_notes(result)
        evaluation: Evaluation = in_flags(replace(result, notes=(*shortcuts, *scored.notes, *own, *result.notes)))
        return evaluation  # for its page too

    def _pairs(self, scored: ScoredItems) -> AnchorSet | None:
        """The anchors; without items their ids and patients are enough, and their files need not be here."""
        if self.table is None:
            return None
        if scored.encoder is None and scored.items is None:
            return self.table.ids_only()
        kind = next(one.modality for one in (scored.encoder, scored.items) if one is not None)
        return self.table.read(kind, kind)

    def _probed(self, scored: ScoredItems, pairs: AnchorSet | None, loading: Loading) -> Embeddings | None:
        """Vectors of the test items and of the labelled anchors, for the probe; None if no anchor is labelled."""
        from stitchkit.evaluation.scores.probe import probe_items

        if scored.encoder is None or scored.vectors is None or pairs is None:
            return None
        items = probe_items(pairs, self.labels, scored.vectors.ids)
        return None if items is None else scored.vectors.joined(loading.embed(scored.encoder, items))


def _for_classes(fit: Any, classes: Sequence[str]) -> Any:
    """A calibration or thresholds of the judged classes; None where it has none of them."""
    return fit.of_classes(classes) if fit is not None and set(fit.classes) & set(classes) else None


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """Scores of items that are neither anchors nor test, the method of calibration, and the rule of the thresholds.

    Parameters
    ----------
    scores
        Scores of the calibration items; None where ``stored`` holds what was fitted on them.
    method
        Method of ``sk.calibrate``; None for no calibration.
    rule, at
        Arguments of ``sk.choose_thresholds``; no rule for no thresholds.
    stored
        Calibration and thresholds of a folder.
    """

    scores: Scores | None
    method: str | None = None
    rule: str | None = None
    at: float | None = None
    stored: tuple[Calibration | None, Thresholds | None] = (None, None)

    @classmethod
    def of(cls, options: o.Calibration, *, folder: bool) -> CalibrationRequest | None:
        """The checked request; None if there is none, or a stitched ``folder`` that is judged has its own."""
        from stitchkit.storage.scores import read_scores

        path, method, threshold = options.calibrate, options.calibration, options.threshold
        if path is None and folder and (method, threshold) == (NONE, None):
            return cls(None)
        if path is None:
            if method or threshold:
                raise InputError("probabilities and thresholds are fitted on other items: pass --calibrate SCORES.csv.")
            return None
        if path.is_dir():
            if method or threshold:
                raise InputError(
                    f"{path} holds what was fitted. Leave {'--calibration' if method else '--threshold'} out."
                )
            return cls(None, stored=read_decisions(path))
        return cls(read_scores(path), *check_methods(method, threshold))

    def check(self, labels: Labels, ids: np.ndarray, groups: np.ndarray | None, *, allow_leakage: bool) -> None:
        """Raise where a calibration item, or its patient, is also a test item's (``ids``, ``groups``: (n,))."""
        from stitchkit.evaluation.scores.calibrate import audit_calibration_items

        if self.scores is not None:  # of what is stored, the evaluation itself checks the hashes
            audit_calibration_items(labels, self.scores.ids, ids, groups, allow_leakage=allow_leakage)

    def fit(
        self, request: EvaluationRequest, kind: str, anchors: AnchorSet | None, progress: bool | None
    ) -> tuple[Calibration | None, Thresholds | None]:
        """Calibration and thresholds, as far as they were asked for, on the items' labels or as they are stored.

        Parameters
        ----------
        kind
            Kind of the scores that are judged: probabilities are not calibrated again.
        """
        from stitchkit.evaluation.scores.decision_fits import fit_decisions

        if self.scores is None:
            calibration, thresholds = self.stored
            return None if kind == "probability" else calibration, thresholds
        options = request.options
        return fit_decisions(
            self.scores.of_classes(request.classes), request.labels, method=self.method, rule=self.rule, at=self.at,
            multiclass=request.multiclass, min_positives=options.min_positives, anchors=anchors,
            replicates=options.replicates, seed=request.seed, allow_leakage=options.allow_leakage, progress=progress,
        )  # fmt: skip


def check_methods(method: str | None, threshold: str | None) -> tuple[str | None, str | None, float | None]:
    """The method of calibration, the rule of thresholds and its share, checked; None for those not wanted."""
    from stitchkit.evaluation.scores.calibrate import METHODS
    from stitchkit.evaluation.scores.decision_fits import USUAL
    from stitchkit.evaluation.scores.thresholds import RULES, check_rule

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
    method = method or USUAL
    return None if method == NONE else method, None if rule == NONE else rule, at


def read_decisions(folder: Path) -> tuple[Calibration | None, Thresholds | None]:
    """The calibration and the thresholds in a folder, stitched or their own; one of them may be missing."""
    from stitchkit.cli.paths import read_artefact
    from stitchkit.storage.calibrations import unpack_calibration, unpack_thresholds

    config, _ = read_artefact(folder)
    stored = unpack_calibration(config), unpack_thresholds(config)
    if stored == (None, None):
        raise InputError(f"{folder} holds neither a calibration nor thresholds. Make one with 'stitchkit calibrate'.")
    return stored
