"""A stitched folder as an encoder: its source encoder, then its map into the target space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.maps import AffineMap, mapped_fingerprint
from stitchkit.core.roles import Batch, Encoded, Encoder, HasContext, HasDetails, HasVocabulary
from stitchkit.core.space import Space
from stitchkit.encoders.consent import Consent
from stitchkit.encoders.names import EncoderName
from stitchkit.storage.artefacts import unpack_alignment
from stitchkit.storage.folders import read_folder


@dataclass(frozen=True, slots=True)
class StitchedEncoder:
    """``encoder`` followed by ``to_target``; a space of its own, since the target's encoder did not make it."""

    name: str
    encoder: Encoder
    to_target: AffineMap

    @property
    def modality(self) -> str:
        """The source encoder's."""
        return self.encoder.modality

    @property
    def space(self) -> Space:
        """A space as wide as the target's, with a fingerprint of encoder and map."""
        fingerprint = mapped_fingerprint(self.encoder.space.fingerprint, self.to_target)
        return Space(self.name, self.to_target.target.dim, fingerprint)

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        known = self.encoder.details if isinstance(self.encoder, HasDetails) else {}
        return {"source encoder": self.encoder.name, **known}

    def prepare(self, items: Sequence[Any]) -> Batch:
        """The source encoder's preprocessing."""
        return self.encoder.prepare(items)

    def knows(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text of which the source encoder's tokenizer knows something, (n,)."""
        return self.encoder.knows(texts) if isinstance(self.encoder, HasVocabulary) else [True] * len(texts)

    def cuts(self, texts: Sequence[str]) -> Sequence[bool]:
        """True for each text whose end the source encoder does not read, (n,)."""
        return self.encoder.cuts(texts) if isinstance(self.encoder, HasContext) else [False] * len(texts)

    def encode(self, batch: Batch) -> Encoded:
        """Vectors (b, d_t) in the target space's units."""
        return Encoded(self.to_target.apply(self.encoder.encode(batch).pooled))


def load(
    name: EncoderName,
    config: dict[str, Any],
    arrays: dict[str, Any],
    *,
    device: str,
    dtype: str,
    consent: Consent,
) -> StitchedEncoder:
    """The source encoder of the folder ``name.id``, whose config and arrays are given, with its map."""
    from stitchkit.encoders import source_encoder

    name.check_options(())
    alignment = unpack_alignment(config, arrays)
    encoder = source_encoder(config, alignment.source, name.id, device=device, dtype=dtype, consent=consent)
    return StitchedEncoder(str(name), encoder, alignment.to_target)


def load_bound(
    name: EncoderName, config: dict[str, Any], *, device: str, dtype: str, consent: Consent
) -> StitchedEncoder:
    """The encoder of one modality (``#modality=xray``), or of queries (``#modality=text``), of a bound folder."""
    name.check_options(("modality",))
    known = ["text", *(one["name"] for one in config["modalities"])]
    chosen, example = name.options.get("modality"), f"Write stitchkit:{name.id}#modality={known[-1]}."
    if chosen is None:
        raise InputError(
            f"{name.id} is a bound folder of several encoders: {', '.join(known)}. Name one of them. {example}"
        )
    if chosen not in known:
        raise UnknownNameError.of("modality of this bound folder", chosen, known, example)
    inside = replace(name, id=f"{name.id}/{chosen}", options={})
    part, arrays = read_folder(inside.id)
    encoder = load(inside, part, arrays, device=device, dtype=dtype, consent=consent)
    return replace(encoder, name=str(name))
