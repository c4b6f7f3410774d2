"""Data of a task: training and test items with their labels, on splits that share no group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.keys import spelled_alike
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.tasks.cards import ITSELF, TaskCard


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """Items of a task.

    Parameters
    ----------
    card
        The task.
    train, test
        Training and test items. No training item is of a group that has test items.
    crossing
        Training items that were taken out, as their group has test items: scores with them are inflated.
    labels
        Labels of all items.
    notes
        Groups that are not known, items taken out, and known leaks, in words.
    """

    card: TaskCard
    train: Cohort
    test: Cohort
    crossing: Cohort
    labels: Labels
    notes: tuple[str, ...]


def open_task(card: TaskCard, root: str | Path, *, seed: int = 0) -> TaskData:
    """Read a task from the folder of its set.

    Parameters
    ----------
    card
        The task.
    root
        Folder of the set, as it is published.
    seed
        Seed of the division into training and test groups where no split is published. Default: 0

    Raises
    ------
    DataError
        If a class of the card is none of the set, or training or test items are lacking.
    """
    cohort = read_cohort(card.layout, root, **card.reader)
    if card.kind == "classes":
        cohort = _with_classes(cohort, card)
    elif cohort.texts is None:
        raise DataError(f"the task {card.name!r} is about texts, and {cohort.name} was read without them.")
    if lacking := [one for one in card.metadata if one not in cohort.labels.columns]:
        raise DataError(
            f"{cohort.name} has no column {lacking[0]!r} of 'metadata' in the card of {card.name!r}; it has "
            f"{', '.join(cohort.labels.columns) or 'none'}. Correct the card, or the reader's settings."
        )
    train, test = _division(cohort, card, seed)
    crossing = _crossing(train, test)
    notes = [f"LEAKAGE: {leak.what} ({leak.other}: {leak.source})" for leak in card.leaks if leak.other == ITSELF]
    notes += [f"known overlap with {leak.other}: {leak.what} ({leak.source})" for leak in card.leaks
              if leak.other != ITSELF]  # fmt: skip
    if test.labels.groups is None:
        notes.append("patients are not known, so that those of training and test items may be the same")
    if crossing.any():
        unit = card.group or "patient"
        notes.append(f"{counted(int(crossing.sum()), 'training item')} left out: a test item is of the same {unit}")
    if not (~crossing).any():
        raise DataError(f"every training item of {card.name!r} is of a {card.group or 'patient'} that has test items.")
    return TaskData(card, train.take(~crossing), test, train.take(crossing), cohort.labels, tuple(notes))


def task_folder(card: TaskCard, data: str | Path | Mapping[str, str | Path]) -> Path | None:
    """The folder of a task's set: one of the mapping, or the one of its name below a folder; None if there is none."""
    if isinstance(data, Mapping):
        return Path(data[card.name]) if card.name in data else None
    folder = Path(data) / card.name
    return folder if folder.is_dir() else None


def _with_classes(cohort: Cohort, card: TaskCard) -> Cohort:
    """The cohort with the card's classes, in its order, and without items of which none is known."""
    if lacking := [one for one in card.classes if one not in cohort.labels.classes]:
        raise DataError(
            f"{cohort.name} has no class {lacking[0]!r} of the task {card.name!r}; it has "
            f"{', '.join(cohort.labels.classes)}. Correct 'classes' of the card, or the reader's settings."
        )
    labels = cohort.labels.of_classes(card.classes)
    some = ~np.isnan(labels.values).all(axis=1)
    if card.multiclass:
        some &= np.nansum(labels.values, axis=1) == 1
    return Cohort(cohort.images, labels, cohort.texts, cohort.split, cohort.card).take(some)


def _division(cohort: Cohort, card: TaskCard, seed: int) -> tuple[Cohort, Cohort]:
    """Training and test items, by the published splits or by groups."""
    if card.splits.train is not None and card.splits.test is not None:
        return cohort.part(card.splits.train), cohort.part(card.splits.test)
    groups = cohort.images.ids if cohort.labels.groups is None else cohort.labels.groups
    unique, of = np.unique(groups, return_inverse=True)
    held = round(card.splits.held * len(unique))
    if not 0 < held < len(unique):
        raise InputError(
            f"of {counted(len(unique), card.group or 'item')} a share of {card.splits.held:g} cannot be held out for "
            f"the test of {card.name!r}. Change 'held' of its card."
        )
    is_test = np.isin(of, np.random.default_rng(seed).permutation(len(unique))[:held])
    return cohort.take(~is_test), cohort.take(is_test)


def _crossing(train: Cohort, test: Cohort) -> np.ndarray:
    """Training items (n,) whose group, in whatever spelling, has test items; or whose id has."""
    crossing = np.isin(train.images.ids, test.images.ids)
    if train.labels.groups is not None and test.labels.groups is not None:
        shared = set(test.labels.groups.tolist())
        shared |= {one for one, _ in spelled_alike(train.labels.groups, test.labels.groups)}
        crossing |= np.isin(train.labels.groups, list(shared))
    return crossing
