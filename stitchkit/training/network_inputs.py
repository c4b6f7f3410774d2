"""Both sides of the pairs as a network reads them: packed images and a tokenizer, or what encoders prepare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder, HasContext
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort
from stitchkit.encoders import load_recorded
from stitchkit.encoders.consent import Consent, runs_python
from stitchkit.encoders.pair_network import ImageInput, Input, TextInput, main_input
from stitchkit.encoders.shared.encoder import TOKENIZER, ImageBatch, tokenizer_batch
from stitchkit.encoders.shared.network import SharedShape
from stitchkit.runtime.progress import Progress
from stitchkit.storage.embedding_cache import default_root
from stitchkit.training.modality_data import EncoderData, ImageData, ModalityData, TextData
from stitchkit.training.network_forms import NetworkForm, SharedForm, TunedForm
from stitchkit.training.packing import digest_of_files, pack_images
from stitchkit.training.pairs import ChosenPairs, modality_names
from stitchkit.training.recipes import NetworkRecipe, Recipe, TowersRecipe, TrainingRecipe
from stitchkit.training.vocabularies import LEAST, Vocabulary

if TYPE_CHECKING:
    from lightning.fabric import Fabric

GREY, COLOUR = ((0.5,), (0.25,)), ((0.481, 0.458, 0.408), (0.269, 0.261, 0.276))  # mean and sd of channels
AT_ONCE = 1024  # texts that are tokenised together


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInputs:
    """Both sides of the pairs as a network reads them.

    Parameters
    ----------
    form
        Form of the network.
    data
        Rows, and whether images move -> data of each modality.
    content
        Digests of what reads the pairs, then of the images.
    notes
        Notes for the user.
    files
        Name -> text of the files that the encoder's folder holds beside its weights.
    """

    form: NetworkForm
    data: Callable[[np.ndarray, bool], dict[str, ModalityData]]
    content: list[Any]
    notes: list[str]
    files: Mapping[str, str]


def inputs_of_pairs(
    recipe: Recipe, chosen: ChosenPairs, fabric: Fabric, bar: Progress, consent: Consent
) -> NetworkInputs:
    """Both sides of the chosen pairs for the network of a recipe.

    Raises
    ------
    InputError
        For an encoder of the recipe that reads another modality.
    ModelUnavailableError
        If one cannot be loaded, or is Python code without consent.
    """
    if recipe.towers is None:
        return _from_scratch(recipe, chosen, fabric, bar)
    return _of_towers(recipe, recipe.towers, chosen, fabric, consent)


def _from_scratch(recipe: Recipe, chosen: ChosenPairs, fabric: Fabric, bar: Progress) -> NetworkInputs:
    """Packed images and a tokenizer, for a shared encoder."""
    whole, network = chosen.whole, recipe.network
    has_images = whole.images.modality == "image"
    item_name, caption_name = modality_names(recipe.pairs, whole)
    vocabulary = _vocabulary(network, whole.take(chosen.train))
    mean, std = GREY if network.grey else COLOUR
    wide = network.side + 2 * round((recipe.training.zoom - 1) * network.side / 2)  # even margins: one middle
    reading_images = ImageBatch(network.side, wide, mean, std)
    with fabric.rank_zero_first(local=True):  # one process of a machine packs, the others find it done
        pack = pack_images(whole.images, reading_images, default_root() / "training", bar) if has_images else None
    notes = []
    if not network.tokenizer and whole.labels.groups is None:
        notes.append(f"patients are not known: every word of the tokenizer stands in at least {LEAST} captions")
    text = TextInput(network.context, vocabulary.size, vocabulary.end)
    item: Input = ImageInput(network.side, network.patch, len(mean)) if has_images else text
    shape = SharedShape(
        width=network.width, layers=network.layers, heads=network.heads, dim=network.dim, shared=network.shared,
        mode=network.mode, size=network.features, inputs={item_name: item, caption_name: text},
    )  # fmt: skip
    settings: dict[str, Any] = {"start": vocabulary.start, "tokenizer": vocabulary.digest}
    if has_images:
        settings |= {"wide": reading_images.wide, "mean": mean, "std": std}
    reading_texts = tokenizer_batch(text, vocabulary.text.encode(), vocabulary.start)
    captions = texts_of(whole.texts)
    notes += _cut_notes(reading_texts.cuts(captions), network.context)

    def data(rows: np.ndarray, moving: bool) -> dict[str, ModalityData]:
        items: ModalityData
        if pack is not None:
            items = ImageData(pack.pixels, rows, reading_images, recipe.seed, moving)
        else:
            items = TextData([str(whole.images.values[row]) for row in rows], reading_texts)
        return {item_name: items, caption_name: TextData([captions[row] for row in rows], reading_texts)}

    content = [vocabulary.digest] if pack is None else [vocabulary.digest, pack.digest]
    return NetworkInputs(SharedForm(shape, settings), data, content, notes, {TOKENIZER: vocabulary.text})


def _of_towers(
    recipe: Recipe, towers: TowersRecipe, chosen: ChosenPairs, fabric: Fabric, consent: Consent
) -> NetworkInputs:
    """Items and captions as the named encoders prepare them."""
    whole, names = chosen.whole, modality_names(recipe.pairs, chosen.whole)
    encoders = {
        name: _encoder(encoder, side, str(fabric.device), f"the recipe {recipe.name!r}", consent)
        for name, encoder, side in zip(names, towers.encoders, (whole.images.modality, "text"), strict=True)
    }
    values: dict[str, Sequence[Any]] = {names[0]: whole.images.values, names[1]: texts_of(whole.texts)}
    notes, context = [], {}
    if recipe.training.zoom != TrainingRecipe().zoom:
        notes.append("'zoom' is not used: images are read as their encoder reads them")
    for name, encoder in encoders.items():
        if encoder.modality == "text":
            texts = [str(value) for value in values[name]]
            context[name] = _longest(encoder, texts)
            if isinstance(encoder, HasContext):
                notes += _cut_notes(encoder.cuts(texts), context[name])

    def data(rows: np.ndarray, moving: bool) -> dict[str, ModalityData]:
        return {name: EncoderData(encoder, [values[name][row] for row in rows]) for name, encoder in encoders.items()}

    readers = [encoder.space.fingerprint for encoder in encoders.values()]
    images = [digest_of_files(whole.images)] if whole.images.modality == "image" else []
    return NetworkInputs(TunedForm(encoders, towers.dim, context), data, [readers, *images], notes, {})


def _encoder(name: str, modality: str, device: str, where: str, consent: Consent) -> Encoder:
    """A named encoder of one modality, with a module of its own."""
    encoder = load_recorded(name, where, device=device, consent=consent)
    if runs_python(name):
        again = load_recorded(name, where, device=device, consent=consent)
        if again.space.fingerprint != encoder.space.fingerprint:
            raise InputError(
                f"encoder {name!r} has other weights each time it is loaded, so that what is trained could not be "
                f"loaded again. Load its weights from a file, or set a seed."
            )
    if encoder.modality != modality:
        raise InputError(
            f"encoder {name!r} of [towers] reads {encoder.modality}s, and stands where {modality}s are read. "
            f"'encoders' names that of the items first, then that of the captions."
        )
    return encoder


def _longest(encoder: Encoder, texts: Sequence[str]) -> int:
    """Tokens of the longest text as the encoder reads it."""
    batches = (encoder.prepare(texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE))
    return max(int(main_input(batch).shape[1]) for batch in batches)


def _cut_notes(cuts: Sequence[bool], context: int) -> list[str]:
    """A note on captions that are longer than what is read of them."""
    if not (count := int(np.sum(cuts))):
        return []
    return [
        f"{counted(count, 'caption is', 'captions are')} longer than the {context} tokens that are read of a text; "
        f"the end is cut off"
    ]


def _vocabulary(network: NetworkRecipe, train: Cohort) -> Vocabulary:
    """The named tokenizer, or one made of all texts to train on."""
    if network.tokenizer:
        return Vocabulary.of_folder(str(network.tokenizer))
    texts, groups = texts_of(train.texts), train.labels.groups
    patients = None if groups is None else groups.tolist()
    if train.images.modality == "text":
        texts += texts_of(train.images)
        patients = None if patients is None else patients * 2
    return Vocabulary.of_captions(texts, network.vocabulary, patients)


def texts_of(items: Items | None) -> list[str]:
    """Texts as a list; empty where there are none."""
    return [] if items is None else [str(value) for value in items.values]
