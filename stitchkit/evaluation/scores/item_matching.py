"""Items of one table found in another by their file names, where folders in front of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, LeakageError
from stitchkit.core.item_names import alike, fitting, same_names
from stitchkit.core.items import checked_ids
from stitchkit.core.scores import Labels
from stitchkit.core.wording import advice, counted, setting

_REASONS = 5  # items without a label that are looked at for why they have none


@dataclass(frozen=True, slots=True)
class MatchedLabels:
    """Labels under the ids of other items.

    Parameters
    ----------
    labels
        The same rows in the same order; those that were found by file name have the other side's id.
    notes
        The number of them, with an example.
    """

    labels: Labels
    notes: list[str]


def labels_of_items(
    labels: Labels,
    ids: Any,
    anchors: Iterable[str] = (),
    *,
    allow: bool = False,
    sides: tuple[str, str] = ("anchors", "test items"),
) -> MatchedLabels:
    """Labels of every item of ``ids`` (n,), by id, else by file name; labels of ``anchors`` are theirs alone.

    Parameters
    ----------
    allow
        Give items without labels of their own those of the anchor of the same file name, with a note, instead of
        refusing them.
    sides
        Names of the anchors and of the items.

    Raises
    ------
    LeakageError
        If items have no label but that of an anchor of the same file name and ``allow`` is not set.
    DataError
        If an item has no label, with an id of each side.
    """
    wanted = checked_ids(ids)
    apart = frozenset(anchors)
    matched = _by_file_name(labels, wanted, apart)
    lost = wanted[~np.isin(wanted, matched.labels.ids)].tolist()
    if not lost:
        return matched
    kept = _of_the_anchors(lost, wanted.tolist(), matched.labels, apart)
    if kept:
        matched = _without_anchors(matched, kept, allow, sides)
    if without := [one for one in lost if one not in kept]:
        raise DataError(_without_label(without, wanted.tolist(), labels))
    return matched


def _of_the_anchors(lost: list[str], wanted: list[str], labels: Labels, anchors: frozenset[str]) -> dict[str, str]:
    """Item -> the labelled anchor of its file name, for items that have no label of their own."""
    if not anchors:
        return {}
    known = set(labels.ids.tolist()) & anchors
    names = same_names(wanted, labels.ids.tolist())
    return {one: names[one] for one in lost if names.get(one) in known}


def _without_anchors(
    matched: MatchedLabels, kept: Mapping[str, str], allow: bool, sides: tuple[str, str]
) -> MatchedLabels:
    """The labels with rows of anchors once more, under the ids of the items that have the same file names."""
    item, anchor = next(iter(kept.items()))
    sentence = (
        f"{counted(len(kept), 'item is', 'items are')} both {' and '.join(sides)} by their file names, for example "
        f"{item!r} and {anchor!r}"
    )
    if not allow:
        raise LeakageError(
            f"{sentence}: their labels are those of the {sides[0]}. Score only other items"
            + advice(", or go on with ", setting("allow_leakage", True))
            + "."
        )
    labels = matched.labels
    of = {one: row for row, one in enumerate(labels.ids.tolist())}
    rows = np.asarray([*range(len(labels)), *(of[one] for one in kept.values())])
    ids = np.asarray([*labels.ids.tolist(), *kept], dtype=np.str_)
    groups = None if labels.groups is None else labels.groups[rows]
    columns = {name: values[rows] for name, values in labels.columns.items()}
    both = replace(labels, values=labels.values[rows], ids=ids, groups=groups, columns=columns)
    return MatchedLabels(both, [*matched.notes, f"LEAKAGE: {sentence}"])


def _without_label(lost: list[str], wanted: list[str], labels: Labels) -> str:
    """The error of items without a label, with the likely reason and the next step."""
    known = labels.ids.tolist()
    step: str = (
        "Name their column of ids with "
        + setting("id")
        + ", write the same ids into both, or leave items without a label out (a row of blank cells is enough of a "
        "label)."
    )
    for one in lost[:_REASONS]:
        if why := _reason(one, wanted, known):
            step = why
            break
    return (
        f"{len(lost)} of {len(wanted)} items have no label, the first is {lost[0]!r}; the labels have ids such as "
        f"{known[0]!r}. " + step
    )


def _reason(item: str, wanted: list[str], known: list[str]) -> str:
    """Why an item was not found among the labels, with the next step; empty if nothing is like it."""
    theirs = fitting(item, known)
    if len(theirs) > 1:
        return (
            f"The name {item!r} fits two files, {theirs[0]!r} and {theirs[1]!r} of the labels: write their folders "
            f"into the ids of the items."
        )
    mine = fitting(theirs[0], wanted) if theirs else []
    if len(mine) > 1:
        return (
            f"The name {theirs[0]!r} of the labels fits two files, {mine[0]!r} and {mine[1]!r} of the items: write "
            f"their folders into the ids of the labels, or name a column that has them with " + setting("id") + "."
        )
    near = alike(item, known)
    if not near:
        return ""
    if _folder_apart(item, near):
        return (
            f"The file of that name among the labels, {near!r}, is in another folder: write the same paths into both."
        )
    return (
        f"{item!r} is {near!r} of the labels but for capitals or suffix: write the same file names into both, or name "
        f"a column that has them with " + setting("id") + "."
    )


def _folder_apart(item: str, near: str) -> bool:
    """True for one file name, to the letter, in two folders."""
    return item.replace("\\", "/").rpartition("/")[2] == near.replace("\\", "/").rpartition("/")[2]


def labels_of_anchors(labels: Labels, ids: Any, test: np.ndarray) -> MatchedLabels:
    """Labels with the ids of anchors (m,), by id, else by file name; rows of the ``test`` (n,) stay what they are."""
    return _by_file_name(labels, checked_ids(ids), frozenset(test.tolist()))


def rows_of_names(labels: Labels, ids: Any) -> np.ndarray:
    """True (n,) for the labels that are of one of ``ids`` (m,), by id, else by file name."""
    wanted = {str(one) for one in ids}
    known = labels.ids.tolist()
    names = same_names(sorted(wanted), known)
    return np.isin(labels.ids, [*wanted, *names.values()])


def _by_file_name(labels: Labels, wanted: np.ndarray, kept: frozenset[str]) -> MatchedLabels:
    known = set(labels.ids.tolist())
    missing = [one for one in wanted.tolist() if one not in known]
    if not missing:
        return MatchedLabels(labels, [])
    free = known - set(wanted.tolist()) - kept
    names = same_names(wanted.tolist(), labels.ids.tolist())
    new: Mapping[str, str] = {names[one]: one for one in missing if names.get(one) in free}
    if not new:
        return MatchedLabels(labels, [])
    ids = np.asarray([new.get(one, one) for one in labels.ids.tolist()], dtype=np.str_)
    old, one = next(iter(new.items()))
    matched = counted(len(new), "item was", "items were")
    note = f"{matched} matched by file name, for example {one!r} is {old!r} of the labels"
    return MatchedLabels(replace(labels, ids=ids), [note])
