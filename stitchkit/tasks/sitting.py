"""One encoder on one task: zero-shot, probe, nearest items, few shots; or retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.items import Items
from stitchkit.core.patients import count_patients
from stitchkit.core.scores import Scores
from stitchkit.embedding import embed
from stitchkit.evaluation.fitted_pairs import audit_items
from stitchkit.evaluation.retrieval.evaluate_retrieval import evaluate_retrieval
from stitchkit.evaluation.scores.evaluate import CHANCE, METADATA, evaluate
from stitchkit.evaluation.scores.nearest import few_shot_scores, nearest_scores
from stitchkit.evaluation.scores.probe import fit_probe
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.bootstrap import Interval
from stitchkit.tasks.candidates import Candidate
from stitchkit.tasks.cards import PROMPTS
from stitchkit.tasks.results import ExamRow, Sitting, TaskFacts
from stitchkit.tasks.task_data import TaskData
from stitchkit.zero_shot import zeroshot

PROBE, NEAREST, LEAKING = "probe", "nearest items", "probe, leaking items in"
STRENGTHS = tuple(np.geomspace(1e-5, 10, 20).tolist())  # scikit-learn's C of the probe
SHOTS, DRAWS = (1, 5, 20), 10
RECALL = (10, 200)
UNWANTED = ("no patient has both", "no probe", "no metadata-only baseline")  # notes on what an exam does not ask for
OF_ENCODERS = ("SHORTCUT", "LABEL MAP")  # beginnings of notes on the scores of one encoder


@dataclass(frozen=True, slots=True)
class ExamSettings:
    """Numbers that every encoder and task is sat by: labelled items of each class, draws of them, and the seed."""

    shots: tuple[int, ...]
    draws: int
    seed: int


def sit(one: Candidate, task: TaskData, settings: ExamSettings, store: Any) -> Sitting:
    """One encoder on one task, in every way."""
    if task.card.kind == "retrieval":
        return _retrieve(one, task, store)
    card, train, test = task.card, task.train, task.test

    def vectors(items: Items) -> Embeddings:
        return embed(one.encoder, items, store=store, progress=False)

    raw = vectors(test.images)
    features, learnt = one.features(raw), one.features(vectors(train.images))

    def probed(some: Embeddings) -> Scores:
        known = task.labels.of_ids(some.ids)
        return fit_probe(some, known, strengths=STRENGTHS, seed=settings.seed).scores(features)

    scored: dict[str, Scores] = {PROBE: probed(learnt)}
    if len(task.crossing):
        scored[LEAKING] = probed(learnt.joined(one.features(vectors(task.crossing.images))))
    if one.text is not None and one.alignment is not None:
        for which in PROMPTS:
            if (prompts := card.prompt_set(which)) is not None:
                scored[f"zero-shot, {which}"] = zeroshot(one.alignment, one.text, prompts, store=store).scores(raw)
    scored[NEAREST] = nearest_scores(learnt, train.labels, features, multiclass=card.multiclass)
    main, *others = scored
    result = evaluate(
        scored[main], task.labels, anchors=AnchorSet(learnt.ids, train.images, train.images, train.labels.groups),
        items=_files(test.images), metadata=card.metadata, others={name: scored[name] for name in others},
        multiclass=card.multiclass, name=main, seed=settings.seed, allow_leakage=True, progress=False,
    )  # fmt: skip
    rows = [
        ExamRow(
            one.name, card.name, row.name,
            {name: values.macro for name, values in row.measures.items()},
            _negated(row.measures[card.metric].difference) if card.metric in row.measures else None,
        )
        for row in result.methods if row.name not in (CHANCE, METADATA)
    ]  # fmt: skip
    judged = [label for label in card.classes if label not in result.not_judged]
    few = _few_shots(one, task, learnt, features, judged, settings)
    rows += few
    alike = {row.name: row.measures[card.metric].macro for row in result.methods if card.metric in row.measures}
    every = [note for note in result.notes if not note.startswith(UNWANTED)]
    own = [note for note in every if note.startswith(OF_ENCODERS) or "above chance" in note]
    notes = [*task.notes, *(note for note in every if note not in own)]
    if len(few) < len(settings.shots):
        notes.append("few shots: a class has fewer training items than some of the shots, which were left out")
    if _files(test.images) is None:
        notes.append("images in memory were not compared for copies among training and test items")
    facts = TaskFacts(card.title, card.metric, len(train), len(test), result.patients, result.not_judged, tuple(notes),
                      alike.get(CHANCE), alike.get(METADATA))  # fmt: skip
    about = f"{one.name} on {card.name}: "
    return Sitting(facts, tuple(rows), (*(about + note for note in own), *_map_leaks(one, task)))


def _map_leaks(one: Candidate, task: TaskData) -> tuple[str, ...]:
    """Test items and patients that the candidate's map was fitted on, in words, and what could not be compared."""
    if one.alignment is None:
        return ()
    test = task.test
    if "pair" in one.alignment.record:
        return (f"{one.name}: the items that the pair was trained on are not known, so that they were not compared",)
    notes = audit_items(one.alignment, test.images, test.labels.groups, allow=True)
    return tuple(f"{one.name} on {task.card.name}: {note}" for note in notes)


def _files(items: Items) -> Items | None:
    """The items, if they are files, whose size and form tell something of themselves."""
    return items if all(isinstance(one, str | Path) for one in items.values) else None


def _negated(gap: Interval | None) -> Interval | None:
    """A difference the other way round."""
    return None if gap is None else Interval(-gap.value, -gap.high, -gap.low)


def _few_shots(
    one: Candidate,
    task: TaskData,
    learnt: Embeddings,
    features: Embeddings,
    judged: Sequence[str],
    settings: ExamSettings,
) -> list[ExamRow]:
    """Mean macro AUROC over draws of a few labelled items, with the lowest and the highest of the draws."""
    card, truth, rows = task.card, task.test.labels.of_ids(features.ids), []
    for count in settings.shots:
        values = []
        for draw in range(settings.draws):
            scores = few_shot_scores(learnt, task.train.labels, features, count, draw, multiclass=card.multiclass,
                                     seed=settings.seed)  # fmt: skip
            if scores is None:
                break
            aurocs = []
            for label in judged:
                c = card.classes.index(label)
                known = ~np.isnan(truth.values[:, c])
                aurocs.append(auroc(scores.values[known, c], truth.values[known, c]))
            values.append(float(np.mean(aurocs)))
        if values:
            span = Interval(float(np.mean(values)), min(values), max(values))
            rows.append(ExamRow(one.name, card.name, f"{count} of each class, draws", {"auroc": span}))
    return rows


def _retrieve(one: Candidate, task: TaskData, store: Any) -> Sitting:
    """Retrieval of the texts by the images and back."""
    card, test = task.card, task.test
    notes = [*task.notes, "near duplicates in the gallery were not searched for"]
    patients = count_patients(test.labels.groups)
    facts = TaskFacts(card.title, card.metric, len(task.train), len(test), patients, {}, tuple(notes))
    if one.text is None or one.alignment is None or test.texts is None:
        return Sitting(facts, ())
    sides = [embed(encoder, items, store=store, progress=False)
             for encoder, items in ((one.encoder, test.images), (one.text, test.texts))]  # fmt: skip
    ks = [k for k in RECALL if k <= len(test)] or [1]
    result = evaluate_retrieval(one.alignment, *sides, ks=ks, groups=test.labels.groups, allow_leakage=True)
    rows = [
        ExamRow(one.name, card.name, way, {f"recall@{k}": value for k, value in side.recall.items()})
        for way, side in (("images to texts", result.forward), ("texts to images", result.backward))
    ]
    return Sitting(facts, tuple(rows), tuple(f"{one.name} on {card.name}: {note}" for note in result.notes))
