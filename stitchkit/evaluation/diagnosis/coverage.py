"""Coverage of prompts by anchors: a finding that no anchor mentions is at chance, however it is worded.

Where the anchors' texts are given, a finding is covered if one of them says it in the words of its prompts
(:mod:`stitchkit.evaluation.anchors.text_mentions`). Of vectors alone, it is covered where they reach what sets its
prompts apart from the others (:mod:`stitchkit.evaluation.diagnosis.prompt_reach`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import Array, float64, like, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.maps import unit
from stitchkit.core.neighbours import nearest
from stitchkit.core.plain_values import plain_values
from stitchkit.core.prompts import PromptSet, PromptVectors
from stitchkit.core.roles import Encoder, check_text
from stitchkit.core.scores import Labels
from stitchkit.core.space import Space
from stitchkit.embedding import embed
from stitchkit.evaluation.anchors.text_mentions import ClassMentions, count_mentions
from stitchkit.evaluation.associations.associations import Association, Associations, plain_association
from stitchkit.evaluation.associations.class_mentions import NO_POOL, in_rows_of, texts_of
from stitchkit.evaluation.diagnosis.prompt_reach import COVERED, PromptReach, prompt_reach
from stitchkit.metrics.ranks import distinct_rows

HOW = (
    "Give stitchkit.embed_prompts(text_encoder, prompt_set), whose positives are judged, or {class: vectors of its "
    "prompts}, with the target's text encoder."
)
AT_MEAN = "it lies at the mean of the anchors' targets, so that it has no direction they could reach"


@dataclass(frozen=True, slots=True)
class PromptCoverage:
    """Reach of the anchors to one prompt, or one class of prompts by its mean.

    Parameters
    ----------
    name
        Name of the prompt or class.
    reach
        In [0, 1]: 1 where ``own`` is as large as ``leave_one_out``, 0 where it is 0, and 0.5 at the limit, where the
        odds of ``own`` are 0.55 m^-0.2 times those of ``leave_one_out`` among m prompts (0.41 times where ``own`` is of
        the difference to the mean of the others); linear in the odds between. ``whole`` stands for ``own`` where that
        is None.
    whole
        Share of the prompt's direction from the anchors' mean that the anchors reach, in [0, 1].
    own
        The same for the part of that direction that no other prompt has, or, with more than d / 4 others and where the
        others make it up, for its difference to their mean; None for a single prompt and for equal ones.
    leave_one_out
        Share of the anchors' own spread that the others reach, each left out in turn with its equals; below 0.3 it
        counts as 0.3 in ``reach``.
    nearest
        Cosine about the anchors' mean to the nearest anchor.
    percentile
        Share of anchors whose own nearest other anchor is no nearer than that, in [0, 1]; equal anchors count
        as one.
    covered
        True if an anchor's text says the class; where ``mentions`` is None, if ``reach`` is at least 0.5.
    anchors
        Number of distinct anchors.
    mentions
        Anchors whose texts say the class; None without texts, and for a class whose prompts have no word of their own.
    denied
        Anchors whose texts name it in denying sentences only; None with ``mentions``.
    association
        Company that the class keeps in a pool of unlinked texts, where no anchor's text mentions it; None without.
    unscored
        Reason why an uncovered class has no score by association; empty for others.
    undefined
        Reason why ``reach``, ``whole``, ``nearest`` and ``percentile`` are NaN; empty where they are numbers.
    """

    name: str
    reach: float
    whole: float
    own: float | None
    leave_one_out: float
    nearest: float
    percentile: float
    covered: bool
    anchors: int
    mentions: int | None = None
    denied: int | None = None
    association: Association | None = None
    unscored: str = ""
    undefined: str = ""

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = None if self.association is None else plain_association(self.association)
        return {**asdict(self), "association": known}


def prompt_coverage(
    anchors: Any, prompts: Any, *, texts: Any = None, associations: Associations | None = None
) -> tuple[PromptCoverage, ...]:
    """Coverage of each prompt by the anchors: what their texts say, and how far their target vectors reach.

    Parameters
    ----------
    anchors : (n, d)
        The anchors' vectors in the TARGET space.
    prompts
        Embeddings of that space (each row is judged by itself, under its id), or a mapping from class to the
        vectors (m, d) of its prompts (judged by their mean), or a prompt set from :func:`stitchkit.embed_prompts`,
        whose positives are judged. Give all classes at once: what tells a finding from
        the others is judged too.
    texts
        Texts of the anchors: an anchor set, text items or n texts, searched for the words of the prompts; or ``Labels``
        of a labeller, where 1 is a mention and 0 a denial. Joined to ``anchors`` by id where both have ids, else by
        row. Classes that none of them says are not covered, whatever the vectors.
    associations
        From :func:`stitchkit.fit_associations`, with the same names of classes: tells of each class that no anchor's
        text mentions which findings accompany it. Without, uncovered classes hold the reason for having no score.

    Returns
    -------
    tuple of PromptCoverage
        In the order given. Without texts read a low reach as a warning and a high one as no proof: sentence encoders
        blur words, so that a finding which free-text anchors never name may still be reached through its neighbours
        (``docs/diagnose.md`` has both errors).

    Raises
    ------
    SpaceMismatchError
        If prompts and anchors are of different encoders.
    InputError
        For fewer than 3 distinct anchors, no prompt, or texts that are not the anchors' or whose prompts are vectors
        alone.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> anchors = rng.normal(size=(100, 8)) * [1, 1, 1, 1, 1, 1, 1, 0.01]  # none varies along the last direction
    >>> [one.covered for one in prompt_coverage(anchors, {"seen": np.eye(8)[:1], "unseen": np.eye(8)[7:]})]
    [True, False]
    >>> prompts = {name: Embeddings(np.eye(8)[:1], [name], Space.of_array(8)) for name in ("edema", "mass")}
    >>> found = prompt_coverage(anchors, prompts, texts=["Edema."] * 60 + ["No mass."] * 40)
    >>> [(one.name, one.mentions, one.denied, one.covered) for one in found]
    [('edema', 60, 0, True), ('mass', 0, 40, False)]
    """
    known = as_embeddings(anchors, "anchors")
    names, means = _named_means(prompts, known.space)
    words = {} if texts is None else _class_mentions(texts, prompts, names, known, isinstance(anchors, Embeddings))
    vectors = float64(known.vectors)
    xp = namespace(vectors)
    kinds = distinct_rows(to_numpy(known.vectors))
    _, first = np.unique(kinds, return_index=True)
    if len(first) < 3:
        raise InputError(
            f"the {len(known)} anchors have {len(first)} distinct target vectors; coverage needs at least 3. Give "
            f"anchors that differ."
        )
    centre = xp.mean(vectors, axis=0)
    rows = vectors - centre
    from_centre = like(means, vectors, dtype=vectors.dtype) - centre  # (m, d)
    reaches = prompt_reach(from_centre, rows, kinds)
    near = _nearness(from_centre, take(rows, first))
    judged = (_coverage_of_prompt(reaches, near, i, name, len(first), words.get(name)) for i, name in enumerate(names))
    return tuple(_with_association(one, associations) for one in judged)


def _coverage_of_prompt(
    reaches: PromptReach,
    near: tuple[np.ndarray, np.ndarray],
    i: int,
    name: str,
    anchors: int,
    words: ClassMentions | None,
) -> PromptCoverage:
    """Coverage of the prompt at position ``i``, by what texts say of it if that is known."""
    mentions = None if words is None else words.mentions
    known = not np.isnan(reaches.whole[i])
    reach = float(reaches.reach[i])
    return PromptCoverage(
        name=name,
        reach=reach,
        whole=float(reaches.whole[i]),
        own=None if np.isnan(reaches.own[i]) else float(reaches.own[i]),
        leave_one_out=reaches.leave_one_out,
        nearest=float(near[0][i]) if known else reach,
        percentile=float(near[1][i]) if known else reach,
        covered=reach >= COVERED if mentions is None else mentions > 0,
        anchors=anchors,
        mentions=mentions,
        denied=None if words is None or mentions is None else words.denied,
        undefined="" if known else AT_MEAN,
    )


def _class_mentions(
    texts: Any, prompts: Any, names: list[str], known: Embeddings, by_id: bool
) -> dict[str, ClassMentions]:
    """Numbers of the anchors' texts, or of a labeller, that say and deny each class."""
    labels = in_rows_of(texts, known.ids, by_id)
    if not isinstance(labels, Labels):
        labels = texts_of(labels, "the anchors' texts")
    if len(labels) != len(known):
        raise InputError(f"there are {len(known)} anchors and {len(labels)} texts of them. Give one text an anchor.")
    if isinstance(labels, Labels):
        signs = labels.of_classes(tuple(names)).values
        return {
            name: ClassMentions(name, int((sign == 1).sum()), int((sign == 0).sum()), ())
            for name, sign in zip(names, signs.T, strict=True)
        }
    return {one.name: one for one in count_mentions(labels, _prompt_texts(prompts))}


def _prompt_texts(prompts: Any) -> PromptSet:
    """The prompts' texts."""
    if isinstance(prompts, PromptVectors):
        return prompts.prompts
    if isinstance(prompts, Mapping) and all(isinstance(some, Embeddings) for some in prompts.values()):
        return PromptSet("prompts", {str(name): tuple(some.ids.tolist()) for name, some in prompts.items()})
    raise InputError(
        "the anchors' texts are searched for the words of prompts, and vectors alone have none. Give "
        "stitchkit.embed_prompts(text_encoder, prompt_set), or {class: embeddings with its prompts as ids}."
    )


def _with_association(one: PromptCoverage, associations: Associations | None) -> PromptCoverage:
    """``one`` with its association, or the reason for having none."""
    if associations is None:
        return one if one.covered else replace(one, unscored=NO_POOL)
    if association := associations.association(one.name):
        return replace(one, association=association)
    if one.covered:
        return one
    mentioned = "anchors' texts mention it in the words of the prompts; its own prompts name it"
    unknown = "it is not among the classes that associations were fitted for"
    return replace(one, unscored=associations.unscored.get(one.name) or (
        mentioned if one.name in associations.partners else unknown
    ))  # fmt: skip


def _named_means(prompts: Any, space: Space) -> tuple[list[str], np.ndarray]:
    """Names and mean vectors (m, d) of the prompts, which must be of the anchors' space."""
    if isinstance(prompts, PromptVectors):
        prompts = {name: prompts.embeddings.of_ids(texts) for name, texts in prompts.prompts.positive.items()}
    if isinstance(prompts, PromptSet) or _is_text(prompts):
        raise InputError(f"prompts are judged by their vectors; got {_in_words(prompts)}. {HOW}")
    if not isinstance(prompts, Mapping):
        vectors = as_embeddings(prompts, "prompts")
        space.require(vectors.space, "the coverage of prompts by the anchors' target vectors")
        if not len(vectors):
            raise InputError("there is no prompt to judge. Give at least one, or leave prompts out.")
        return vectors.ids.tolist(), to_numpy(float64(vectors.vectors))
    if not prompts:
        raise InputError("there is no class of prompts to judge. Give at least one, or leave prompts out.")
    means = []
    for name, some in prompts.items():
        if _is_text(some):
            raise InputError(f"prompts are judged by their vectors; class {name} has texts. {HOW}")
        vectors = as_embeddings(some, f"the prompts of {name}")
        space.require(vectors.space, f"the coverage of {name} by the anchors' target vectors")
        if not len(vectors):
            raise InputError(f"class {name} has no prompt. Give it at least one, or leave it out.")
        means.append(to_numpy(float64(vectors.vectors)).mean(axis=0))
    return [str(name) for name in prompts], np.stack(means)


def _in_words(prompts: Any) -> str:
    if isinstance(prompts, PromptSet):
        return f"the prompt set {prompts.name!r}, which holds texts"
    return f"the text {prompts!r}" if isinstance(prompts, str) else f"{len(prompts)} texts"


def _is_text(some: Any) -> bool:
    """True for a text or a list of texts."""
    many = [some] if isinstance(some, str) else some
    return isinstance(many, list | tuple) and any(isinstance(one, str) for one in many)


def _nearness(directions: Array, anchors: Array) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of each of ``directions`` (m, d) to its nearest of ``anchors`` (n, d), and its place among theirs."""
    units = unit(anchors)
    cosine = nearest(unit(directions), units, 1).scores[:, 0]
    among = nearest(units, units, 1, skip_self=True).scores[:, 0]
    return cosine, (among[None, :] <= cosine[:, None] * (1 + 1e-12)).mean(axis=1)


def embed_positives(
    text: Encoder,
    prompts: PromptSet,
    *,
    batch_size: int = 32,
    store: str | Path | None = "auto",
    progress: bool | None = None,
) -> dict[str, Embeddings]:
    """The embedded positive prompts of each class, whose coverage is judged; negatives are not embedded.

    Unlike :func:`stitchkit.embed_prompts` it takes prompts that tell no items apart, which coverage may judge.

    Parameters
    ----------
    text
        The text encoder.
    batch_size, store, progress
        As in :func:`stitchkit.embed`.

    Raises
    ------
    InputError
        If the encoder reads no texts.
    """
    check_text(text)
    texts = list(dict.fromkeys(one for some in prompts.positive.values() for one in some))
    items = Items(np.asarray(texts), texts, "text")
    vectors = embed(text, items, batch_size=batch_size, store=store, progress=progress)
    return prompts_of(vectors, prompts.positive)


def prompts_of(embeddings: Embeddings, classes: Mapping[str, Any]) -> dict[str, Embeddings]:
    """The embedded prompts of each class: ``embeddings`` has the texts as ids, ``classes`` names the texts."""
    return {name: embeddings.of_ids(texts) for name, texts in classes.items()}
