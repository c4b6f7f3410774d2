"""From a recipe to the data of a run: pairs of modalities, the tokenizer, and the form of the network."""

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
from stitchkit.encoders.pair_network import ImageInput, Input, TextInput
from stitchkit.encoders.shared.encoder import TOKENIZER, ImageBatch, text_batch
from stitchkit.encoders.shared.network import SharedShape
from stitchkit.runtime.progress import Progress
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.embedding_cache import default_root
from stitchkit.training.checkpoints import RUN
from stitchkit.training.modality_data import ImageData, ModalityData, TextData
from stitchkit.training.packing import Pack, pack_images
from stitchkit.training.pairs import ChosenPairs, TrainingPairs, choose_pairs, modality_names, number_captions
from stitchkit.training.recipes import NetworkRecipe, Recipe
from stitchkit.training.vocabularies import LEAST, Vocabulary

if TYPE_CHECKING:
    from lightning.fabric import Fabric

GREY, COLOUR = ((0.5,), (0.25,)), ((0.481, 0.458, 0.408), (0.269, 0.261, 0.276))  # mean and sd of channels


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPairs:
    """Pairs to train on and to validate on, and the form of a network that reads them.

    Parameters
    ----------
    train, held
        Pairs to train on and pairs to validate on.
    shape
        Form of the network.
    settings
        Settings of the inputs, as the encoder's folder keeps them.
    notes
        Notes on the pairs, for the user.
    digest
        Digest of ids, texts, pixels and tokenizer: it differs as soon as a run would.
    """

    train: TrainingPairs
    held: TrainingPairs
    shape: SharedShape
    settings: dict[str, Any]
    notes: list[str]
    digest: str

    @classmethod
    def of(
        cls, recipe: Recipe, folder: Path, fabric: Fabric, say: Callable[[str], None], bar: Progress, known: str | None
    ) -> PreparedPairs:
        """Read the pairs, make the tokenizer and put it into ``folder``, pack images.

        Raises
        ------
        InputError
            If the pairs of a stopped run had another digest, which is ``known``.
        """
        say("reading the pairs")
        chosen = choose_pairs(recipe.pairs, recipe.seed)
        whole = chosen.whole
        has_images = whole.images.modality == "image"
        item_name, caption_name = modality_names(recipe.pairs, whole)
        network, vocabulary = recipe.network, _vocabulary(recipe.network, whole.take(chosen.train))
        mean, std = GREY if network.grey else COLOUR
        wide = network.side + 2 * round((recipe.training.zoom - 1) * network.side / 2)  # even margins: one middle
        reading_images = ImageBatch(network.side, wide, mean, std)
        with fabric.rank_zero_first(local=True):  # one process of a machine packs, the others find it done
            pack = pack_images(whole.images, reading_images, default_root() / "training", bar) if has_images else None
        digest = _digest(chosen, vocabulary, pack)
        notes = list(chosen.notes)
        if not network.tokenizer and whole.labels.groups is None:
            notes.append(f"patients are not known: every word of the tokenizer stands in at least {LEAST} captions")
        if known not in (None, digest):
            raise InputError(
                f"the run in {folder} was begun with other pairs: ids, texts, images or splits of {whole.name} have "
                f"changed since. Restore them, or name another folder."
            )
        text = TextInput(network.context, vocabulary.size, vocabulary.end)
        item: Input = ImageInput(network.side, network.patch, len(mean)) if has_images else text
        shape = SharedShape(
            width=network.width, layers=network.layers, heads=network.heads, dim=network.dim, shared=network.shared,
            mode=network.mode, size=network.features, inputs={item_name: item, caption_name: text},
        )  # fmt: skip
        settings: dict[str, Any] = {"start": vocabulary.start, "tokenizer": vocabulary.digest}
        if has_images:
            settings |= {"wide": reading_images.wide, "mean": mean, "std": std}
        if fabric.is_global_zero:
            (folder / RUN).mkdir(parents=True, exist_ok=True)
            write_text(folder / TOKENIZER, vocabulary.text)
        fabric.barrier()
        reading_texts = text_batch(text, folder / TOKENIZER, settings)
        captions = _texts(whole.texts)

        def pairs(rows: np.ndarray, moving: bool) -> TrainingPairs:
            texts = [captions[row] for row in rows]
            items: ModalityData
            if pack is not None:
                items = ImageData(pack.pixels, rows, reading_images, recipe.seed, moving)
            else:
                items = TextData([str(whole.images.values[row]) for row in rows], reading_texts)
            data = {item_name: items, caption_name: TextData(texts, reading_texts)}
            return TrainingPairs.complete(whole.images.ids[rows], data, number_captions(texts))

        train, held = pairs(chosen.train, True), pairs(chosen.held, False)
        say(
            f"{counted(len(train), 'pair')} with {counted(train.distinct, 'distinct caption')}; {len(held)} to "
            f"validate on"
        )
        return cls(train=train, held=held, shape=shape, settings=settings, notes=notes, digest=digest)

    def names(self, folder: Path) -> tuple[str, ...]:
        """Names of the encoders of all modalities in ``folder``."""
        return tuple(f"stitchkit:{folder}#modality={name}" for name in self.train.modalities)


def _digest(chosen: ChosenPairs, vocabulary: Vocabulary, pack: Pack | None) -> str:
    whole = chosen.whole
    texts = [_texts(whole.texts), *([_texts(whole.images)] if whole.images.modality == "text" else [])]
    content = [vocabulary.digest, whole.images.ids.tolist(), chosen.train.tolist(), chosen.held.tolist(), texts]
    content += [] if pack is None else [pack.digest]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _vocabulary(network: NetworkRecipe, train: Cohort) -> Vocabulary:
    """The named tokenizer, or one made of all texts to train on."""
    if network.tokenizer:
        return Vocabulary.of_folder(str(network.tokenizer))
    texts, groups = _texts(train.texts), train.labels.groups
    patients = None if groups is None else groups.tolist()
    if train.images.modality == "text":
        texts += _texts(train.images)
        patients = None if patients is None else patients * 2
    return Vocabulary.of_captions(texts, network.vocabulary, patients)


def _texts(items: Items | None) -> list[str]:
    return [] if items is None else [str(value) for value in items.values]
