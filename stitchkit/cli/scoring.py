"""Scorers of items: two encoders with anchors and prompts, or a stitched folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.judging import Judging
    from stitchkit.cli.loading import Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder
    from stitchkit.core.scores import Scores
    from stitchkit.datasets.tables import ItemSource
    from stitchkit.stitching import Stitched


@dataclass(frozen=True, slots=True)
class FolderScorer:
    """A stitched folder with its own head, or with prompts read by its target encoder."""

    folder: Path
    classes: tuple[str, ...]
    prompts: PromptSet | None
    target: str

    @classmethod
    def of(cls, folder: Path, prompts: str | None) -> FolderScorer:
        """The folder's scorer, as far as it can be checked without a model."""
        from stitchkit.cli.loading import check_stitched
        from stitchkit.cli.places import artefact, there

        config = check_stitched(artefact(there(folder, "stitched folder")))
        target = str(config.get("target_encoder") or "")
        if prompts is not None:
            if not target:
                raise InputError(f"{folder} does not name its target encoder, so prompts cannot be read.")
            from stitchkit.cli.heads import prompts_called

            named = prompts_called(prompts)
            return cls(folder, named.classes, named, target)
        if "head" not in config:
            raise InputError(
                f"{folder} has no head, so it scores nothing. Pass --prompts NAME if its target reads text, or stitch "
                f"it again with --head."
            )
        return cls(folder, tuple(config["head"]["classes"]), None, target)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"stitched": self.folder}

    def model(self, loading: Loading) -> Stitched:
        """The stitched model with its head."""
        model = loading.stitched(self.folder)
        if self.prompts is None:
            return model
        import stitchkit as sk
        from stitchkit.cli.heads import check_text

        text = loading.recorded(self.target, self.folder)
        check_text(text)
        head = sk.zeroshot(model.alignment, text, self.prompts, store=loading.kept)
        return sk.stitch(model.encoder, model.alignment, head, target_name=self.target)


@dataclass(frozen=True, slots=True)
class PairScorer:
    """An encoder whose vectors are named by a text encoder's prompts, through anchors."""

    source: str
    text: str
    table: AnchorTable
    prompts: PromptSet
    fitting: Fitting

    @classmethod
    def of(cls, source: str, text: str, table: AnchorTable | None, prompts: str | None, fitting: Fitting) -> PairScorer:
        """The pair's scorer, as far as it can be checked without a model."""
        from stitchkit.cli.heads import prompts_called
        from stitchkit.cli.loading import check_name

        if table is None or prompts is None:
            missing = "--anchors CSV" if table is None else "--prompts NAME"
            raise InputError(f"two encoders need anchors and prompts: pass {missing}.")
        check_name(source), check_name(text)
        table.check()
        return cls(source, text, table, prompts_called(prompts), fitting)

    @property
    def classes(self) -> tuple[str, ...]:
        """The prompts' classes."""
        return self.prompts.classes

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded and fitted."""
        return {"source": self.source, "text": self.text, "anchors": len(self.table.check())}

    def model(self, loading: Loading) -> Stitched:
        """The stitched model with its zero-shot head."""
        from stitchkit.cli.commands.stitch import stitched
        from stitchkit.cli.heads import HeadChoice

        choice = HeadChoice("prompts:", prompts=self.prompts)
        return stitched(self.source, self.text, self.table, choice, loading, self.fitting).model


@dataclass(frozen=True, slots=True)
class Given:
    """Input of ``evaluate``: a table of scores, or a stitched folder to score items with."""

    classes: tuple[str, ...]
    scores: Scores | None
    scorer: FolderScorer | None
    items: ItemSource | None
    encoder: str | None
    reading: dict[str, Any]  # ids and folder of the items

    @classmethod
    def of(
        cls, path: Path, items: Path | None, column: str | None, encoder: str | None, id: str | None, root: Path | None
    ) -> Given:
        """The input at ``path``, checked as far as that is possible without a model."""
        from stitchkit.cli.loading import check_name
        from stitchkit.datasets.tables import open_items
        from stitchkit.storage.scores import read_scores

        opened = None if items is None else open_items(items, column=column)
        if opened is not None:
            opened.count()
        reading = {"id": id, "root": root}
        if path.is_dir():
            if items is None:
                raise InputError(f"{path} is a stitched folder: pass the test items with --items.")
            if encoder is not None:
                raise InputError(f"{path} names its own encoder. Leave out --encoder.")
            scorer = FolderScorer.of(path, None)
            return cls(scorer.classes, None, scorer, opened, None, reading)
        if encoder is not None:
            check_name(encoder)
            if items is None:
                raise InputError("the probe needs the vectors of the test items: pass them with --items.")
        scores = read_scores(path)
        return cls(scores.classes, scores, None, opened, encoder, reading)

    def ready(
        self, loading: Loading, judging: Judging
    ) -> tuple[Scores, Items | None, Encoder | None, Embeddings | None, list[str], Alignment | None]:
        """Scores, items, source encoder and their vectors where there are, notes on leakage, a folder's alignment."""
        if self.scorer is not None:
            model = self.scorer.model(loading)
            from stitchkit.evaluation.fitted_pairs import audit_items

            items = self._read(model.encoder.modality)
            patients = judging.check(items.ids)
            notes = audit_items(model.alignment, items, patients, allow=judging.allow_leakage)
            vectors = loading.embed(model.encoder, items)
            return model.scores(vectors), items, model.encoder, vectors, notes, model.alignment
        scores = self.scores
        if scores is None:
            raise InputError("there are neither scores nor a stitched folder to judge.")
        if self.encoder is None:
            return scores, self._read(None) if self.items else None, None, None, [], None
        from stitchkit.core.items import rows_of

        encoder = loading.encoder(self.encoder)
        items = self._read(encoder.modality)
        items = items.take(rows_of(scores.ids, items.ids, "the items"))
        return scores, items, encoder, loading.embed(encoder, items), [], None

    def _read(self, modality: str | None) -> Items:
        if self.items is None:
            raise InputError("there are no items to read: pass --items.")
        return self.items.read(modality, **self.reading)


def summary_of(model: Stitched, out: Path, *, fitted: bool = True) -> tuple[list[str], dict[str, Any]]:
    """Summary of a stitched model in words and as plain values; ``fitted`` tells how its alignment was found, too."""
    from stitchkit.core.anchor_hashes import without_hashes
    from stitchkit.core.heads import LinearHead

    head = model.head
    kind = "none" if head is None else "linear" if isinstance(head, LinearHead) else "zero-shot"
    classes = [] if head is None else list(head.classes)
    document: dict[str, Any] = {
        "out": str(out),
        "head": kind,
        "classes": classes,
        "record": without_hashes(model.alignment.record),
    }
    lines = [f"wrote {out}"]
    if fitted:
        from stitchkit.cli.accounts import account

        words = "head      " + (f"{kind}: {', '.join(classes)}" if classes else kind)
        lines = [*account(document["record"]), words, *lines]
    return lines, document
