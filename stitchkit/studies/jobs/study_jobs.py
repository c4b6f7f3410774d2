"""What a study works out: one job a cell, for stitching and for classes named by text."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import Items
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Scores
from stitchkit.core.space import Space
from stitchkit.datasets.prompt_sets import read_prompts, subset
from stitchkit.encoders import is_vectors_file
from stitchkit.encoders.clip_pairs import clip_alignment
from stitchkit.evaluation.scores.metadata import file_columns
from stitchkit.stitching import head_called
from stitchkit.studies.benches import Draw, StudyBench
from stitchkit.studies.cells import Cell
from stitchkit.studies.judges import ClassJudge, Judge
from stitchkit.studies.methods import METADATA, NAIVE, OWN, PROBE, RELATIVE, FoldData, baseline, named, stitched
from stitchkit.studies.plans import StudyPlan
from stitchkit.zero_shot import zeroshot


@dataclass(frozen=True, slots=True, eq=False)
class Worked:
    """What a cell finds out about one part's test items: values (n, ...) of a kind, and a record."""

    values: np.ndarray
    kind: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A cell and how it is worked out, part by part."""

    cell: Cell
    circumstances: Mapping[str, Any]
    work: Callable[[], list[Worked]]


CLIP = "CLIP-like, no anchors"
FEW_TEXTS = 3  # different texts a class: with no more, anchors' texts are labels in other words


def clip_halves(checkpoint: str) -> tuple[str, str]:
    """The names of a CLIP-like checkpoint's image and text encoder."""
    link = "&" if "#" in checkpoint else "#"
    return f"{checkpoint}{link}modality=image", f"{checkpoint}{link}modality=text"


class StudyJobs(ABC):
    """Parts that every kind of study shares: the data of folds, and the baselines that look at labels and metadata."""

    def __init__(self, plan: StudyPlan, bench: StudyBench) -> None:
        self.plan, self.bench = plan, bench
        self.classes: tuple[str, ...] = ()
        self.texts: Items | None = None  # what stands in for the anchors' own texts
        self.notes: list[str] = []

    @property
    @abstractmethod
    def count(self) -> int:
        """How many jobs there are; known without loading an encoder."""

    @abstractmethod
    def jobs(self) -> Iterator[Job]:
        """Every job; an encoder is loaded when its turn comes."""

    def turns(self, draw: Draw, *, x: str = "", y: str = "", texts: Items | None = None) -> Iterator[FoldData]:
        """Data of every part, one after the other; sides that are not named stay empty."""
        labels, bench = self.bench.cohort.labels.of_classes(self.classes), self.bench
        for part in bench.parts:
            rows = part.drawn[draw]
            known, test = labels.take(rows), labels.take(part.test)
            sides: dict[str, Any] = {}
            if x:
                vectors = bench.vectors("source", x)
                sides |= {"x": vectors.of_ids(known.ids), "x_test": vectors.of_ids(test.ids)}
            if y:
                vectors = bench.vectors("target", y, texts)
                sides["y"] = vectors.of_ids(known.ids)
                if self.plan.kind != "zeroshot":
                    sides["y_test"] = vectors.of_ids(test.ids)
            first = part is bench.parts[0]
            yield FoldData(known, test, metadata=self.plan.data.metadata, seed=self.plan.seed, first=first, **sides)

    def draws(self) -> list[Draw]:
        """Every number of anchors with every draw of it."""
        return list(self.bench.parts[0].drawn)

    def circumstances(self, draw: Draw | None, source: str = "", target: str = "", **more: Any) -> dict[str, Any]:
        """All that decides a result beside the cell's own words; ``draw`` is None where no anchor is looked at."""
        from stitchkit import __version__

        return {
            "version": __version__, "items": self.bench.mark(draw, self.classes),
            "source": self.bench.mark_of("source", source, draw) if source else "",
            "target": self.bench.mark_of("target", target, draw, self.texts) if target else "",
            "dtype": getattr(self.bench.loads, "dtype", ""), "classes": self.classes, "rename": dict(self.plan.rename),
            "seed": self.plan.seed, "metadata": self.plan.data.metadata, **more,
        }  # fmt: skip

    @property
    def baseline_count(self) -> int:
        """How many jobs the baselines are."""
        return len(self.draws()) * (1 + len(self.plan.sources))

    def baselines(self) -> Iterator[Job]:
        """Metadata alone, and a probe on each source, from the same anchors' labels."""
        for draw in self.draws():
            yield Job(Cell("", "", METADATA, *draw), self.circumstances(draw), partial(self._metadata, draw))
        for source in self.plan.sources:
            for draw in self.draws():
                around = self.circumstances(draw, source)
                yield Job(Cell(source, "", PROBE, *draw), around, partial(self._probe, source, draw))

    def space(self, name: str) -> Space:
        """The space of an encoder or of a file of embeddings."""
        return self.bench.vectors("target", name).space if is_vectors_file(name) else self.bench.encoder(name).space

    def _probe(self, source: str, draw: Draw) -> list[Worked]:
        return [self._worked(*baseline(fold, PROBE)) for fold in self.turns(draw, x=source)]

    def _metadata(self, draw: Draw) -> list[Worked]:
        used, done = self.bench.used, []
        facts = self.bench.once(("files", ""), lambda: file_columns(self.bench.cohort.images.take(used)))
        for part, fold in zip(self.bench.parts, self.turns(draw), strict=True):
            places = [np.searchsorted(used, rows) for rows in (part.drawn[draw], part.test)]
            sides = [{name: values[at] for name, values in facts.items()} for at in places]
            done.append(self._worked(*baseline(replace(fold, files=(sides[0], sides[1])), METADATA)))
        return done

    def judge(self) -> Judge:
        """What cells are measured by.

        Raises
        ------
        DataError
            If nothing can be judged.
        """
        plan, test = self.plan, self.bench.test.of_classes(self.classes)
        return ClassJudge.of(
            test, multiclass=plan.multiclass, min_positives=plan.min_positives, parts=self.bench.part_of_test
        )

    def _worked(self, scores: Scores, record: Mapping[str, Any]) -> Worked:
        """Scores in the order of the study's classes."""
        known = replace(scores, classes=tuple(self.plan.rename.get(label, label) for label in scores.classes))
        values = np.stack([known.column(label) for label in self.classes], axis=1)
        return Worked(values, scores.kind, record)


class Stitching(StudyJobs):
    """Source vectors through a map into a head of the target."""

    def __init__(self, plan: StudyPlan, bench: StudyBench, heads: Mapping[str, LinearHead] | None = None) -> None:
        super().__init__(plan, bench)
        self.heads = heads or {target: self._head(target) for target in plan.targets}
        first = next(iter(self.heads.values()))
        known = tuple(plan.rename.get(label, label) for label in first.classes)
        self.classes = plan.classes or tuple(label for label in known if label in bench.cohort.labels.classes)
        if not self.classes:
            raise DataError(
                f"no class of the head ({', '.join(known[:5])}, ...) is among the labels "
                f"({', '.join(bench.cohort.labels.classes[:5])}, ...). Name pairs in [rename]."
            )
        for target, head in self.heads.items():
            there = [plan.rename.get(label, label) for label in head.classes]
            for label in self.classes:
                if label not in there:
                    raise DataError(str(UnknownNameError.of(f"class of the head of {target}", label, there)))
        if left := [label for label in known if label not in self.classes]:
            self.notes.append(f"classes of the head that are not judged: {', '.join(left[:20])}")

    @property
    def count(self) -> int:
        """How many jobs there are; known without loading an encoder."""
        fits = (1 + len(self.plan.solvers)) * len(self.draws())
        return self.baseline_count + len(self.heads) * (1 + len(self.plan.sources) * (1 + fits))

    def jobs(self) -> Iterator[Job]:
        """Baselines first, then every solver; an encoder is loaded when its turn comes."""
        yield from self.baselines()
        for target, head in self.heads.items():
            numbers = np.asarray(head.weight).tobytes() + np.asarray(head.bias).tobytes()
            mark = hashlib.sha256(numbers + repr(head.classes).encode()).hexdigest()
            first = self.draws()[0]
            around = self.circumstances(None, target=target, head=mark)
            yield Job(Cell("", target, OWN, 0), around, partial(self._stitched, "", target, OWN, first))
            for source in self.plan.sources:
                work = partial(self._stitched, source, target)
                around = self.circumstances(None, source, target, head=mark)
                yield Job(Cell(source, target, NAIVE, 0), around, partial(work, NAIVE, first))
                for method in (RELATIVE, *self.plan.solvers):
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target, head=mark)
                        yield Job(Cell(source, target, method, *draw), around, partial(work, method, draw))

    def _stitched(self, source: str, target: str, method: str, draw: Draw) -> list[Worked]:
        head = self.heads[target]
        return [self._worked(*stitched(fold, method, head)) for fold in self.turns(draw, x=source, y=target)]

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
        return head_called(self.plan.head, self.bench.encoder(target))


class Naming(StudyJobs):
    """Source vectors mapped to a text space whose prompts name the classes."""

    def __init__(self, plan: StudyPlan, bench: StudyBench, prompts: PromptSet | None = None) -> None:
        super().__init__(plan, bench)
        whole = prompts or read_prompts(plan.prompts)
        called = {plan.rename.get(label, label): label for label in whole.classes}
        known = bench.cohort.labels.classes
        self.classes = plan.classes or tuple(label for label in called if label in known)
        if not self.classes:
            raise DataError(
                f"no class of the prompts {whole.name!r} ({', '.join(whole.classes[:5])}, ...) is among the labels "
                f"({', '.join(known[:5])}, ...). Name pairs in [rename]."
            )
        self.prompts = subset(whole, [called.get(label, label) for label in self.classes])
        self.texts = self._prompt_texts() if plan.data.texts == "prompts" else None
        self.notes += self._label_map()

    def _label_map(self) -> list[str]:
        """In words, where the anchors' texts say little more than their labels do."""
        texts = self.texts or self.bench.cohort.texts
        if texts is None:
            return []
        rows = np.unique(np.concatenate([part.anchors for part in self.bench.parts]))
        distinct = len({str(texts.values[int(i)]) for i in rows})
        if distinct > FEW_TEXTS * len(self.classes):
            return []
        told = "prompts of their own labels" if self.texts is not None else "templates, it seems, and no reports"
        return [
            f"LABEL MAP: the texts of {len(rows)} anchors are {distinct} different ones, {told}: a label map in "
            f"disguise. The probe has the same labels and is the fair comparison"
        ]

    @property
    def count(self) -> int:
        """How many jobs there are; known without loading an encoder."""
        fits = len(self.plan.solvers) * len(self.draws())
        return self.baseline_count + len(self.plan.targets) * len(self.plan.sources) * fits + len(self.plan.clip)

    def jobs(self) -> Iterator[Job]:
        """Baselines first, then every solver, then CLIP-like pairs; an encoder is loaded when its turn comes."""
        yield from self.baselines()
        asked = hashlib.sha256(repr((self.prompts.positive, self.prompts.negative)).encode()).hexdigest()
        for target in self.plan.targets:
            for source in self.plan.sources:
                for method in self.plan.solvers:
                    for draw in self.draws():
                        around = self.circumstances(draw, source, target, prompts=asked, texts=self.plan.data.texts)
                        work = partial(self._named, source, target, method, draw)
                        yield Job(Cell(source, target, method, *draw), around, work)
        for checkpoint in self.plan.clip:
            around = self.circumstances(None, *clip_halves(checkpoint), prompts=asked)
            yield Job(Cell("", "", f"{CLIP}: {checkpoint}", 0), around, partial(self._by_pair, checkpoint))

    def _named(self, source: str, target: str, method: str, draw: Draw) -> list[Worked]:
        vectors = self._prompt_vectors(target)
        turns = self.turns(draw, x=source, y=target, texts=self.texts)
        return [self._worked(*named(fold, method, self.prompts, vectors)) for fold in turns]

    def _by_pair(self, checkpoint: str) -> list[Worked]:
        """A checkpoint whose image and text encoder share a space: no anchors, the same scores."""
        image, text = clip_halves(checkpoint)
        alignment = clip_alignment(self.bench.encoder(image), self.bench.encoder(text))
        head = zeroshot(alignment, self._prompt_vectors(text), self.prompts)
        turns = self.turns(self.draws()[0], x=image)
        return [self._worked(head.scores(fold.x_test), alignment.record) for fold in turns]

    def _prompt_vectors(self, target: str) -> Embeddings:
        texts = self.prompts.texts
        items = Items(np.asarray(texts), list(texts), "text")
        encoder = self.bench.encoder(target)
        found: Embeddings = self.bench.once(("prompts", target), lambda: self.bench.loads.embed(encoder, items))
        return found

    def _prompt_texts(self) -> Items:
        """Each item's text: the first prompt of its only class."""
        labels = self.bench.cohort.labels.of_classes(self.classes)
        anchors = np.unique(np.concatenate([part.anchors for part in self.bench.parts]))
        if not (np.nansum(labels.values[anchors], axis=1) == 1).all():
            raise DataError("texts = 'prompts' needs exactly one class an anchor. Choose rows by [data.where].")
        first = [self.prompts.positive[label][0] for label in self.prompts.classes]
        best = np.nan_to_num(labels.values, nan=-1).argmax(axis=1)  # of items that are no anchors it is not read
        return Items(labels.ids, [first[k] for k in best], "text")
