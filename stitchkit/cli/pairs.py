"""Inputs of ``align``, ``compare`` and ``diagnose``: encoders or files of vectors, their anchors, and pools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading, RecordedEncoder
    from stitchkit.cli.options import VectorFiles
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.anchor_tables import AnchorTable

NO_ANCHORS = "encoders are aligned on anchors: pass --anchors CSV."


def side_called(name: str, vectors: VectorFiles) -> str | Embeddings:
    """The vectors in the file ``name``, read; or the name of an encoder, checked."""
    from stitchkit.encoders import check_encoder_name, is_vectors_file

    return vectors.read(name) if is_vectors_file(name) else check_encoder_name(name)


def load_side(side: str | RecordedEncoder | Embeddings, loading: Loading) -> Encoder | Embeddings:
    """The encoder of a name, typed or recorded in a folder; vectors as they are."""
    from stitchkit.cli.loading import RecordedEncoder

    if isinstance(side, RecordedEncoder):
        return loading.folder_encoder(side.name, side.folder)
    return loading.encoder(side) if isinstance(side, str) else side


def modality_of(side: Encoder | Embeddings) -> str | None:
    """The modality that an encoder reads; None for vectors."""
    return getattr(side, "modality", None)


def embed_table(
    left: Encoder | Embeddings, right: Encoder | Embeddings, table: AnchorTable, loading: Loading
) -> tuple[Embeddings, Embeddings, AnchorSet]:
    """Both sides' vectors of a table's pairs, and the pairs, as the encoders among the sides read them."""
    from stitchkit.core.embeddings import Embeddings

    pairs = table.read_for(modality_of(left), modality_of(right))
    x = left.of_ids(pairs.ids) if isinstance(left, Embeddings) else loading.embed(left, pairs.source_items)
    y = right.of_ids(pairs.ids) if isinstance(right, Embeddings) else loading.embed(right, pairs.target_items)
    return x, y, pairs


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two sides, each an encoder's name or vectors, and the table of anchors.

    Parameters
    ----------
    table
        Ids, patients and items of the pairs; None where both sides are vectors, which are paired by id.
    groups
        Patients of the source side's rows where there is no table, from the table of their ids.
    """

    source: str | Embeddings
    target: str | Embeddings
    table: AnchorTable | None
    groups: Any = None

    @classmethod
    def of(cls, source: str, target: str, table: AnchorTable | None, vectors: VectorFiles) -> Pairs:
        """The pairs that SOURCE, TARGET and the table of anchors name, checked as far as no model is needed."""
        left, right = side_called(source, vectors), side_called(target, vectors)
        if isinstance(left, str) or isinstance(right, str):
            if table is None:
                raise InputError(NO_ANCHORS)
            table.check()
            return cls(left, right, table)
        return cls(left, right, table, vectors.patients(left.ids) if table is None else None)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be embedded and aligned."""
        sides = [one if isinstance(one, str) else one.space.name for one in (self.source, self.target)]
        ids: Any = self.source if self.table is None else self.table.ids_only().ids
        return {"source": sides[0], "target": sides[1], "pairs": len(ids)}

    def vectors(
        self, loading: Loading
    ) -> tuple[Encoder | Embeddings, Encoder | Embeddings, Embeddings, Embeddings, AnchorSet | None]:
        """Both sides, their vectors of the pairs, and the pairs of the table if there is one."""
        left, right = load_side(self.source, loading), load_side(self.target, loading)
        if self.table is None:
            return left, right, left, right, None  # type: ignore[return-value]
        return left, right, *embed_table(left, right, self.table, loading)

    def write(
        self, out: Path, purpose: str, fitting: Fitting, pools: Pools | None, loading: Loading, *, overwrite: bool
    ) -> Alignment:
        """The alignment, written to a folder that names the encoders among the sides."""
        import stitchkit as sk
        from stitchkit.core.embeddings import Embeddings
        from stitchkit.datasets.anchor_tables import table_facts
        from stitchkit.evaluation.fitted_pairs import remember_files
        from stitchkit.stitching import findable
        from stitchkit.storage.alignments import save_alignment

        left, right, x, y, pairs = self.vectors(loading)
        pool = None if pools is None else pools.vectors(left, right, loading)
        alignment = fitting.fit(x, y, self.groups if pairs is None else pairs.groups, purpose, pool=pool)
        facts: dict[str, Any] = {"files": [x.space.name, y.space.name], "n": len(x)}
        extra = {"anchor_set": facts if pairs is None else table_facts(pairs)}
        written: Any = {"command": loading.console.command, "overwrite": overwrite}
        if isinstance(left, Embeddings):
            named = {"target_encoder": findable(self.target)} if isinstance(self.target, str) else {}
            save_alignment(alignment, out, extra=extra | named, **written)
            return alignment
        if pairs is not None:
            alignment = remember_files(alignment, pairs.source_items)
        name = self.target if isinstance(self.target, str) else ""
        sk.stitch(left, alignment, target_name=name).save(out, extra=extra, **written)
        return alignment


@dataclass(frozen=True, slots=True)
class Pools:
    """A pool of each side: a file of vectors, read, or items that the side's encoder reads."""

    source: Path | Embeddings
    target: Path | Embeddings

    @classmethod
    def of(cls, source: Path | None, target: Path | None, pairs: Pairs, vectors: VectorFiles) -> Pools | None:
        """The pools of ``pairs``, as far as they can be read without an encoder; None if none was given."""
        if source is None and target is None:
            return None
        if source is None or target is None:
            raise InputError("pools are of both sides: pass --pool-source and --pool-target.")
        return cls(_pool(source, pairs.source, "--pool-source", vectors),
                   _pool(target, pairs.target, "--pool-target", vectors))  # fmt: skip

    def vectors(
        self, left: Encoder | Embeddings, right: Encoder | Embeddings, loading: Loading
    ) -> tuple[Embeddings, Embeddings]:
        """The vectors of both pools, items read by the encoders."""
        return _pool_vectors(self.source, left, loading), _pool_vectors(self.target, right, loading)


def _pool(path: Path, side: str | Embeddings, flag: str, vectors: VectorFiles) -> Path | Embeddings:
    from stitchkit.datasets.tables import open_items
    from stitchkit.datasets.vector_files import holds_vectors

    if holds_vectors(path):
        return vectors.read_pool(path)
    if not isinstance(side, str):
        raise InputError(
            f"that side is a file of vectors, so no encoder reads {flag} {path}. Embed it with 'stitchkit embed' and "
            f"pass that file."
        )
    open_items(path).count()
    return path


def _pool_vectors(pool: Path | Embeddings, side: Encoder | Embeddings, loading: Loading) -> Embeddings:
    from stitchkit.datasets.tables import read_items

    if isinstance(pool, Path):
        encoder: Any = side  # checked with the pool
        return loading.embed(encoder, read_items(pool, modality=encoder.modality))
    return pool
