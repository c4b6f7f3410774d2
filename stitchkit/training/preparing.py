"""From a recipe to what is trained: pairs with both sides ready to be read, the tokenizer, the network's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort
from stitchkit.encoders.shared.encoder import TOKENIZER, ImageBatch, text_batch
from stitchkit.encoders.shared.network import ImageInput, Input, SharedShape, TextInput
from stitchkit.runtime.progress import Progress
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.embedding_cache import default_root
from stitchkit.training.checkpoints import RUN
from stitchkit.training.packing import Pack, packed
from stitchkit.training.pairs import ChosenPairs, TrainingPairs, chosen_pairs, modalities, numbered
from stitchkit.training.recipes import NetworkRecipe, Recipe
from stitchkit.training.sides import ImageSide, Side, TextSide
from stitchkit.training.vocabularies import LEAST, Vocabulary

if TYPE_CHECKING:
    from lightning.fabric import Fabric

GREY, COLOUR = ((0.5,), (0.25,)), ((0.481, 0.458, 0.408), (0.269, 0.261, 0.276))  # mean and sd of channels


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Pairs to train on and to validate on, and what the network must be to read them.

    Parameters
    ----------
    settings
        Settings of the inputs, as the encoder's folder keeps them.
    notes
        Notes on the pairs, for the user.
    mark
        Digest of ids, texts, pixels and tokenizer: it differs as soon as a run would.
    """

    train: TrainingPairs
    held: TrainingPairs
    shape: SharedShape
    settings: dict[str, Any]
    notes: list[str]
    mark: str

    @classmethod
    def of(
        cls, recipe: Recipe, folder: Path, fabric: Fabric, say: Callable[[str], None], bar: Progress, known: str | None
    ) -> Prepared:
        """Read the pairs, make the tokenizer and put it into ``folder``, pack images.

        Raises
        ------
        InputError
            If the pairs are not those of the mark that is ``known`` of a run that was stopped.
        """
        say("reading the pairs")
        chosen = chosen_pairs(recipe.pairs, recipe.seed)
        whole = chosen.whole
        pictured = whole.images.modality == "image"
        left, right = modalities(recipe.pairs, whole)
        given, words = recipe.network, _vocabulary(recipe.network, whole.take(chosen.train))
        mean, std = GREY if given.grey else COLOUR
        wide = given.side + 2 * round((recipe.training.zoom - 1) * given.side / 2)  # even margins: one middle
        image = ImageBatch(given.side, wide, mean, std)
        with fabric.rank_zero_first(local=True):  # one process of a machine packs, the others find it done
            pack = packed(whole.images, image, default_root() / "training", bar) if pictured else None
        mark = _mark(chosen, words, pack)
        notes = list(chosen.notes)
        if not given.tokenizer and whole.labels.groups is None:
            notes.append(f"patients are not known: every word of the tokenizer stands in at least {LEAST} captions")
        if known not in (None, mark):
            raise InputError(
                f"the run in {folder} was begun with other pairs: ids, texts, images or splits of {whole.name} have "
                f"changed since. Restore them, or name another folder."
            )
        text = TextInput(given.context, words.size, words.end)
        first: Input = ImageInput(given.side, given.patch, len(mean)) if pictured else text
        shape = SharedShape(given.width, given.layers, given.heads, given.dim, given.shared, given.mode, given.features,
                            {left: first, right: text})  # fmt: skip
        settings: dict[str, Any] = {"start": words.start, "tokenizer": words.mark}
        if pictured:
            settings |= {"wide": image.wide, "mean": mean, "std": std}
        if fabric.is_global_zero:
            (folder / RUN).mkdir(parents=True, exist_ok=True)
            replace_file(folder / TOKENIZER, words.text.encode())
        fabric.barrier()
        reading = text_batch(text, folder / TOKENIZER, settings)
        captions = _texts(whole.texts)

        def pairs(rows: np.ndarray, moving: bool) -> TrainingPairs:
            some = [captions[row] for row in rows]
            one: Side
            if pack is not None:
                one = ImageSide(left, pack.pixels, rows, image, recipe.seed, moving)
            else:
                one = TextSide(left, [str(whole.images.values[row]) for row in rows], reading)
            return TrainingPairs(whole.images.ids[rows], (one, TextSide(right, some, reading)), numbered(some))

        train, held = pairs(chosen.train, True), pairs(chosen.held, False)
        say(
            f"{counted(len(train), 'pair')} with {counted(train.captions, 'distinct caption')}; {len(held)} to "
            f"validate on"
        )
        return cls(train, held, shape, settings, notes, mark)

    def names(self, folder: Path) -> tuple[str, str]:
        """Names of both modalities of the encoder in ``folder``."""
        one, other = (f"stitchkit:{folder}#modality={side.name}" for side in self.train.sides)
        return one, other


def _mark(chosen: ChosenPairs, words: Vocabulary, pack: Pack | None) -> str:
    whole = chosen.whole
    texts = [_texts(whole.texts), *([_texts(whole.images)] if whole.images.modality == "text" else [])]
    known = [words.mark, whole.images.ids.tolist(), chosen.train.tolist(), chosen.held.tolist(), texts]
    known += [] if pack is None else [pack.digest]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _vocabulary(given: NetworkRecipe, train: Cohort) -> Vocabulary:
    """The named tokenizer, or one made of all texts to train on."""
    if given.tokenizer:
        return Vocabulary.of_folder(str(given.tokenizer))
    texts, groups = _texts(train.texts), train.labels.groups
    patients = None if groups is None else groups.tolist()
    if train.images.modality == "text":
        texts += _texts(train.images)
        patients = None if patients is None else patients * 2
    return Vocabulary.of_captions(texts, given.vocabulary, patients)


def _texts(items: Items | None) -> list[str]:
    return [] if items is None else [str(value) for value in items.values]
