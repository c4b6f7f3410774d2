"""An evaluation as one self-contained HTML page: the honest table, classes, calibration curve, decisions, findings."""

from __future__ import annotations

from pathlib import Path

from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.results import AUROC, Evaluation, measure_name
from stitchkit.reports.figures import forest, reliability_figure
from stitchkit.reports.pages import LOUD, package_versions, page_folder, strict_json, template
from stitchkit.storage.atomic_writes import write_text

PAGE, NUMBERS = "report.html", "evaluation.json"


def write_evaluation(
    evaluation: Evaluation, folder: str | Path, *, title: str = "Evaluation", command: str = ""
) -> Path:
    """Write ``report.html`` and ``evaluation.json`` into ``folder``, each in one step; the page's path comes back.

    Parameters
    ----------
    found
        Result of :func:`stitchkit.evaluate`.
    folder
        Made if need be; only the two files are written.
    title, command
        On the page: what was judged, and how it was started.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = page_folder(folder, "evaluation")
    notes = list(dict.fromkeys(evaluation.notes))
    text = template("evaluation.html.j2").render(
        found=evaluation,
        title=title,
        command=command,
        further=[name for name in evaluation.main.measures if name != AUROC],
        called=measure_name,
        counted=counted,
        loud=[note for note in notes if note.startswith(LOUD)],
        quiet=[note for note in notes if not note.startswith(LOUD)],
        figures={
            "methods": forest([(one.name, one.macro) for one in evaluation.methods], label="macro AUROC"),
            "classes": forest(list(evaluation.main.classes.items()), label="AUROC", marked=None),
            "reliability": reliability_figure(evaluation.reliability) if evaluation.reliability else None,
        },
        versions=package_versions(),
        numbers_file=NUMBERS,
    )
    plain = strict_json({**evaluation.to_dict(), "command": command})
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / NUMBERS, plain + "\n")
    write_text(folder / PAGE, text)
    return folder / PAGE
