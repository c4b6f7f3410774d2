"""Two encoders and a set of anchors to a stitched model, with what it was fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stitchkit.alignment.align import align
from stitchkit.alignment.request import fit_in_words, resolve_solver
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.prompts import PromptSet, PromptVectors
from stitchkit.core.roles import Encoder, Solver
from stitchkit.core.wording import counted
from stitchkit.datasets.anchor_tables import table_facts
from stitchkit.embedding import embed
from stitchkit.evaluation.fitted_pairs import remember_files
from stitchkit.head_names import HeadChoice
from stitchkit.stitching import StitchedModel, stitch
from stitchkit.zero_shot import prompt_vectors, zeroshot


@dataclass(frozen=True, slots=True)
class FittedStitch:
    """A stitched model, and what it was fitted on.

    Parameters
    ----------
    target
        The encoder whose space the model enters; None where that is known by its vectors alone.
    x, y
        Vectors of the anchors in both spaces.
    facts
        Further values of the configuration in the model's folder.
    note
        Why there is no head; empty where there is one, or none was wanted.
    """

    model: StitchedModel
    target: Encoder | None
    x: Embeddings
    y: Embeddings
    pairs: AnchorSet
    facts: dict[str, Any]
    note: str
    prompts: PromptSet | None = None


def fit_stitch(
    source: Encoder | Embeddings,
    target: Encoder | Embeddings,
    pairs: AnchorSet,
    *,
    head: HeadChoice | None = None,
    solver: str | Solver = "auto",
    seed: int = 0,
    batch_size: int = 32,
    store: str | Path | None = "auto",
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> FittedStitch:
    """The stitched model of two encoders, with its head if one is to be had; either side may be vectors alone.

    The map is fitted to drive a linear head, or an image encoder's space, and to match otherwise; prompts that name
    the classes choose it, where they tell items apart.

    Parameters
    ----------
    source, target
        The encoder of each side's space, or vectors of it with the ids of the anchors, such as the outputs of a model
        that is not at hand.
    pairs
        Anchors: source items that ``source`` reads, target items that ``target`` reads; not read where a side is
        vectors.
    head
        Head that is wanted, from :meth:`~stitchkit.head_names.HeadChoice.of`; by default the target's own, if it has
        one and reads images.
    solver, seed
        As in :func:`stitchkit.align`.
    batch_size, store
        As in :func:`stitchkit.embed`.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    say
        Reader of a line on the step that begins.

    Raises
    ------
    InputError
        If the head is not to be had, or prompts are to be read by an image encoder.

    Examples
    --------
    >>> import stitchkit as sk
    >>> phantoms = sk.make_phantoms(40, seed=1)
    >>> ids = [str(i) for i in range(40)]
    >>> scans, texts = sk.Items(ids, phantoms.images, "image"), sk.Items(ids, phantoms.reports, "text")
    >>> general, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "text"))
    >>> head = HeadChoice.of("prompts:phantom")
    >>> pairs = sk.AnchorSet(ids, scans, texts)
    >>> fitted = fit_stitch(general, text, pairs, head=head, solver="procrustes", store=None)
    >>> fitted.model.head.classes == head.prompts.classes
    True
    """
    choice, request = head or HeadChoice(), resolve_solver(solver, None, seed)
    linear, note = choice.linear(target)
    prompts = choice.prompts
    reading: dict[str, Any] = {"batch_size": batch_size, "store": store, "progress": progress}
    reader = None if isinstance(source, Embeddings) else source
    x = source.of_ids(pairs.ids) if isinstance(source, Embeddings) else embed(source, pairs.source_items, **reading)
    if isinstance(target, Embeddings):
        y, encoder = target.of_ids(pairs.ids), None
    else:
        y, encoder = embed(target, pairs.target_items, **reading), target
    vectors = None if prompts is None or encoder is None else prompt_vectors(encoder, prompts, store)
    by = None if prompts is None or vectors is None else PromptVectors.distinct_or_none(prompts, vectors)
    images = encoder is None or encoder.modality == "image"
    purpose = "head" if linear is not None or (prompts is None and images) else "match"
    if say is not None:
        say(f"{fit_in_words(request, purpose)} on {counted(len(x), 'pair')}")
    fitted = align(
        x,
        y,
        groups=pairs.groups,
        purpose=purpose,
        head=linear,
        prompts=by,
        solver=request,
        seed=seed,
        progress=progress,
    )
    alignment = fitted if reader is None else remember_files(fitted, pairs.source_items)
    facts: dict[str, Any] = {"anchor_set": table_facts(pairs)} if "table" in pairs.card else {}
    driven: Any = linear
    if prompts is not None and vectors is not None:
        driven, facts["prompts"] = zeroshot(alignment, vectors, prompts), prompts.to_dict()
    model = stitch(reader, alignment, driven, target_name="" if encoder is None else encoder.name)
    return FittedStitch(
        model=replace(model, facts=facts),
        target=encoder,
        x=x,
        y=y,
        pairs=pairs,
        facts=facts,
        note=note,
        prompts=prompts,
    )
