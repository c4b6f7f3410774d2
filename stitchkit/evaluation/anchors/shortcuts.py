"""Labels of the anchors that metadata alone can tell: a map fitted on them may learn the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.least_patients import LEAST_EFFECTIVE, LEAST_PATIENTS
from stitchkit.core.scores import Labels
from stitchkit.evaluation.scores.class_patients import ClassPatients
from stitchkit.evaluation.scores.class_patients import count_class_patients as patients_of
from stitchkit.evaluation.scores.metadata import metadata_scores
from stitchkit.evaluation.scores.probe import fold_numbers
from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals
from stitchkit.metrics.bootstrap import Interval
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import one_blas_thread

SHORTCUT = 0.6  # AUROC; a class whose lower bound is above is called a shortcut


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One class among the anchors by metadata alone.

    Parameters
    ----------
    name
        Name of the class.
    auroc
        Held out, with its 95 % interval over patients; None if the class cannot be judged.
    found
        True if its lower bound is above 0.6. Above 0.5 metadata tell something, which in a large table may be a trifle;
        from 0.6 on they order three of five pairs rightly, as weak zero-shot scores do, and such a score would be
        explained by them. ``python -m benchmarks.shortcuts`` simulates how often a class is called a shortcut by
        chance, among 14 classes of 8 to 20 positives and 300 patients, and how often one that metadata tell is.
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
    seed: int,
    bar: Progress | None = None,
) -> tuple[tuple[Shortcut, ...], tuple[str, ...]]:
    """Each class judged by metadata alone, and the columns that were used; nothing if no column varies.

    The metadata-only baseline of :func:`stitchkit.evaluate` is fitted on all folds of the anchors' patients but one
    and scores that one, in turn; the AUROC is of all these scores together.

    Parameters
    ----------
    labels
        Labels of the anchors.
    columns
        Names among ``labels.columns``.
    files
        :func:`stitchkit.evaluation.scores.metadata.file_columns` of the same rows, or nothing.
    min_positives
        Classes with fewer positive or negative patients are not judged, nor those with fewer than 5, or where few have
        most positives or negatives.
    folds
        Number of folds.
    bar
        Shows the folds.
    """
    held, used = _held_out(labels, columns, files, folds, seed, bar or Progress(show=False))
    if held is None:
        return (), ()
    least = max(min_positives, LEAST_PATIENTS)
    whys = [_too_few(one, least) for one in patients_of(labels).values()]
    intervals = auroc_intervals(AurocPulls.of(held, labels.values, labels.groups))
    return tuple(
        Shortcut(label, None, False, why) if why else Shortcut(label, interval, interval.low > SHORTCUT)
        for label, interval, why in zip(labels.classes, intervals, whys, strict=True)
    ), used


def _too_few(numbers: ClassPatients, least: int) -> str:
    """Why a class is not judged; empty if it is."""
    if numbers.fewest < least:
        return f"{numbers}, fewer than {least}"
    return "" if numbers.has_interval else f"{numbers.unequal}, fewer than {LEAST_EFFECTIVE:g}"


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
