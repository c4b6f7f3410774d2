"""The page of a study: its rows as tables, curves and words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.patients import patients_in_words
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.evaluate import METADATA, PROBE
from stitchkit.evaluation.scores.naive import NAIVE
from stitchkit.evaluation.scores.results import AUROC
from stitchkit.metrics.bootstrap import Interval
from stitchkit.reports.figures import thumbnail
from stitchkit.reports.study_figures import Curve
from stitchkit.reports.study_page import PageRow, StudyPage, markdown, write_study
from stitchkit.runtime.threads import one_blas_thread
from stitchkit.studies.jobs.study_jobs import TableAxes
from stitchkit.studies.judges import MAP, RECALL, ObjectiveJudge
from stitchkit.studies.main_row_detail import MainRowDetail, main_row_detail
from stitchkit.studies.methods import CLIP, OWN, RELATIVE
from stitchkit.studies.plans import FUSION, OBJECTIVES, PAPER, TRAINED, ClassJudgePlan
from stitchkit.studies.results import Finding, StudyRow, StudySummary, in_print
from stitchkit.studies.running import StudyRun
from stitchkit.studies.summaries import summarise

KINDS = {
    "stitching": "Stitching: a source encoder drives a head of the target",
    "zeroshot": "Zero-shot: classes named by text",
    "retrieval": "Retrieval: of each item the partner in the other space",
    "fusion": "Fusion: items and a table, with everything and with each alone, beside other ways to do without",
    "training": "Training: of each item the caption, by encoders trained from several recipes",
    "objectives": "Objectives: of each item the caption, by encoders trained with several losses under one setup",
}
MEANING = {
    AUROC: "Macro AUROC: the mean over classes of the chance that an item with the class scores above one without it.",
    RECALL: "R@1: the share of items whose own partner is the nearest in the other space; the mean of both ways.",
    MAP: "mAP: the mean over queries of the average precision, of items among distinct captions and of captions among "
    "items; the mean of both ways.",
}
DESCRIPTIONS = {
    OWN: "the target encoder itself with its head: the ceiling of a stitch",
    NAIVE: "source vectors cut or filled to the head's width, no map",
    RELATIVE: "cosines to the anchors on both sides, a probe fitted on the target's",
    PROBE: "logistic regression on the source vectors, tuned on the same anchors' labels",
    METADATA: "what files and columns say, without looking at the picture",
    "auto": "map chosen on the anchors by cross-validation",
}


@one_blas_thread()
def write_page(
    run: StudyRun, folder: str | Path, *, command: str = "", text: str = "", progress: bool | None = None
) -> StudySummary:
    """Summarise a study that ran and write its page, numbers and table; ``text`` is that of the study file."""
    summary = summarise(run, progress=progress)
    main = _main_row(summary, run.axes)
    detail = main_row_detail(run, main)
    page = _page(summary, run, main, detail, command, text)
    write_study(page, {**summary.to_dict(), "close_up": detail.to_dict()}, markdown(page), folder)
    return summary


def _main_row(summary: StudySummary, axes: TableAxes) -> StudyRow:
    """The main solver of the first pair at the most anchors, or what there is of maps."""
    maps = [one for one in summary.rows if not one.is_baseline and one.anchors != 0 and one.method != RELATIVE]
    if not maps:
        raise DataError(f"no map of the study could be worked out. {next(iter(summary.failed.values()), '')}")
    return next((one for one in maps if one.method == axes.main and one.anchors == axes.counts[-1]), maps[-1])


def _page(
    summary: StudySummary, run: StudyRun, main: StudyRow, detail: MainRowDetail, command: str, text: str
) -> StudyPage:
    """Content of the page of a study."""
    axes, judging = run.axes, run.plan.judge
    sensitivity = judging.sensitivity if isinstance(judging, ClassJudgePlan) else None
    last = axes.counts[-1]
    pairs = [(source, target) for target in axes.targets for source in axes.sources]
    people = patients_in_words(summary.patients)
    anchors = _count(summary, main.anchors)
    chances = _chances(summary, run)
    judged = f"{counted(len(main.classes), 'class', 'classes')} judged; " if summary.measure == AUROC else ""
    return StudyPage(
        title=summary.name,
        kind=KINDS[summary.kind],
        subject=f"{counted(summary.n, 'item')} of {people}; {judged}up to {anchors:,} {axes.unit}",
        cards=_cards(summary, main, axes),
        tables={summary.title(*pair): _table(summary, pair, last, main) for pair in pairs},
        curves={
            called: _curves(summary, pair, main.method, chances.get(called))
            for pair, called in ((pair, summary.title(*pair)) for pair in pairs)
            if len(axes.counts) > 1
        },
        classes=(
            f"{summary.title(main.source, main.target)}, {main.method}, {anchors:,} {axes.unit}.",
            list(main.classes.items()),
        ),
        findings=_findings(summary),
        finding_headings=_finding_headings(summary),
        notes=_notes(summary),
        plan=text,
        command=command,
        hashes={"study file sha256": hashlib.sha256(text.encode()).hexdigest()} if text else {},
        measure=summary.measured,
        explanation=MEANING[summary.measure],
        chances=chances,
        each="Class by class" if summary.measure == AUROC else "Each way",
        counted=axes.unit,
        **_repeats(summary),
        near=_near(run, main),
        fold=run.folds is not None,
        judged=detail.judged,
        scale=detail.scale,
        rule=f"that find {100 * sensitivity:g} % of the positives" if sensitivity else "by Youden's index",
        spectrum=detail.spectrum,
        pictures={
            label: {
                which: [(thumbnail(run.items.values[one.at]), one.id, one.score) for one in shown]
                for which, shown in rows.items()
            }
            for label, rows in detail.images.items()
        },
    )


def _repeats(summary: StudySummary) -> dict[str, str]:
    """Words for what is repeated and what is resampled; patients alone where nothing was drawn twice."""
    if not any(len(row.draws) > 1 for row in summary.rows):
        return {"repeated": "", "over": "patients"}
    if summary.kind == FUSION:
        return {"repeated": "seeds", "over": "patients"}
    return {"repeated": "runs", "over": "patients and runs"} if summary.kind in TRAINED else {}


def _near(run: StudyRun, main: StudyRow) -> str:
    """The draw and folds of the main row that the detail shows, in words."""
    draw = "" if len(main.draws) < 2 else f", first of {len(main.draws)} draws of anchors"
    return draw + ("" if run.folds is None else "; scores of each fold standardised")


def _chances(summary: StudySummary, run: StudyRun) -> dict[str, float]:
    """The highest R@1 of shuffled pairs for each pair of encoders, the mean of both ways; nothing of other measures."""
    records = [(summary.title(cell.source, cell.target), run.log[key]["record"]) for cell, key in run.cells]
    chances: dict[str, float] = {}
    key = "recall_chance" if isinstance(run.judge, ObjectiveJudge) and run.judge.main == RECALL else "shuffled_chance"
    for pair, record in records:
        if key in record:
            chances[pair] = max(chances.get(pair, 0.0), float(np.mean(record[key])))
    return chances


def _cards(summary: StudySummary, main: StudyRow, axes: TableAxes) -> tuple[tuple[float, str], ...]:
    cards = [(main.macro.value, f"{main.method}: {summary.title(main.source, main.target)}")]
    for name, description in (
        (OWN, "the target's own head"),
        (PROBE, "probe on the same anchors"),
        (METADATA, "metadata alone"),
        *((arm, f"{arm}, as many pairs") for arm in axes.methods if summary.kind in TRAINED and arm != main.method),
    ):
        rows = [row for row in summary.rows if row.method == name and _beside(row, main)]
        cards += [(row.macro.value, description) for row in rows[:1]]
    return tuple(cards)


def _beside(row: StudyRow, main: StudyRow) -> bool:
    """True if a baseline's row is the one that the main row is compared with."""
    count = row.anchors in (main.anchors, 0)
    return count and row.source in ("", main.source) and row.target in ("", main.target)


def _table(summary: StudySummary, pair: tuple[str, str], anchors: int | None, main: StudyRow) -> list[PageRow]:
    """Rows of one source and target at the most anchors, best first within solvers and baselines; all of a training."""
    source, target = pair
    if summary.kind in TRAINED:
        return [
            _page_row(row, f"{row.method}, {counted(row.anchors or 0, 'pair')}", row == main) for row in summary.rows
        ]
    rows = [
        row for row in summary.rows
        if row.anchors in (anchors, 0) and row.source in ("", source) and row.target in ("", target)
    ]  # fmt: skip
    maps = sorted((row for row in rows if not row.is_baseline), key=lambda row: -row.macro.value)
    rest = sorted((row for row in rows if row.is_baseline), key=lambda row: -row.macro.value)
    return [_page_row(row, row.method, row.method == main.method) for row in (*maps, *rest)]


def _page_row(row: StudyRow, name: str, main: bool) -> PageRow:
    description = "" if name != row.method else _description(row.method)
    return PageRow(
        name, description, row.macro, {other: gap.value for other, gap in row.gaps.items()}, main, dict(row.measures)
    )


def _curves(
    summary: StudySummary, pair: tuple[str, str], main: str, chance: float | None
) -> tuple[list[Curve], list[tuple[str, float]]]:
    source, target = pair
    lines: dict[str, list[StudyRow]] = {}
    levels = [] if chance is None else [("chance", chance)]
    # the main row and the probe, which are compared, come first
    for row in sorted(summary.rows, key=lambda one: (one.method != main, one.method != PROBE)):
        mine = (row.source, row.target) in (pair, (source, ""))
        if mine and row.anchors != 0:
            lines.setdefault(row.method, []).append(row)
        elif row.anchors == 0 and row.target == target and row.source in ("", source):
            levels.append((row.method, row.macro.value))
    return [
        Curve(
            name,
            tuple(_count(summary, row.anchors) for row in rows),
            tuple(row.macro for row in rows),
            tuple(row.draws for row in rows),
            name in (main, PROBE) or summary.kind in TRAINED,
        )
        for name, rows in lines.items()
    ], levels


def _findings(summary: StudySummary) -> tuple[str, list[tuple[str, str, Interval, Interval, float]]]:
    if summary.kind == OBJECTIVES:
        return _objectives(summary)
    note = (
        ""
        if not summary.findings
        else f"Difference: minus {summary.findings[0].baseline}; p-values are adjusted over the classes."
    )
    return note, [(one.label, _positives(one), one.value, one.gap, one.p) for one in summary.findings]


def _finding_headings(summary: StudySummary) -> tuple[str, str, str]:
    """Headings of the findings."""
    if summary.kind == OBJECTIVES:
        return ("objective", "detectable", summary.measured)
    return ("class", "positives", "AUROC")


def _objectives(summary: StudySummary) -> tuple[str, list[tuple[str, str, Interval, Interval, float]]]:
    """Each objective beside the first."""
    note = (
        f"Difference: minus {summary.findings[0].baseline}, over the same patients and seeds; p-values are adjusted "
        f"over the objectives. Detectable: the difference that such a comparison shows with a power of 80 %."
        if summary.findings
        else ""
    )
    return note, [(one.label, in_print(one.detectable), one.value, one.gap, one.p) for one in summary.findings]


def _positives(finding: Finding) -> str:
    """The number of positives, with that of their patients where these are known."""
    people = "" if finding.patients is None else f" of {counted(finding.patients, 'patient')}"
    return f"{finding.positives:,}{people}"


def _notes(summary: StudySummary) -> tuple[str, ...]:
    left = [f"not judged: {label}, {why}" for label, why in summary.not_judged.items()]
    failed = [f"not worked out: {cell}: {why}" for cell, why in summary.failed.items()]
    return (*summary.notes, *left, *failed)


def _count(summary: StudySummary, anchors: int | None) -> int:
    return int(summary.settings["all_anchors"]) if anchors is None else anchors


def _description(method: str) -> str:
    if method.startswith(CLIP):
        return "image and text encoder of one checkpoint, as they are"
    if method.startswith(PAPER):
        return "published map, to the letter"
    return DESCRIPTIONS.get(method, "map of this family, its strength chosen on the anchors")
