"""Encoders and items as a command line names them: checked cheaply first, loaded later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.escaping import escape

if TYPE_CHECKING:
    from stitchkit.cli.console import Console
    from stitchkit.cli.options import Compute
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.roles import Encoder
    from stitchkit.stitching import StitchedModel


@dataclass(frozen=True, slots=True)
class Loading:
    """Loading of encoders and embedding of items, by a command's options; studies take it as their ``loader``."""

    compute: Compute
    console: Console

    def encoder(self, name: str) -> Encoder:
        """The encoder called ``name``, which the user typed."""
        from stitchkit.encoders import RUNS_HUB_CODE, EncoderName, load_encoder

        self.console.say(f"loading {name}")
        # the permission is for the encoder that needs it; the other one of a pair may be of a family without code
        trusted = self.compute.trust_remote_code and EncoderName.parse(name).family in RUNS_HUB_CODE
        return load_encoder(
            name,
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline or None,
            trust_remote_code=trusted,
            trust_python=self.compute.trust_python or (),
        )

    def folder_encoder(self, name: object, folder: Path) -> Encoder:
        """The encoder that a stitched folder names; Python code only with ``--trust-python``."""
        from stitchkit.encoders import load_recorded
        from stitchkit.encoders.consent import Consent

        self.console.say(f"loading {escape(str(name))}")
        consent = Consent.of(self.compute.trust_python or (), self.compute.trust_remote_code).inside(folder)
        return load_recorded(
            name,
            f"the stitched folder {escape(str(folder))}",
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline or None,
            consent=consent,
        )

    def stitched_model(self, folder: Path) -> StitchedModel:
        """The stitched model in ``folder``."""
        from stitchkit.stitching import load_stitched

        self.console.say(f"loading {folder}")
        with self._network():
            return load_stitched(
                folder,
                device=self.compute.device,
                dtype=self.compute.dtype,
                trust_remote_code=self.compute.trust_remote_code,
                trust_python=self.compute.trust_python or (),
            )

    def embed(self, encoder: Encoder, items: Items, out: Path | None = None, on_error: str = "raise") -> Embeddings:
        """Embeddings of ``items``."""
        from stitchkit.embedding import embed

        return embed(
            encoder,
            items,
            batch_size=self.compute.batch_size,
            store=self.store,
            progress=self.console.progress,
            out=out,
            on_error=on_error,
        )

    @property
    def device(self) -> str:
        """Device that encoders run on."""
        return self.compute.device

    @property
    def dtype(self) -> str:
        """Precision that encoders compute in; part of the key of a study's cells."""
        return self.compute.dtype

    @property
    def store(self) -> str | None:
        """The ``store`` argument of ``stitchkit.embed``."""
        return None if self.compute.store == "none" else self.compute.store

    @contextlib.contextmanager
    def _network(self) -> Iterator[None]:
        from stitchkit.encoders import hub_access

        with hub_access(self.compute.offline or None):
            yield


def check_name(name: str) -> str:
    """``name`` if it is well formed, of a known family and, if it names a folder, there."""
    from stitchkit.encoders import ENCODERS, EncoderName
    from stitchkit.encoders.names import LOCAL

    parsed = EncoderName.parse(name)
    if parsed.family not in ENCODERS:
        raise UnknownNameError.of("encoder family", parsed.family, ENCODERS, "Write FAMILY:NAME.")
    if parsed.id.startswith(LOCAL) and parsed.folder is not None and not parsed.folder.exists():
        raise ModelUnavailableError(f"encoder {name!r}: there is no folder {parsed.folder}. Check the path.")
    return name


def read_stitched(folder: Path) -> dict[str, Any]:
    """The configuration of a stitched folder that names its source encoder."""
    from stitchkit.cli.paths import existing_path, read_artefact
    from stitchkit.storage.artefacts import unpack_model

    config, arrays = read_artefact(existing_path(folder, "stitched folder"))
    if "source" not in config:
        raise InputError(f"{folder} holds a head alone, which has no encoder. Name a stitched folder.")
    if not config.get("encoder"):
        raise InputError(
            f"{folder} holds a map between vectors and names no encoder, so it cannot read items. Make a folder that "
            f"can with 'stitchkit stitch SOURCE TARGET --anchors CSV', or in Python with sk.stitch(encoder, "
            f"alignment).save(folder)."
        )
    unpack_model(config, arrays)
    return config
