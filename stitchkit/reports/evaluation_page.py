"""An evaluation as one self-contained HTML page: the honest table, classes, calibration curve, decisions, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stitchkit.core.errors import InputError
from stitchkit.evaluation.results import AUROC, Evaluation, measure_name
from stitchkit.metrics.reliability import Bin
from stitchkit.reports.figures import COLOURS, FAINT, GRID, as_svg, canvas, forest
from stitchkit.reports.pages import LOUD, package_versions, strict_json, template
from stitchkit.store import replace_file

PAGE, NUMBERS = "report.html", "evaluation.json"
DECIDED = ("sensitivity", "specificity", "ppv", "npv", "f1")


def write_evaluation(found: Evaluation, folder: str | Path, *, title: str = "Evaluation", command: str = "") -> Path:
    """Write ``report.html`` and ``evaluation.json`` into ``folder``, each in one step; the page's path comes back.

    Parameters
    ----------
    found
        Of :func:`stitchkit.evaluate`.
    folder
        Made if need be; only the two files are written.
    title, command
        On the page: what was judged, and how it was started.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; the evaluation needs a folder for its page. Name a folder.")
    text = template("evaluation.html.j2").render(
        found=found,
        title=title,
        command=command,
        further=[name for name in found.main.measures if name != AUROC],
        decided=DECIDED,
        called=measure_name,
        loud=[note for note in found.notes if note.startswith(LOUD)],
        quiet=[note for note in found.notes if not note.startswith(LOUD)],
        figures={
            "methods": forest([(one.name, one.macro) for one in found.methods], label="macro AUROC"),
            "classes": forest(list(found.main.classes.items()), label="AUROC", first=99),
            "reliability": reliability_figure(found.reliability) if found.reliability else None,
        },
        versions=package_versions(),
        numbers_file=NUMBERS,
    )
    plain = strict_json({**found.to_dict(), "command": command})
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / NUMBERS, (plain + "\n").encode())
    replace_file(folder / PAGE, text.encode())
    return folder / PAGE


def reliability_figure(curves: Mapping[str, Sequence[Bin]]) -> str:
    """Share of positives against the probability that was said, a line a class; the diagonal is perfect."""
    figure, axes = canvas(4.4)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (3, 3)))
    for i, (label, bins) in enumerate(curves.items()):
        style = "-" if i < len(COLOURS) else (0, (4, 1.5))
        said, seen = [one.said for one in bins], [one.seen for one in bins]
        axes.plot(said, seen, marker="o", ls=style, ms=3.5, lw=1.6, color=COLOURS[i % len(COLOURS)], label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("probability said")
    axes.set_ylabel("share seen")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return as_svg(figure)
