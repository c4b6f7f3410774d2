"""From a recipe to the towers of a run: encoders and anchors read, the space bound, adapters put in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stitchkit.alignment.binding.bind import bind
from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.modalities import ModalityPairs
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.maps import AffineMap
from stitchkit.core.patients import patient_of_each
from stitchkit.core.roles import Encoder, check_text
from stitchkit.core.wording import counted
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.datasets.content_keys import content_key
from stitchkit.datasets.text_lists import read_text_list
from stitchkit.embedding import embed
from stitchkit.encoders import load_recorded
from stitchkit.encoders.adapters import base_names, base_of
from stitchkit.encoders.consent import Consent
from stitchkit.training.binding.recipe import BindingRecipe, ModalityRecipe
from stitchkit.training.binding.towers import (
    AdaptedTower,
    FrozenTower,
    Tower,
    add_adapters,
    takes_adapters,
)
from stitchkit.training.pairs import held_out_rows, number_captions

SIDES = ("image", "text")


@dataclass(frozen=True, slots=True, eq=False)
class BoundTowers:
    """One modality of a run.

    Parameters
    ----------
    image
        The encoder of its n items.
    text
        The encoder of its texts: first those of the items (n), then the common ones.
    mean, text_mean : (k,)
        Means of the training items, and of their texts, in the hub.
    captions : (n,) int
        Number of each item's text; equal texts have equal numbers.
    train, held : (m,) int
        Rows to train on, and rows that are held out, in an order that mixes their texts.
    """

    image: Tower
    text: Tower
    mean: Tensor
    text_mean: Tensor
    captions: np.ndarray
    train: np.ndarray
    held: np.ndarray

    def towers(self) -> dict[str, Tower]:
        """Both towers by their sides."""
        return {"image": self.image, "text": self.text}

    def fetch(self, rows: np.ndarray, common: np.ndarray) -> tuple[Any, Any]:
        """Items of some rows, and their distinct texts with common ones after them, as the towers take them."""
        _, first = np.unique(self.captions[rows], return_index=True)
        return self.image.fetch(rows), self.text.fetch(np.concatenate([rows[first], len(self.captions) + common]))

    def hub_pairs(self, rows: np.ndarray, items: Any, texts: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Fetched rows in the hub.

        Returns
        -------
        tuple of Tensor
            Items (b, k) and their texts (b, k), each about its own mean; numbers (b,) of the texts, equal ones for
            equal texts; and the common texts (c, k), not centred.
        """
        distinct, place = np.unique(self.captions[rows], return_inverse=True)  # equal texts are encoded once
        read = self.text.hub_rows(texts)
        own, common = read[: len(distinct)], read[len(distinct) :]
        numbers = torch.from_numpy(place).to(read.device)
        return self.image.hub_rows(items) - self.mean, (own - self.text_mean)[numbers], numbers, common


@dataclass(frozen=True, slots=True)
class Base:
    """The encoder below an adapter.

    Parameters
    ----------
    name
        Name by which it is loaded.
    fingerprint
        Fingerprint of its weights.
    weights
        Names of those weights.
    """

    name: str
    fingerprint: str
    weights: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedBinding:
    """The towers of all modalities and the common texts.

    Parameters
    ----------
    modalities
        Name -> its towers.
    bases
        Modality and side of each tower with adapters -> the encoder below them.
    common, common_held : (m,) int
        Numbers of the common texts to train on, and of those that are held out.
    text_center : (k,)
        Mean over modalities of their texts' means in the hub, about which encoders are to agree.
    notes
        Encoders that stay frozen, for the user.
    digest
        Digest of ids, texts, items and encoders: it differs as soon as a run would.
    """

    modalities: Mapping[str, BoundTowers]
    bases: Mapping[tuple[str, str], Base]
    common: np.ndarray
    common_held: np.ndarray
    text_center: Tensor
    notes: tuple[str, ...]
    digest: str

    @property
    def adapted(self) -> dict[tuple[str, str], AdaptedTower]:
        """The towers with adapters, by modality and side."""
        every = {(name, side): tower for name, one in self.modalities.items() for side, tower in one.towers().items()}
        return {key: tower for key, tower in every.items() if isinstance(tower, AdaptedTower)}

    @classmethod
    def of(
        cls, recipe: BindingRecipe, device: str, store: str | Path | None, say: Callable[[str], None],
        progress: bool | None, consent: Consent,
    ) -> PreparedBinding:  # fmt: skip
        """Read everything, bind the training rows in closed form, and put the adapters in place.

        Raises
        ------
        InputError
            If no encoder can be adapted, or a text encoder reads images.
        DataError
            For tables and texts that cannot be read, or too few rows to hold some out.
        """
        reading: dict[str, Any] = {"store": store, "progress": progress}
        listed = [] if recipe.texts is None else read_text_list(recipe.texts)
        sources = _without_patients_of_others(
            {name: _Source.of(name, one, device, recipe, say, consent) for name, one in recipe.modalities.items()},
            recipe.seed,
        )
        texts = listed or list(dict.fromkeys(text for one in sources.values() for text in one.training_texts))
        common, held = _split(np.arange(len(texts)), recipe.training.held, recipe.seed, "common texts")
        say(f"reading {counted(len(texts), 'common text')} by {counted(len(sources), 'text encoder')}")
        views = {name: one.read(texts, reading) for name, one in sources.items()}
        bound = _bound(sources, views, common, recipe.seed)
        modalities, bases, notes = {}, {}, []
        for number, (name, one) in enumerate(sources.items()):
            towers: dict[str, Tower] = {}
            for side in SIDES:
                encoder, vectors = one.side(side), views[name].side(side)
                to_hub = bound.to_hub(name) if side == "image" else bound.text_maps[bound.modality(name).text_space]
                if recipe.lora.towers in ("both", side) and takes_adapters(encoder):
                    below = base_names(encoder.model)  # type: ignore[attr-defined]
                    bases[name, side] = Base(one.names[side], base_of(encoder.model, below), below)  # type: ignore[attr-defined]
                    adapter = add_adapters(encoder, recipe.lora, (recipe.seed, 1, number, SIDES.index(side)))
                    towers[side] = AdaptedTower.of(encoder, adapter, one.values(side, texts), to_hub)
                else:
                    notes.append(f"{one.names[side]} ({name}, {side} side) stays frozen{_reason(recipe, side)}")
                    towers[side] = FrozenTower(_in_hub(to_hub, vectors, device))
            captions = number_captions(str(text) for text in one.anchors.target_items.values)
            modalities[name] = BoundTowers(
                image=towers["image"], text=towers["text"], mean=_tensor(bound.modality(name).mean, device),
                text_mean=_tensor(bound.modality(name).text_mean, device),
                captions=captions, train=one.train, held=one.held,
            )  # fmt: skip
        if not bases:
            raise InputError(
                "no encoder of this recipe takes adapters: 'hf' and 'timm' encoders with attention do"
                + ("" if recipe.lora.towers == "both" else f", and [lora] towers = {recipe.lora.towers!r} leaves the "
                   "others frozen") + ". Bind them without training ('stitchkit bind')."
            )  # fmt: skip
        center = _tensor(bound.global_means[1], device)
        return cls(modalities, bases, common, held, center, tuple(notes), _digest(sources, texts))


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """Vectors of a modality's items, of their texts with the common ones after them."""

    items: Embeddings
    texts: Embeddings

    def side(self, side: str) -> Embeddings:
        return self.items if side == "image" else self.texts


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One modality as its files hold it: encoders, which are its own copies, anchors, and the rows held out."""

    names: Mapping[str, str]
    encoder: Encoder
    text_encoder: Encoder
    anchors: AnchorSet
    train: np.ndarray
    held: np.ndarray

    @classmethod
    def of(
        cls, name: str, recipe: ModalityRecipe, device: str, whole: BindingRecipe, say: Callable[[str], None],
        consent: Consent,
    ) -> _Source:  # fmt: skip
        say(f"reading {name}")
        encoder, text_encoder = (
            load_recorded(one, f"the recipe {whole.name!r}", device=device, consent=consent)
            for one in (recipe.encoder, recipe.text_encoder)
        )
        check_text(text_encoder)
        anchors = _table(recipe).read(encoder.modality, "text")
        train, held = _split(patient_of_each(anchors.groups, len(anchors)), whole.training.held, whole.seed, name)
        names = {"image": recipe.encoder, "text": recipe.text_encoder}
        return cls(names, encoder, text_encoder, anchors, train, held)

    @property
    def people(self) -> np.ndarray:
        """Names (n,) of the patients, the same in all modalities; an item of an unknown patient is one alone."""
        groups = self.anchors.groups
        if groups is None:
            return np.asarray([f"item {self.names['image']} {one}" for one in self.anchors.ids.tolist()])
        return np.asarray([f"patient {one}" for one in groups.tolist()])

    @property
    def training_texts(self) -> list[str]:
        """Texts of the training rows."""
        return [str(self.anchors.target_items.values[row]) for row in self.train.tolist()]

    def side(self, side: str) -> Encoder:
        return self.encoder if side == "image" else self.text_encoder

    def values(self, side: str, texts: list[str]) -> list[Any]:
        """Items of a side as the encoder's tower takes them."""
        if side == "image":
            return list(self.anchors.source_items.values)
        return [*(str(text) for text in self.anchors.target_items.values), *texts]

    def read(self, texts: list[str], reading: Mapping[str, Any]) -> _Views:
        """Vectors by the encoders as they are before training."""
        both = self.values("text", texts)
        items = Items(np.arange(len(both)).astype(np.str_), both, "text")
        return _Views(
            embed(self.encoder, self.anchors.source_items, **reading), embed(self.text_encoder, items, **reading)
        )


def _bound(sources: Mapping[str, _Source], views: Mapping[str, _Views], common: np.ndarray, seed: int) -> BoundSpace:
    """The bound space of the training rows and texts, in closed form; equal text encoders are one text space."""
    shared: dict[str, Embeddings] = {}
    pairs: dict[str, ModalityPairs] = {}
    space_of: dict[str, str] = {}
    for name, one in sources.items():
        n, read = len(one.anchors), views[name]
        key = one.text_encoder.space.fingerprint or name
        space = space_of.setdefault(key, f"texts-of-{name}")
        vectors = np.asarray(read.texts.vectors)
        shared.setdefault(space, Embeddings(vectors[n:][common], common.astype(np.str_), read.texts.space))
        own = Embeddings(vectors[:n][one.train], read.items.ids[one.train], read.texts.space)
        groups = None if one.anchors.groups is None else one.anchors.groups[one.train]
        pairs[name] = ModalityPairs(
            read.items.take(one.train), own, groups=groups, text_space=space, encoder=one.encoder.name
        )
    return bind(pairs, texts=shared, solver="ridge", maps="own", seed=seed)


def _table(recipe: ModalityRecipe) -> AnchorTable:
    known = ("source", "target", "id", "groups", "root")
    for key in recipe.reader:
        if key not in known:
            raise DataError(f"no key of [modalities.NAME.reader] is called {key!r}; known: {', '.join(known)}.")
    reader: dict[str, Any] = dict(recipe.reader)
    if "root" in reader:
        reader["root"] = recipe.anchors.parent / reader["root"]
    return AnchorTable(recipe.anchors, **reader)


def _without_patients_of_others(sources: Mapping[str, _Source], seed: int) -> dict[str, _Source]:
    """The sources, where a patient who is held out of one modality is held out of all."""
    apart = np.concatenate([one.people[one.held] for one in sources.values()])
    split = {}
    for name, one in sources.items():
        held = np.isin(one.people, apart)
        train = np.flatnonzero(~held)
        _check_enough(train, name, "train on")
        rows = np.random.default_rng([seed, 5]).permutation(np.flatnonzero(held))  # a sorted table would give one text
        split[name] = replace(one, train=train, held=rows)
    return split


def _split(patients: np.ndarray, share: float, seed: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, patient by patient; two or more each."""
    if len(np.unique(patients)) < 2:
        raise DataError(f"all rows of {what} are of one patient, so none can be held out. Give several patients.")
    held = held_out_rows(patients, share, seed)
    train = np.setdiff1d(np.arange(len(patients)), held)
    _check_enough(train, what, "train on")
    _check_enough(held, what, "hold out")
    return train, held


def _check_enough(rows: np.ndarray, what: str, purpose: str) -> None:
    if len(rows) < 2:
        few = counted(len(rows), "row") + f" of {what} " + ("is" if len(rows) == 1 else "are")
        raise DataError(f"{few} too few to {purpose}. Give more, or change 'held' of [training].")


def _in_hub(to_hub: AffineMap, vectors: Embeddings, device: str) -> Tensor:
    return _tensor(to_hub(vectors).vectors, device)


def _tensor(array: Any, device: str) -> Tensor:
    return torch.as_tensor(np.asarray(to_numpy(array)), dtype=torch.float32, device=device)


def _reason(recipe: BindingRecipe, side: str) -> str:
    return "" if recipe.lora.towers in ("both", side) else f": [lora] towers = {recipe.lora.towers!r}"


def _digest(sources: Mapping[str, _Source], texts: list[str]) -> str:
    content: list[Any] = [texts]
    for name, one in sources.items():
        captions = [str(text) for text in one.anchors.target_items.values]
        prints = [one.encoder.space.fingerprint, one.text_encoder.space.fingerprint]
        rows = [one.anchors.ids.tolist(), one.train.tolist(), one.held.tolist()]
        items = [content_key(value, one.encoder.modality).hex() for value in one.anchors.source_items.values]
        content.append([name, captions, prints, *rows, items])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
