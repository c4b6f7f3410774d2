"""Sets of questions about images: an item a question, with its image, its text and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stitchkit.core.keys import is_missing
from stitchkit.datasets.layouts.assembling import Part
from stitchkit.datasets.layouts.published import Rows

LABELS = "none; the answer stands in the column 'answer'"
PATIENTS = "none are published; the image stands for one"
CLOSED = frozenset(["yes", "no"])


def with_question(rows: Rows) -> Rows:
    """The rows that have a question and an answer; the others are counted."""
    rows = rows.where([not is_missing(cell) for cell in rows.column("question")], "empty question")
    return rows.where([cell != "" for cell in rows.column("answer")], "empty answer")  # the answer may be 'none'


def question_part(
    rows: Rows, ids: Sequence[str] | np.ndarray, images: Sequence[Any], groups: Sequence[str], split: np.ndarray,
    columns: Sequence[str] = (),
) -> Part:  # fmt: skip
    """The n questions of one table, without classes.

    Parameters
    ----------
    rows
        With columns ``question`` and ``answer``.
    images
        The image of each question.
    groups
        The image of each question by name, so that its questions stay together.
    split : (n,) str
    columns
        Further metadata of the table.
    """
    metadata = {name: np.asarray(rows.column(name), dtype=np.str_) for name in ("answer", *columns)}
    if "answer_type" not in metadata:
        closed = [answer.lower() in CLOSED for answer in rows.column("answer")]
        metadata["answer_type"] = np.where(closed, "CLOSED", "OPEN")
    values = np.empty((len(rows), 0))
    return Part(ids, images, values, rows.left_out, groups, metadata, rows.column("question"), split)
