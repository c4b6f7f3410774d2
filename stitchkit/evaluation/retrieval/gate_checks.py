"""What a gate found: every check with its interval, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Check:
    """One number against one threshold.

    Parameters
    ----------
    name
        ``"mrr"``, ``"recall@1"`` or ``"r2"``, or the same with ``" minus the other"``.
    interval
        What was measured.
    reached
        The end of the interval that counts.
    threshold
        What it must reach.
    chance
        The measure of the same rankings where the pairs are shuffled; None for a difference.
    """

    name: str
    interval: Interval
    reached: float
    threshold: float
    chance: float | None

    @property
    def passed(self) -> bool:
        """Whether the threshold is reached; a number that is not known does not."""
        return bool(self.reached >= self.threshold)


@dataclass(frozen=True, slots=True)
class Gate:
    """Every check of a gate.

    Parameters
    ----------
    checks
        In the order asked for.
    by
        ``"lower"``, ``"value"`` or ``"upper"``: which end of an interval counts.
    pairs, patients, gallery
        What was measured on: pairs, patients (None where not known), distinct targets.
    notes
        What to bear in mind.
    settings
        Margin and level of the intervals.
    """

    checks: tuple[Check, ...]
    by: str
    pairs: int
    patients: int | None
    gallery: int
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(one.passed for one in self.checks)

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        checks = [
            {
                "name": one.name,
                "passed": one.passed,
                "interval": one.interval._asdict(),
                "reached": one.reached,
                "threshold": one.threshold,
                "chance": one.chance,
            }
            for one in self.checks
        ]
        return {
            "passed": self.passed,
            "by": self.by,
            "checks": checks,
            "pairs": self.pairs,
            "patients": self.patients,
            "gallery": self.gallery,
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """One line a check, then the verdict."""
        end = {"lower": "lower bound", "value": "value", "upper": "upper bound"}[self.by]
        rows = []
        for one in self.checks:
            sign = "at least" if one.passed else "below"
            chance = "" if one.chance is None else f" (chance {one.chance:.3f})"
            verdict = "passed" if one.passed else "FAILED"
            numbers = f"{one.interval}{chance}: {end} {one.reached:.3f} {sign} {one.threshold:.3f}"
            rows.append((verdict, one.name, numbers))
        people = patients_in_words(self.patients)
        good = sum(one.passed for one in self.checks)
        verdict = (
            f"gate {'passed' if self.passed else 'FAILED'}: {good} of {counted(len(self.checks), 'check')} passed on "
            f"{counted(self.pairs, 'pair')} ({people}), gallery of {self.gallery}"
        )
        return "\n".join([*text_table(rows), verdict, *(f"note: {note}" for note in self.notes)])
