"""The verb ``evaluate``: scores against labels, with everything a reader needs to believe or doubt them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchor_hashes import are_among
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.calibrations import Calibration, FittedItems, HashedItems, Thresholds
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, LeakageError
from stitchkit.core.items import Items, checked_ids, rows_of
from stitchkit.core.least_patients import (
    CALIBRATED,
    FEW_PATIENTS,
    LEAST_PATIENTS,
    MIN_POSITIVES,
    REPLICATES,
    SEVERAL_CALIBRATED,
)
from stitchkit.core.patients import count_patients, patients_or_rows
from stitchkit.core.scores import Labels, Scores, check_decidable, check_scores_and_labels
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.embeddable_items import as_items
from stitchkit.evaluation.fitted_pairs import audit_hashed_items
from stitchkit.evaluation.leakage import ALLOW, audit, same_files, spelled_notes
from stitchkit.evaluation.scores.class_patients import (
    carriers,
    count_class_patients,
    judged_classes,
    note_on_carriers,
    note_on_precision,
    notes_on_patients,
    positive_patients,
)
from stitchkit.evaluation.scores.decisions import decisions_by_thresholds, reliability_curves
from stitchkit.evaluation.scores.item_matching import labels_of_anchors, labels_of_items, rows_of_names
from stitchkit.evaluation.scores.metadata import file_columns, metadata_scores
from stitchkit.evaluation.scores.metadata_shortcuts import MetadataAlone
from stitchkit.evaluation.scores.multiclass_measures import notes_on_multiclass
from stitchkit.evaluation.scores.probe import fit_probe
from stitchkit.evaluation.scores.results import ECE, Decisions, Evaluation, Method, is_above_chance
from stitchkit.evaluation.scores.tables import table_of
from stitchkit.evaluation.scores.truth import Truth, by_chance, in_order
from stitchkit.metrics.bootstrap import Interval
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import one_blas_thread

CHANCE, PROBE, METADATA = "chance", "probe on the anchors", "metadata only"
RIVALS = (
    "scores by association stand here without their rivals, 'abnormal' alone and permuted weights, which cannot be "
    "made from the scores: one that is no better tells an abnormal item, not which finding. In Python, "
    "sk.fit_associations(...).scores(items).evaluate(labels) prints them, and those of prompts among its others"
)


@one_blas_thread()
def evaluate(
    scores: Scores,
    labels: Labels,
    *,
    groups: Any = None,
    anchors: AnchorSet | Sequence[str] | np.ndarray | None = None,
    items: Items | str | Path | None = None,
    metadata: Sequence[str] = (),
    embeddings: Embeddings | None = None,
    others: Mapping[str, Scores] | None = None,
    calibration: Calibration | None = None,
    thresholds: Thresholds | None = None,
    multiclass: bool = False,
    name: str = "scores",
    min_positives: int = MIN_POSITIVES,
    replicates: int = REPLICATES,
    seed: int = 0,
    allow_leakage: bool = False,
    progress: bool | None = None,
) -> Evaluation:
    """Each class's AUROC and more, with patient-clustered intervals, chance, a probe and a metadata-only baseline.

    Intervals are those of ``docs/intervals.md``: of AUROC and average precision by how far each patient moves them, of
    shares and of means over classes by patients too, and of Brier score and calibration error by resamples of patients.

    Parameters
    ----------
    scores : (n, c)
        Scores of the test items; higher means the class is present.
    labels
        Labels of the test items, and of the anchors if the baselines are wanted; joined by id.
    groups : (len(labels),), optional
        Patient of each labelled row; ``labels.groups`` if not given.
    anchors
        The anchor set (or its ids): the baselines are fitted on its labels, and its patients must not be tested.
    items
        The test images, for file size, width, height and bit depth in the metadata-only baseline.
    metadata
        Columns of ``labels`` that the metadata-only baseline may use as well.
    embeddings
        Source vectors of anchors and test items, for the probe at the same label budget.
    others
        Further scores of the same items, by name: each a row of the table, with its paired difference.
    calibration
        From :func:`stitchkit.calibrate`: makes the main scores probabilities, which are then judged as such (Brier
        score, calibration error, reliability curve). Its patients must not be tested. Classes it lacks are judged by
        their order alone, and named in ``Evaluation.not_calibrated``.
    thresholds
        From :func:`stitchkit.choose_thresholds`, for the kind of ``scores`` or for calibrated probabilities: tables
        what is decided. Their patients must not be tested.
    multiclass
        Exactly one class applies to an item: accuracy, balanced accuracy and macro F1 of the best-scored class too.
    name
        Name of the main row.
    min_positives
        Classes with fewer positive (or negative) patients in the test are listed, not judged; every item counts as a
        patient where patients are not known. Judged classes with fewer than 5 have no interval, those with fewer than
        15 a note.
    replicates
        Resamples of patients, the same for every row, for the intervals of Brier score and calibration error.
    allow_leakage
        Go on when a patient stands on both sides, with a note.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    Evaluation
        Print it for a table in words and numbers.

    Raises
    ------
    InputError
        For ``multiclass`` with scores by association, which allow no decision, and for fewer than 1 resample.
    UnknownNameError
        If a scored class is not among the labels.
    LeakageError
        If an item or a patient is both anchor (or calibration item) and test, also where the only label of an item is
        that of the anchor of the same file name.
    DataError
        If no class can be judged, a scored item has no label, or, with ``multiclass``, not exactly one class.
    """
    check_seed(seed)
    check_scores_and_labels(scores, labels)
    if replicates < 1:
        raise InputError("evaluate needs at least 1 resample; got " + setting("replicates", replicates) + ".")
    if groups is not None:
        labels = labels.with_groups(groups)
    if isinstance(anchors, str) or isinstance(metadata, str):
        raise InputError(
            setting("anchors")
            + " takes an anchor set or a list of ids, "
            + setting("metadata")
            + " a list of columns; got a single text."
        )
    apart = [] if anchors is None else _ids(anchors).tolist()
    test_labels = labels_of_items(labels.of_classes(scores.classes), scores.ids, apart, allow=allow_leakage)
    known, notes = test_labels.labels, test_labels.notes
    test = known.of_ids(scores.ids)
    for other in others or {}:
        if other in (name, CHANCE, PROBE, METADATA):
            raise InputError(f"two rows of the table are called {other!r}. Give one of them another name.")
    if scores.provenance is not None and scores.provenance.leakage:
        leak = scores.provenance.leakage
        if not allow_leakage:
            raise LeakageError(f"when these scores were made, {leak}. Score other items" + ALLOW + ".")
        notes += [f"LEAKAGE: {leak}"]
    uncalibrated = scores
    if scores.provenance is not None and scores.provenance.remark:
        notes.append(scores.provenance.remark)
    not_calibrated: tuple[str, ...] = ()
    if calibration is not None:
        scores, not_calibrated = _calibrate(calibration, uncalibrated, multiclass)
        notes += [*_apart(calibration.fitted_on, "calibration items", test, allow_leakage), *calibration.notes]
    if thresholds is not None:
        notes += [*_apart(thresholds.fitted_on, "threshold items", test, allow_leakage), *thresholds.notes]
    rows = {name: scores, **(others or {})}
    notes += [RIVALS] if any(one.kind == "association" for one in rows.values()) else []
    for one in rows.values() if multiclass else ():  # the best class of an item is a decision
        check_decidable(one)
    if anchors is not None:
        anchor_labels = labels_of_anchors(known, _ids(anchors), test.ids)
        known, notes = anchor_labels.labels, [*notes, *anchor_labels.notes]
    fitted_on = _anchor_labels(anchors, known)
    notes += _note_on_unused(known, test, fitted_on, anchors is not None, (calibration, thresholds))
    if anchors is not None:
        own = anchors.groups if isinstance(anchors, AnchorSet) else None
        # an anchor without labels has no known patient, and one unknown patient leaves the audit open
        patients = own if own is not None else fitted_on.groups if len(fitted_on) == len(_ids(anchors)) else None
        notes += audit(_ids(anchors), scores.ids, patients, test.groups, allow=allow_leakage)
        notes += _copies(anchors, items, test, allow_leakage)
    rows |= _baselines(fitted_on, test, anchors, items, metadata, embeddings, notes)
    judged, not_judged, positives = judged_classes(test, min_positives)
    if not judged:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in list(not_judged.items())[:5])
        raise DataError(
            f"no class can be judged among {counted(len(test), 'item')}: {reasons}. Give more items, or lower "
            + setting("min_positives", text="min_positives")
            + " where there are too few."
        )
    if ordered := [label for label in judged if label in not_calibrated]:
        notes.append(f"not calibrated, judged by the order of scores alone: {', '.join(ordered)}")
    probable = [label for label in judged if label not in not_calibrated]
    decisions: dict[str, Decisions] = {}
    with Progress(progress) as bar:
        methods = table_of(
            rows, test, judged, multiclass=multiclass, replicates=replicates, seed=seed, not_calibrated=not_calibrated,
            bar=bar,
        )  # fmt: skip
        if thresholds is not None:
            decidable = judged if thresholds.kind == uncalibrated.kind else probable
            decisions = decisions_by_thresholds(thresholds, uncalibrated, scores, test, decidable, bar)
    notes += note_on_precision(count_class_patients(test), judged)
    notes += notes_on_patients(count_class_patients(test), judged)
    notes += note_on_carriers(carriers(test, judged), "means over classes and their differences")
    notes += notes_on_multiclass(test) if multiclass else []
    notes += spelled_notes(test.groups)
    people = patients_or_rows(test.groups, len(test))
    if LEAST_PATIENTS <= people < FEW_PATIENTS:
        notes.append(f"{counted(people, 'patient is', 'patients are')} too few for intervals to be trusted")
    if ECE in methods[0].measures and people < SEVERAL_CALIBRATED:
        notes.append(
            f"calibration errors of fewer than {CALIBRATED} patients, and their mean over classes of fewer than "
            f"{SEVERAL_CALIBRATED}, have no interval: there are {people}"
        )
    notes += _shortcut(methods, rows, test)
    not_judged = _with_values(not_judged, scores, test)
    return Evaluation(
        methods=methods,
        positives=positives,
        not_judged=not_judged,
        n=len(test),
        patients=count_patients(test.groups),
        anchors=None if anchors is None else len(_ids(anchors)),
        kind=scores.kind,
        notes=tuple(notes),
        settings={"replicates": replicates, "level": 0.95, "seed": seed, "min_positives": min_positives},
        decisions=decisions,
        reliability=reliability_curves(scores, test, probable),
        not_calibrated=not_calibrated,
        positive_patients=positive_patients(test),
        provenance=scores.provenance,
    )


def _calibrate(calibration: Calibration, scores: Scores, multiclass: bool) -> tuple[Scores, tuple[str, ...]]:
    """Probabilities of all classes, and the classes that the calibration lacks: theirs are ranks, for AUROC alone."""
    probabilities = calibration(scores)
    lacking = tuple(label for label in scores.classes if label not in probabilities.classes)
    if not lacking:
        return probabilities, ()
    if multiclass:
        raise InputError(
            f"with multiclass the best of all classes counts, and the calibration lacks {', '.join(lacking)}. "
            f"Calibrate every class, or leave the calibration out."
        )
    columns = [_ranks(scores.column(one)) if one in lacking else probabilities.column(one) for one in scores.classes]
    both = Scores(np.stack(columns, axis=1), probabilities.kind, scores.ids, scores.classes, probabilities.provenance)
    return both, lacking


def _ranks(values: np.ndarray) -> np.ndarray:
    """The order of ``values`` (n,) in [0, 1], ties kept."""
    order = np.unique(values, return_inverse=True)[1]
    return np.asarray(order / max(order.max(initial=0), 1))


def _ids(anchors: AnchorSet | Sequence[str] | np.ndarray) -> np.ndarray:
    return anchors.ids if isinstance(anchors, AnchorSet) else checked_ids(anchors)


def _anchor_labels(anchors: AnchorSet | Sequence[str] | np.ndarray | None, labels: Labels) -> Labels:
    """The labelled rows that are anchors; perhaps none."""
    ids = np.asarray([], dtype=np.str_) if anchors is None else _ids(anchors)
    return labels.take(np.flatnonzero(np.isin(labels.ids, ids)))


def _note_on_unused(
    labels: Labels, test: Labels, anchors: Labels, has_anchors: bool, fits: tuple[Calibration | Thresholds | None, ...]
) -> list[str]:
    """The number of labels that nothing here uses, in words that name the uses there are."""
    used = np.isin(labels.ids, test.ids) | np.isin(labels.ids, anchors.ids)
    fitted = [one.fitted_on for one in fits if one is not None]
    for items in fitted:
        if isinstance(items, HashedItems):
            used |= np.asarray(are_among(items.hashes, labels.ids.tolist()), dtype=bool)
        else:
            used |= rows_of_names(labels, items.ids)
    if used.all():
        return []
    uses = ["scored", *(["anchors"] if has_anchors else []), *(["calibration items"] if fitted else [])]
    words = f"neither {' nor '.join(uses)}" if len(uses) > 1 else "not scored"
    return [f"{(~used).sum()} of {len(labels)} labelled items are {words}"]


def _baselines(
    fitted_on: Labels,
    test: Labels,
    anchors: AnchorSet | Sequence[str] | np.ndarray | None,
    items: Items | str | Path | None,
    metadata: Sequence[str],
    embeddings: Embeddings | None,
    notes: list[str],
) -> dict[str, Scores]:
    rows = {CHANCE: by_chance(test)}
    if not len(fitted_on):
        why = "no anchors were given" if anchors is None else "no anchor is among the labels"
        notes.append(f"no probe and no metadata-only baseline: {why}")
        return rows
    if len(fitted_on) < 4:
        notes.append(
            f"no probe and no metadata-only baseline: "
            f"{counted(len(fitted_on), 'labelled anchor is', 'labelled anchors are')} too few"
        )
        return rows
    if embeddings is None:
        notes.append("no probe: give " + setting("embeddings") + " of anchors and test items")
    else:
        rows[PROBE] = fit_probe(embeddings, fitted_on).scores(embeddings.of_ids(test.ids))
        sides = [(fitted_on.values == side).sum(axis=0) for side in (0, 1)]
        one_sided = [label for label, *counts in zip(test.classes, *sides, strict=True) if min(counts) < 2]
        if one_sided:
            notes.append(f"the anchors' labels show too little of {', '.join(one_sided)}: the probe is at .500 there")
    files: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    if items is not None and isinstance(anchors, AnchorSet):
        images = as_items(items, "image")
        train = anchors.source_items.take(rows_of(fitted_on.ids, anchors.ids, "the anchors"))
        shown = images.take(rows_of(test.ids, images.ids, "items"))
        files = file_columns(train), file_columns(shown)
    fitted = metadata_scores(fitted_on, test, metadata, files)
    if fitted is None:
        remedy: str = (
            "give " + setting("items") + " (image files) or " + setting("metadata") + " (columns of the labels)"
        )
        if items is not None:
            remedy = (
                setting("items")
                + " needs "
                + setting("anchors")
                + " as an AnchorSet of image files; or give "
                + setting("metadata")
                + " (columns of the labels)"
            )
        if given_names := [*files[0], *metadata]:
            remedy = f"{', '.join(given_names)} {'does' if len(given_names) == 1 else 'do'} not vary among the anchors"
        notes.append("no metadata-only baseline: " + remedy)
        return rows
    rows[METADATA], used = fitted
    notes.append(f"the metadata-only baseline used {', '.join(used)}")
    return rows


def _copies(anchors: Any, items: Items | str | Path | None, test: Labels, allow: bool) -> list[str]:
    """Refuse, or tell of, test images that are anchors' own files under other ids."""
    if items is None or not isinstance(anchors, AnchorSet):
        return []
    images = as_items(items, "image")
    return same_files(anchors.source_items, images.take(rows_of(test.ids, images.ids, "items")), allow=allow)


def _apart(fitted_on: FittedItems, what: str, test: Labels, allow: bool) -> list[str]:
    """Refuse, or tell, that something was fitted on items or patients of the test."""
    if isinstance(fitted_on, HashedItems):
        return audit_hashed_items(fitted_on, what, test.ids, test.groups, allow=allow)
    return audit(fitted_on.ids, test.ids, fitted_on.groups, test.groups, allow=allow, sides=(what, "test items"))


def _with_values(not_judged: Mapping[str, str], scores: Scores, test: Labels) -> dict[str, str]:
    """Reasons of classes that are not judged, with the AUROC of those that have one, which is in no mean."""
    if not not_judged:
        return {}
    labels = list(not_judged)
    values = Truth.of(test, labels, multiclass=False).pulls(in_order(scores, test, labels, "scores")).value
    return {
        label: why if np.isnan(value) else f"{why}; AUROC {value:.3f}, without interval and in no mean"
        for (label, why), value in zip(not_judged.items(), values.tolist(), strict=True)
    }


def _shortcut(methods: tuple[Method, ...], rows: Mapping[str, Scores], test: Labels) -> list[str]:
    """In words, where metadata alone does about as well as the scores."""
    main, baseline = methods[0], next((one for one in methods if one.name == METADATA), None)
    if baseline is None:
        return []
    judged = list(baseline.classes)
    pulls = Truth.of(test, judged, multiclass=False).pulls(in_order(rows[METADATA], test, judged, METADATA))
    alone = MetadataAlone.of(pulls, baseline.classes, baseline.macro)
    if alone.explain_macro(main.macro):
        return [_shortcut_note("macro AUROC", baseline.macro, main.macro)]
    return [
        _shortcut_note(f"AUROC for {label}", baseline.classes[label], main.classes[label])
        for label in alone.explained(main.classes)
    ]


def _shortcut_note(measure: str, metadata: Interval, score: Interval) -> str:
    """In words, that metadata do as well; scores at chance are no shortcut."""
    if not is_above_chance(score):
        return (
            f"not above chance: the {measure} of the scores is {score}; metadata alone, without the picture, reaches "
            f"{metadata}"
        )
    return (
        f"SHORTCUT: metadata alone, without the picture, reaches {metadata} in {measure}, the scores {score}. "
        f"Such a score is explained by metadata and must not be read as a diagnosis."
    )
