"""Test items against labels and anchors, by ids and patients alone: the check before anything is embedded."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.scores import Labels
from stitchkit.evaluation.leakage import audit
from stitchkit.evaluation.scores.item_matching import labels_of_items


def patients_of_test(
    labels: Labels, ids: Any, anchors: AnchorSet | None = None, *, allow_leakage: bool = False
) -> np.ndarray | None:
    """The patients (n,) of test items, or None where they are not known.

    :func:`stitchkit.evaluate` checks the same; this needs neither scores nor images, so it comes before the work.

    Parameters
    ----------
    labels
        Labels of the test items at least, matched by id, else by file name.
    ids : (n,)
        Test items.
    anchors
        Anchors that the scores come from: none of their items and patients may be among the test.
    allow_leakage
        Accept items and patients on both sides.

    Raises
    ------
    DataError
        If an item has no label.
    LeakageError
        If an item or a patient is on both sides and ``allow_leakage`` is not set.

    Examples
    --------
    >>> labels = Labels(np.eye(2), ["a", "b"], ("Edema", "Mass"), groups=["p1", "p2"])
    >>> patients_of_test(labels, ["b"]).tolist()
    ['p2']
    """
    wanted = np.asarray(ids, dtype=np.str_)
    apart = () if anchors is None else anchors.ids.tolist()
    test = labels_of_items(labels, wanted, apart, allow=allow_leakage).labels.of_ids(wanted)
    if anchors is not None:
        audit(anchors.ids, wanted, anchors.groups, test.groups, allow=allow_leakage)
    return test.groups
