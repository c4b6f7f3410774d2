"""Can metadata alone tell the labels of the anchors? Then a map fitted on them may learn the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.scores import Labels
from stitchkit.evaluation.metadata import metadata_scores
from stitchkit.evaluation.probes import fold_numbers
from stitchkit.evaluation.tables import known_labels
from stitchkit.metrics.auroc import auroc, resampled_auroc
from stitchkit.metrics.bootstrap import Interval, patient_counts, percentile_interval
from stitchkit.progress import Progress
from stitchkit.threads import one_blas_thread

SHORTCUT = 0.6  # AUROC; a class whose lower bound is above is called a shortcut
LEAST_PATIENTS = 5  # with a class, and without it: resamples of fewer do not know how uncertain they are


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well metadata alone tell one class among the anchors.

    Parameters
    ----------
    name
        Of the class.
    auroc
        Held out, with its 95 % interval over patients; None if the class cannot be judged.
    found
        Whether its lower bound is above 0.6. Above 0.5 metadata tell something, which in a large table may be a
        trifle; from 0.6 on they order three of five pairs rightly, as weak zero-shot scores do, and such a score would
        be explained by them. In simulations with labels that have nothing to do with the metadata (100 and 400 rows,
        10 to 100 positives) one class of 1,000 was called a shortcut, and 48 had a lower bound above 0.5.
    why
        Why the class cannot be judged; empty if it can.
    """

    name: str
    auroc: Interval | None
    found: bool
    why: str = ""


def find_shortcuts(
    labels: Labels,
    columns: Sequence[str],
    files: dict[str, np.ndarray],
    *,
    min_positives: int,
    folds: int,
    replicates: int,
    seed: int,
    bar: Progress | None = None,
) -> tuple[tuple[Shortcut, ...], tuple[str, ...]]:
    """Each class judged by metadata alone, and the columns that were used; nothing if no column varies.

    The metadata-only baseline of :func:`stitchkit.evaluate` is fitted on all folds of the anchors' patients but one
    and scores that one, in turn; the AUROC is of all these scores together.

    Parameters
    ----------
    labels
        Of the anchors.
    columns
        Names among ``labels.columns``.
    files
        :func:`stitchkit.evaluation.metadata.file_columns` of the same rows, or nothing.
    min_positives
        Classes with fewer positives or negatives are not judged, nor those of fewer than 5 patients on either side.
    folds
        How many.
    bar
        Shows the folds.
    """
    held, used = _held_out(labels, columns, files, folds, seed, bar or Progress(show=False))
    if held is None:
        return (), ()
    groups = np.arange(len(labels)) if labels.groups is None else labels.groups
    whys = [_unfit(labels, label, groups, min_positives) for label in labels.classes]
    draws: list[list[np.ndarray]] = [[] for _ in labels.classes]
    for counts in patient_counts(groups, replicates, seed):
        for c, label in enumerate(labels.classes):
            if not whys[c]:
                known, truth = known_labels(labels, label)
                draws[c].append(resampled_auroc(held[known, c], truth, counts[:, known]))
    found = []
    for c, (label, why) in enumerate(zip(labels.classes, whys, strict=True)):
        interval = None
        if not why:
            known, truth = known_labels(labels, label)
            interval = percentile_interval(auroc(held[known, c], truth), np.concatenate(draws[c]))
        found.append(Shortcut(label, interval, interval is not None and interval.low > SHORTCUT, why))
    return tuple(found), used


def _held_out(
    labels: Labels, columns: Sequence[str], files: dict[str, np.ndarray], folds: int, seed: int, bar: Progress
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Scores (n, c) of every row by a fit that has not seen its patient, and the columns used."""
    groups = np.arange(len(labels)) if labels.groups is None else labels.groups
    k = min(folds, len(np.unique(groups)))
    if k < 2:
        return None, ()
    held = np.zeros(labels.values.shape)
    used: dict[str, None] = {}
    bar.begin("fitting metadata alone, folds", total=k)
    fold = fold_numbers(len(labels), groups, k, seed)
    with one_blas_thread():
        for number in range(1, k + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            sides = [labels.take(rows) for rows in (train, test)]
            facts = [{name: values[rows] for name, values in files.items()} for rows in (train, test)]
            found = metadata_scores(sides[0], sides[1], columns, (facts[0], facts[1])) if len(train) >= 4 else None
            if found is not None:
                held[test] = found[0].values
                used |= dict.fromkeys(found[1])
            bar.step(1)
    return (held if used else None), tuple(used)


def _unfit(labels: Labels, label: str, groups: np.ndarray, least: int) -> str:
    """Why a class cannot be judged; empty if it can."""
    known, truth = known_labels(labels, label)
    present, absent = int(truth.sum()), int((1 - truth).sum())
    if min(present, absent) < least:
        return f"{present} present and {absent} absent, fewer than {least}"
    people = [len(np.unique(groups[known][truth == side])) for side in (1, 0)]
    if min(people) < LEAST_PATIENTS:
        return f"present in {people[0]} patients and absent in {people[1]}, fewer than {LEAST_PATIENTS}"
    return ""
