"""The result of an evaluation: a table of methods by classes that says what each number is worth."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import Provenance, plural
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.reliability import Bin

AUROC, PRECISION, BRIER, ECE = "auroc", "average_precision", "brier", "ece"
NAMES = {
    AUROC: "AUROC", BRIER: "Brier score", ECE: "calibration error",
    "f1": "F1", "ppv": "PPV", "npv": "NPV", "mrr": "MRR", "recall@1": "R@1", "recall@5": "R@5", "recall@10": "R@10",
    "mean_average_precision": "mAP",
}  # fmt: skip

INTERVAL = 20  # characters of a value with its interval

UNDEFINED = {  # measure of decisions -> the reason why it has no value
    "sensitivity": "no item is positive",
    "specificity": "no item is negative",
    "ppv": "no item was called positive",
    "npv": "no item was called negative",
    "accuracy": "there is no item",
    "balanced_accuracy": "no item is positive, or none is negative",
    "f1": "no item is positive, and none was called positive",
}


@dataclass(frozen=True, slots=True)
class MeasureValues:
    """One measure of one row of the table.

    Parameters
    ----------
    macro
        Mean over the judged classes.
    classes
        Interval of each judged class; empty for a measure of all classes together.
    difference
        ``main - this`` on the same patients; None for the main row itself.

    The ends of an interval are NaN where too few patients have a class or lack it.
    """

    macro: Interval
    classes: dict[str, Interval]
    difference: Interval | None = None

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "classes": {label: interval._asdict() for label, interval in self.classes.items()},
            "macro": self.macro._asdict(),
            "difference": None if self.difference is None else self.difference._asdict(),
        }


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    Parameters
    ----------
    name
        Name of the scores.
    measures
        ``"auroc"`` and ``"average_precision"`` always; ``"brier"`` and ``"ece"`` of probabilities; ``"accuracy"``,
        ``"balanced_accuracy"`` and ``"f1"`` where exactly one class applies.
    """

    name: str
    measures: dict[str, MeasureValues]

    @property
    def classes(self) -> dict[str, Interval]:
        """AUROC of each judged class with its interval."""
        return self.measures[AUROC].classes

    @property
    def macro(self) -> Interval:
        """Mean AUROC over the judged classes."""
        return self.measures[AUROC].macro

    @property
    def difference(self) -> Interval | None:
        """``main - this`` macro AUROC on the same patients; None for the main row itself."""
        return self.measures[AUROC].difference


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of the main scores about one class at a threshold that was chosen elsewhere.

    Parameters
    ----------
    threshold
        Scores from here on are called present.
    called
        Number of items called positive.
    measures
        Sensitivity, specificity, ppv, npv, accuracy, balanced_accuracy and f1 with their intervals, in [0, 1].
    kind
        Kind of the scores that the threshold is of; empty where the result that holds it says so for all.
    """

    threshold: float
    called: int
    measures: dict[str, Interval]
    kind: str = ""

    @property
    def undefined(self) -> list[str]:
        """In words, the measures that have no value, each with the reason."""
        missing = [name for name, one in self.measures.items() if math.isnan(one.value)]
        return [f"{measure_name(name)} is undefined: {UNDEFINED[name]}" for name in missing]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        measures = {name: interval._asdict() for name, interval in self.measures.items()}
        kind = {"kind": self.kind} if self.kind else {}
        return {"threshold": self.threshold, **kind, "called": self.called, **measures}


@dataclass(frozen=True, slots=True)
class Evaluation(NotebookText):
    """AUROC of the main scores, with chance, probe and metadata-only baseline beside it.

    Parameters
    ----------
    methods
        The main scores first.
    positives
        Positives among the judged items of each class, judged or not.
    not_judged
        Classes that were not judged, with the reason.
    n, patients
        Judged items, and their patients; None where these are not known.
    anchors
        Number of anchors, None if not given.
    kind
        Kind of the main scores.
    notes
        Findings in words: missing baselines, shortcuts, leakage, intervals left out.
    settings
        Replicates, level, seed, least number of positive or negative patients.
    decisions
        Class -> what the main scores decide at its threshold, where thresholds were given.
    reliability
        Class -> bins of what was said and what was seen, where the main scores are probabilities.
    not_calibrated
        Classes that the calibration lacks: judged by their order, without Brier score and calibration error.
    positive_patients
        Patients who have positives of each class, judged or not; empty where patients are not known.
    provenance
        Encoders, map and anchors that made the main scores; None where these are not recorded.
    """

    methods: tuple[Method, ...]
    positives: dict[str, int]
    not_judged: dict[str, str]
    n: int
    patients: int | None
    anchors: int | None
    kind: str
    notes: tuple[str, ...]
    settings: dict[str, Any]
    decisions: dict[str, Decisions] = field(default_factory=dict)
    reliability: dict[str, list[Bin]] = field(default_factory=dict)
    not_calibrated: tuple[str, ...] = ()
    positive_patients: dict[str, int] = field(default_factory=dict)
    provenance: Provenance | None = None

    def positives_in_words(self, label: str) -> str:
        """Number of positives of a class, with that of their patients where these are known."""
        words = f"{self.positives[label]} positive"
        people = self.positive_patients.get(label)
        return words if people is None else f"{words} of {counted(people, 'patient')}"

    @property
    def main(self) -> Method:
        """The row of the scores that were given."""
        return self.methods[0]

    def method(self, name: str) -> Method:
        """The row called ``name``."""
        method = next((one for one in self.methods if one.name == name), None)
        if method is None:
            raise UnknownNameError.of("row of the table", name, [one.name for one in self.methods])
        return method

    @property
    def decided_on(self) -> list[str]:
        """Kinds of the scores that thresholds are of, in the plural."""
        return sorted({plural(one.kind) for one in self.decisions.values()})

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["methods"] = [
            {
                "name": one.name,
                **one.measures[AUROC].to_dict(),
                "further": {name: values.to_dict() for name, values in one.measures.items() if name != AUROC},
            }
            for one in self.methods
        ]
        plain["decisions"] = {label: one.to_dict() for label, one in self.decisions.items()}
        plain["reliability"] = {label: [one._asdict() for one in bins] for label, bins in self.reliability.items()}
        if plain.pop("provenance") is not None and self.provenance is not None:
            plain["provenance"] = self.provenance.to_dict()
        return plain

    def __str__(self) -> str:
        """A table for a terminal: methods by macro AUROC, then classes, decisions and notes."""
        people = patients_in_words(self.patients)
        anchors = "" if self.anchors is None else f", {counted(self.anchors, 'anchor')}"
        classes, items = counted(len(self.main.classes), "class", "classes"), counted(self.n, "item")
        lines = [f"AUROC over {classes} on {items} ({people}){anchors}; scores are {plural(self.kind)}"]
        lines += [*self._rows(), "", *self._classes()]
        if self.decisions:
            lines += ["", *self._decision_lines()]
        return "\n".join([*lines, *(f"note: {note}" for note in dict.fromkeys(self.notes))])

    def _rows(self) -> list[str]:
        further = [name for name in self.main.measures if name != AUROC]
        titles = [measure_name(name) for name in further]
        rows = [["method", "macro [95 %]", "difference from the first row", *titles]]
        for one in self.methods:
            measured = [one.measures.get(name) for name in further]
            means = ["" if values is None else values.macro.value_alone() for values in measured]
            rows.append([one.name, str(one.macro), "" if one.difference is None else one.difference.signed, *means])
        return text_table(rows, numbers=range(3, 3 + len(titles)), least=(0, INTERVAL))

    def _classes(self) -> list[str]:
        judged = self.main.classes
        beside = {label: ", not calibrated" if label in self.not_calibrated else "" for label in judged}
        rows = [(label, f"{judged[label]}  ({self.positives_in_words(label)}{beside[label]})") for label in judged]
        lines = text_table(rows, indent="  ")
        width = max(map(len, judged), default=5)  # long names of classes that are not judged do not widen the table
        for label, why in self.not_judged.items():
            lines += text_table([(label, f"not judged: {why}")], least=(width,), indent="  ")
        return lines

    def _decision_lines(self) -> list[str]:
        names = ("sensitivity", "specificity", "ppv", "npv", "f1")
        title = "threshold" if len(self.decided_on) > 1 else f"threshold ({next(iter(self.decided_on), '')})"
        rows = [["at its threshold", title, *map(measure_name, names)]]
        for label, one in self.decisions.items():
            rows.append([label, f"{one.threshold:.4g}", *(str(one.measures[name]) for name in names)])
        lines = text_table(rows, least=(0, 9, *[INTERVAL] * len(names)), indent="  ")
        return lines + [f"  {label}: {why}" for label, one in self.decisions.items() for why in one.undefined]


def is_above_chance(auroc: Interval) -> bool:
    """True if the interval of an AUROC lies above one half."""
    return auroc.low > 0.5


def measure_name(name: str) -> str:
    """Name of a measure in print."""
    return NAMES.get(name, name.replace("_", " "))
