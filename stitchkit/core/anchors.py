"""Anchors: item pairs known to mean the same in two spaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.items import Items, checked_groups, checked_ids
from stitchkit.core.wording import counted


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """Pairs of a source item and a target item that mean the same.

    Parameters
    ----------
    ids : (n,) str
    source_items, target_items : Items
        Row i of both is one pair. For an anchor set of images only, both are the images.
    groups : (n,) str or None
        The patient (or lesion, or site) each pair belongs to; folds and intervals never split a group.
    card
        Provenance of the pairs: source, licence, path of the table.
    """

    ids: np.ndarray
    source_items: Items
    target_items: Items
    groups: np.ndarray | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids))
        if self.groups is not None:  # one each, none missing
            object.__setattr__(self, "groups", checked_groups(self.groups, len(self.ids)))
        n = len(self.ids)
        sizes = {"source items": len(self.source_items), "target items": len(self.target_items)}
        for what, size in sizes.items():
            if size != n:
                raise DataError(f"the anchor set has {n} ids and {size} {what}. Give one of each per anchor.")

    def __repr__(self) -> str:
        groups = "" if self.groups is None else f" of {counted(len(np.unique(self.groups)), 'group')}"
        sides = f"{self.source_items.modality} -> {self.target_items.modality}"
        return f"AnchorSet({counted(len(self), 'pair')}{groups}, {sides})"

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> AnchorSet:
        """The anchors at positions ``rows`` (k,)."""
        groups = None if self.groups is None else self.groups[rows]
        return AnchorSet(self.ids[rows], self.source_items.take(rows), self.target_items.take(rows), groups, self.card)

    def items_of(self, modality: str) -> Items | None:
        """The items of the side that holds this modality, source before target; None if neither side does.

        Examples
        --------
        >>> scans, texts = Items(["1"], ["a.png"], "image"), Items(["1"], ["clear lungs"], "text")
        >>> AnchorSet(["1"], scans, texts).items_of("text").values
        ['clear lungs']
        """
        return next((one for one in (self.source_items, self.target_items) if one.modality == modality), None)
