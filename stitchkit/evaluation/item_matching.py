"""Items of one table found in another by their file names, where folders in front of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.item_names import same_names
from stitchkit.core.items import checked_ids
from stitchkit.core.scores import Labels


@dataclass(frozen=True, slots=True)
class Matched:
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


def labels_of_items(labels: Labels, ids: Any, anchors: Iterable[str] = ()) -> Matched:
    """Labels of every item of ``ids`` (n,), by id, else by file name; labels of ``anchors`` are theirs alone.

    Raises
    ------
    DataError
        If an item has no label, with an id of each side.
    """
    wanted = checked_ids(ids)
    matched = _renamed(labels, wanted, frozenset(anchors))
    lost = wanted[~np.isin(wanted, matched.labels.ids)]
    if not len(lost):
        return matched
    raise DataError(
        f"{len(lost)} of {len(wanted)} items have no label, the first is {str(lost[0])!r}; the labels have ids such as "
        f"{str(labels.ids[0])!r}. Name their column of ids with id=, or write the same ids into both."
    )


def labels_of_anchors(labels: Labels, ids: Any, test: np.ndarray) -> Matched:
    """Labels with the ids of anchors (m,), by id, else by file name; rows of the ``test`` (n,) stay what they are."""
    return _renamed(labels, checked_ids(ids), frozenset(test.tolist()))


def _renamed(labels: Labels, wanted: np.ndarray, kept: frozenset[str]) -> Matched:
    known = set(labels.ids.tolist())
    missing = [one for one in wanted.tolist() if one not in known]
    if not missing:
        return Matched(labels, [])
    free = known - set(wanted.tolist()) - kept
    names = same_names(wanted.tolist(), labels.ids.tolist())
    new: Mapping[str, str] = {names[one]: one for one in missing if names.get(one) in free}
    if not new:
        return Matched(labels, [])
    ids = np.asarray([new.get(one, one) for one in labels.ids.tolist()], dtype=np.str_)
    old, one = next(iter(new.items()))
    note = f"{len(new)} items were matched by file name, for example {one!r} is {old!r} of the labels"
    return Matched(Labels(labels.values, ids, labels.classes, labels.groups, labels.columns), [note])
