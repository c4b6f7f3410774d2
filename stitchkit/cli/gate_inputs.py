"""Inputs of ``gate``: an alignment on disk, and held-out pairs as files of embeddings or items for its encoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError
from stitchkit.core.escaping import escape

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.options import VectorFiles
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.anchor_tables import AnchorTable

NO_PAIRS = "a gate needs pairs: pass --test CSV, or --source and --target files of embeddings."


@dataclass(frozen=True, slots=True)
class GateInputs:
    """A folder with an alignment, and the pairs to judge it on.

    Parameters
    ----------
    source, target
        Files of embeddings, in place of the folder's own encoders.
    table
        Ids, patients and items of the pairs.
    """

    folder: Path
    config: dict[str, Any]
    alignment: Alignment
    source: Path | None
    target: Path | None
    table: AnchorTable | None
    files: VectorFiles
    encoder: str | None = None

    @classmethod
    def of(
        cls, folder: Path, source: Path | None, target: Path | None, table: AnchorTable | None, files: VectorFiles,
        encoder: str | None = None,
    ) -> GateInputs:  # fmt: skip
        """The folder, read, with all that can be checked before an encoder is loaded."""
        from stitchkit.cli.paths import read_artefact
        from stitchkit.evaluation.retrieval.held_pairs import check_enough
        from stitchkit.storage.artefacts import unpack_alignment

        config, arrays = read_artefact(folder)
        if "source" not in config:
            raise InputError(f"{folder} holds a head alone, which aligns nothing. Name a folder of 'stitchkit align'.")
        if source is None or target is None:
            if table is None:
                raise InputError(NO_PAIRS)
            sides = (("source", source, "encoder"), ("target", target, "target_encoder"))
            missing = [name for name, file, key in sides if file is None and not config.get(key)]
            if missing:
                raise InputError(_no_encoder(folder, config, missing, table.path))
            table.check()
        inputs = cls(folder, config, unpack_alignment(config, arrays), source, target, table, files, encoder)
        check_enough(len(inputs._names()[0]), "a gate")
        return inputs

    def audit(self, allow: bool) -> list[str]:
        """Raise, or say so, if an item or a patient of the pairs is among those the alignment was fitted on."""
        from stitchkit.evaluation.anchors.fitted_folders import audit_folder

        step = "It cannot be gated on them: hold pairs of other patients out, or pass --allow-leakage."
        ids, groups = self._names()
        return audit_folder(self.folder, ids, groups, table=self.table, config=self.config, allow=allow, step=step)

    def _names(self) -> tuple[Any, Any]:
        """Ids and patients of the pairs."""
        if self.table is not None:
            pairs = self.table.ids_only()
            return pairs.ids, pairs.groups
        if self.source is None:
            raise InputError(NO_PAIRS)
        ids = self.files.read(self.source).ids
        return ids, self.files.patients(ids)

    def _source_encoder(self, loading: Loading) -> Encoder:
        """The source encoder, by the folder or by another name."""
        if self.encoder is not None:
            return loading.encoder(self.encoder)
        return loading.folder_encoder(self.config["encoder"], self.folder)

    def vectors(self, loading: Loading) -> tuple[Embeddings, Embeddings, Any]:
        """Both sides' vectors of the pairs, and their patients."""
        x, y = (None if path is None else self.files.read(path) for path in (self.source, self.target))
        if x is not None and y is not None:
            if self.table is None:
                return x, y, self.files.patients(x.ids)
            pairs = self.table.ids_only()
            return x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups
        if self.table is None:
            raise InputError(NO_PAIRS)
        left = None if x is not None else self._source_encoder(loading)
        right = None if y is not None else loading.folder_encoder(self.config["target_encoder"], self.folder)
        kinds = [None if one is None else one.modality for one in (left, right)]
        pairs = self.table.read(kinds[0] or kinds[1] or "image", kinds[1] or kinds[0] or "image")
        if left is not None:
            x = loading.embed(left, pairs.source_items)
        if right is not None:
            y = loading.embed(right, pairs.target_items)
        if x is None or y is None:
            raise InputError("a gate needs the vectors of both sides.")
        return x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups


def _no_encoder(folder: Path, config: dict[str, Any], sides: list[str], pairs: Path) -> str:
    """The error of a folder that does not name the encoders of these sides, with the commands that help."""
    spaces = " and ".join(f"{side} side ({escape(str(config[side]['name']))!r})" for side in sides)
    steps = " and ".join(f"'stitchkit embed {side.upper()} {pairs} --out {side}.safetensors'" for side in sides)
    flags = " ".join(f"--{side} {side}.safetensors" for side in sides)
    return (
        f"{folder} does not name the encoder of its {spaces}. Embed the pairs with it, {steps}, and pass {flags} as "
        f"well."
    )
