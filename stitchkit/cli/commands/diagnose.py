"""``stitchkit diagnose``: what is right and wrong with an alignment, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only
from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading, RecordedEncoder
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.anchor_tables import AnchorTable
    from stitchkit.evaluation.associations.associations import Associations
    from stitchkit.evaluation.diagnosis.diagnosis import Diagnosis


@flat
def diagnose(
    alignment: Annotated[
        Path, typer.Argument(metavar="ALIGNMENT", help="A folder that align or stitch wrote.", exists=True)
    ],
    source: o.FolderSource = None,
    target: o.FolderTarget = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for diagnosis.html and diagnosis.json.")],
    anchors: o.OptionalAnchors = None,
    test: o.TestTable = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts", metavar="NAME", help="A prompt set, or a .safetensors file of prompts: judge their coverage."
        ),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(
            "--pool",
            metavar="ITEMS",
            exists=True,
            help="Texts that belong to no pair: which findings accompany one that no anchor mentions.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--neighbours", min=1, help="Neighbours for mutual k-NN and hubs.")] = 10,
    columns: o.Columns,
    vectors: o.VectorFiles,
    evaluation: Annotated[o.Evaluation, only("replicates")],
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:
    """Tell what is right and wrong with an alignment: residuals, retrieval, hubs, outliers, coverage of prompts."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_page
    from stitchkit.reports.diagnosis_page import NUMBERS, PAGE, write_diagnosis

    console = Console.of(output)
    new_page(out, output.overwrite, (PAGE, NUMBERS))
    if anchors is None and test is None:
        columns.of_optional(None)  # columns without any table are refused
    tables = [None if path is None else columns.of(path) for path in (anchors, test)]
    request = DiagnosisRequest.of(alignment, source, target, tables[0], tables[1], prompts, vectors, pool)
    if output.dry_run:
        console.plan({**request.plan(), "writes": out})
        return
    diagnosis = request.diagnose(Loading(compute, console), k=k, replicates=evaluation.replicates, seed=seed)
    page = write_diagnosis(diagnosis, out)
    parts = [diagnosis, *("note: " + note for note in request.audit), f"wrote {page}"]
    console.result(parts, {"out": str(out), **diagnosis.to_dict(), "audit": list(request.audit)})


@dataclass(frozen=True, slots=True)
class DiagnosisRequest:
    """The request for a diagnosis, with all that can be read before a model is loaded."""

    alignment: Alignment
    source: str | Embeddings | RecordedEncoder
    target: str | Embeddings | RecordedEncoder
    anchors: AnchorTable | None
    held_out: AnchorTable | None
    prompts: PromptSet | Embeddings | None
    reader: str | None  # the encoder that reads the prompts, where TARGET is a file; named by the folder
    folder: Path
    audit: tuple[str, ...] = ()  # of the pairs against the alignment's anchors
    pool: Items | None = None  # unlinked texts, for findings that no anchor mentions
    groups: Any = None  # patients of two files that no table pairs

    @classmethod
    def of(
        cls, folder: Path, source: str | None, target: str | None,
        anchors: AnchorTable | None, held_out: AnchorTable | None,
        prompts: str | None, vectors: o.VectorFiles, pool: Path | None = None,
    ) -> DiagnosisRequest:  # fmt: skip
        """The alignment and the files read, the names and tables checked."""
        from stitchkit.cli.loading import RecordedEncoder
        from stitchkit.cli.pairs import side_called
        from stitchkit.cli.paths import read_artefact
        from stitchkit.core.embeddings import Embeddings
        from stitchkit.evaluation.anchors.fitted_folders import audit_diagnosis
        from stitchkit.storage.artefacts import unpack_alignment

        config, arrays = read_artefact(folder)
        alignment = unpack_alignment(config, arrays)
        sides: list[Any] = [
            RecordedEncoder.of(folder, config, side) if name is None else side_called(name, vectors)
            for name, side in ((source, "source"), (target, "target"))
        ]
        known = [isinstance(one, Embeddings) for one in sides]
        for side, space in zip(sides, (alignment.source, alignment.target), strict=True):
            if isinstance(side, Embeddings):
                space.require(side.space, f"the alignment in {folder}")
        if not all(known):
            if anchors is None and held_out is None:
                raise InputError("encoders are diagnosed on pairs: pass --anchors CSV or --test CSV.")
            for table in (anchors, held_out):
                if table is not None:
                    table.check()
        reader = config.get("target_encoder") if known[1] else None
        named = _read_prompts(prompts, known[1], reader, folder)
        unlinked = None if pool is None else _read_pool(pool, anchors, named)
        ids = sides[0].ids if all(known) else None
        groups = vectors.patients(sides[0].ids) if known[0] else None
        audit = audit_diagnosis(folder, anchors=anchors, held_out=held_out, ids=ids, config=config)
        return cls(
            alignment=alignment, source=sides[0], target=sides[1], anchors=anchors, held_out=held_out, prompts=named,
            reader=reader, folder=folder, audit=tuple(audit), pool=unlinked, groups=groups,
        )  # fmt: skip

    def plan(self) -> dict[str, Any]:
        """Inputs that would be read."""
        tables = {"anchors": self.anchors, "held-out": self.held_out}
        return {
            "alignment": f"{self.alignment.source.name} -> {self.alignment.target.name}",
            **{name: table.path for name, table in tables.items() if table is not None},
            "prompts": getattr(self.prompts, "name", "none" if self.prompts is None else "from a file"),
            **({} if self.pool is None else {"pool": counted(len(self.pool), "text")}),
        }

    def diagnose(self, loading: Loading, *, k: int, replicates: int, seed: int) -> Diagnosis:
        """The diagnosis of the held-out pairs if there are any, else of the anchors."""
        import stitchkit as sk
        from stitchkit.cli.pairs import load_side

        left, right = load_side(self.source, loading), load_side(self.target, loading)
        x, y, patients = _pairs(left, right, self.held_out or self.anchors, loading)
        patients = self.groups if self.held_out is None and self.anchors is None else patients
        known = None
        loading.console.say(f"judging {counted(len(x), 'pair')}")
        if self.held_out is not None and self.anchors is not None:
            known = _pairs(left, right, self.anchors, loading)
        associations = self._associations(x if known is None else known[0], seed)
        return sk.diagnose(
            self.alignment, x, y, pairs="anchors" if self.held_out is None else "held-out", anchors=known,
            prompts=self._prompts(right, loading), texts=self._texts(), associations=associations, groups=patients,
            k=k, replicates=replicates, seed=seed,
        )  # fmt: skip

    def _texts(self) -> AnchorSet | None:
        """Texts of the anchors, where their table has them and prompts name the words to search for."""
        from stitchkit.core.prompts import PromptSet

        if self.anchors is None or not isinstance(self.prompts, PromptSet) or not self.anchors.has_texts():
            return None
        return self.anchors.texts()

    def _associations(self, x: Embeddings, seed: int) -> Associations | None:
        """Company, in the pool, of the findings that no anchor mentions, from the anchors' source vectors ``x``."""
        import stitchkit as sk

        if self.pool is None or self.anchors is None:
            return None
        return sk.fit_associations(x, self.anchors.texts(), self.pool, self.prompts, seed=seed)  # type: ignore[arg-type]

    def _prompts(self, target: Encoder | Embeddings, loading: Loading) -> Any:
        from stitchkit.core.embeddings import Embeddings
        from stitchkit.evaluation.diagnosis.coverage import embed_positives

        if self.prompts is None or isinstance(self.prompts, Embeddings):
            return self.prompts
        text = loading.folder_encoder(self.reader, self.folder) if isinstance(target, Embeddings) else target
        return embed_positives(text, self.prompts, **loading.embedding)


def _read_prompts(prompts: str | None, files: bool, reader: str | None, folder: Path) -> PromptSet | Embeddings | None:
    """The prompts as far as they can be read without a model."""
    from stitchkit.cli.prompts import prompts_called
    from stitchkit.encoders import is_vectors_file

    if prompts is None:
        return None
    if is_vectors_file(prompts):
        return o.VectorFiles().read(prompts)
    named = prompts_called(prompts)
    if files and not reader:
        raise InputError(
            f"{folder} names no target encoder to read the prompts {prompts!r}. Embed them with 'stitchkit embed' "
            f"and pass that file to --prompts."
        )
    return named


def _read_pool(pool: Path, anchors: AnchorTable | None, prompts: PromptSet | Embeddings | None) -> Items:
    """The texts of a pool; refused where the anchors' texts or the words to search for are missing."""
    from stitchkit.core.prompts import PromptSet
    from stitchkit.datasets.tables import read_items

    if not isinstance(prompts, PromptSet):
        raise InputError("--pool is searched for the words of prompts. Name their set with --prompts NAME.")
    if anchors is None:
        raise InputError("--pool is held against the anchors' texts. Name their table with --anchors CSV.")
    return read_items(pool, modality="text")


def _pairs(left: Any, right: Any, table: AnchorTable | None, loading: Loading) -> tuple[Embeddings, Embeddings, Any]:
    """The paired vectors of a table, from files of embeddings or from encoders, and their patients."""
    from stitchkit.cli.pairs import embed_table
    from stitchkit.core.embeddings import Embeddings

    if table is None:
        if isinstance(left, Embeddings) and isinstance(right, Embeddings):
            return left, right, None
        raise InputError("there is no table of pairs to read: pass --anchors CSV or --test CSV.")
    x, y, pairs = embed_table(left, right, table, loading)
    return x, y, pairs.groups
