"""The result of an evaluation: a table of methods by classes that says what each number is worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stitchkit.core.errors import UnknownNameError
from stitchkit.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    Parameters
    ----------
    name
        What was scored.
    classes
        AUROC of each judged class with its interval.
    macro
        Mean over the judged classes.
    difference
        ``main - this`` macro AUROC from the same resamples; None for the main row itself.
    """

    name: str
    classes: dict[str, Interval]
    macro: Interval
    difference: Interval | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """AUROC of the main scores, with chance, probe and metadata-only baseline beside it.

    Parameters
    ----------
    methods
        The main scores first.
    positives
        Positives among the judged items of each class, judged or not.
    left_out
        Classes that were not judged, with the reason.
    n, patients
        Judged items, and their patients; None where these are not known.
    anchors
        Number of anchors, None if not given.
    kind
        Kind of the main scores.
    notes
        Findings in words: missing baselines, shortcuts, leakage, dropped resamples.
    settings
        Replicates, level, seed, least number of positives.
    """

    methods: tuple[Method, ...]
    positives: dict[str, int]
    left_out: dict[str, str]
    n: int
    patients: int | None
    anchors: int | None
    kind: str
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def main(self) -> Method:
        """The row of the scores that were given."""
        return self.methods[0]

    def method(self, name: str) -> Method:
        """The row called ``name``."""
        found = next((one for one in self.methods if one.name == name), None)
        if found is None:
            raise UnknownNameError.of("row of the table", name, [one.name for one in self.methods])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["methods"] = [
            {
                "name": one.name,
                "classes": {label: interval._asdict() for label, interval in one.classes.items()},
                "macro": one.macro._asdict(),
                "difference": None if one.difference is None else one.difference._asdict(),
            }
            for one in self.methods
        ]
        return plain

    def __str__(self) -> str:
        """A table for a terminal: methods by macro AUROC, then classes, then the notes."""
        wide = max(len(one.name) for one in self.methods)
        judged = list(self.main.classes)
        people = "patients not known" if self.patients is None else f"{self.patients} patients"
        anchors = "" if self.anchors is None else f", {self.anchors} anchors"
        kinds = "probabilities" if self.kind == "probability" else f"{self.kind}s"
        lines = [f"AUROC over {len(judged)} classes on {self.n} items ({people}){anchors}; scores are {kinds}"]
        lines.append(f"{'method':<{wide}}  macro [95 %]          main minus it")
        for one in self.methods:
            gap = one.difference
            less = "" if gap is None else f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
            lines.append(f"{one.name:<{wide}}  {one.macro}  {less}".rstrip())
        lines.append("")
        broad = max([len(label) for label in judged], default=5)
        lines += [
            f"  {label:<{broad}}  {self.main.classes[label]}  ({self.positives[label]} positive)" for label in judged
        ]
        lines += [f"  {label:<{broad}}  not judged: {why}" for label, why in self.left_out.items()]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)
