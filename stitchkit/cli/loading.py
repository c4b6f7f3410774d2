"""Encoders and items as a command line names them: checked cheaply first, loaded later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.escaping import escape

if TYPE_CHECKING:
    from stitchkit.cli.console import Console
    from stitchkit.cli.options import Columns, Compute, VectorFiles
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.tables import ItemSource
    from stitchkit.stitching import StitchedModel


@dataclass(frozen=True, slots=True)
class Loading:
    """Loading of encoders and embedding of items, by a command's options; studies take it as their ``loader``."""

    compute: Compute
    console: Console

    def encoder(self, name: str) -> Encoder:
        """The encoder called ``name``, which the user typed."""
        from stitchkit.encoders import load_encoder, runs_hub_code

        self.console.say(f"loading {name}")
        # the permission is for the encoder that needs it; the other one of a pair may be of a family without code
        trusted = self.compute.trust_remote_code and runs_hub_code(name)
        return load_encoder(
            name,
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline or None,
            trust_remote_code=trusted,
            trust_python=self.compute.trust_python or (),
        )

    def folder_encoder(self, name: object, folder: Path) -> Encoder:
        """The encoder that a folder names; Python code only with ``--trust-python``."""
        from stitchkit.encoders import check_files, load_recorded
        from stitchkit.encoders.consent import Consent

        self.console.say(f"loading {escape(str(name))}")
        check_files(folder)
        consent = Consent.of(self.compute.trust_python or (), self.compute.trust_remote_code).inside(folder)
        return load_recorded(
            name,
            f"the folder {escape(str(folder))}",
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline or None,
            consent=consent,
        )

    def stitched_model(self, folder: Path, encoder: str | None = None) -> StitchedModel:
        """The stitched model in ``folder``, with its encoder by another name where one is given."""
        from stitchkit.stitching import load_stitched

        self.console.say(f"loading {folder}")
        with self._network():
            return load_stitched(
                folder,
                encoder=None if encoder is None else self.encoder(encoder),
                device=self.compute.device,
                dtype=self.compute.dtype,
                trust_remote_code=self.compute.trust_remote_code,
                trust_python=self.compute.trust_python or (),
            )

    def embed(self, encoder: Encoder, items: Items, out: Path | None = None, on_error: str = "raise") -> Embeddings:
        """Embeddings of ``items``."""
        from stitchkit.embedding import embed

        return embed(encoder, items, **self.embedding, out=out, on_error=on_error)

    @property
    def embedding(self) -> dict[str, Any]:
        """Settings of ``stitchkit.embed``: its batches, store and bar."""
        return {
            "batch_size": self.compute.batch_size,
            "store": self.store,
            "progress": self.console.progress,
        }

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


@dataclass(frozen=True, slots=True)
class RecordedEncoder:
    """The name of an encoder as a folder of an alignment records it; not loaded."""

    name: str
    folder: Path

    @classmethod
    def of(cls, folder: Path, config: Mapping[str, Any], side: str) -> RecordedEncoder:
        """The encoder of the ``"source"`` or ``"target"`` side; an error names what to do where there is none."""
        from stitchkit.core.errors import InputError

        name = config.get({"source": "encoder", "target": "target_encoder"}[side])
        if not name:
            raise InputError(
                f"{folder} does not name the encoder of its {side} side ({escape(str(config[side]['name']))!r}). Name "
                f"it, or a file of its vectors, as {side.upper()}."
            )
        return cls(name, folder)


@dataclass(frozen=True, slots=True)
class ItemsFile:
    """Items to score in a file or folder, which is read once, and the columns that ids and folder come from."""

    source: ItemSource
    columns: Columns

    @classmethod
    def open(cls, path: Path, column: str | None, columns: Columns) -> ItemsFile:
        """The items at ``path``, in this column of a table."""
        from stitchkit.datasets.tables import open_items

        return cls(open_items(path, column=column), columns)

    @classmethod
    def or_vectors(cls, path: Path, column: str | None, columns: Columns, files: VectorFiles) -> ItemsFile | Embeddings:
        """The items at ``path``; or the vectors there, read, which need no encoder."""
        from stitchkit.core.embeddings import VECTOR_FILES

        if column is None and path.suffix.lower() in VECTOR_FILES:
            from stitchkit.datasets.vector_files import holds_vectors

            if holds_vectors(path):
                return files.read(path)
        return cls.open(path, column, columns)

    def __len__(self) -> int:
        return self.check()

    def check(self) -> int:
        """Number of items; raises for what can be seen to be wrong without an encoder."""
        return self.source.count()

    def read(self, modality: str | None) -> Items:
        """The items, as an encoder of this modality reads them; None takes the modality from the file."""
        return self.source.read(modality, id=self.columns.id_column, root=self.columns.root)
