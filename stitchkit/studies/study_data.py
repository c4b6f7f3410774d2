"""Data of a study: the items, anchors and judged items of each fold, and every vector that is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.keys import is_missing
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.datasets.vector_files import STAMPED, read_vectors
from stitchkit.encoders import is_vectors_file
from stitchkit.evaluation.leakage import audit, same_files, spelled_notes
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.studies.plans import DataPlan, FoldedPlan, FusionGrid, FusionPlan, Grid, RetrievalPlan

Draw = tuple[int | None, int]  # how many anchors (None: all), and which draw of them
Side = Literal["source", "target"]


class EncoderLoader(Protocol):
    """Protocol for loading encoders and embeddings.

    ``device`` and ``dtype`` are those that encoders run on and in, as ``load_encoder`` takes them.
    """

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    def encoder(self, name: str) -> Encoder:
        """The encoder called ``name``."""

    def embed(self, encoder: Encoder, items: Items) -> Embeddings:
        """Vectors of ``items`` by ``encoder``."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Positions of the items that may be anchors, of the judged items, and of the anchors of each draw."""

    anchors: np.ndarray
    test: np.ndarray
    draws: dict[Draw, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class StudyData:
    """Items with labels, divided into anchors and judged items.

    ``folds`` holds one for published splits; the judged items of all folds are judged together, in that order.
    ``texts_of_all`` is True where the judged items' texts are embedded too. ``cache`` holds encoders and vectors.
    """

    cohort: Cohort
    folds: tuple[Fold, ...]
    loader: EncoderLoader
    notes: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    texts_of_all: bool = False
    cache: dict[tuple[str, str], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: FoldedPlan, loader: EncoderLoader, *, allow_leakage: bool = False) -> StudyData:
        """The data that a plan describes.

        Raises
        ------
        DataError
            For a column, split or value that is not there, or more anchors than there are.
        LeakageError
            If a patient or an item is in both splits and ``allow_leakage`` is not set.
        """
        data = plan.data
        further = tuple(plan.grid.columns) if isinstance(plan, FusionPlan) else ()
        cohort = _chosen_rows(read_cohort(data.layout, data.root, **_reader(data, further)), data)
        labels = cohort.labels
        for column in (*data.metadata, *further):
            if column not in labels.columns:
                raise DataError(str(UnknownNameError.of("metadata column of the data", column, labels.columns)))
        if data.folds:
            sides, note = cross_fit_folds(labels, data.folds, plan.seed)
            notes = [note]
        else:
            sides = [(_rows_of(cohort, data.anchors), _rows_of(cohort, data.test))]
            (left, right), groups = sides[0], labels.groups
            patients = [None if groups is None else groups[rows] for rows in sides[0]]
            notes = audit(labels.ids[left], labels.ids[right], *patients, allow=allow_leakage)
        notes += spelled_notes(labels.groups)
        unread = cohort.card.get("left_out", {})
        notes += [f"not read: {counted(count, 'row')}, {why}" for why, count in unread.items() if count]
        folds = [Fold(left, right, _draws(plan.grid, plan.seed, labels, left)) for left, right in sides]
        if not data.folds:
            drawn = np.unique(np.concatenate(list(folds[0].draws.values())))
            notes += same_files(cohort.images.take(drawn), cohort.images.take(folds[0].test), allow=allow_leakage)
        return cls(cohort, tuple(folds), loader, tuple(notes), data.metadata, isinstance(plan, RetrievalPlan))

    @property
    def test(self) -> Labels:
        """Labels of every judged item, in the order of the folds."""
        return self.cohort.labels.take(np.concatenate([fold.test for fold in self.folds]))

    @property
    def fold_of_test(self) -> np.ndarray | None:
        """The fold (n,) of each judged item; None where there is one."""
        sizes = [len(fold.test) for fold in self.folds]
        return np.repeat(np.arange(len(sizes)), sizes) if len(sizes) > 1 else None

    def items_digest(self, draw: Draw | None, classes: tuple[str, ...]) -> str:
        """Digest of a draw's anchors and of the judged items (None: of these alone), with all that is known of them."""
        digest: str = self.cached((f"digest {classes}", repr(draw)), lambda: self._computed_digest(draw, classes))
        return digest

    def vectors_digest(self, side: Side, name: str, draw: Draw | None, texts: Items | None = None) -> str:
        """Fingerprint of an encoder, or a digest of its vectors where it has none or they are a file."""
        fingerprint = None if is_vectors_file(name) else self.encoder(name).space.fingerprint
        if fingerprint is not None:
            return fingerprint

        def computed() -> str:
            vectors, rows = self.vectors(side, name, texts), np.concatenate(self._rows(draw))
            ids = self.cohort.labels.ids[np.unique(rows)]
            return _vectors_digest(vectors.of_ids(ids[np.isin(ids, vectors.ids)]))

        digest: str = self.cached((f"{side} digest {draw}", name), computed)
        return digest

    def _rows(self, draw: Draw | None) -> list[np.ndarray]:
        """Positions of the anchors and of the judged items of every fold, one after the other."""
        none = np.empty(0, dtype=np.int64)
        sides = [(none if draw is None else fold.draws[draw], fold.test) for fold in self.folds]
        return [rows for side in sides for rows in side]

    def _computed_digest(self, draw: Draw | None, classes: tuple[str, ...]) -> str:
        labels, whole = self.cohort.labels.of_classes(classes), hashlib.sha256()
        for i, rows in enumerate(self._rows(draw)):
            known = labels.take(rows)
            people = None if known.groups is None else known.groups.tolist()
            columns = [known.columns[name].tolist() for name in self.metadata]
            whole.update(repr((known.ids.tolist(), classes, people, columns)).encode())
            whole.update(np.ascontiguousarray(known.values).tobytes())
            for value in (self.cohort.images.values[int(row)] for row in rows):
                if isinstance(value, Path):  # another file under the same id
                    facts = value.stat()
                    whole.update(f"{value}\0{facts.st_size} {facts.st_mtime_ns}\n".encode())
                elif isinstance(value, str):
                    whole.update(value.encode() + b"\0")
                else:  # an image of an archive, which may be another one by now
                    pixels = np.ascontiguousarray(value)
                    whole.update(f"{pixels.shape} {pixels.dtype}\0".encode() + pixels.tobytes())
            if self.cohort.texts is not None and (self.texts_of_all or i % 2 == 0):
                whole.update("\0".join(str(self.cohort.texts.values[int(row)]) for row in rows).encode())
        return whole.hexdigest()

    def encoder(self, name: str) -> Encoder:
        """An encoder, loaded once."""
        encoder: Encoder = self.cached(("encoder", name), lambda: self.loader.encoder(name))
        return encoder

    def vectors(self, side: Side, name: str, texts: Items | None = None) -> Embeddings:
        """Vectors by an encoder, or of a file, computed once.

        A source reads the items. A target that reads images reads them too; one that reads texts reads those of the
        anchors, or of all. ``texts`` (by the items' ids) stand in for the items' own.
        """
        vectors: Embeddings = self.cached((side, name), lambda: self._embed(side, name, texts))
        return vectors

    @property
    def used(self) -> np.ndarray:
        """Positions of the items that take part: drawn anchors and test items."""
        return np.union1d(self._anchors, np.concatenate([fold.test for fold in self.folds]))

    @property
    def _anchors(self) -> np.ndarray:
        return np.unique(np.concatenate([rows for fold in self.folds for rows in fold.draws.values()]))

    def _embed(self, side: Side, name: str, texts: Items | None) -> Embeddings:
        if is_vectors_file(name):
            if Path(name).suffix.lower() != STAMPED:
                raise DataError(
                    f"{name} does not say which model made it. Write it once as a {STAMPED} file: stitchkit import "
                    f"{Path(name).name} --ids TABLE --fingerprint TEXT --out {Path(name).stem}{STAMPED}."
                )
            return read_vectors(Path(name)).of_ids(self.cohort.labels.ids[self.used])
        encoder = self.encoder(name)
        images = self.cohort.images
        if side == "source" and encoder.modality != images.modality:
            raise DataError(
                f"source {name!r} reads {encoder.modality}s, and the items are {images.modality}s. Name another, or "
                f"say in [data.reader] which column holds the items and of what modality."
            )
        if side == "source" or encoder.modality == "image":
            return self.loader.embed(encoder, images.take(self.used))
        items = self.cohort.texts if texts is None else texts
        if items is None:
            raise DataError(
                f"{encoder.name!r} reads texts, and these data have none. Name their column, or say texts = 'prompts'."
            )
        return self.loader.embed(encoder, items.take(self.used if self.texts_of_all else self._anchors))

    def cached(self, key: tuple[str, str], make: Callable[[], Any]) -> Any:
        """Result of ``make``, computed at the first request for ``key``."""
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]


def cross_fit_folds(
    labels: Labels, folds: int, seed: int, scope: str = ""
) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Rows of the anchors and of the judged items in each of ``folds`` folds by patient, and a note that says so.

    ``scope`` follows the note's first word: the items that are judged, default none.
    """
    members = assign(len(labels), labels.groups, seed=seed, k=folds)
    sides = [(np.setdiff1d(np.arange(len(labels)), held), held) for held in members]
    whose = "items; patients are not known" if labels.groups is None else "patients"
    return sides, (
        f"cross-fitted{scope}: each item is judged by anchors of the other {len(sides) - 1} folds' {whose}, and "
        f"ranked among its own fold's items, whose scores are of the same map"
    )


def _vectors_digest(vectors: Embeddings) -> str:
    whole = hashlib.sha256("\n".join(vectors.ids.tolist()).encode())
    whole.update(np.ascontiguousarray(vectors.vectors).tobytes())
    return whole.hexdigest()


def _draws(grid: Grid | FusionGrid, seed: int, labels: Labels, rows: np.ndarray) -> dict[Draw, np.ndarray]:
    """The anchors of every draw: patient by patient in a drawn order, so that more anchors hold the fewer ones."""
    draws: dict[Draw, np.ndarray] = {}
    people = np.arange(len(rows)) if labels.groups is None else labels.groups[rows]
    for n in grid.anchor_counts:
        if n is None:
            draws[None, 0] = rows
            continue
        if n > len(rows):
            raise DataError(f"{n} anchors were asked for; there are {len(rows)}. Lower 'anchors' in [grid].")
        for draw in range(grid.draws):
            order = patient_order(people, seed, draw)
            draws[n, draw] = np.sort(rows[order[:n]])
    return draws


def _reader(data: DataPlan, further: tuple[str, ...] = ()) -> dict[str, Any]:
    """The layout's settings; a table also carries the columns that the study itself names."""
    if data.layout != "table":
        return dict(data.reader)
    named = [*data.reader.get("columns", ()), *data.metadata, *further, *data.where]
    return {**data.reader, "columns": list(dict.fromkeys(named))}


def _chosen_rows(cohort: Cohort, plan: DataPlan) -> Cohort:
    """The rows whose columns hold the values that the plan names."""
    keep = np.ones(len(cohort), dtype=bool)
    for column, values in plan.where.items():
        if column not in cohort.labels.columns:
            raise DataError(
                f"the data have no column {column!r} to choose rows by; known: {', '.join(cohort.labels.columns)}."
            )
        keep &= _is_one_of(cohort.labels.columns[column], values)
        if not keep.any():
            known = sorted(set(cohort.labels.columns[column].astype(str).tolist()))
            raise DataError(
                f"no row is left where {column!r} is one of {', '.join(values)}; the column holds "
                f"{', '.join(known[:10])}{' and others' if len(known) > 10 else ''}."
            )
    return cohort if keep.all() else cohort.take(np.flatnonzero(keep))


def _is_one_of(column: np.ndarray, values: tuple[str, ...]) -> np.ndarray:
    """Mask (n,) of rows that hold one of the values; numbers are compared as numbers, and missing values are one."""
    blank = np.zeros(len(column), dtype=bool)
    if any(map(is_missing, values)):
        blank = np.asarray([is_missing(one) for one in column.tolist()], dtype=bool)
    if column.dtype.kind != "f":
        return np.isin(column.astype(str), values) | blank
    try:
        return np.isin(column, [float(one) for one in values if not is_missing(one)]) | blank
    except ValueError:
        return blank


def _rows_of(cohort: Cohort, split: str | None) -> np.ndarray:
    if cohort.split is None:
        raise DataError("these data have no published split. Give 'folds' in [data] instead of 'anchors' and 'test'.")
    rows = np.flatnonzero(cohort.split == split)
    if not len(rows):
        raise DataError(f"no row is of split {split!r}; there are {', '.join(sorted(set(cohort.split.tolist())))}.")
    return rows
