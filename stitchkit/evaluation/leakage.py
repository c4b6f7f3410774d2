"""The leakage audit: the same item or patient on both sides of an evaluation."""

from __future__ import annotations

import numpy as np

from stitchkit.core.errors import LeakageError
from stitchkit.core.items import Items
from stitchkit.datasets.content_keys import content_key


def audit(
    anchor_ids: np.ndarray,
    test_ids: np.ndarray,
    anchor_groups: np.ndarray | None,
    test_groups: np.ndarray | None,
    *,
    allow: bool = False,
) -> list[str]:
    """What the audit found, in words.

    Parameters
    ----------
    anchor_ids : (n,), test_ids : (m,)
    anchor_groups : (n,) or None, test_groups : (m,) or None
        Patients; None means that they are not known.
    allow
        Report leakage instead of refusing it.

    Raises
    ------
    LeakageError
        If an item or a patient stands on both sides and ``allow`` is not set.
    """
    found = []
    items = np.intersect1d(anchor_ids, test_ids)
    if items.size:
        found.append(f"{items.size} items are both anchors and test items")
    if anchor_groups is None or test_groups is None:
        unknown = "patients are not known, so overlap of patients between anchors and test was not checked"
        notes = [unknown]
    else:
        patients = np.intersect1d(np.asarray(anchor_groups).astype(str), np.asarray(test_groups).astype(str))
        notes = [] if patients.size else ["no patient id stands on both sides"]
        if patients.size:
            found.append(f"{patients.size} patients have both anchors and test items")
    if found and not allow:
        raise LeakageError(f"{'; '.join(found)}. Take them out of the anchors, or allow leakage and say so.")
    return [*(f"LEAKAGE: {one}" for one in found), *notes]


def same_files(anchors: Items, test: Items, *, allow: bool = False) -> list[str]:
    """What is found of test items that are, byte for byte, anchor items under other ids.

    Raises
    ------
    LeakageError
        If there is one and ``allow`` is not set.
    """
    if anchors.modality != test.modality:
        return []
    known = {content_key(value, anchors.modality) for value in anchors.values}
    count = sum(content_key(value, test.modality) in known for value in test.values)
    if not count:
        return []
    found = f"{count} test items are anchors' own files under other ids"
    if not allow:
        raise LeakageError(f"{found}. Take them out of the anchors, or allow leakage and say so.")
    return [f"LEAKAGE: {found}"]
