"""A fused head as one self-contained HTML page: inputs, calibrations of each subset, and how it does without some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stitchkit.core.calibrations import SoftmaxCalibration
from stitchkit.core.fused_heads import FusedHead, SubsetDecisions
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.reports.evaluation_page import Section, write_evaluation

HELD = (
    "Judged on patients who were not trained on, by what the network states before calibration, since calibrations "
    "were fitted on the same patients: the order of items is what counts here. Rows 'alone' show what is left if every "
    "item has this input alone."
)


def write_fusion(
    head: FusedHead, evaluation: Evaluation, notes: Sequence[str], folder: Path, *, title: str, command: str = ""
) -> Path:
    """Write ``report.html`` and ``evaluation.json`` into ``folder``; the page's path comes back.

    Parameters
    ----------
    evaluation
        Evaluation of the patients held out, by scores before calibration.
    notes
        Notes of the fit.
    """
    sections = [_inputs(head), _patterns(head), _subsets(head)]
    return write_evaluation(
        evaluation, folder, title=title, command=command, sections=sections, lead=HELD, further_notes=notes
    )


def _inputs(head: FusedHead) -> Section:
    rows = [(one.name, one.reader if one.table is not None else f"{one.reader}, {one.space.dim} wide")
            for one in head.modalities]  # fmt: skip
    return Section("Inputs, any of which an item may lack", ("modality", "read by"), rows)


def _patterns(head: FusedHead) -> Section:
    counts = head.record.get("masks", {})
    return Section("What the training rows had", ("modalities", "rows"), [(one, f"{n:,}") for one, n in counts.items()])


def _subsets(head: FusedHead) -> Section:
    rows = [(_words(one), f"{one.patients:,}", f"{one.items:,}", _calibration(one)) for one in head.decisions]
    return Section(
        "Calibration of each subset", ("what an item has", "patients held out", "items", "probabilities by"), rows
    )


def _words(one: SubsetDecisions) -> str:
    return " and ".join(one.present) or "all items, each with what it has"


def _calibration(one: SubsetDecisions) -> str:
    if one.borrowed:
        return "the calibration of all items, since these are too few"
    if one.calibration is None:
        return "the network itself"
    if isinstance(one.calibration, SoftmaxCalibration):
        return f"its own temperature, {one.calibration.temperature:.2f}"
    return f"its own {one.calibration.method} of {counted(len(one.calibration.classes), 'class', 'classes')}"
