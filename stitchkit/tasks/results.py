"""Results of an exam: a row for each encoder, task and way, and the leaderboard they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval


def last_parts(names: Sequence[str]) -> dict[str, str]:
    """The last part of the path in each name; the whole name where two would be alike.

    Examples
    --------
    >>> last_parts(["timm:local-dir:/models/vit#resolution=96", "runs/a", "demo:text"])
    {'timm:local-dir:/models/vit#resolution=96': 'vit', 'runs/a': 'a', 'demo:text': 'demo:text'}
    """
    last = {one: one.partition("#")[0].rstrip("/").rpartition("/")[2] or one for one in names}
    parts = list(last.values())
    return {one: part if parts.count(part) == 1 else one for one, part in last.items()}


def shown_measure(metric: str, measures: Mapping[str, Any]) -> str:
    """The measure of a task where a way has it; else the way's first, as few shots are judged by AUROC alone."""
    return metric if metric in measures else next(iter(measures))


@dataclass(frozen=True, slots=True)
class ExamRow:
    """One encoder on one task in one way.

    Parameters
    ----------
    encoder, task, way
        Names.
    measures
        Measure -> value with its 95 % interval; of few shots the mean over draws, with the lowest and the highest draw.
    difference
        This way's measure of the task minus that of the probe, on the same items; None where there is none.
    """

    encoder: str
    task: str
    way: str
    measures: dict[str, Interval]
    difference: Interval | None = None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task as it was sat.

    Parameters
    ----------
    title, metric
        Name in print, and the measure that stands for the task.
    train, test, patients
        Numbers of training and test items, and of the patients of the test items (None: not known).
    chance, metadata
        The measure by chance, and by metadata alone (size of the files, age, view, ... of the training items); None
        where that was not judged.
    not_judged
        Classes that were not judged, with the reason.
    notes
        Leaks, items that were left out, and ways that were not judged, in words.
    """

    title: str
    metric: str
    train: int
    test: int
    patients: int | None
    not_judged: dict[str, str]
    notes: tuple[str, ...]
    chance: Interval | None = None
    metadata: Interval | None = None


@dataclass(frozen=True, slots=True)
class Sitting:
    """One encoder on one task.

    Parameters
    ----------
    facts
        The task as it was sat.
    rows
        The encoder in each way.
    notes
        Leaks of this encoder, in words.
    """

    facts: TaskFacts
    rows: tuple[ExamRow, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exam(NotebookText):
    """Results of every encoder on every task.

    Parameters
    ----------
    rows
        In the order of encoders, tasks and ways.
    tasks
        Task -> its facts.
    not_sat
        Tasks that were not sat, with the reason.
    notes
        On single encoders, in words.
    settings
        Seed, shots and draws.
    """

    rows: tuple[ExamRow, ...]
    tasks: dict[str, TaskFacts]
    not_sat: dict[str, str]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    def of(self, encoder: str, task: str, way: str) -> ExamRow | None:
        """The row of an encoder on a task in one way; None where it was not judged."""
        return next((one for one in self.rows if (one.encoder, one.task, one.way) == (encoder, task, way)), None)

    @property
    def ways(self) -> list[str]:
        """Names of the ways, in the order of the rows."""
        return list(dict.fromkeys(one.way for one in self.rows))

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [
            {
                "encoder": one.encoder, "task": one.task, "way": one.way,
                "measures": {name: value._asdict() for name, value in one.measures.items()},
                "difference": None if one.difference is None else one.difference._asdict(),
            }
            for one in self.rows
        ]  # fmt: skip
        tasks = {
            name: {
                "title": one.title, "metric": one.metric, "train": one.train, "test": one.test,
                "patients": one.patients, "not_judged": one.not_judged, "notes": list(one.notes),
                **{key: None if value is None else value._asdict()
                   for key, value in (("chance", one.chance), ("metadata", one.metadata))},
            }
            for name, one in self.tasks.items()
        }  # fmt: skip
        return {
            "rows": rows, "tasks": tasks, "short": last_parts(list(dict.fromkeys(one.encoder for one in self.rows))),
            "not_sat": self.not_sat, "notes": list(self.notes),
            "settings": dict(self.settings),
        }  # fmt: skip

    def __str__(self) -> str:
        encoders = list(dict.fromkeys(one.encoder for one in self.rows))
        short = last_parts(encoders)
        lines = [f"{part}: {name}" for name, part in short.items() if part != name]
        lines += [""] if lines else []
        for way in self.ways:
            names = [task for task in self.tasks if any(one.task == task and one.way == way for one in self.rows)]
            shown = {
                name: shown_measure(self.tasks[name].metric, next(
                    one.measures for one in self.rows if (one.task, one.way) == (name, way)
                ))
                for name in names
            }  # fmt: skip
            cells = [[way, *(f"{name} ({shown[name]})" for name in names)]]
            for encoder in encoders:
                of_tasks = [self.of(encoder, name, way) for name in names]
                cells.append([
                    short[encoder],
                    *("" if row is None else str(row.measures[shown[name]])
                      for name, row in zip(names, of_tasks, strict=True)),
                ])  # fmt: skip
            lines += [*text_table(cells), ""]
        for name, task in self.tasks.items():
            size = f"{task.train:,} training and {counted(task.test, 'test item')}"
            beside = [f"{what} {value}" for what, value in (("chance", task.chance), ("metadata only", task.metadata))
                      if value is not None]  # fmt: skip
            lines.append(f"{name}: {task.title}, {size} ({patients_in_words(task.patients)}){'; '.join(['', *beside])}")
            lines += [f"  not judged: {label}, {why}" for label, why in task.not_judged.items()]
            lines += [f"  {note}" for note in task.notes]
        lines += [f"not sat: {name}, {why}" for name, why in self.not_sat.items()]
        return "\n".join([*lines, *(f"note: {one}" for one in self.notes)])
