"""A study as one self-contained HTML page, with its numbers as JSON and its table as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stitchkit.evaluation.diagnosis.spectra import Spectrum
from stitchkit.evaluation.scores.cross_fitting import CrossFitted
from stitchkit.evaluation.scores.results import measure_name
from stitchkit.metrics.bootstrap import Interval
from stitchkit.reports.diagnosis_figures import spectrum_figure
from stitchkit.reports.figures import forest, reliability_figures
from stitchkit.reports.pages import LOUD, package_versions, strict_json, template, wrapped_command
from stitchkit.reports.study_figures import Curve, learning_figure
from stitchkit.storage.atomic_writes import write_text

PAGE, NUMBERS, TABLE = "report.html", "results.json", "table.md"


@dataclass(frozen=True, slots=True)
class PageRow:
    """One row of a page's table."""

    name: str
    description: str
    value: Interval
    gaps: dict[str, Interval]
    main: bool = False
    measures: dict[str, Interval] = field(default_factory=dict)  # further ones


@dataclass(frozen=True, slots=True)
class StudyPage:
    """Content of the page.

    Parameters
    ----------
    title, kind
        Name of the study, and its kind in words.
    subject
        Items, patients, classes, in words.
    cards
        Number and its name, the main one first.
    tables
        Heading -> rows at the most anchors, with the baselines' names that differences are given to.
    curves
        Heading -> curves and levels.
    classes
        Heading, and each class with its interval.
    findings
        Class, positives, interval, difference and adjusted p, as they are printed.
    finding_headings
        Headings of the first three columns of the findings.
    notes
        In words; those that begin with LEAKAGE or SHORTCUT are shown first.
    hashes
        Name and hash of each input, under the versions.
    measure, explanation, each
        The measure that rows are compared by, a sentence on it, and the heading of ``classes``.
    chances
        Heading -> the measure by chance, where that is not the one half of an AUROC.
    counted, repeated, over
        Names of the things that methods get more or fewer of, of the small dots (empty where there are none), and of
        the units that intervals are over.
    near
        Draw and scale of the detail, in words.
    fold
        True if the map is one of several folds'.
    judged, scale, rule
        The main row as probabilities and decisions, the scale of thresholds, and the rule that chooses them.
    spectrum
        Spectrum of the main row's map.
    pictures
        Class -> which -> address, caption and score of each image.
    """

    title: str
    kind: str
    subject: str
    cards: tuple[tuple[float, str], ...]
    tables: dict[str, list[PageRow]]
    curves: dict[str, tuple[list[Curve], list[tuple[str, float]]]]
    classes: tuple[str, list[tuple[str, Interval]]]
    findings: tuple[str, list[tuple[str, str, Interval, Interval, float]]]
    notes: tuple[str, ...]
    plan: str
    command: str
    hashes: Mapping[str, str]
    measure: str = "macro AUROC"
    explanation: str = ""
    finding_headings: tuple[str, str, str] = ("class", "positives", "AUROC")
    chances: Mapping[str, float] = field(default_factory=dict)
    each: str = "Class by class"
    counted: str = "anchors"
    repeated: str = "draws of anchors"
    over: str = "patients, draws of anchors averaged for each"
    near: str = ""
    fold: bool = False
    judged: CrossFitted | None = None
    scale: str = ""
    rule: str = ""
    spectrum: Spectrum | None = None
    pictures: Mapping[str, Mapping[str, Sequence[tuple[str, str, float]]]] = field(default_factory=dict)


def write_study(page: StudyPage, numbers: Mapping[str, Any], table: str, folder: str | Path) -> Path:
    """Write ``report.html``, ``results.json`` and ``table.md`` into ``folder``; the page's path comes back."""
    label, chances = page.measure, page.chances
    known = 0.5 if page.measure == "macro AUROC" else None  # of other measures chance is counted, or not known
    curves = page.judged.reliability if page.judged else None
    notes = list(dict.fromkeys(page.notes))
    text = template("study.html.j2").render(
        page=page,
        loud=[note for note in notes if note.startswith(LOUD)],
        quiet=[note for note in notes if not note.startswith(LOUD)],
        figures={
            "methods": {
                name: forest(
                    [(one.name, one.value) for one in rows],
                    label=label,
                    chance=chances.get(name, known),
                    marked=_main(rows),
                )
                for name, rows in page.tables.items()
            },
            "curves": {
                name: learning_figure(*lines, label=label, counted=page.counted) for name, lines in page.curves.items()
            },
            "classes": forest(
                page.classes[1],
                label=label.removeprefix("macro "),
                chance=next(iter(chances.values()), known),
                marked=None,
            ),
            "reliability": reliability_figures(curves) if curves else None,
            "spectrum": spectrum_figure(page.spectrum) if page.spectrum else None,
        },
        called=measure_name,
        command=wrapped_command(page.command),
        versions=package_versions(),
        numbers_file=NUMBERS,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**numbers, "command": page.command, "versions": package_versions(), "marks": dict(page.hashes)}
    plain = strict_json(whole)
    write_text(folder / NUMBERS, plain + "\n")
    write_text(folder / TABLE, table + "\n")
    write_text(folder / PAGE, text)
    return folder / PAGE


def _main(rows: Sequence[PageRow]) -> list[int]:
    return [i for i, row in enumerate(rows) if row.main]


def markdown(page: StudyPage) -> str:
    """The page's tables and notes as Markdown."""
    lines = [f"# {page.title}", "", page.subject]
    for heading, rows in page.tables.items():
        others = list(dict.fromkeys(name for row in rows for name in row.gaps))
        more = list(dict.fromkeys(name for row in rows for name in row.measures))
        titles = ["method", page.measure, *(f"minus {name}" for name in others), *map(measure_name, more)]
        lines += ["", f"## {heading}", "", _cells(titles), _cells(["---"] * len(titles))]
        for row in rows:
            gaps = [row.gaps[name].signed if name in row.gaps else "" for name in others]
            beside = [str(row.measures[name]) if name in row.measures else "" for name in more]
            lines.append(_cells([row.name, str(row.value), *gaps, *beside]))
    note, findings = page.findings
    if findings:
        first, second, value = page.finding_headings
        titles = [first, second, value, "difference", "p (Holm)"]
        heading = page.each if first == "class" else f"Each {first} beside the first"
        lines += ["", f"## {heading}", "", note, "", _cells(titles), _cells(["---"] * len(titles))]
        for label, second_value, interval, gap, p in findings:
            lines.append(_cells([label, second_value, str(interval), gap.signed, f"{p:.3f}" if p == p else "–"]))
    lines += ["", *(f"- {note}" for note in dict.fromkeys(page.notes))]
    return "\n".join(lines)


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
