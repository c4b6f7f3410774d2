"""Inputs of ``align``: two files of embeddings paired by id, or two encoders over a table of anchors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings

FILE = ".safetensors"


def are_files(source: str, target: str) -> bool:
    """True if both are files of embeddings; one alone is an error."""
    from stitchkit.encoders import is_vectors_file

    files = [is_vectors_file(one) for one in (source, target)]
    if any(files) and not all(files):
        raise InputError(f"SOURCE and TARGET must both be {FILE} files or both be encoders; got {source} and {target}.")
    return all(files)


def read_sides(source: str, target: str) -> tuple[Embeddings, Embeddings]:
    """The embeddings in two files."""
    from stitchkit.cli.places import there
    from stitchkit.storage.folders import read_embeddings

    x, y = (read_embeddings(there(one, "file of embeddings")) for one in (source, target))
    return x, y


@dataclass(frozen=True, slots=True)
class FilePairs:
    """Two files of embeddings; a table of anchors says which ids to use, and their patients."""

    source: Embeddings
    target: Embeddings
    groups: Any
    anchor_set: dict[str, Any]

    @classmethod
    def of(cls, source: str, target: str, table: AnchorTable | None) -> FilePairs:
        """The files, read."""
        from stitchkit.cli.anchor_tables import about

        x, y = read_sides(source, target)
        if table is None:
            return cls(x, y, None, {"files": [Path(source).name, Path(target).name], "n": len(x)})
        pairs = table.ids_only()
        return cls(x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups, about(pairs))

    def plan(self) -> dict[str, Any]:
        """Inputs that would be aligned."""
        return {"source": self.source.space.name, "target": self.target.space.name, "pairs": len(self.source)}

    def write(self, out: Path, loading: Loading, fitting: Fitting, purpose: str, overwrite: bool) -> Alignment:
        """The alignment, written to a folder that names no encoder."""
        from stitchkit.storage.alignments import save_alignment

        done = fitting.fit(self.source, self.target, self.groups, purpose, fitting.pool(loading))
        save_alignment(
            done, out, extra={"anchor_set": self.anchor_set}, command=fitting.talk.command, overwrite=overwrite
        )
        return done


@dataclass(frozen=True, slots=True)
class EncoderPairs:
    """Two encoders and a table of anchors."""

    source: str
    target: str
    table: AnchorTable

    @classmethod
    def of(cls, source: str, target: str, table: AnchorTable | None) -> EncoderPairs:
        """The names and the table, checked."""
        from stitchkit.cli.loading import check_name

        if table is None:
            raise InputError("two encoders are aligned on anchors: pass --anchors CSV.")
        table.check()
        return cls(check_name(source), check_name(target), table)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be embedded and aligned."""
        return {"source": self.source, "target": self.target, "pairs": len(self.table.check())}

    def write(self, out: Path, loading: Loading, fitting: Fitting, purpose: str, overwrite: bool) -> Alignment:
        """The alignment, written to a stitched folder without a head."""
        import stitchkit as sk
        from stitchkit.cli.anchor_tables import about
        from stitchkit.evaluation.fitted_pairs import remember_files

        left, right = loading.encoder(self.source), loading.encoder(self.target)
        pairs = self.table.read(left.modality, right.modality)
        x, y = loading.embed(left, pairs.source_items), loading.embed(right, pairs.target_items)
        done = fitting.fit(x, y, pairs.groups, purpose, fitting.pool(loading, left, right))
        done = remember_files(done, pairs.source_items)
        model = sk.stitch(left, done, target_name=self.target)
        model.save(out, extra={"anchor_set": about(pairs)}, command=fitting.talk.command, overwrite=overwrite)
        return done
