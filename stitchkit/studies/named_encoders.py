"""The usual loader of a study: encoders by name, with vectors of the embedding cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder
from stitchkit.encoders.consent import TrustPython


@dataclass(frozen=True, slots=True)
class NamedEncoders:
    """Loader of encoders by name; their vectors are kept in the embedding cache."""

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 32
    store: str | Path | None = "auto"
    progress: bool | None = None
    trust_python: TrustPython = False

    def encoder(self, name: str) -> Encoder:
        """The encoder called ``name``."""
        return load_encoder(name, device=self.device, dtype=self.dtype, trust_python=self.trust_python)

    def embed(self, encoder: Encoder, items: Items) -> Embeddings:
        """Vectors of ``items`` by ``encoder``."""
        return embed(encoder, items, batch_size=self.batch_size, store=self.store, progress=self.progress)
