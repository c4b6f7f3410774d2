"""Names for the classes of a classifier: prompts as vectors, as texts, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.prompts import PromptSet
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.embedding import embed
from stitchkit.estimators.anchor_rows import target_rows


@dataclass(frozen=True, slots=True, eq=False)
class NamedClasses:
    """Labels (c,) with the texts of each, and the prompts and their embeddings as ``sk.zeroshot`` reads them."""

    labels: np.ndarray
    texts: Sequence[Sequence[str]]
    prompts: PromptSet
    embeddings: Embeddings

    def vectors_of(self, labels: np.ndarray) -> np.ndarray:
        """The mean (n, d_t) of the prompts of each label."""
        texts = dict(zip(self.labels.tolist(), self.texts, strict=True))
        row = {text: i for i, text in enumerate(self.embeddings.ids.tolist())}
        names, which = np.unique(labels, return_inverse=True)
        if unknown := [one for one in names.tolist() if one not in texts]:
            raise InputError(
                f"y holds the label {unknown[0]!r}, which no prompt names; known: {list(texts)}. Name it, or give the "
                f"text vectors as " + setting("target") + " (cross_val_predict, for one, renumbers labels)."
            )
        vectors = to_numpy(self.embeddings.vectors)
        means = [vectors[[row[text] for text in texts[one]]].mean(axis=0, dtype=np.float64) for one in names.tolist()]
        return np.stack(means)[which.reshape(-1)]


def named_classes(prompts: Any, text: Any, labels: np.ndarray | None) -> NamedClasses:
    """The classes that ``prompts`` name; without prompts those of ``labels`` (n,), each an axis of its own."""
    if isinstance(prompts, PromptSet):
        return _named_by_texts(prompts, text)
    if text is not None or not (prompts is None or isinstance(prompts, Mapping)):
        raise InputError(
            "prompts must be a PromptSet with "
            + setting("text")
            + f", or map labels to vectors; got {type(prompts).__name__}"
            + (" with " + setting("text") if text is not None else "")
            + "."
        )
    if isinstance(prompts, Mapping):
        known, vectors = _sort_classes(prompts), prompts
    elif labels is not None:
        known = np.unique(labels)
        vectors = dict(zip(known.tolist(), np.eye(len(known)), strict=True))
    else:
        raise InputError(
            "nothing names the classes. Give prompts; without them y must be labels, and no " + setting("target") + "."
        )
    if len(known) < 2:
        raise InputError(f"a classifier tells apart two classes or more; got {len(known)}. Name another.")
    return _named_by_vectors(known, [np.atleast_2d(vectors[label]) for label in known.tolist()])


def _sort_classes(prompts: Mapping[Any, Any]) -> np.ndarray:
    """The labels (c,) in order."""
    try:
        return np.asarray(sorted(prompts))
    except TypeError as error:
        raise InputError(f"the labels of prompts have no order: {error}. Use numbers, or strings, for all.") from error


def _named_by_texts(prompts: PromptSet, text: Any) -> NamedClasses:
    if text is None:
        raise InputError(
            f"prompt set {prompts.name!r} needs " + setting("text") + ", the embeddings of its texts or their encoder."
        )
    if not isinstance(text, Encoder | Embeddings):
        raise InputError(f"text must be a text encoder or embeddings of the prompts; got {type(text).__name__}.")
    if not isinstance(text, Embeddings):
        text = embed(text, Items(np.asarray(prompts.texts), list(prompts.texts), "text"), progress=False)
    if len(prompts.classes) > 1:
        return NamedClasses(np.asarray(prompts.classes), list(prompts.positive.values()), prompts, text)
    if not prompts.negative:
        raise InputError(f"prompt set {prompts.name!r} has one class and no negatives to tell it from. Give some.")
    return NamedClasses(np.arange(2), [*prompts.negative.values(), *prompts.positive.values()], prompts, text)


def _named_by_vectors(labels: np.ndarray, vectors: list[np.ndarray]) -> NamedClasses:
    names = [str(label) for label in labels.tolist()]
    if empty := [name for name, some in zip(names, vectors, strict=True) if not some.size]:
        raise InputError(f"class {empty[0]!r} has no prompt. Give it one vector at least.")
    rows = [target_rows(some, f"the prompts of {name!r}") for name, some in zip(names, vectors, strict=True)]
    texts = {name: tuple(f"{name} {i}" for i in range(len(some))) for name, some in zip(names, rows, strict=True)}
    if len({some.shape[1] for some in rows}) > 1:
        raise InputError("the prompts' vectors differ in width between classes. Embed all with one encoder.")
    space = Space.of_array(rows[0].shape[1])
    embeddings = Embeddings(np.concatenate(rows), np.asarray([text for some in texts.values() for text in some]), space)
    return NamedClasses(labels, list(texts.values()), PromptSet("prompts", texts, multiclass=True), embeddings)


def any_number(prompts: Any) -> bool:
    """True if any number of the classes may apply."""
    return isinstance(prompts, PromptSet) and not prompts.multiclass and len(prompts.classes) > 1


def labels_in(y: Any) -> np.ndarray | None:
    """Labels (n,), or None where ``y`` is vectors; a single column is labels, as everywhere in scikit-learn."""
    shape = np.asarray(y).shape
    if len(shape) != 1 and shape[1:] != (1,):
        return None
    labels = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    check_classification_targets(labels)
    return np.asarray(labels)
