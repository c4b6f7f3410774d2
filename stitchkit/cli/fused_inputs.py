"""Modalities as a command line names them: columns that encoders read, columns of a table, files of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.cli.evaluation import EvaluationRequest
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.options import ModalityFiles
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.fused_heads import FusedHead
    from stitchkit.core.fusion_rows import Modality
    from stitchkit.core.scores import Scores
    from stitchkit.datasets.table_rows import ItemTable

TABLE = "table"  # name of the modality of a table's columns


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """A column that an encoder reads: ``[NAME:]COLUMN=ENCODER``."""

    name: str
    column: str
    encoder: str

    @classmethod
    def of(cls, text: str) -> EncodedColumn:
        """The parts of what was typed, the encoder's name checked."""
        from stitchkit.alignment.binding.modalities import check_name
        from stitchkit.encoders import check_encoder_name

        left, sign, encoder = text.partition("=")
        name, colon, column = left.partition(":")
        column = column if colon else name
        if not (sign and name and column and encoder):
            raise InputError(f"--encode takes [NAME:]COLUMN=ENCODER; got {text!r}.")
        try:
            check_name(name, "a modality", "image")
        except InputError as error:
            raise InputError(f"{error} Name it: --encode NAME:COLUMN=ENCODER.") from None
        check_encoder_name(encoder)
        return cls(name, column, encoder)


def modality_files(texts: Sequence[str] | None, files: ModalityFiles) -> dict[str, Embeddings]:
    """Vectors of the files that ``NAME=FILE`` names, by modality."""
    by_name: dict[str, Embeddings] = {}
    for text in texts or ():
        name, sign, path = text.partition("=")
        if not (sign and name and path):
            raise InputError(f"--vectors takes NAME=FILE; got {text!r}.")
        if name in by_name:
            raise InputError(f"--vectors names {name!r} twice. Give one file a modality.")
        by_name[name] = files.read(path)
    return by_name


@dataclass(frozen=True, slots=True)
class FusedScorer:
    """The folder of a fused head; items may lack any of its modalities."""

    folder: Path
    head: FusedHead
    files: dict[str, Embeddings]

    @classmethod
    def of(cls, folder: Path, files: ModalityFiles | None) -> FusedScorer:
        """The folder's scorer, with the vectors of files for the modalities that they name."""
        from stitchkit.persistence.save_and_load import load

        head = load(folder)
        named = {} if files is None else modality_files(files.modality_vectors, files)
        for name in named:
            if name not in head.names:
                raise UnknownNameError.of("modality of this fused head", name, head.names)
        return cls(folder, head, named)

    @property
    def classes(self) -> tuple[str, ...]:
        """The head's classes."""
        return self.head.classes

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"fused": self.folder, "modalities": list(self.head.names)}

    def score(
        self, items: ItemsFile | Embeddings, request: EvaluationRequest | None, loading: Loading, *,
        allow_leakage: bool, raw: bool = False,
    ) -> tuple[Scores, list[str], dict[str, Scores]]:  # fmt: skip
        """Scores of items, whatever each has, notes, and scores beside them where a ``request`` judges.

        Probabilities, unless ``raw`` or nothing was calibrated.
        """
        from stitchkit.evaluation.fitted_pairs import audit_fused
        from stitchkit.evaluation.scores.subset_decisions import other_scores

        inputs, ids, notes = self._inputs(items, request, loading)
        patients = None if request is None else request.check(ids)
        notes += audit_fused(self.head, ids, patients, judged=request is not None, allow=allow_leakage)
        rows = self.head.rows(inputs, ids)
        calibrated = bool(self.head.decisions) and not raw
        scores: Scores = self.head.probabilities(rows) if calibrated else self.head.scores(rows)
        notes += [*self.head.row_notes(rows), *self.head.table_notes(inputs)]
        return scores, notes, {} if request is None else other_scores(self.head, rows, calibrated=calibrated)

    def _inputs(
        self, items: ItemsFile | Embeddings, request: EvaluationRequest | None, loading: Loading
    ) -> tuple[dict[str, Any], np.ndarray, list[str]]:
        """Inputs by modality, ids of the items, and notes on modalities that are not there."""
        from stitchkit.core.embeddings import Embeddings

        inputs: dict[str, Any] = dict(self.files)
        if isinstance(items, Embeddings):
            inputs[self._modality_of(items).name] = items
            ids = items.ids
        elif items.source.table is None:
            one = self._only_encoder()
            encoder = loading.folder_encoder(one.encoder, self.folder)
            read = items.read(encoder.modality)
            inputs[one.name], ids = loading.embed(encoder, read), read.ids
        else:
            from stitchkit.datasets.table_rows import ItemTable

            table = ItemTable.of(items.source.table, items.columns.id_column, items.columns.root)
            if request is not None:
                request.check(table.ids)  # before anything is embedded
            ids = table.ids
            for one in self.head.modalities:
                if one.name not in inputs and (own := self._of_table(one, table, loading)) is not None:
                    inputs[one.name] = own
        lacking = [name for name in self.head.names if name not in inputs]
        if len(lacking) == len(self.head.names):
            raise InputError(
                f"{self.folder} reads {', '.join(self._needs())}; the items have none of these. Give a table with such "
                f"columns, or --vectors NAME=FILE."
            )
        return inputs, ids, [f"{name} is missing for every item" for name in lacking]

    def _of_table(self, one: Modality, table: ItemTable, loading: Loading) -> Any:
        """Table rows, or vectors of the filled cells; None where the table has no such column, or it is blank."""
        if one.table is not None:
            return table.rows_of(one.table) if any(map(table.has, one.table.names)) else None
        if not one.encoder or not one.column or not table.has(one.column):
            return None
        from stitchkit.core.keys import is_missing

        if all(map(is_missing, table.table.column(one.column))):
            return None
        encoder = loading.folder_encoder(one.encoder, self.folder)
        return loading.embed(encoder, table.items(one.column, encoder.modality))

    def _modality_of(self, vectors: Embeddings) -> Modality:
        """The one modality whose space these vectors are of."""
        fitting = [one for one in self.head.modalities if one.table is None and one.space.accepts(vectors.space)]
        if len(fitting) != 1:
            raise InputError(
                f"the vectors of {vectors.space.name!r}, {vectors.space.dim} wide, fit {len(fitting)} modalities of "
                f"{self.folder} ({', '.join(self.head.names)}). Name theirs: --vectors NAME=FILE, and give a table."
            )
        return fitting[0]

    def _only_encoder(self) -> Modality:
        """The one modality that an encoder reads, for items without a table."""
        read = [one for one in self.head.modalities if one.encoder and one.column]
        if len(read) != 1:
            raise InputError(
                f"{self.folder} reads {', '.join(self._needs())}, so its items are a table with these columns. "
                f"Give a .csv."
            )
        return read[0]

    def _needs(self) -> list[str]:
        """Columns and vectors of each modality, in words."""
        return [
            f"{one.name} (columns {', '.join(one.table.names)})" if one.table is not None
            else f"{one.name} (column {one.column})" if one.column else f"{one.name} (vectors of {one.space.name})"
            for one in self.head.modalities
        ]  # fmt: skip


def fused_summary(scorer: FusedScorer, out: Path) -> tuple[list[Any], dict[str, Any]]:
    """Summary of a fused head that scored items, in lines and as plain values."""
    document = {
        "out": str(out), "head": "fused", "classes": list(scorer.classes), "modalities": list(scorer.head.names)
    }  # fmt: skip
    return [f"wrote {out}"], document
