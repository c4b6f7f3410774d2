"""Jobs of a zero-shot study: source vectors mapped to a text space whose prompts name the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError
from stitchkit.core.items import Items
from stitchkit.core.prompts import PromptSet
from stitchkit.datasets.prompt_sets import read_prompts, subset
from stitchkit.encoders.clip_pairs import clip_alignment, own_logits
from stitchkit.encoders.names import EncoderName
from stitchkit.studies.cells import Cell
from stitchkit.studies.jobs.study_jobs import CellResult, Job, MapJobs
from stitchkit.studies.judges import ClassJudge
from stitchkit.studies.methods import CLIP, score_by_prompts
from stitchkit.studies.plans import ZeroShotPlan
from stitchkit.studies.study_data import Draw, StudyData
from stitchkit.zero_shot import zeroshot

FEW_TEXTS = 3  # different texts a class: with no more, anchors' texts are labels in other words


def clip_halves(checkpoint: str) -> tuple[str, str]:
    """The names of a CLIP-like checkpoint's image and text encoder."""
    link = "&" if "#" in checkpoint else "#"
    return f"{checkpoint}{link}modality=image", f"{checkpoint}{link}modality=text"


def public_names(checkpoints: Sequence[str]) -> list[str]:
    """The names of checkpoints without the folders of this machine, where that leaves them apart.

    Examples
    --------
    >>> public_names(["hf:org/clip", "open_clip:/models/mine"])
    ['hf:org/clip', 'open_clip:mine']
    """
    shown = [EncoderName.parse(one).public for one in checkpoints]
    return shown if len(set(shown)) == len(shown) else list(checkpoints)


class ZeroShotJobs(MapJobs[ZeroShotPlan]):
    """Jobs of a zero-shot study; ``prompts`` are those of the plan unless they are given."""

    embeds_test_targets: ClassVar[bool] = False

    def __init__(self, plan: ZeroShotPlan, data: StudyData, prompts: PromptSet | None = None) -> None:
        super().__init__(plan, data)
        whole = prompts or read_prompts(plan.prompts)
        names = {plan.rename.get(label, label): label for label in whole.classes}
        known = data.cohort.labels.classes
        self.classes = plan.judge.classes or tuple(label for label in names if label in known)
        if not self.classes:
            raise DataError(
                f"no class of the prompts {whole.name!r} ({', '.join(whole.classes[:5])}, ...) is among the labels "
                f"({', '.join(known[:5])}, ...). Name pairs in [rename]."
            )
        self.prompts = subset(whole, [names.get(label, label) for label in self.classes])
        self.texts = self._prompt_texts() if plan.data.texts == "prompts" else None
        self.remarks += self._notes_on_label_map()

    def _notes_on_label_map(self) -> list[str]:
        """A note where the anchors' texts say little more than their labels do."""
        texts = self.texts or self.data.cohort.texts
        if texts is None:
            return []
        rows = np.unique(np.concatenate([fold.anchors for fold in self.data.folds]))
        distinct = len({str(texts.values[int(i)]) for i in rows})
        if distinct > FEW_TEXTS * len(self.classes):
            return []
        origin = "prompts of their own labels" if self.texts is not None else "templates, it seems, and no reports"
        return [
            f"LABEL MAP: the texts of {len(rows)} anchors are {distinct} different ones, {origin}: a label map in "
            f"disguise. The probe has the same labels and is the fair comparison"
        ]

    @property
    def count(self) -> int:
        """Number of jobs, known without loading an encoder."""
        grid = self.plan.grid
        fits = len(grid.solvers) * len(self.draws())
        return self.baseline_count + len(grid.targets) * len(grid.sources) * fits + len(grid.clip)

    def jobs(self) -> Iterator[Job]:
        """Baselines first, then every solver, then CLIP-like pairs; an encoder is loaded when its turn comes."""
        yield from self.baselines()
        digest = hashlib.sha256(repr((self.prompts.positive, self.prompts.negative)).encode()).hexdigest()
        for target in self.plan.grid.targets:
            for source in self.plan.grid.sources:
                for method in self.plan.grid.solvers:
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target, prompts=digest, texts=self.plan.data.texts)
                        work = partial(self._scores, source, target, method, draw)
                        yield Job(Cell(source, target, method, *draw), around, work)
        for checkpoint, name in zip(self.plan.grid.clip, public_names(self.plan.grid.clip), strict=True):
            around = self.circumstances(None, *clip_halves(checkpoint), prompts=digest)
            yield Job(Cell("", "", f"{CLIP}: {name}", 0), around, partial(self._clip_scores, checkpoint))

    def judge(self) -> ClassJudge:
        """Measures of scores of classes."""
        judge = self.plan.judge
        return self.class_judge(multiclass=judge.multiclass, min_positives=judge.min_positives)

    def _scores(self, source: str, target: str, method: str, draw: Draw, _: Path) -> CellResult:
        vectors = self._prompt_vectors(target)
        folds = self.fold_data(draw, x=source, y=target, texts=self.texts)
        return self.class_result([score_by_prompts(fold, method, self.prompts, vectors) for fold in folds])

    def _clip_scores(self, checkpoint: str, _: Path) -> CellResult:
        """Scores by a checkpoint whose two encoders share a space, on the scale of its own logits: no anchors."""
        image, text = clip_halves(checkpoint)
        alignment = clip_alignment(self.data.encoder(image), self.data.encoder(text))
        head = zeroshot(alignment, self._prompt_vectors(text), self.prompts)
        folds = self.fold_data(self.draws()[0], x=image)
        encoder = self.data.encoder(image)
        return self.class_result([(own_logits(head.scores(fold.x_test), encoder), alignment.record) for fold in folds])

    def _prompt_vectors(self, target: str) -> Embeddings:
        texts = self.prompts.texts
        items = Items(np.asarray(texts), list(texts), "text")
        encoder = self.data.encoder(target)
        vectors: Embeddings = self.data.cached(
            ("prompts", target), lambda: self.data.loader.embed(encoder, items)
        )  # fmt: skip
        return vectors

    def _prompt_texts(self) -> Items:
        """Each item's text: the first prompt of its only class."""
        labels = self.data.cohort.labels.of_classes(self.classes)
        anchors = np.unique(np.concatenate([fold.anchors for fold in self.data.folds]))
        if not (np.nansum(labels.values[anchors], axis=1) == 1).all():
            raise DataError("texts = 'prompts' needs exactly one class an anchor. Choose rows by [data.where].")
        first = [self.prompts.positive[label][0] for label in self.prompts.classes]
        best = np.nan_to_num(labels.values, nan=-1).argmax(axis=1)  # of items that are no anchors it is not read
        return Items(labels.ids, [first[k] for k in best], "text")
