"""Jobs of a study of stitching: source vectors through a map into a head of the target."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.encoders import is_vectors_file
from stitchkit.evaluation.scores.naive import NAIVE
from stitchkit.head_names import head_called
from stitchkit.studies.cells import Cell
from stitchkit.studies.jobs.study_jobs import CellResult, Job, MapJobs
from stitchkit.studies.judges import ClassJudge
from stitchkit.studies.methods import OWN, RELATIVE, score_through_head
from stitchkit.studies.plans import StitchingPlan
from stitchkit.studies.study_data import Draw, StudyData


class StitchingJobs(MapJobs[StitchingPlan]):
    """Jobs of a study of stitching; ``heads`` by target are those of the plan unless they are given."""

    def __init__(
        self, plan: StitchingPlan, data: StudyData, heads: Mapping[str, LinearHead] | None = None
    ) -> None:  # fmt: skip
        super().__init__(plan, data)
        self.heads = heads or {target: self._head(target) for target in plan.grid.targets}
        first = next(iter(self.heads.values()))
        known = tuple(plan.rename.get(label, label) for label in first.classes)
        self.classes = plan.judge.classes or tuple(label for label in known if label in data.cohort.labels.classes)
        if not self.classes:
            raise DataError(
                f"no class of the head ({', '.join(known[:5])}, ...) is among the labels "
                f"({', '.join(data.cohort.labels.classes[:5])}, ...). Name pairs in [rename]."
            )
        for target, head in self.heads.items():
            there = [plan.rename.get(label, label) for label in head.classes]
            for label in self.classes:
                if label not in there:
                    raise DataError(str(UnknownNameError.of(f"class of the head of {target}", label, there)))
        if left := [label for label in known if label not in self.classes]:
            self.remarks.append(f"classes of the head that are not judged: {', '.join(left[:20])}")

    @property
    def count(self) -> int:
        """Number of jobs, known without loading an encoder."""
        fits = (1 + len(self.plan.grid.solvers)) * len(self.draws())
        return self.baseline_count + len(self.heads) * (1 + len(self.plan.grid.sources) * (1 + fits))

    def jobs(self) -> Iterator[Job]:
        """Baselines first, then every solver; an encoder is loaded when its turn comes."""
        yield from self.baselines()
        for target, head in self.heads.items():
            numbers = np.asarray(head.weight).tobytes() + np.asarray(head.bias).tobytes()
            digest = hashlib.sha256(numbers + repr(head.classes).encode()).hexdigest()
            first = self.draws()[0]
            around = self.circumstances(None, target=target, head=digest)
            yield Job(Cell("", target, OWN, 0), around, partial(self._scores, "", target, OWN, first))
            for source in self.plan.grid.sources:
                work = partial(self._scores, source, target)
                around = self.circumstances(None, source, target, head=digest)
                yield Job(Cell(source, target, NAIVE, 0), around, partial(work, NAIVE, first))
                for method in (RELATIVE, *self.plan.grid.solvers):
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target, head=digest)
                        yield Job(Cell(source, target, method, *draw), around, partial(work, method, draw))

    def judge(self) -> ClassJudge:
        """Measures of scores of classes."""
        judge = self.plan.judge
        return self.class_judge(multiclass=judge.multiclass, min_positives=judge.min_positives)

    def _scores(self, source: str, target: str, method: str, draw: Draw, _: Path) -> CellResult:
        folds = self.fold_data(draw, x=source, y=target)
        return self.class_result([score_through_head(fold, method, self.heads[target]) for fold in folds])

    def _head(self, target: str) -> LinearHead:
        if self.plan.head == "identity":
            space, classes = self.space(target), self.plan.head_classes
            if space.dim != len(classes):
                raise DataError(f"{target} has {space.dim} columns; 'head_classes' names {len(classes)}.")
            return LinearHead(space, classes, np.eye(space.dim), np.zeros(space.dim))
        if is_vectors_file(target):
            raise DataError(
                f"head = {self.plan.head!r} is read with its encoder, and {target} is a file of embeddings. Give "
                f"head = 'identity' with 'head_classes', or name the encoder."
            )
        return head_called(self.plan.head, self.data.encoder(target))
