"""Alignments on disk, and the pairs they are tried on: files of embeddings, or items that their encoders read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError
from stitchkit.core.escaping import escape

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.loading import Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings

Vectors = tuple["Alignment", "Embeddings", "Embeddings", Any]  # with the patients of the pairs


@dataclass(frozen=True, slots=True)
class Tried:
    """A folder with an alignment, and the files of embeddings to try it on, if not its own encoders."""

    folder: Path
    config: dict[str, Any]
    alignment: Alignment
    source: Path | None
    target: Path | None
    table: AnchorTable | None

    @classmethod
    def of(cls, folder: Path, source: Path | None, target: Path | None, table: AnchorTable | None) -> Tried:
        """The folder, read, with all that can be checked before an encoder is loaded."""
        from stitchkit.cli.places import artefact
        from stitchkit.storage.artefacts import unpack_alignment
        from stitchkit.storage.folders import read_folder

        config, arrays = read_folder(artefact(folder))
        if "source" not in config:
            raise InputError(f"{folder} holds a head alone, which aligns nothing. Name a folder of 'stitchkit align'.")
        if source is None or target is None:
            if table is None:
                raise InputError("a gate needs pairs: pass --pairs CSV, or --source and --target files of embeddings.")
            sides = (("source", source, "encoder"), ("target", target, "target_encoder"))
            missing = [name for name, given, key in sides if given is None and not config.get(key)]
            if missing:
                raise InputError(_names_no_encoder(folder, config, missing, table.path))
            table.check()
        made = cls(folder, config, unpack_alignment(config, arrays), source, target, table)
        made._check_enough()
        return made

    def _check_enough(self) -> None:
        from stitchkit.evaluation.retrieval.held_pairs import LEAST

        count = len(self._names()[0])
        if count < LEAST:
            raise InputError(f"a gate needs at least {LEAST} pairs; got {count}. Give more pairs.")

    def audit(self, allow: bool) -> list[str]:
        """Raise, or say so, if an item or a patient of the pairs is among those the alignment was fitted on."""
        from stitchkit.cli.folder_leakage import audit_folder

        instead = "It cannot be gated on them: hold pairs of other patients out, or pass --allow-leakage."
        return audit_folder(self.folder, self.config, self._names(), self.table, allow=allow, instead=instead)

    def _names(self) -> tuple[Any, Any]:
        """Ids and patients of the pairs."""
        from stitchkit.storage.folders import read_embeddings

        if self.table is not None:
            pairs = self.table.ids_only()
            return pairs.ids, pairs.groups
        if self.source is None:
            raise InputError("a gate needs pairs: pass --pairs CSV, or --source and --target files of embeddings.")
        return read_embeddings(self.source).ids, None


def _names_no_encoder(folder: Path, config: dict[str, Any], sides: list[str], pairs: Path) -> str:
    """The error of a folder that does not name the encoders of these sides, with the commands that help."""
    spaces = " and ".join(f"{side} side ({escape(str(config[side]['name']))!r})" for side in sides)
    steps = " and ".join(f"'stitchkit embed {side.upper()} {pairs} --out {side}.safetensors'" for side in sides)
    flags = " ".join(f"--{side} {side}.safetensors" for side in sides)
    return (
        f"{folder} does not name the encoder of its {spaces}. Embed the pairs with it, {steps}, and pass {flags} as "
        f"well."
    )


@dataclass(frozen=True, slots=True)
class Held:
    """The held-out pairs, embedded for each alignment that is tried."""

    table: AnchorTable | None
    loading: Loading

    def vectors(self, tried: Tried) -> Vectors:
        """The alignment, both sides' vectors of the pairs, and their patients."""
        from stitchkit.storage.folders import read_embeddings

        x, y = (None if path is None else read_embeddings(path) for path in (tried.source, tried.target))
        if x is not None and y is not None:
            if self.table is None:
                return tried.alignment, x, y, None
            pairs = self.table.ids_only()
            return tried.alignment, x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups
        if self.table is None:
            raise InputError("a gate needs pairs: pass --pairs CSV.")
        left = None if x is not None else self.loading.recorded(tried.config["encoder"], tried.folder)
        right = None if y is not None else self.loading.recorded(tried.config["target_encoder"], tried.folder)
        kinds = [None if one is None else one.modality for one in (left, right)]
        pairs = self.table.read(kinds[0] or kinds[1] or "image", kinds[1] or kinds[0] or "image")
        if left is not None:
            x = self.loading.embed(left, pairs.source_items)
        if right is not None:
            y = self.loading.embed(right, pairs.target_items)
        if x is None or y is None:
            raise InputError("a gate needs the vectors of both sides.")
        return tried.alignment, x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups
