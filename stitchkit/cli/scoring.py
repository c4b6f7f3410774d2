"""Sources of scores: a stitched folder, two encoders with anchors and a head or prompts, or a table of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError
from stitchkit.core.wording import advice, setting

if TYPE_CHECKING:
    from stitchkit.cli.evaluation import EvaluationRequest
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.fused_inputs import FusedScorer
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.options import ModalityFiles
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.calibrations import Calibration, Thresholds
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder
    from stitchkit.core.scores import Scores
    from stitchkit.datasets.anchor_tables import AnchorTable
    from stitchkit.stitching import StitchedModel


LEAKAGE = "LEAKAGE: "  # beginning of a note


def summary_of(
    model: StitchedModel, out: Path, *, fitted: bool = True, candidates: bool = True
) -> tuple[list[Any], dict[str, Any]]:
    """Summary of a stitched model in lines and as plain values; ``fitted`` adds the lines of its alignment."""
    from stitchkit.core.anchor_hashes import without_hashes
    from stitchkit.core.heads import LinearHead

    head = model.head
    kind = "none" if head is None else "linear" if isinstance(head, LinearHead) else "zero-shot"
    classes = [] if head is None else list(head.classes)
    document = {
        "out": str(out), "head": kind, "classes": classes, "record": without_hashes(model.alignment.record)
    }  # fmt: skip
    lines = [f"wrote {out}"]
    if fitted:
        from stitchkit.core.alignment_summary import summary_lines

        words = "head      " + (f"{kind}: {', '.join(classes)}" if classes else kind)
        lines = [*summary_lines(model.alignment.record, candidates=candidates), words, *lines]
    return lines, document


class ModelScorer(ABC):
    """A scorer that is a stitched model in the end."""

    __slots__ = ()

    @abstractmethod
    def model(self, loading: Loading, *, vectors: bool = False) -> StitchedModel:
        """The model with its head; its source encoder need not be loaded to score ``vectors``."""


@dataclass(frozen=True, slots=True)
class FolderScorer(ModelScorer):
    """A stitched folder with its own head, or with prompts read by its target encoder."""

    folder: Path
    stored: StitchedModel  # without its encoder
    classes: tuple[str, ...]
    prompts: PromptSet | None
    target: str
    encoder: str | None = None  # its source encoder's name, where it has moved

    @classmethod
    def of(
        cls, folder: Path, prompts: str | None, encoder: str | None = None, *, vectors: bool = False
    ) -> FolderScorer:
        """The folder's scorer, as far as it can be checked without a model; with ``vectors`` it scores these alone."""
        from stitchkit.cli.paths import existing_path
        from stitchkit.stitching import read_stitched

        config, stored = read_stitched(existing_path(folder, "stitched folder"), vectors=vectors or encoder is not None)
        target = str(config.get("target_encoder") or "")
        if prompts is not None:
            if not target:
                raise InputError(f"{folder} does not name its target encoder, so prompts cannot be read.")
            from stitchkit.cli.prompts import prompts_called

            named = prompts_called(prompts)
            return cls(folder, stored, named.classes, named, target, encoder)
        if stored.head is None:
            raise InputError(
                f"{folder} has no head, so it scores nothing. "
                + advice("Name the classes with ", setting("prompts"), " if its target reads text, or ")
                + "stitch it again with 'stitchkit stitch SOURCE TARGET --head ...'."
            )
        return cls(folder, stored, stored.head.classes, None, target, encoder)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"stitched": self.folder}

    def model(self, loading: Loading, *, vectors: bool = False) -> StitchedModel:
        """The stitched model with its head; its source encoder is not loaded to score ``vectors``."""
        model = self.stored if vectors else loading.stitched_model(self.folder, self.encoder)
        if self.prompts is None:
            return model
        import stitchkit as sk
        from stitchkit.core.roles import check_text

        text = loading.folder_encoder(self.target, self.folder)
        check_text(text)
        head = sk.zeroshot(model.alignment, text, self.prompts, store=loading.store)
        facts = {**model.facts, "prompts": self.prompts.to_dict()}
        return replace(sk.stitch(model.encoder, model.alignment, head, target_name=self.target), facts=facts)


@dataclass(frozen=True, slots=True)
class PairScorer(ModelScorer):
    """An encoder, or a file of its vectors, that a text encoder's prompts name through anchors."""

    source: str | Embeddings
    text: str
    table: AnchorTable
    prompts: PromptSet
    fitting: Fitting

    @classmethod
    def of(
        cls, source: str | Embeddings, text: str, table: AnchorTable | None, prompts: str | None, fitting: Fitting
    ) -> PairScorer:
        """The pair's scorer, as far as it can be checked without a model."""
        from stitchkit.cli.prompts import prompts_called
        from stitchkit.encoders import check_encoder_name

        if table is None or prompts is None:
            missing = "--anchors CSV" if table is None else "--prompts NAME"
            raise InputError(f"two encoders need anchors and prompts: pass {missing}.")
        check_encoder_name(text)
        table.check() if isinstance(source, str) else table.ids_only()
        return cls(source, text, table, prompts_called(prompts), fitting)

    @property
    def classes(self) -> tuple[str, ...]:
        """The prompts' classes."""
        return self.prompts.classes

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded and fitted."""
        source = self.source if isinstance(self.source, str) else self.source.space.name
        return {"source": source, "text": self.text, "anchors": len(self.table.ids_only())}

    def model(self, loading: Loading, *, vectors: bool = False) -> StitchedModel:
        """The stitched model with its zero-shot head."""
        from stitchkit.head_names import HeadChoice

        choice = HeadChoice.of_prompts(self.prompts)
        return self.fitting.stitch(self.source, self.text, self.table, choice, loading).model


def scorer_of(
    source: str, text: str | None, table: AnchorTable | None, prompts: str | None, fitting: Fitting | None,
    files: ModalityFiles, encoder: str | None = None, *, vectors: bool = False,
) -> FolderScorer | PairScorer | FusedScorer:  # fmt: skip
    """The scorer that SOURCE and TEXT name: without TEXT, SOURCE is a folder, of which ``encoder`` is.

    With ``vectors`` it scores these alone, and no source encoder is loaded.
    """
    from stitchkit.cli.paths import named_folder

    if text is None and is_fused(folder := named_folder(source)):
        return fused_scorer(folder, prompts, encoder, files)
    check_not_fused(files)
    if text is None or fitting is None:
        return FolderScorer.of(named_folder(source), prompts, encoder, vectors=vectors)
    if encoder is not None:
        raise InputError("--encoder is the source encoder of a stitched folder, and SOURCE names one. Leave it out.")
    from stitchkit.cli.pairs import side_called

    side = side_called(source, files)
    if not isinstance(side, str) and not vectors:
        raise InputError(f"SOURCE {source} is a file of vectors, so no encoder reads --items. Give their vectors too.")
    return PairScorer.of(side, text, table, prompts, fitting)


def is_fused(folder: Path) -> bool:
    """True for the folder of a fused head."""
    from stitchkit.storage.folders import kind_of_folder

    return kind_of_folder(folder) == "fused"


def fused_scorer(folder: Path, prompts: str | None, encoder: str | None, files: ModalityFiles) -> FusedScorer:
    """The scorer of a fused head, which has classes and encoders of its own."""
    from stitchkit.cli.fused_inputs import FusedScorer

    if prompts is not None:
        raise InputError(f"{folder} holds a fused head, whose classes are those of its labels. Leave --prompts out.")
    if encoder is not None:
        raise InputError(
            f"{folder} holds a fused head of several inputs. Give a moved encoder's vectors: --vectors NAME=FILE."
        )
    return FusedScorer.of(folder, files)


def check_not_fused(files: ModalityFiles | None) -> None:
    """Raise where vectors of a modality are named without a fused head."""
    if files is not None and files.modality_vectors:
        raise InputError("--vectors names inputs of a fused head, and none is given. Give vectors of items as --items.")


@dataclass(frozen=True, slots=True)
class ScoredItems:
    """Scores, and what is known beside them.

    Parameters
    ----------
    scores
        Scores of the test items.
    items
        Scored items; None where they cannot be read.
    encoder, vectors
        Source encoder and its embeddings of the items, for a probe.
    alignment
        Alignment of the stitched folder that gave the scores; None for a table of scores.
    notes
        On leakage between its anchors and the items.
    calibration, thresholds
        Those that the stitched folder holds.
    others
        Further scores of the same items, by name: of single modalities of a fused head, and of its mask alone.
    """

    scores: Scores
    items: Items | None = None
    encoder: Encoder | None = None
    vectors: Embeddings | None = None
    alignment: Alignment | None = None
    notes: Sequence[str] = ()
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    others: Mapping[str, Scores] = field(default_factory=dict)

    def read(self) -> tuple[Scores, list[str]]:
        """The scores as a reader gets them, calibrated where the folder has a calibration, and notes on that."""
        if self.calibration is None:
            return self.scores, []
        probabilities = self.calibration(self.scores)
        lacking = [label for label in self.scores.classes if label not in probabilities.classes]
        notes = [f"probabilities by {self.calibration.method}, fitted on {self.calibration.fitted_on!r}"]
        if lacking:
            notes.append(
                f"not calibrated, so not among the probabilities: {', '.join(lacking)}; --raw has their scores"
            )
        return probabilities, notes


def score_items(
    model: StitchedModel, items: ItemsFile | Embeddings, request: EvaluationRequest | None, loading: Loading, *,
    allow_leakage: bool, raw: bool = False,
) -> ScoredItems:  # fmt: skip
    """Scores of items by a stitched model; with a ``request`` they are checked against labels and anchors first.

    With ``raw`` the calibration and the thresholds of the model are left out.
    """
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.evaluation.fitted_pairs import audit_items

    def audit(read: Items | Embeddings) -> list[str]:
        patients = None if request is None else request.check(read.ids)
        return audit_items(model.alignment, read, patients, judged=request is not None, allow=allow_leakage)

    def audit_fit(read: Items | Embeddings) -> list[str]:
        """Notes on calibration items among those that are scored; an evaluation checks them itself."""
        if model.calibration is None or raw or request is not None:  # raw scores know nothing of these items
            return []
        from stitchkit.core.calibrations import HashedItems
        from stitchkit.evaluation.fitted_pairs import audit_hashed_items

        fit = model.calibration.fitted_on
        if not isinstance(fit, HashedItems):
            return []
        notes = audit_hashed_items(fit, "calibration items", read.ids, None, allow=True)
        return [note for note in notes if note.startswith(LEAKAGE)]

    decisions = (None, None) if raw else (model.calibration, model.thresholds)
    if isinstance(items, Embeddings):
        notes = [*audit(items), *audit_fit(items)]
        return ScoredItems(model.scores(items), None, None, None, model.alignment, notes, *decisions)
    encoder = model.require_encoder()
    read = items.read(encoder.modality)
    notes = [*audit(read), *audit_fit(read)]
    vectors = loading.embed(encoder, read)
    return ScoredItems(model.scores(vectors), read, encoder, vectors, model.alignment, notes, *decisions)


def score_fused(
    scorer: FusedScorer, items: ItemsFile | Embeddings, request: EvaluationRequest | None, loading: Loading, *,
    allow_leakage: bool, raw: bool = False,
) -> ScoredItems:  # fmt: skip
    """Scores of items by a fused head, as :func:`score_items` gives those of a stitched model."""
    scores, notes, others = scorer.score(items, request, loading, allow_leakage=allow_leakage, raw=raw)
    return ScoredItems(scores, notes=notes, others=others)


def with_command(scores: Scores, command: str, notes: Sequence[str]) -> Scores:
    """The scores with their command line, files without folders, and leakage among ``notes`` in their provenance."""
    from stitchkit.stitching import public_command

    known, leaks = scores.provenance, [note.removeprefix(LEAKAGE) for note in notes if note.startswith(LEAKAGE)]
    if known is None:
        return scores
    return scores.with_provenance(replace(known, command=public_command(command), leakage="; ".join(leaks)))


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """Scores to evaluate: a table of them, or a stitched folder with the items to score."""

    classes: tuple[str, ...]
    scores: Scores | None
    scorer: FolderScorer | FusedScorer | None
    items: ItemsFile | Embeddings | None
    encoder: str | None

    @classmethod
    def of(
        cls, path: Path, items: ItemsFile | Embeddings | None, encoder: str | None, files: ModalityFiles | None = None
    ) -> ScoreSource:
        """The source at ``path``, checked as far as that is possible without a model."""
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.cli.paths import existing_path, named_folder
        from stitchkit.encoders import check_encoder_name
        from stitchkit.storage.scores import read_scores

        if isinstance(items, ItemsFile):
            items.check()
        path = existing_path(named_folder(path), "SCORES")
        if path.is_dir():
            if items is None:
                raise InputError(f"{path} is a folder of a model: pass the items to score with --items.")
            if is_fused(path):
                if files is None:
                    raise InputError(
                        f"{path} holds a fused head, which is calibrated for each subset of its inputs when it is "
                        f"fitted. Fit it again with more patients held out: stitchkit fuse --held."
                    )
                fused = fused_scorer(path, None, encoder, files)
                return cls(fused.classes, None, fused, items, None)
            check_not_fused(files)
            scorer = FolderScorer.of(path, None, encoder, vectors=not isinstance(items, ItemsFile))
            return cls(scorer.classes, None, scorer, items, None)
        check_not_fused(files)
        if items is not None and not isinstance(items, ItemsFile):
            raise InputError(f"{path} holds scores, so vectors of the items add nothing. Leave --items out.")
        if encoder is not None:
            check_encoder_name(encoder)
            if items is None:
                raise InputError("the probe needs the vectors of the test items: pass them with --items.")
        scores = read_scores(path)
        return cls(scores.classes, scores, None, items, encoder)

    def score(self, request: EvaluationRequest, loading: Loading) -> ScoredItems:
        """The scores, with items, encoder and vectors where there are."""
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.core.items import rows_of

        if isinstance(self.scorer, FolderScorer) and self.items is not None:
            model = self.scorer.model(loading, vectors=not isinstance(self.items, ItemsFile))
            return score_items(model, self.items, request, loading, allow_leakage=request.options.allow_leakage)
        if not isinstance(self.scorer, FolderScorer | None) and self.items is not None:
            return score_fused(self.scorer, self.items, request, loading, allow_leakage=request.options.allow_leakage)
        if self.scores is None:
            raise InputError("there are neither scores nor a stitched folder to judge.")
        if not isinstance(self.items, ItemsFile):
            return ScoredItems(self.scores)
        if self.encoder is None:
            return ScoredItems(self.scores, self.items.read(None))
        encoder = loading.encoder(self.encoder)
        items = self.items.read(encoder.modality)
        items = items.take(rows_of(self.scores.ids, items.ids, "the items"))
        return ScoredItems(self.scores, items, encoder, loading.embed(encoder, items))
