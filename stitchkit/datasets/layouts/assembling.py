"""From what the tables of a published set give to one cohort with its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.core.patients import count_patients
from stitchkit.core.scores import Labels
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.image_files import DICOM_SUFFIXES
from stitchkit.datasets.layouts.published import PublishedTable


@dataclass(frozen=True, slots=True)
class Part:
    """n images of one table, with labels, patients, texts and metadata.

    Parameters
    ----------
    ids
        The names of the n images.
    paths
        Their files, or the images themselves as arrays.
    values : (n, c) float64
        0, 1 or NaN.
    left_out
        Images that the table lists and that are not among the n, by reason.
    groups : (n,) str or None
    columns
        Metadata by name, each (n,).
    texts
        The n reports, or None.
    split : (n,) str or None
    uncertain
        Number of uncertain labels.
    """

    ids: Sequence[str] | np.ndarray
    paths: Sequence[Path] | Sequence[np.ndarray]
    values: np.ndarray
    left_out: Mapping[str, int]
    groups: Sequence[str] | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Sequence[str] | None = None
    split: np.ndarray | None = None
    uncertain: int = 0


def assemble(
    facts: Mapping[str, Any], tables: Sequence[PublishedTable], classes: Sequence[str], parts: Sequence[Part]
) -> Cohort:
    """One cohort of all parts, one after the other.

    Parameters
    ----------
    facts
        The card's own entries: name, source, licence, labels (the policies).
    tables
        Whose headers the card quotes.

    Raises
    ------
    DataError
        If no image is left, with the counts by reason.
    """
    left_out = _sum([part.left_out for part in parts])
    if not any(len(part.ids) for part in parts):
        reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.items())
        raise DataError(f"no image of {facts['name']} is left; left out: {reasons}. Check the settings and the folder.")
    ids = np.concatenate([np.asarray(part.ids, dtype=np.str_) for part in parts])
    paths = [path for part in parts for path in part.paths]
    labels = Labels(
        np.concatenate([part.values for part in parts]),
        ids,
        tuple(classes),
        _concatenate([part.groups for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )
    texts = _concatenate([part.texts for part in parts])
    split = _concatenate([part.split for part in parts])
    card = dict(facts) | {
        "header": {table.names[0]: table.header for table in tables},
        "header_seen": {table.names[0]: table.reference for table in tables},
        "counts": _counts(labels, paths, left_out, sum(part.uncertain for part in parts)) | in_splits(labels, split),
        "left_out": left_out,
    }
    return Cohort(
        Items(ids, paths, "image"),
        labels,
        None if texts is None else Items(ids, texts.tolist(), "text"),
        split,
        card,
    )


def _counts(
    labels: Labels, paths: Sequence[Path | np.ndarray], left_out: Mapping[str, int], uncertain: int
) -> dict[str, int]:
    counts = {"listed": len(labels) + sum(left_out.values()), "items": len(labels)}
    if labels.groups is not None:
        counts["patients"] = count_patients(labels.groups)
    counts["uncertain labels"] = uncertain
    counts["unknown labels"] = int(np.isnan(labels.values).sum())
    dicom = sum(isinstance(path, Path) and path.suffix.lower() in DICOM_SUFFIXES for path in paths)
    return counts | ({"DICOM images": dicom} if dicom else {})


def in_splits(labels: Labels, split: np.ndarray | None) -> dict[str, int]:
    """The number of patients with items in more than one split, where there are such."""
    if split is None or labels.groups is None:
        return {}
    pairs = {(str(who), str(part)) for who, part in zip(labels.groups, split, strict=True)}
    several = sum(count > 1 for count in Counter(who for who, _ in pairs).values())
    return {"patients in several splits": several} if several else {}


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in counts:
        for reason, count in some.items():
            total[reason] = total.get(reason, 0) + count
    return total


def _concatenate(sides: Sequence[Sequence[str] | np.ndarray | None]) -> np.ndarray | None:
    """All sides one after the other; None unless every part has one."""
    there = [np.asarray(side, dtype=object) for side in sides if side is not None]
    return np.concatenate(there) if len(there) == len(sides) else None
