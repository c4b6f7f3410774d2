"""Tables of held-out items to a judgement of bound modalities: the texts of each table are its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.wording import counted
from stitchkit.embedding import embed
from stitchkit.evaluation.binding.evaluate_binding import ModalityTest, evaluate_binding
from stitchkit.evaluation.binding.results import BindingEvaluation
from stitchkit.fitting.fit_binding import FittedBinding
from stitchkit.zero_shot import zeroshot

MOST_CLASSES = 50  # distinct texts of a table that are taken for classes


def judge_binding(
    fitted: FittedBinding,
    tests: Mapping[str, tuple[AnchorSet, Embeddings | None]],
    *,
    common: Mapping[str, np.ndarray] | None = None,
    min_positives: int = MIN_POSITIVES,
    seed: int = 0,
    allow_leakage: bool = False,
) -> BindingEvaluation:
    """Judge a bound space by held-out pairs: each distinct text of a modality is a class, named by itself.

    Parameters
    ----------
    fitted
        The bound space with its encoders and anchors, to which each modality is aligned alone once more.
    tests
        Name of a modality -> held-out pairs, and their vectors where the modality is known by vectors alone.
    common
        Name of a modality -> label (n,) of each of its pairs that modalities share; blank where there is none.
    min_positives
        Patients that a class needs on either side.
    seed
        Seed of draws of few labelled items.
    allow_leakage
        As in :func:`stitchkit.evaluate_binding`.

    Raises
    ------
    DataError
        If a modality has fewer than two classes that can be judged, or more than 50 texts, or one text has two common
        labels.
    """
    judged = {
        name: _test(fitted, name, pairs, vectors, None if common is None else common.get(name), min_positives)
        for name, (pairs, vectors) in tests.items()
    }
    return evaluate_binding(fitted.bound, judged, min_positives=min_positives, seed=seed, allow_leakage=allow_leakage)


def _test(
    fitted: FittedBinding,
    name: str,
    pairs: AnchorSet,
    vectors: Embeddings | None,
    common: np.ndarray | None,
    least: int,
) -> ModalityTest:
    one, bound = fitted.modalities[name], fitted.bound
    texts = np.asarray([str(text) for text in pairs.target_items.values])
    classes = _classes(name, texts, pairs.groups, least)
    rows = np.flatnonzero(np.isin(texts, classes))
    if vectors is not None:
        x = vectors.of_ids(pairs.ids[rows])
    else:
        x = embed(one.encoder, pairs.source_items.take(rows), **fitted.reading)  # type: ignore[arg-type]
    labels = _labels(pairs.ids[rows], texts[rows], classes, None if pairs.groups is None else pairs.groups[rows])
    prompts = PromptSet("texts of the table", {text: (text,) for text in classes}, multiclass=True)
    items = Items(np.asarray(prompts.texts), list(prompts.texts), "text")
    named = embed(fitted.query, items, **fitted.reading)
    head = zeroshot(bound.alignment(name), bound.into_hub("text", named), prompts)
    return ModalityTest(
        vectors=x,
        labels=labels,
        scores=head.scores(x),
        texts=named,
        alone=_alone(fitted, name, prompts, items, x),
        training=_training(fitted, name, classes),
        common={} if common is None else _common(name, texts[rows], common[rows]),
    )


def _classes(name: str, texts: np.ndarray, groups: np.ndarray | None, least: int) -> list[str]:
    """The texts that enough patients have, sorted."""
    people = np.arange(len(texts)) if groups is None else groups
    numbers = {text: len(np.unique(people[texts == text])) for text in np.unique(texts).tolist()}
    classes = [text for text, number in numbers.items() if number >= least]
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise DataError(
            f"the held-out table of {name!r} has {counted(len(classes), 'text')} of {counted(least, 'patient')} or "
            f"more, and texts are its classes: 2 to {MOST_CLASSES} are needed. Give a table whose texts name the "
            f"classes, or judge the modality's folder with 'stitchkit evaluate' and labels."
        )
    return classes


def _labels(ids: np.ndarray, texts: np.ndarray, classes: list[str], groups: np.ndarray | None) -> Labels:
    values = (texts[:, None] == np.asarray(classes)[None, :]).astype(np.float64)
    return Labels(values, ids, tuple(classes), groups)


def _alone(fitted: FittedBinding, name: str, prompts: PromptSet, items: Items, x: Embeddings) -> Scores | None:
    """Scores by the modality's alignment with its own text encoder; None where nothing was fitted."""
    one = fitted.modalities[name]
    if isinstance(one.anchors, Items):
        return None
    own = embed(one.text_encoder, one.anchors.target_items, **fitted.reading)
    fit = align(fitted.vectors[name], own, groups=one.anchors.groups, progress=False, anchor_hashes=False)
    return zeroshot(fit, embed(one.text_encoder, items, **fitted.reading), prompts).scores(x)


def _training(fitted: FittedBinding, name: str, classes: list[str]) -> tuple[Embeddings, Labels] | None:
    """The anchors that have one of the classes for their text."""
    anchors = fitted.modalities[name].anchors
    if isinstance(anchors, Items):
        return None
    texts = np.asarray([str(text) for text in anchors.target_items.values])
    rows = np.flatnonzero(np.isin(texts, classes))
    if not len(rows):
        return None
    vectors = fitted.vectors[name].take(rows)
    ids = np.asarray([f"anchor {one}" for one in vectors.ids.tolist()])  # of another table than the test's
    return replace(vectors, ids=ids), _labels(ids, texts[rows], classes, None)


def _common(name: str, texts: np.ndarray, common: np.ndarray) -> dict[str, str]:
    """The common label of each text."""
    labels: dict[str, str] = {}
    for text, label in zip(texts.tolist(), common.tolist(), strict=True):
        if label and labels.setdefault(text, label) != label:
            raise DataError(
                f"in the held-out table of {name!r} one text has the common labels {labels[text]!r} and {label!r}."
            )
    return labels
