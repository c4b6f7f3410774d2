"""How a row is measured: correctness first, then contestants in turn, then the median."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

ROUNDS, LONG_ROUNDS, LONG = 5, 3, 10.0  # rounds; fewer where one call takes longer than LONG seconds


@dataclass(frozen=True)
class Case:
    """One row made ready: contestants by name, the peer first, and the check of what they return."""

    contestants: Mapping[str, Callable[[], Any]]
    check: Callable[[Mapping[str, Any]], Mapping[str, float]]  # raises where wrong; returns measured errors
    portion: Mapping[str, float] = field(default_factory=dict)  # of the work that a contestant does, where not all


@dataclass(frozen=True)
class Row:
    """A comparison: what is measured, at which size, against whom; ``build`` makes the data."""

    name: str
    size: str
    build: Callable[[], Case]
    quick: bool = True  # within a minute or so
    cpu: bool = False  # seconds of the processor, all threads added up, where other processes may run beside


@dataclass(frozen=True)
class Outcome:
    """Medians in seconds by contestant, the peer first, and the errors that the check measured."""

    row: Row
    seconds: Mapping[str, float]
    errors: Mapping[str, float]
    rounds: int
    spread: Mapping[str, float] = field(default_factory=dict)  # slowest round over fastest

    @property
    def peer(self) -> str:
        return next(iter(self.seconds))

    def ratio(self, name: str) -> float:
        """Time of ``name`` over the peer's; below 1 is faster."""
        return self.seconds[name] / self.seconds[self.peer]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names."""
        ours = {name: self.ratio(name) for name in self.seconds if name != self.peer}
        return {
            "row": self.row.name, "size": self.row.size, "peer": self.peer, "ratios": ours, "rounds": self.rounds,
            "clock": "processor" if self.row.cpu else "wall",
            "seconds": dict(self.seconds), "spread": dict(self.spread), "errors": dict(self.errors),
        }  # fmt: skip


def checked(case: Case) -> Mapping[str, float]:
    """The errors of one run of every contestant; raises where a result is wrong."""
    return case.check({name: work() for name, work in case.contestants.items()})


def measure(row: Row) -> Outcome:
    """Run ``row``: every contestant once for the check and as warm-up, then interleaved rounds."""
    case = row.build()
    errors = checked(case)
    clock = time.process_time if row.cpu else time.perf_counter
    first = {name: _timed(work, clock) for name, work in case.contestants.items()}
    rounds = LONG_ROUNDS if max(first.values()) > LONG else ROUNDS
    times: dict[str, list[float]] = {name: [] for name in case.contestants}
    for _ in range(rounds):
        for name, work in case.contestants.items():
            times[name].append(_timed(work, clock))
    seconds = {name: median(found) / case.portion.get(name, 1.0) for name, found in times.items()}
    spread = {name: max(found) / min(found) for name, found in times.items()}
    return Outcome(row, seconds, dict(errors), rounds, spread)


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table of ratios."""
    lines = ["| work | size | peer = 1.00 | stitchkit | errors measured before timing |", "|---|---|---|---|---|"]
    for one in outcomes:
        ours = "; ".join(f"{name} {_short(one.ratio(name))}" for name in one.seconds if name != one.peer)
        errors = "; ".join(f"{name} {value:.1e}" for name, value in one.errors.items())
        lines.append(f"| {one.row.name} | {one.row.size} | {one.peer} | {ours} | {errors} |")
    return "\n".join(lines)


def _short(ratio: float) -> str:
    """Two decimals, or two digits of a small ratio."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    gc.collect()
    start = clock()
    work()
    return clock() - start
