"""The metadata-only baseline: what file size, picture size and named columns say without looking at the picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.keys import category, is_missing
from stitchkit.core.number_cells import category_name
from stitchkit.core.scores import Labels, Scores
from stitchkit.datasets.images import image_metadata
from stitchkit.evaluation.scores.probe import fit_probe

MOST_LEVELS = 100  # of a column of words; the rarer ones count as none of them
CODES = 20  # a numeric column with no more values than this is read as codes as well


def file_columns(items: Items) -> dict[str, np.ndarray]:
    """File size, width, height and bit depth (n,) of image files; nothing for items that are not files."""
    if items.modality != "image" or not all(isinstance(value, str | Path) for value in items.values):
        return {}
    facts = [image_metadata(value) for value in items.values]
    return {name: np.asarray([fact[name] for fact in facts], dtype=np.float64) for name in facts[0]}


def metadata_scores(
    anchors: Labels,
    test: Labels,
    columns: Sequence[str],
    files: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> tuple[Scores, tuple[str, ...]] | None:
    """Scores of the test items from metadata alone, fitted on the anchors, and the columns used; None without any.

    Parameters
    ----------
    columns
        Names among ``anchors.columns``.
    files
        :func:`file_columns` of anchors and test.
    """
    for name in columns:
        if name not in anchors.columns:
            raise UnknownNameError.of("metadata column", name, anchors.columns, "Read it with the labels.")
    left = {**files[0], **{name: anchors.columns[name] for name in columns}}
    right = {**files[1], **{name: test.columns[name] for name in columns}}
    shared = [name for name in left if name in right and _varies(left[name])]
    if not shared:
        return None
    encoded = [_encode(left[name], right[name]) for name in shared]
    x, held = (np.concatenate([pair[side] for pair in encoded], axis=1) for side in (0, 1))
    # a constant column keeps every row non-zero; standardising turns it into nothing
    x, held = (np.concatenate([part, np.ones((len(part), 1))], axis=1) for part in (x, held))
    scores = fit_probe(x, anchors).scores(held)
    return Scores(scores.values, "logit", test.ids, test.classes), tuple(shared)


def _varies(values: np.ndarray) -> bool:
    return len(set(_categories(values))) > 1


def _categories(values: np.ndarray) -> list[str]:
    """Each cell (n,) as a category; blanks, NaN and words for unknown are one."""
    cells = [value if isinstance(value, float) else str(value) for value in np.asarray(values).tolist()]
    # two tables of which one has a word among its numbers still name one thing alike
    names = {cell: category(category_name(cell)) for cell in set(cells)}
    return [names[cell] for cell in cells]


def _encode(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One column as numbers (n, k): itself with a missing flag if numeric, else one column a level."""
    left, right = _numbers(train), _numbers(test)
    if 2 * np.isfinite(left).sum() > _known_count(train):  # a word among numbers is a missing number
        fill = float(np.nanmedian(left)) if not np.isnan(left).all() else 0.0
        a, b = (np.stack([np.where(np.isnan(v), fill, v), np.isnan(v)], axis=1) for v in (left, right))
        if len(set(_categories(train))) > CODES:
            return a.astype(np.float64), b.astype(np.float64)
        codes = _levels(train, test)  # few numbers may be codes of a site or a scanner
        return np.concatenate([a, codes[0]], axis=1), np.concatenate([b, codes[1]], axis=1)
    return _levels(train, test)


def _levels(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One column (n, k) for each of the commonest values of the training side, of which missing is one."""
    cells, others = _categories(train), _categories(test)
    common = [level for level, _ in Counter(cells).most_common(MOST_LEVELS)]
    a, b = (np.asarray([[cell == level for level in common] for cell in part]) for part in (cells, others))
    return a.astype(np.float64), b.astype(np.float64)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Cells as numbers (n,), NaN where they are blank or words."""

    def number(value: Any) -> float:
        try:
            parsed = float(str(value).strip())
        except ValueError:
            return float("nan")
        return parsed if math.isfinite(parsed) else float("nan")

    return np.asarray([number(value) for value in values.tolist()])


def _known_count(values: np.ndarray) -> int:
    return sum(not is_missing(value) for value in values.tolist())
