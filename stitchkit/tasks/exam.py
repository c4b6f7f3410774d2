"""One exam for every encoder: the same tasks, splits and measures, by zero-shot, probes, neighbours and few shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import setting
from stitchkit.encoders.consent import TrustPython
from stitchkit.evaluation.scores.class_patients import judged_classes
from stitchkit.runtime.progress import Progress
from stitchkit.tasks.candidates import candidate
from stitchkit.tasks.cards import TaskCard, read_task
from stitchkit.tasks.exam_log import ExamLog
from stitchkit.tasks.results import Exam, ExamRow, TaskFacts
from stitchkit.tasks.sitting import DRAWS, SHOTS, ExamSettings, sit
from stitchkit.tasks.task_data import open_task, task_folder


def exam(
    encoders: Sequence[Any] | Any,
    tasks: Sequence[str | Path | TaskCard],
    data: str | Path | Mapping[str, str | Path],
    *,
    out: str | Path | None = None,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    store: Any = "auto",
    device: str = "auto",
    trust_python: TrustPython = False,
    seed: int = 0,
    progress: bool | None = None,
) -> Exam:
    """Scores of encoders on downstream tasks, on test items whose patients no probe has seen.

    Each task is sat by zero-shot with the task's prompts (and, beside them, those of the benchmark's authors), a linear
    probe whose strength is chosen by grouped validation inside the training items, the nearest training items, and a
    few labelled items; retrieval tasks both ways. Training items whose patient has test items are left out; a probe
    with them stands beside, which shows what the leak would give.

    Parameters
    ----------
    encoders
        One or several: names of image encoders, paths of stitched folders, encoders, stitched
        models. Half of a pair (``#modality=image``) has its other half to read the prompts.
    tasks
        Names of shipped task cards, paths of cards, or cards.
    data
        Folder with a folder for each task, of its name; or task -> folder. Tasks without data are named, not sat.
    out
        Folder for ``results.json``, which a stopped exam goes on from. None, the default, keeps nothing.
    shots, draws
        Labelled items of each class, and draws of them.
    store
        Cache of vectors, as in :func:`stitchkit.embed`.
    device, trust_python
        As in :func:`stitchkit.load_encoder`.
    seed
        Seed of folds, draws and divided groups.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    Exam
        Print it for a leaderboard.

    Raises
    ------
    InputError
        For no encoder or task, two of one name, or settings out of range.
    DataError
        If no task can be run. Sets that are not as their cards say are named in the result, and not run.

    References
    ----------
    Tasks of the benchmark: arXiv 2406.07450.
    """
    check_seed(seed)
    subjects: list[Any] = list(encoders) if isinstance(encoders, list | tuple) else [encoders]
    named: list[Any] = list(tasks) if isinstance(tasks, list | tuple) else [tasks]
    cards = [one if isinstance(one, TaskCard) else read_task(one) for one in named]
    if not subjects or not cards:
        raise InputError(f"an exam needs encoders and tasks; got {len(subjects)} and {len(cards)}.")
    if isinstance(shots, str) or not all(isinstance(one, int) and one > 0 for one in shots):
        raise InputError("shots are whole numbers of 1 or more; got " + setting("shots", shots) + ".")
    if draws < 1:
        raise InputError("an exam needs at least 1 draw; got " + setting("draws", draws) + ".")
    if len({one.name for one in cards}) < len(cards):
        raise InputError("two of the tasks have one name. Name each task once.")
    settings = ExamSettings(tuple(dict.fromkeys(shots)), draws, seed)
    folders = {one.name: task_folder(one, data) for one in cards}
    not_sat = {name: "its data are not there" for name, folder in folders.items() if folder is None}
    not_sat |= {one.name: "questions are not sat yet" for one in cards if one.kind == "questions"}
    log, opened = ExamLog.of(out), {}
    for one in cards:
        if one.name in not_sat:
            continue
        try:
            task = open_task(one, folders[one.name] or "", seed=seed)
        except DataError as error:
            not_sat[one.name] = str(error)
            continue
        if one.kind == "classes" and not judged_classes(task.test.labels, MIN_POSITIVES)[0]:
            not_sat[one.name] = "no class has enough positive and negative patients among its test items"
        else:
            opened[one.name] = task
    if not opened:
        reasons = "; ".join(f"{name}: {why}" for name, why in not_sat.items())
        raise DataError(f"no task can be sat: {reasons}. Name a folder with a folder for each task.")
    facts: dict[str, TaskFacts] = {}
    rows: list[ExamRow] = []
    notes: list[str] = []
    names: set[str] = set()
    with Progress(progress) as bar:
        bar.begin("exam, encoders x tasks", len(subjects) * len(opened))
        for each in subjects:
            subject = candidate(each, device=device, trust_python=trust_python)
            if subject.name in names:
                raise InputError(f"two encoders are called {subject.name!r}. Name each once.")
            names.add(subject.name)
            if subject.text is None:
                notes.append(f"{subject.name}: no zero-shot, {subject.remark}")
            for name, task in opened.items():
                key = log.key(subject, task, settings)
                outcome = log.read(key)
                if outcome is None:
                    outcome = sit(subject, task, settings, store)
                    log.keep(key, outcome)
                facts.setdefault(name, outcome.facts)
                rows += outcome.rows
                notes += outcome.notes
                bar.step(1)
    return Exam(tuple(rows), facts, not_sat, tuple(notes), {"shots": list(shots), "draws": draws, "seed": seed})
