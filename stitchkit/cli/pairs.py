"""Inputs of ``align`` and ``compare``: two files of embeddings paired by id, or two encoders over anchors; pools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.options import VectorFiles
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.anchor_tables import AnchorTable

FILE = ".safetensors"


def are_files(source: str, target: str) -> bool:
    """True if both are files of embeddings; one alone is an error."""
    from stitchkit.encoders import is_vectors_file

    files = [is_vectors_file(one) for one in (source, target)]
    if any(files) and not all(files):
        raise InputError(f"SOURCE and TARGET must both be {FILE} files or both be encoders; got {source} and {target}.")
    return all(files)


def embed_table(
    left: Encoder, right: Encoder, table: AnchorTable, loading: Loading
) -> tuple[Embeddings, Embeddings, AnchorSet]:
    """Both sides' vectors of a table's pairs, and the pairs, as the two encoders read them."""
    pairs = table.read(left.modality, right.modality)
    return loading.embed(left, pairs.source_items), loading.embed(right, pairs.target_items), pairs


def pairs_of(source: str, target: str, table: AnchorTable | None, vectors: VectorFiles) -> FilePairs | EncoderPairs:
    """The pairs that SOURCE, TARGET and the table of anchors name, with all that can be checked without a model."""
    if are_files(source, target):
        return FilePairs.of(source, target, table, vectors)
    return EncoderPairs.of(source, target, table)


@dataclass(frozen=True, slots=True)
class FilePairs:
    """Two files of embeddings; a table of anchors says which ids to use, and their patients."""

    source: Embeddings
    target: Embeddings
    groups: Any
    anchor_set: dict[str, Any]

    @classmethod
    def of(cls, source: str, target: str, table: AnchorTable | None, vectors: VectorFiles) -> FilePairs:
        """The files, read."""
        from stitchkit.datasets.anchor_tables import table_facts

        x, y = vectors.read(source), vectors.read(target)
        if table is None:
            return cls(x, y, None, {"files": [Path(source).name, Path(target).name], "n": len(x)})
        pairs = table.ids_only()
        return cls(x.of_ids(pairs.ids), y.of_ids(pairs.ids), pairs.groups, table_facts(pairs))

    def plan(self) -> dict[str, Any]:
        """Inputs that would be aligned."""
        return {"source": self.source.space.name, "target": self.target.space.name, "pairs": len(self.source)}

    def write(
        self, out: Path, purpose: str, fitting: Fitting, pools: Pools | None, loading: Loading, *, overwrite: bool
    ) -> Alignment:
        """The alignment, written to a folder that names no encoder."""
        from stitchkit.storage.alignments import save_alignment

        pool = None if pools is None else pools.vectors(loading)
        alignment = fitting.fit(self.source, self.target, self.groups, purpose, pool=pool)
        facts = {"anchor_set": self.anchor_set}
        save_alignment(alignment, out, extra=facts, command=loading.console.command, overwrite=overwrite)
        return alignment


@dataclass(frozen=True, slots=True)
class EncoderPairs:
    """Two encoders and a table of anchors."""

    source: str
    target: str
    table: AnchorTable

    @classmethod
    def of(cls, source: str, target: str, table: AnchorTable | None) -> EncoderPairs:
        """The names and the table, checked."""
        from stitchkit.encoders import check_encoder_name

        if table is None:
            raise InputError("two encoders are aligned on anchors: pass --anchors CSV.")
        table.check()
        return cls(check_encoder_name(source), check_encoder_name(target), table)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be embedded and aligned."""
        return {"source": self.source, "target": self.target, "pairs": len(self.table.check())}

    def write(
        self, out: Path, purpose: str, fitting: Fitting, pools: Pools | None, loading: Loading, *, overwrite: bool
    ) -> Alignment:
        """The alignment, written to a stitched folder without a head."""
        import stitchkit as sk
        from stitchkit.datasets.anchor_tables import table_facts
        from stitchkit.evaluation.fitted_pairs import remember_files

        left, right = loading.encoder(self.source), loading.encoder(self.target)
        x, y, pairs = embed_table(left, right, self.table, loading)
        pool = None if pools is None else pools.vectors(loading, left, right)
        alignment = remember_files(fitting.fit(x, y, pairs.groups, purpose, pool=pool), pairs.source_items)
        model = sk.stitch(left, alignment, target_name=self.target)
        model.save(out, extra={"anchor_set": table_facts(pairs)}, command=loading.console.command, overwrite=overwrite)
        return alignment


@dataclass(frozen=True, slots=True)
class Pools:
    """A pool of each side: a file of embeddings, or items that the side's encoder reads."""

    source: Path
    target: Path

    @classmethod
    def of(cls, source: Path | None, target: Path | None, *, files: bool) -> Pools | None:
        """The pools, as far as they can be checked without an encoder; None if none was given.

        Parameters
        ----------
        files
            SOURCE and TARGET are files of embeddings, so that no encoder reads a pool's items.
        """
        from stitchkit.datasets.tables import open_items

        if source is None and target is None:
            return None
        if source is None or target is None:
            raise InputError("pools are of both sides: pass --pool-source and --pool-target.")
        for flag, path in (("--pool-source", source), ("--pool-target", target)):
            if path.suffix == FILE:
                continue
            if files:
                raise InputError(
                    f"SOURCE and TARGET are files, so no encoder reads {flag} {path}. Embed it with 'stitchkit embed' "
                    f"and pass that {FILE} file."
                )
            open_items(path).count()
        return cls(source, target)

    def vectors(
        self, loading: Loading, left: Encoder | None = None, right: Encoder | None = None
    ) -> tuple[Embeddings, Embeddings]:
        """The vectors of both pools, items read by the encoders."""
        return _vectors(self.source, left, loading), _vectors(self.target, right, loading)


def _vectors(path: Path, encoder: Encoder | None, loading: Loading) -> Embeddings:
    from stitchkit.datasets.tables import read_items
    from stitchkit.storage.embeddings import read_embeddings

    if path.suffix == FILE or encoder is None:
        return read_embeddings(path)
    return loading.embed(encoder, read_items(path, modality=encoder.modality))
