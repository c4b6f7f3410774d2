"""The result of a comparison of solvers: a table with chance and gallery beside the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Compared:
    """One solver's row.

    Parameters
    ----------
    name
        Its label.
    measures
        ``"mrr"`` and ``"recall@k"`` from source to target, the same with ``" back"`` from target to source, and
        ``"r2"`` of the directed map where there is one, ``"agreement"`` where a head was given: each with its interval.
    difference
        This solver minus the reference, by the comparison's criterion, on the same patients; None for the
        reference itself.
    chosen
        How often each kind of map was fitted, over the folds.
    chance
        Each measure of this solver's rankings where the pairs are shuffled; R2 is 0 at the mean of the targets.
    """

    name: str
    measures: dict[str, Interval]
    difference: Interval | None
    chosen: dict[str, int]
    chance: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Solvers on the same held-out pairs, best first.

    Parameters
    ----------
    rows
        The solvers that could be fitted.
    reference
        Name of the row that the others are compared with: ``"auto"``, or else the best.
    criterion
        ``"mrr"``, ``"r2"`` or ``"agreement"``: what orders the rows.
    chance
        Each measure of shuffled pairs, of the solver where it is highest; R2 is 0 at the mean of the targets.
    left_out
        Solvers that could not be fitted, with the reason.
    pairs, patients
        How many were held out, each once; patients None where not known.
    folds, gallery
        How many folds, and distinct targets in the gallery of one on average.
    notes
        What to bear in mind.
    settings
        Purpose, replicates, level, seed.
    """

    rows: tuple[Compared, ...]
    reference: str
    criterion: str
    chance: dict[str, float]
    left_out: dict[str, str]
    pairs: int
    patients: int | None
    folds: int
    gallery: int
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def best(self) -> Compared:
        """The row that came out best; see its difference before believing it."""
        return self.rows[0]

    def row(self, name: str) -> Compared:
        """The row called ``name``."""
        found = next((one for one in self.rows if one.name == name), None)
        if found is None:
            raise UnknownNameError.of("row of the comparison", name, [one.name for one in self.rows])
        return found

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "criterion": self.criterion,
            "reference": self.reference,
            "pairs": self.pairs,
            "patients": self.patients,
            "folds": self.folds,
            "gallery": self.gallery,
            "chance": dict(self.chance),
            "rows": [
                {
                    "name": one.name,
                    "measures": {name: value._asdict() for name, value in one.measures.items()},
                    "difference": None if one.difference is None else one.difference._asdict(),
                    "chosen": dict(one.chosen),
                    "chance": dict(one.chance),
                }
                for one in self.rows
            ],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """A table for a terminal."""
        people = patients_in_words(self.patients)
        pairs = counted(self.pairs, "held-out pair")
        head = f"{counted(len(self.rows), 'solver')} on {pairs} ({people}), {counted(self.folds, 'fold')}, "
        lines = [head + f"galleries of {self.gallery}, purpose {self.settings['purpose']}", *self._table()]
        lines += [f"not compared: {name}: {why}" for name, why in self.left_out.items()]
        lines += [
            f"{one.name} chose {_counted(one.chosen)}" for one in self.rows if len(one.chosen) > 1 or one.name == "auto"
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _table(self) -> list[str]:
        places = [name for name in self.chance if name.startswith("recall@")]
        shown = dict.fromkeys(["mrr", "mrr back", *places[:1], f"{places[0]} back", "r2"])
        others = [name for name in shown if name in self.chance and name != self.criterion]
        cells = [["solver", f"{self.criterion} [95 %]", f"minus {self.reference}", *others]]
        for one in self.rows:
            found = [one.measures.get(name) for name in others]
            cells.append(
                [one.name, str(one.measures[self.criterion]), _gap(one.difference)]
                + ["-" if value is None else f"{value.value:.3f}" for value in found]
            )
        cells.append(
            ["chance", f"{self.chance[self.criterion]:.3f}", "", *(f"{self.chance[name]:.3f}" for name in others)]
        )
        return text_table(cells)


def _gap(gap: Interval | None) -> str:
    return "" if gap is None else gap.signed


def _counted(chosen: dict[str, int]) -> str:
    return (
        ", ".join(f"{name} in {times}" for name, times in sorted(chosen.items(), key=lambda pair: -pair[1])) + " folds"
    )
