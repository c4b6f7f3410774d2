"""The verb ``prompt_sensitivity``: dependence of a zero-shot result on the wording of its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import count_patients
from stitchkit.core.plain_values import plain_values
from stitchkit.core.prompts import PromptSet, draw_prompts
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.core.seeds import check_seed
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted, setting
from stitchkit.embedding import embed
from stitchkit.evaluation.scores.class_patients import (
    ClassPatients,
    carriers,
    count_class_patients,
    judged_classes,
    note_on_carriers,
    notes_on_patients,
    where_carried,
    where_enough,
)
from stitchkit.evaluation.scores.truth import Truth
from stitchkit.metrics.auroc_intervals import (
    AurocPulls,
    auroc_differences,
    auroc_intervals,
    macro_auroc_difference,
    macro_auroc_interval,
)
from stitchkit.metrics.bootstrap import Interval
from stitchkit.runtime.progress import Progress
from stitchkit.zero_shot import zeroshot


@dataclass(frozen=True, slots=True)
class ClassSensitivity:
    """One class under different wordings.

    Parameters
    ----------
    ensemble
        AUROC with all prompts.
    draws
        AUROC of each draw of prompts.
    gain
        The ensemble minus the mean over draws, on the same patients.

    The ends of intervals are NaN where too few patients have a class or lack it.
    """

    label: str
    ensemble: Interval
    draws: tuple[float, ...]
    gain: Interval


@dataclass(frozen=True, slots=True)
class PromptSensitivity(NotebookText):
    """Dependence of AUROC on the wording, class by class and over them all.

    Parameters
    ----------
    macro
        Mean over the judged classes, called ``"macro"``.
    classes
        Each judged class.
    k
        Prompts a class and side in each draw.
    n, patients
        Judged items and their patients.
    not_judged
        Classes that were not judged, with the reason.
    notes
        Classes with few patients, and what follows for their intervals.
    """

    macro: ClassSensitivity
    classes: tuple[ClassSensitivity, ...]
    k: int
    n: int
    patients: int | None
    not_judged: dict[str, str]
    notes: tuple[str, ...] = ()

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [
            {
                "label": one.label,
                "ensemble": one.ensemble._asdict(),
                "draws": list(one.draws),
                "gain": one.gain._asdict(),
            }
            for one in (self.macro, *self.classes)
        ]
        return {
            "rows": rows, "k": self.k, "n": self.n, "patients": self.patients, "not_judged": self.not_judged,
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        rows = (self.macro, *self.classes)
        prompts = f"{counted(self.k, 'prompt')} a class and side"
        lines = [f"AUROC over {counted(len(self.macro.draws), 'draw')} of {prompts}, on {counted(self.n, 'item')}"]
        cells = [("", "all prompts", "draws: mean (min to max)", "gain of all over a draw")]
        for one in rows:
            spread = f"{np.mean(one.draws):.3f} ({min(one.draws):.3f} to {max(one.draws):.3f})"
            cells.append((one.label, str(one.ensemble), spread, one.gain.signed))
        lines += text_table(cells, least=(8, 20, 26))
        lines += [f"not judged: {label}, {why}" for label, why in self.not_judged.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def prompt_sensitivity(
    alignment: Alignment,
    text: Encoder | Embeddings,
    prompts: PromptSet,
    vectors: Embeddings,
    labels: Labels,
    *,
    k: int = 1,
    draws: int = 20,
    min_positives: int = MIN_POSITIVES,
    seed: int = 0,
    progress: bool | None = None,
) -> PromptSensitivity:
    """Dependence of a zero-shot result on its prompts: AUROC with all of them, and with ``k`` drawn ones at a time.

    Parameters
    ----------
    alignment
        Alignment from the encoder to be classified to the text encoder.
    text
        Text encoder, or embeddings of the prompts with the prompt texts as ids.
    prompts
        Prompt set with several texts a class; a class with one is the same in every draw.
    vectors : (n, d)
        Source vectors of the test items.
    labels
        Labels of those items at least; joined by id.
    k
        Number of prompts drawn for each class and side, without replacement, default 1; all of a class that has fewer.
    draws
        Number of draws, default 20.
    min_positives
        Least number of positive and of negative patients of a judged class, default 10; others are listed.
    seed
        Seed of the draws of prompts, default 0.
    progress
        Progress bar on a terminal or in a notebook: None, the default, after two seconds, True at once, False never.

    Returns
    -------
    PromptSensitivity
        Print it.

    Raises
    ------
    InputError
        For k or draws below 1.
    DataError
        If no class can be judged.
    SpaceMismatchError
        If ``text`` or ``vectors`` are not of the alignment's spaces.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> from stitchkit import align
    >>> meaning = rng.normal(size=(300, 4))
    >>> rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> fitted = align(meaning, meaning @ rotation, solver="procrustes", nested=False)
    >>> texts = np.eye(4)[[0, 0, 1, 1]] + 0.8 * rng.normal(size=(4, 4))
    >>> prompts = PromptSet("mine", {"a": ("a one", "a two")}, {"a": ("no a", "not a")})
    >>> vectors = Embeddings(texts @ rotation, ["a one", "a two", "no a", "not a"], fitted.target)
    >>> films = Embeddings(meaning, [f"f{i}" for i in range(300)], fitted.source)
    >>> truth = Labels((meaning[:, :1] > meaning[:, 1:2]).astype(float), films.ids, ("a",))
    >>> result = prompt_sensitivity(fitted, vectors, prompts, films, truth, draws=5)
    >>> len(result.macro.draws), result.k
    (5, 1)
    """
    check_seed(seed)
    if k < 1 or draws < 1:
        raise InputError(
            "a draw needs 1 prompt and 1 draw at least; got " + setting("k", k) + ", " + setting("draws", draws) + "."
        )
    if not isinstance(text, Embeddings):
        text = embed(text, Items(np.asarray(prompts.texts), list(prompts.texts), "text"), progress=False)
    test = labels.of_classes(prompts.classes).of_ids(vectors.ids)
    judged, not_judged, _ = judged_classes(test, min_positives)
    if not judged:
        raise DataError(f"no class has {min_positives} positive and negative patients. Lower min_positives.")
    sets = [prompts, *(draw_prompts(prompts, k, seed + i) for i in range(draws))]
    truth, pulls = Truth.of(test, judged, multiclass=False), []
    columns = [test.classes.index(label) for label in judged]
    with Progress(progress) as bar:
        bar.begin("scoring, draws of prompts", len(sets))
        for one in sets:
            pulls.append(truth.pulls(zeroshot(alignment, text, one).scores(vectors).values[:, columns]))
            bar.step(1)
    numbers = count_class_patients(test.of_classes(tuple(judged)))
    carried = carriers(test, judged)
    macro, rows = _rows(pulls[0], pulls[1:], numbers, carried)
    people = count_patients(test.groups)
    notes = (*notes_on_patients(numbers, judged), *note_on_carriers(carried, "the mean over classes and its gain"))
    return PromptSensitivity(macro, rows, k, len(test), people, not_judged, notes)


def _rows(
    whole: AurocPulls, drawn: list[AurocPulls], numbers: dict[str, ClassPatients], carried: int
) -> tuple[ClassSensitivity, tuple[ClassSensitivity, ...]]:
    """The mean over classes and each class: all prompts, each draw, and the first minus the mean over draws."""
    mean, values = AurocPulls.mean_of(drawn), np.stack([one.value for one in drawn])  # (draws, classes)
    gains = [one.interval for one in auroc_differences(whole, mean)]
    ensembles, gains_of = (
        where_enough(dict(zip(numbers, each, strict=True)), numbers) for each in (auroc_intervals(whole), gains)
    )
    macro = ClassSensitivity(
        "macro",
        where_carried(macro_auroc_interval(whole), carried),
        tuple(values.mean(axis=1).tolist()),
        where_carried(macro_auroc_difference(whole, mean).interval, carried),
    )
    return macro, tuple(
        ClassSensitivity(label, ensembles[label], tuple(values[:, c].tolist()), gains_of[label])
        for c, label in enumerate(numbers)
    )
