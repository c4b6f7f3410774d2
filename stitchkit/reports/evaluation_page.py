"""An evaluation as one self-contained HTML page: what was judged, baselines, classes, decisions, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stitchkit.core.scores import plural
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.results import AUROC, Evaluation, measure_name
from stitchkit.reports.figures import forest, reliability_figures
from stitchkit.reports.pages import LOUD, package_versions, page_folder, strict_json, template, wrapped_command
from stitchkit.storage.atomic_writes import write_text

PAGE, NUMBERS = "report.html", "evaluation.json"


@dataclass(frozen=True, slots=True)
class Section:
    """A further table of a page: heading, columns, and rows of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_evaluation(
    evaluation: Evaluation,
    folder: str | Path,
    *,
    title: str = "",
    command: str = "",
    sections: Sequence[Section] = (),
    lead: str = "",
    further_notes: Sequence[str] = (),
) -> Path:
    """Write ``report.html`` and ``evaluation.json`` into ``folder``, each in one step; the page's path comes back.

    Parameters
    ----------
    evaluation
        Result of :func:`stitchkit.evaluate`. The page tells of which encoders, map and anchors the scores are if its
        ``provenance`` does.
    folder
        Made if need be; only the two files are written.
    title
        Heading of the page; without one it names the encoders, if they are known.
    command
        Command line that judged the scores.
    sections
        Further tables, after what was judged; default none.
    lead
        Text above the first table; default none.
    further_notes
        Notes beside those of the evaluation; default none.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = page_folder(folder, "evaluation")
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    notes = list(dict.fromkeys([*evaluation.notes, *further_notes]))
    text = template("evaluation.html.j2").render(
        found=evaluation,
        title=title or _title(evaluation),
        facts=list(_facts(evaluation, date)),
        command=wrapped_command(command),
        sections=sections,
        lead=lead,
        further=[name for name in evaluation.main.measures if name != AUROC],
        called=measure_name,
        counted=counted,
        loud=[note for note in notes if note.startswith(LOUD)],
        quiet=[note for note in notes if not note.startswith(LOUD)],
        figures={
            "methods": forest([(one.name, one.macro) for one in evaluation.methods], label="macro AUROC"),
            "classes": forest(list(evaluation.main.classes.items()), label="AUROC", marked=None),
            "reliability": reliability_figures(evaluation.reliability) if evaluation.reliability else None,
        },
        versions=package_versions(),
        numbers_file=NUMBERS,
    )
    plain = strict_json({**evaluation.to_dict(), "date": date, "command": command})
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / NUMBERS, plain + "\n")
    write_text(folder / PAGE, text)
    return folder / PAGE


def _title(evaluation: Evaluation) -> str:
    """The encoders whose scores were judged, as far as they are known."""
    known = evaluation.provenance
    names = [] if known is None else [name for name in (known.source, known.target) if name]
    return "Evaluation" + (f" of {' to '.join(names)}" if names else "")


def _facts(evaluation: Evaluation, date: str) -> Iterator[tuple[str, str]]:
    """Names and values of what was judged: the origin of the scores, their items and classes, and the day."""
    known = evaluation.provenance
    if known is None or not (facts := list(known.facts())):
        yield "Origin of the scores", (known and known.remark) or "not recorded"
    else:
        yield from facts
    yield "Kind of the scores", plural(evaluation.kind)
    patients = "patients not known" if evaluation.patients is None else counted(evaluation.patients, "patient")
    yield "Items", f"{counted(evaluation.n, 'item')}, {patients}"
    out = f", {len(evaluation.not_judged)} not judged" if evaluation.not_judged else ""
    yield "Classes", f"{counted(len(evaluation.main.classes), 'class', 'classes')} judged{out}"
    if evaluation.anchors is not None:
        yield "Anchors kept apart", counted(evaluation.anchors, "anchor")
    yield "Evaluated on", date
