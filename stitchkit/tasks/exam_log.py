"""Finished sittings of an exam, so that a stopped one goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.plain_values import plain
from stitchkit.core.strict_json import parse_json
from stitchkit.datasets.content_keys import content_key
from stitchkit.datasets.image_files import file_and_choice
from stitchkit.metrics.bootstrap import Interval
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.digests import sha256_of
from stitchkit.tasks.candidates import Candidate
from stitchkit.tasks.cards import PROMPTS
from stitchkit.tasks.results import ExamRow, Sitting, TaskFacts
from stitchkit.tasks.sitting import ExamSettings
from stitchkit.tasks.task_data import TaskData

RESULTS = "results.json"


@dataclass(frozen=True, slots=True, eq=False)
class ExamLog:
    """Sittings by a key of all that decides them: fingerprints, card, prompts, items, labels and settings.

    Parameters
    ----------
    file
        Their file; None where nothing is kept.
    sittings
        Key -> sitting in plain values.
    """

    file: Path | None
    sittings: dict[str, Any]

    @classmethod
    def of(cls, out: str | Path | None) -> ExamLog:
        """The log in a folder, or an empty one.

        Raises
        ------
        DataError
            For a file that holds something else.
        """
        if out is not None and Path(out).is_file():
            raise InputError(f"{out} is a file; the results of an exam need a folder. Name a folder.")
        file = None if out is None else Path(out) / RESULTS
        if file is None or not file.is_file():
            return cls(file, {})
        try:
            known = dict(parse_json(file.read_bytes())["sittings"])
            for sitting in known.values():
                _sitting(sitting)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file} holds no results of an exam. Move it away, or name another folder.") from error
        return cls(file, known)

    def key(self, one: Candidate, task: TaskData, settings: ExamSettings) -> str:
        """The key of a sitting; empty for an encoder that cannot be told from others of its name."""
        from stitchkit import __version__

        fingerprints = one.fingerprint
        if None in fingerprints.values():
            return ""
        sides = [[side.images.ids.tolist(), side.labels.values.tolist(), _groups(side), _contents(side.images),
                  None if side.texts is None else list(side.texts.values),
                  {name: side.labels.columns[name].tolist() for name in task.card.metadata}]
                 for side in (task.train, task.test, task.crossing)]  # fmt: skip
        texts = [task.card.prompt_set(which) for which in PROMPTS]
        prompts = [None if some is None else [dict(some.positive), dict(some.negative)] for some in texts]
        content = [one.name, fingerprints, to_builtins(task.card), asdict(settings), __version__, plain(sides), prompts]
        return sha256_of(json.dumps(content, sort_keys=True).encode())

    def read(self, key: str) -> Sitting | None:
        """The sitting of a key, or None."""
        return _sitting(self.sittings[key]) if key and key in self.sittings else None

    def keep(self, key: str, sitting: Sitting) -> None:
        """Write a sitting, whole or not at all."""
        self.sittings[key or f"{len(self.sittings)}"] = plain({
            "facts": asdict(sitting.facts),
            "rows": [{"encoder": one.encoder, "task": one.task, "way": one.way, "measures": one.measures,
                      "difference": one.difference} for one in sitting.rows],
            "notes": sitting.notes,
        })  # fmt: skip
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.file, json.dumps({"sittings": self.sittings}, indent=1) + "\n")


def _contents(items: Items) -> list[Any]:
    """Marks of what the items hold: size and time of files, digests of images in memory."""
    contents: list[Any] = []
    for value in items.values:
        if isinstance(value, str | Path):
            path, choice = file_and_choice(value)
            facts = path.stat()
            contents.append([choice, facts.st_size, facts.st_mtime_ns])
        else:
            contents.append(content_key(value, items.modality).hex())
    return contents


def _groups(side: Any) -> list[str] | None:
    groups = side.labels.groups
    return None if groups is None else [str(one) for one in groups]


def _interval(values: Sequence[float | None]) -> Interval:
    return Interval(*(math.nan if one is None else float(one) for one in values))


def _sitting(sitting: Mapping[str, Any]) -> Sitting:
    """A sitting of its plain values."""
    rows = [
        ExamRow(
            one["encoder"], one["task"], one["way"],
            {name: _interval(value) for name, value in one["measures"].items()},
            None if one["difference"] is None else _interval(one["difference"]),
        )
        for one in sitting["rows"]
    ]  # fmt: skip
    plain_facts = sitting["facts"]
    beside = {key: None if plain_facts[key] is None else _interval(plain_facts[key]) for key in ("chance", "metadata")}
    facts = TaskFacts(**{**plain_facts, "notes": tuple(plain_facts["notes"]), **beside})
    return Sitting(facts, tuple(rows), tuple(sitting["notes"]))
