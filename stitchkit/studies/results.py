"""Results of a study, as values that print themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.evaluation.scores.results import AUROC, measure_name
from stitchkit.metrics.bootstrap import Interval
from stitchkit.studies.judges import MAP, RECALL
from stitchkit.studies.plans import OBJECTIVES, TRAINED

MEASURED = {AUROC: "macro AUROC", RECALL: "R@1, mean of both ways", MAP: "mAP, mean of both ways"}
UNINFORMATIVE = ("model", "weights", "checkpoint", "snapshot")  # last parts of a path that say nothing


@dataclass(frozen=True, slots=True)
class Gap:
    """A row minus a baseline on the same patients, and the two-sided p-value of no difference."""

    value: Interval
    p: float


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One method at one number of anchors.

    Parameters
    ----------
    anchors
        None for all there are, 0 for a method that uses none.
    draws
        ``macro`` of each draw.
    macro
        Mean over draws and judged classes (or directions), with its interval over patients.
    classes
        Value of each judged class (or direction), with its interval.
    measures
        ``"average_precision"``, macro; ``"accuracy"``, ``"balanced_accuracy"`` and ``"f1"`` of the best-scored class,
        where exactly one applies. Of retrieval ``"recall@5"``, ``"recall@10"`` and ``"mrr"``; of training
        ``"recall@1"`` and further places.
    gaps
        Baseline -> this row minus it.
    """

    source: str
    target: str
    method: str
    anchors: int | None
    draws: tuple[float, ...]
    macro: Interval
    classes: dict[str, Interval]
    measures: dict[str, Interval] = field(default_factory=dict)
    gaps: dict[str, Gap] = field(default_factory=dict)

    @property
    def is_baseline(self) -> bool:
        """True if it looks through no map."""
        return not (self.source and self.target)


@dataclass(frozen=True, slots=True)
class Finding:
    """One class at the most anchors: the first solver beside a baseline, p-values adjusted over classes (Holm).

    In a study of objectives one objective beside the first, p-values adjusted over objectives; ``positives`` are the
    judged items.

    ``patients`` are those of the positives, None where they are not known. Classes with too few patients have intervals
    without ends, and NaN for ``p``. ``detectable`` is the difference that such a comparison shows with a power of 80 %
    if it is the first of Holm's, None where that is not worked out.
    """

    label: str
    positives: int
    value: Interval
    baseline: str
    gap: Interval
    p: float
    patients: int | None = None
    detectable: float | None = None


def in_print(value: float | None) -> str:
    """A number with three decimals; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class StudySummary(NotebookText):
    """Results of a study.

    Parameters
    ----------
    rows
        Baselines first, then every solver at every number of anchors.
    findings
        Class by class, at the most anchors.
    not_judged
        Classes that were not judged, with the reason.
    failed
        Cells that could not be computed, with the reason.
    names
        Encoder -> what it is called in print.
    measure
        Measure in ``macro``, ``classes`` and ``draws`` of rows: ``"auroc"``, or of both directions ``"recall@1"`` or
        ``"mean_average_precision"``.
    """

    name: str
    kind: str
    n: int
    patients: int | None
    rows: tuple[StudyRow, ...]
    findings: tuple[Finding, ...]
    not_judged: dict[str, str]
    failed: dict[str, str]
    notes: tuple[str, ...]
    settings: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    measure: str = AUROC

    @property
    def measured(self) -> str:
        """The measure that rows are compared by, in print."""
        return MEASURED[self.measure]

    def title(self, *encoders: str) -> str:
        """Encoders as people read them, ``source to target``; two of a study never alike."""
        return " to ".join(self.names.get(one) or short(one) for one in encoders if one)

    def of(self, method: str, anchors: int | None = None) -> list[StudyRow]:
        """The rows of a method at a number of anchors."""
        return [one for one in self.rows if one.method == method and one.anchors == anchors]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        for row, one in zip(plain["rows"], self.rows, strict=True):
            row["macro"] = one.macro._asdict()
            row["measures"] = {name: value._asdict() for name, value in one.measures.items()}
            row["classes"] = {label: value._asdict() for label, value in one.classes.items()}
            row["gaps"] = {name: {**gap.value._asdict(), "p": gap.p} for name, gap in one.gaps.items()}
        for row, finding in zip(plain["findings"], self.findings, strict=True):
            row["value"], row["gap"] = finding.value._asdict(), finding.gap._asdict()
            if finding.detectable is None:
                del row["detectable"]
        return plain

    def __str__(self) -> str:
        people = patients_in_words(self.patients)
        what = (
            f"{self.measured} of {counted(len(self.rows[0].classes), 'class', 'classes')}"
            if self.measure == AUROC
            else self.measured
        )
        lines = [f"{self.name}: {what} on {counted(self.n, 'item')} ({people})"]
        others = list(dict.fromkeys(name for row in self.rows for name in row.gaps))
        titles = [
            "method",
            "source to target",
            "pairs" if self.kind in TRAINED else "anchors",
            "[95 %]" if self.measure != AUROC else "macro [95 %]",
            "draws",
            *(f"minus {name}" for name in others),
        ]
        cells = [titles, *(_cells(row, self.title(row.source, row.target), others) for row in self.rows)]
        lines += text_table(cells)
        lines += [*self._further(), *self._objective_table()]
        lines += [f"not judged: {label}, {why}" for label, why in self.not_judged.items()]
        lines += [f"not worked out: {cell}: {why}" for cell, why in self.failed.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _objective_table(self) -> list[str]:
        """Each objective minus the first, in a study of objectives."""
        if self.kind != OBJECTIVES:
            return []
        cells = [["objective", f"minus {one.baseline} [95 %]", "p (Holm)", "detectable"] for one in self.findings[:1]]
        cells += [[one.label, one.gap.signed, in_print(one.p), in_print(one.detectable)] for one in self.findings]
        return ["", *text_table(cells)] if cells else []

    def _further(self) -> list[str]:
        """The other measures, if any, of the rows at the most anchors."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.measures))
        if not names:
            return []
        last = next((row.anchors for row in reversed(self.rows) if row.anchors != 0), 0)
        most = [row for row in self.rows if row.anchors in (last, 0)]
        cells = [["beside it", "source to target", *map(measure_name, names)]]
        for row in most:
            values = [str(row.measures[name]) if name in row.measures else "" for name in names]
            cells.append([row.method, self.title(row.source, row.target), *values])
        return ["", *text_table(cells)]


def distinct_names(encoders: Sequence[str]) -> dict[str, str]:
    """Encoder -> a name to be read, short where that tells it from the others, else with folders and options."""
    brief = {name: short(name) for name in encoders}
    taken = list(brief.values())
    return {name: stem if taken.count(stem) == 1 else name.partition(":")[2] or name for name, stem in brief.items()}


def short(name: str) -> str:
    """An encoder's name without folders and options, to be read by people."""
    family, colon, rest = name.partition(":")
    bare = rest if colon and "/" not in family else name
    parts = [part for part in bare.split("#")[0].rstrip("/").split("/") if part]
    stem = parts[-1] if parts else name
    return (parts[-2] if stem in UNINFORMATIVE and len(parts) > 1 else stem).removesuffix(".safetensors")


def _count(row: StudyRow) -> str:
    return {None: "all", 0: "no"}.get(row.anchors, str(row.anchors))


def _cells(row: StudyRow, through: str, others: Sequence[str]) -> list[str]:
    """One line of the printed table."""
    spread = "" if len(row.draws) < 2 else f"{min(row.draws):.3f} to {max(row.draws):.3f}"
    gaps = [row.gaps[name].value.signed if name in row.gaps else "" for name in others]
    return [row.method, through, _count(row), str(row.macro), spread, *gaps]
