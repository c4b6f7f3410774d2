"""One tower of a trained pair of pretrained encoders: ``stitchkit:FOLDER#modality=image`` and ``#modality=text``.

The folder names the encoders that training began with, and holds the weights that it changed; ``stitchkit train``
writes it from a recipe with ``[towers]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
import torch

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Batch, Encoded, Encoder, HasContext, HasDetails, HasVocabulary
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.consent import Consent
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.tuned.network import TunedNetwork
from stitchkit.storage.artefact_schemas import Size, array_of, check_fields
from stitchkit.storage.tensor_files import digest_of_arrays

KIND = "tuned pair"  # of the folder, in its config; folders.py tells by it
BROKEN = "Copy or train it again."


class TowerFields(msgspec.Struct, forbid_unknown_fields=True):
    """An encoder that training began with.

    Parameters
    ----------
    name
        Name of the modality.
    encoder, fingerprint, width
        Name of the encoder, fingerprint of its vectors, and their width.
    """

    name: str
    encoder: str
    fingerprint: str
    width: Size


class PairFields(msgspec.Struct, forbid_unknown_fields=True):
    """The towers of a pair.

    Parameters
    ----------
    dim
        Width of the common space.
    arrays
        Digest of the weights that training changed.
    """

    dim: Size
    towers: Annotated[list[TowerFields], msgspec.Meta(min_length=1, max_length=16)]
    arrays: str


@dataclass(frozen=True, slots=True)
class TunedEncoder:
    """One tower of a pair, frozen.

    Parameters
    ----------
    branch
        Name of the modality in the pair.
    pair
        Mark of the whole: its modalities were trained into one space, and need no anchors to be compared.
    base
        The encoder that prepares items; its module holds the trained weights.
    """

    name: str
    branch: str
    space: Space
    pair: str
    base: Encoder = field(repr=False)
    network: TunedNetwork = field(repr=False)

    @property
    def modality(self) -> str:
        """``"image"`` or ``"text"``: the kind of its items."""
        return self.base.modality

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        known = self.base.details if isinstance(self.base, HasDetails) else {}
        return {"trained from": self.base.name, **known}

    def prepare(self, items: Sequence[Any]) -> Batch:
        """The preprocessing of the encoder that training began with."""
        return self.base.prepare(items)

    def knows(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text of which the tokenizer knows something, (n,)."""
        return self.base.knows(texts) if isinstance(self.base, HasVocabulary) else [True] * len(texts)

    def cuts(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return self.base.cuts(texts) if isinstance(self.base, HasContext) else [False] * len(texts)

    @torch.no_grad()
    def encode(self, batch: Batch) -> Encoded:
        """Vectors (b, d), and tokens (b, t, d) with the mask of those that are content, where there are any."""
        features = self.network(self.branch, batch)
        if not features.tokens.shape[1]:
            return Encoded(features.pooled.float())
        return Encoded(features.pooled.float(), features.tokens.float(), features.mask)


def pack_tuned(network: TunedNetwork, bases: Mapping[str, Space]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration and arrays of a pair: weights that the last step has moved, and projections.

    Parameters
    ----------
    network
        The network after a step; what is frozen in it, or in no vector's way (a classifier), stays with the encoders
        that training began with.
    bases
        Modality -> space of its encoder before training; files in their names are found from any folder.
    """
    arrays = {
        key: value.detach().float().cpu().numpy()
        for key, value in network.named_parameters()
        if key.startswith("projections.") or (value.requires_grad and value.grad is not None)
    }
    towers = [
        {"name": name, "encoder": str(EncoderName.parse(one.name).resolve()), "fingerprint": one.fingerprint,
         "width": one.dim}
        for name, one in bases.items()
    ]  # fmt: skip
    fields = {"dim": network.shape.dim, "towers": towers, "arrays": digest_of_arrays(arrays)}
    return {"kind": KIND, "pair": fields}, arrays


def pair_fields(config: Mapping[str, Any]) -> PairFields:
    """The towers that a folder's config names.

    Raises
    ------
    ModelUnavailableError
        If something is missing or of another type.
    """
    try:
        return check_fields(config.get("pair"), PairFields)
    except InputError as error:
        raise ModelUnavailableError(
            "the folder holds no pair of trained encoders: " + error.message.rstrip(".") + f". {BROKEN}"
        ) from error


def load(
    name: EncoderName,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    device: str,
    dtype: str,
    consent: Consent,
) -> TunedEncoder:
    """The tower of the folder ``name.id`` that ``#modality=`` names.

    Raises
    ------
    UnknownNameError
        For a modality that it does not have, or none where it has several.
    ModelUnavailableError
        If the folder is incomplete, or the encoder that training began with cannot be loaded.
    SpaceMismatchError
        If that encoder has other weights now.
    """
    from stitchkit.encoders import source_encoder

    name.check_options(("modality",))
    fields = pair_fields(config)
    known = {one.name: one for one in fields.towers}
    modality = name.options.get("modality", "")
    if modality not in known:
        example = f"{name.family}:{name.id}#modality={next(iter(known))}"
        raise UnknownNameError.of(f"modality of {name.id}", modality, known, f"Write {example}.")
    if digest_of_arrays(arrays) != fields.arrays:
        raise ModelUnavailableError(
            f"the weights in {name.id} are not those that its config names: files of two folders were mixed. {BROKEN}"
        )
    tower = known[modality]
    space = Space(tower.encoder, tower.width, tower.fingerprint)
    base = source_encoder(
        {"encoder": tower.encoder}, space, name.id, device=device, dtype=dtype, consent=consent
    )  # fmt: skip
    network = TunedNetwork({modality: base}, fields.dim, {})
    _fill(network, arrays, modality, name)
    network.eval().requires_grad_(False)
    network.projections.to(base.device)  # type: ignore[attr-defined]
    whole = fingerprint({}, {"arrays": fields.arrays, "towers": [[one.name, one.fingerprint] for one in fields.towers]})
    space = Space(str(name), fields.dim, fingerprint({}, {"pair": whole, "modality": modality}))
    return TunedEncoder(str(name), modality, space, whole, base, network)


def _fill(network: TunedNetwork, arrays: Mapping[str, np.ndarray], modality: str, name: EncoderName) -> None:
    """Put the trained weights of one modality into its network, whose others stay as they are."""
    state = network.state_dict()
    own = {key for key in arrays if key.startswith((f"towers.{modality}.", f"projections.{modality}."))}
    try:
        if stray := sorted(own - state.keys()):
            raise InputError(f"the array {stray[0]!r} is none of this network")
        if f"projections.{modality}.weight" not in own:
            raise InputError(f"the array 'projections.{modality}.weight' is missing")
        for key in own:
            value = torch.from_numpy(array_of(arrays, key))
            if value.shape != state[key].shape:
                raise InputError(f"the array {key!r} is {tuple(value.shape)} and not {tuple(state[key].shape)}")
            state[key].copy_(value)
    except InputError as error:
        raise ModelUnavailableError(
            f"{name.id} holds no pair of trained encoders: " + error.message.rstrip(".") + f". {BROKEN}"
        ) from error
