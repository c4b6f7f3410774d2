"""Jobs of a study, one a cell: what every kind of study offers to the loop, and a base for studies of maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from stitchkit.core.items import Items
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.space import Space
from stitchkit.core.wording import counted
from stitchkit.encoders import is_vectors_file
from stitchkit.evaluation.scores.evaluate import METADATA, PROBE
from stitchkit.evaluation.scores.metadata import file_columns
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.judges import ClassJudge, Judge
from stitchkit.studies.methods import FoldData, score_baseline
from stitchkit.studies.plans import AnyPlan, FusionGrid, FusionPlan, RetrievalPlan, StitchingPlan, ZeroShotPlan
from stitchkit.studies.study_data import Draw, StudyData

Plan = TypeVar("Plan", StitchingPlan, ZeroShotPlan, RetrievalPlan, FusionPlan)

RECORDED = ("solver", "settings", "rank", "r2", "notes", "spectrum", "gallery", "shuffled_chance")


@dataclass(frozen=True, slots=True, eq=False)
class CellResult:
    """Values (n, ...) of the judged items of a cell.

    ``folds`` is the number of folds that they are of; None where nothing is parted into folds.
    """

    values: np.ndarray
    kind: str
    record: Mapping[str, Any]
    folds: int | None = None

    @classmethod
    def of_folds(cls, values: Sequence[np.ndarray], kind: str, record: Mapping[str, Any]) -> CellResult:
        """Values of every fold, with the kept part of the first one's record."""
        kept = {name: record[name] for name in RECORDED if name in record}
        return cls(values=np.concatenate(values), kind=kind, record=kept, folds=len(values))


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A cell and the function that computes it.

    ``circumstances`` are all that decides the result beside the cell; ``work`` takes a folder of its own, which need
    not exist, for files that are needed until the cell is finished. ``name`` is the cell's name in messages, default
    that of the cell.
    """

    cell: Cell
    circumstances: Mapping[str, Any]
    work: Callable[[Path], CellResult]
    name: str = ""

    def __str__(self) -> str:
        return self.name or str(self.cell)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAxes:
    """Axes of the table of a study.

    Parameters
    ----------
    sources, targets
        Encoders.
    methods
        Solvers, or arms of a training study.
    counts
        Numbers of anchors (or training pairs) from few to many; None for all there are.
    draws
        Draws of each number, or seeds.
    main
        The method that the page is about.
    unit
        Unit of the numbers, in words.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    methods: tuple[str, ...]
    counts: tuple[int | None, ...]
    draws: int
    main: str
    unit: str = "anchors"


class StudyJobs(Protocol):
    """Jobs of one study and the items that they are judged on.

    ``unit`` is the word for a job, ``extent`` a line on the size of the study; ``available`` is the number of anchors
    (or training pairs) there are; ``folds`` (n,) is the fold of each judged item, None where there is one.
    """

    unit: ClassVar[str]

    @property
    def plan(self) -> AnyPlan: ...

    @property
    def axes(self) -> TableAxes: ...

    @property
    def extent(self) -> str: ...

    @property
    def available(self) -> int: ...

    @property
    def test(self) -> Labels: ...

    @property
    def items(self) -> Items: ...

    @property
    def folds(self) -> np.ndarray | None: ...

    @property
    def count(self) -> int:
        """Number of jobs, known without loading an encoder."""

    def jobs(self) -> Iterator[Job]:
        """Every job; an encoder is loaded when its turn comes."""

    def judge(self) -> Judge:
        """Measures of the cells.

        Raises
        ------
        DataError
            If nothing can be judged.
        """

    def notes(self, cells: Sequence[tuple[Cell, str]], log: CellLog) -> list[str]:
        """Notes on the study, of which finished cells are known with their keys."""


class MapJobs(ABC, Generic[Plan]):
    """Base of studies of maps: data of folds, and the baselines that look at labels and metadata.

    ``classes`` are judged; ``texts`` stand in for the anchors' own texts.
    """

    unit: ClassVar[str] = "cell"
    embeds_test_targets: ClassVar[bool] = True

    def __init__(self, plan: Plan, data: StudyData) -> None:
        self.plan: Plan = plan
        self.data = data
        self.classes: tuple[str, ...] = ()
        self.texts: Items | None = None
        self.remarks: list[str] = []

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of jobs, known without loading an encoder."""

    @abstractmethod
    def jobs(self) -> Iterator[Job]:
        """Every job; an encoder is loaded when its turn comes."""

    @abstractmethod
    def judge(self) -> Judge:
        """Measures of the cells."""

    @property
    def axes(self) -> TableAxes:
        """The grid of the plan."""
        grid = self.plan.grid
        if isinstance(grid, FusionGrid):  # whose jobs have axes of their own
            raise NotImplementedError
        return TableAxes(
            sources=grid.sources,
            targets=grid.targets,
            methods=grid.solvers,
            counts=grid.anchor_counts,
            draws=grid.draws,
            main=grid.solvers[0],
        )

    @property
    def extent(self) -> str:
        """Numbers of items and classes, in words."""
        classes = f" on {counted(len(self.classes), 'class', 'classes')}" if self.classes else ""
        return f"{counted(len(self.test), 'item')} to judge{classes}"

    @property
    def available(self) -> int:
        """Number of anchors of the smallest fold."""
        return min(len(fold.anchors) for fold in self.data.folds)

    @property
    def test(self) -> Labels:
        """Labels of the judged items."""
        return self.data.test.of_classes(self.classes)

    @property
    def items(self) -> Items:
        """The judged items."""
        return self.data.cohort.images.take(np.concatenate([fold.test for fold in self.data.folds]))

    @property
    def folds(self) -> np.ndarray | None:
        """The fold (n,) of each judged item; None where there is one."""
        return self.data.fold_of_test

    def notes(self, cells: Sequence[tuple[Cell, str]], log: CellLog) -> list[str]:
        """Notes on the data and on the classes."""
        return [*self.data.notes, *self.remarks]

    def fold_data(self, draw: Draw, *, x: str = "", y: str = "", texts: Items | None = None) -> Iterator[FoldData]:
        """Data of every fold, one after the other; sides that are not named stay empty."""
        labels, data = self.data.cohort.labels.of_classes(self.classes), self.data
        for fold in data.folds:
            rows = fold.draws[draw]
            known, test = labels.take(rows), labels.take(fold.test)
            sides: dict[str, Any] = {}
            if x:
                vectors = data.vectors("source", x)
                sides |= {"x": vectors.of_ids(known.ids), "x_test": vectors.of_ids(test.ids)}
            if y:
                vectors = data.vectors("target", y, texts)
                sides["y"] = vectors.of_ids(known.ids)
                if self.embeds_test_targets:
                    sides["y_test"] = vectors.of_ids(test.ids)
            first = fold is data.folds[0]
            yield FoldData(known, test, metadata=self.plan.data.metadata, seed=self.plan.seed, first=first, **sides)

    def draws(self) -> list[Draw]:
        """Every number of anchors with every draw of it."""
        return list(self.data.folds[0].draws)

    def circumstances(self, draw: Draw | None, source: str = "", target: str = "", **more: Any) -> dict[str, Any]:
        """All that decides a result beside the cell; ``draw`` is None where no anchor is looked at.

        Keys of kept cells are made of them: another name, order or type of one loses every kept study.
        """
        from stitchkit import __version__

        return {
            "version": __version__, "items": self.data.items_digest(draw, self.classes),
            "source": self.data.vectors_digest("source", source, draw) if source else "",
            "target": self.data.vectors_digest("target", target, draw, self.texts) if target else "",
            "dtype": self.data.loader.dtype, "classes": self.classes, "rename": dict(self.plan.rename),
            "seed": self.plan.seed, "metadata": self.plan.data.metadata, **more,
        }  # fmt: skip

    @property
    def baseline_count(self) -> int:
        """Number of jobs of :meth:`baselines`."""
        return len(self.draws()) * (1 + len(self.plan.grid.sources))

    def baselines(self) -> Iterator[Job]:
        """Metadata alone, and a probe on each source, from the same anchors' labels."""
        for draw in self.draws():
            work = partial(self._metadata, draw)
            yield Job(Cell("", "", METADATA, *draw), self.circumstances(draw), work)
        for source in self.plan.grid.sources:
            for draw in self.draws():
                work = partial(self._probe, source, draw)
                yield Job(Cell(source, "", PROBE, *draw), self.circumstances(draw, source), work)

    def space(self, name: str) -> Space:
        """The space of an encoder or of a file of embeddings."""
        return self.data.vectors("target", name).space if is_vectors_file(name) else self.data.encoder(name).space

    def class_judge(self, *, multiclass: bool, min_positives: int) -> ClassJudge:
        """The judge of scores of classes."""
        return ClassJudge.of(self.test, multiclass=multiclass, min_positives=min_positives, folds=self.folds)

    def class_result(self, scores: Sequence[tuple[Scores, Mapping[str, Any]]]) -> CellResult:
        """Scores of every fold, each with a record, in the order of the study's classes."""
        values = []
        for one, _ in scores:
            known = replace(one, classes=tuple(self.plan.rename.get(label, label) for label in one.classes))
            values.append(np.stack([known.column(label) for label in self.classes], axis=1))
        first, record = scores[0]
        return CellResult.of_folds(values, first.kind, record)

    def _probe(self, source: str, draw: Draw, _: Path) -> CellResult:
        return self.class_result([score_baseline(fold, PROBE) for fold in self.fold_data(draw, x=source)])

    def _metadata(self, draw: Draw, _: Path) -> CellResult:
        used, scores = self.data.used, []
        facts = self.data.cached(("files", ""), lambda: file_columns(self.data.cohort.images.take(used)))
        for rows, fold in zip(self.data.folds, self.fold_data(draw), strict=True):
            places = [np.searchsorted(used, each) for each in (rows.draws[draw], rows.test)]
            sides = [{name: values[at] for name, values in facts.items()} for at in places]
            scores.append(score_baseline(replace(fold, files=(sides[0], sides[1])), METADATA))
        return self.class_result(scores)
