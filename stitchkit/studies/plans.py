"""A study as its TOML file states it: data, grid of encoders, solvers and anchors, and how it is judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.encoders import is_vectors_file
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.presets import PRESETS
from stitchkit.storage.toml_files import TomlTable, read_toml
from stitchkit.training.recipes import Recipe, read_recipe

RANKED = ("retrieval", "training")  # kinds in which partners are looked for
KINDS = ("stitching", "zeroshot", "retrieval", "training")
PAPER = "paper:"  # before the name of a published map
PYTHON = "python:"
ALL = "all"
TEXTS = ("reports", "prompts")


@dataclass(frozen=True, slots=True)
class DataPlan:
    """Selection of the items that are anchors and of those that are judged.

    Parameters
    ----------
    layout, root, reader
        As ``read_cohort`` takes them; a root is relative to the study file.
    where
        Column -> values; only rows with one of them take part.
    anchors, test
        Published splits; or, with ``folds``, both None: every item is judged once, by anchors of other folds.
    folds
        0, or the number of folds by patient.
    texts
        ``"reports"``: the items' own texts are the anchors' texts. ``"prompts"``: each anchor's text is a prompt of its
        own label, which is a label map in disguise; the result says so.
    metadata
        Label-table columns of the metadata-only baseline, beside what the files tell.
    """

    layout: str
    root: Path
    reader: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    anchors: str | None = None
    test: str | None = None
    folds: int = 0
    texts: str = "reports"
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Recipe, arms and fractions of a training study.

    Parameters
    ----------
    recipe
        File of the recipe that every arm begins with.
    arms
        Name -> table of the recipe -> keys that are other in this arm. The others are compared with the first.
    fractions
        Shares of the recipe's train pairs, from few to many.
    """

    recipe: Path
    arms: Mapping[str, Mapping[str, Any]]
    fractions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """One study.

    Parameters
    ----------
    kind
        ``"stitching"``: source vectors drive a head of the target. ``"zeroshot"``: classes are named by text.
        ``"retrieval"``: of each item the partner in the other space is looked for. ``"training"``: encoders are
        trained from several recipes, and of each item the caption is looked for.
    sources, targets
        Encoder names, or ``.safetensors`` files of embeddings by item id.
    solvers
        Names as ``sk.align`` takes them, or ``paper:NAME``; of a training study its arms.
    anchors
        Numbers of anchors (of a training study: of pairs); None stands for all there are.
    draws
        How often each number below all is drawn (of a training study: how many seeds, from ``seed`` on).
    head
        Of a stitching study: ``"own"``, the folder of a saved probe, ``python:FILE:NAME``, or ``"identity"``: the
        target's vectors are themselves the scores of ``head_classes``.
    rename
        A class of the head or the prompts -> what the labels call it.
    prompts
        Of a zero-shot study: a shipped set or a file.
    clip
        Of a zero-shot study: CLIP-like checkpoints scored beside, without anchors.
    classes
        The classes judged; None takes those of the head or the prompts.
    multiclass
        Exactly one class applies.
    sensitivity
        The share of positives that the page's thresholds find; None for Youden's.
    images
        How many of the best and worst images of each class the page shows; they are the patients' own.
    written
        A name whose path was made relative to the study file -> the same as it is written there.
    """

    kind: str
    name: str
    file: Path
    data: DataPlan
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    solvers: tuple[str, ...] = ("auto",)
    anchors: tuple[int | None, ...] = (None,)
    draws: int = 3
    head: str = "own"
    head_classes: tuple[str, ...] = ()
    prompts: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    clip: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    multiclass: bool = False
    min_positives: int = MIN_POSITIVES
    replicates: int = 2000
    sensitivity: float | None = None
    images: int = 0
    seed: int = 0
    training: TrainingPlan | None = None
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The solver that a page is about; of arms, which are compared with the first, the second."""
        return self.solvers[1 if self.training else 0]

    @property
    def counted(self) -> str:
        """The unit of the numbers compared, in words."""
        return "training pairs" if self.training else "anchors"

    @property
    def cells_per_pair(self) -> int:
        """Fits of each source with each target."""
        counts = [1 if n is None else self.draws for n in self.anchors]
        return len(self.solvers) * sum(counts)


def read_plan(path: str | Path) -> StudyPlan:
    """The study in a TOML file.

    Raises
    ------
    DataError
        For a file that cannot be read, a missing or unknown key (the nearest is listed), or a value of a wrong kind.
    """
    path = Path(path)
    top = TomlTable(read_toml(path), str(path), "")
    kind = top.one_of("kind", KINDS)
    if kind == "training":
        return _training(top, path)
    grid, judge, rename = top.table("grid"), top.table("judge"), top.table("rename")
    scored = kind != "retrieval"  # classes are
    head = top.text("head", "own") if kind == "stitching" else ""
    plan = StudyPlan(
        kind=kind,
        name=top.text("name", path.stem),
        file=path,
        data=_data(top.table("data"), path.parent, kind),
        sources=_encoders(grid, "sources", path.parent),
        targets=_encoders(grid, "targets", path.parent),
        solvers=_solvers(grid),
        anchors=_anchors(grid),
        draws=grid.whole("draws", 3, least=1),
        head=_head(head, path.parent) if head else "",
        head_classes=top.texts("head_classes", ()) if kind == "stitching" else (),
        rename={name: rename.text(name) for name in rename.rest()},
        prompts=_beside(top.text("prompts"), path.parent) if kind == "zeroshot" else "",
        clip=grid.texts("clip", ()) if kind == "zeroshot" else (),
        classes=judge.texts("classes", None) if scored else None,
        multiclass=judge.flag("multiclass", False) if scored else False,
        min_positives=judge.whole("min_positives", MIN_POSITIVES, least=1) if scored else MIN_POSITIVES,
        replicates=_replicates(judge, scored),
        sensitivity=judge.share("sensitivity", None) if scored else None,
        images=judge.whole("images", 0) if scored else 0,
        seed=top.whole("seed", 0),
        written={_beside(name, path.parent): name for name in (*grid.texts("sources"), *grid.texts("targets"), head)},
    )
    for table in (grid, judge, top):
        table.close()
    if kind == "zeroshot" and (files := [one for one in plan.targets if is_vectors_file(one)]):
        raise DataError(f"target {files[0]} of {grid.where} cannot read prompts: name the text encoder itself.")
    if plan.head == "identity" and not plan.head_classes:
        raise DataError(f"head = 'identity' of {top.where} needs 'head_classes', the names of the target's columns.")
    return plan


def _replicates(judge: TomlTable, resampled: bool) -> int:
    """Number of resamples; a study in which nothing is resampled takes none."""
    if not resampled and "replicates" in judge:
        raise DataError(
            f"there is no key of {judge.where} called 'replicates' in a study of retrieval: its intervals need no "
            f"resamples. Take the line out."
        )
    count: int = judge.whole("replicates", 2000, least=1)
    return count


def _training(top: TomlTable, path: Path) -> StudyPlan:
    """Of a training study; its data are those of its recipe."""
    grid, judge, arms = top.table("grid"), top.table("judge"), top.table("arms")
    file = path.parent / os.path.expanduser(top.text("recipe"))
    changes = {name: _changes(arms.table(name)) for name in arms.names()}
    if len(changes) < 2:
        raise DataError(f"{arms.where} has {len(changes)} arms; name two or more, each with what is other in it.")
    pairs = _recipes(file, changes, arms.where)[0].pairs
    split, fractions = judge.text("split", "test"), grid.shares("fractions", (1.0,))
    if split in (pairs.train, pairs.valid):
        raise DataError(
            f"'split' of {judge.where} is {split!r}, on which the recipe trains or validates. Take another."
        )
    if len(set(fractions)) < len(fractions):
        raise DataError(f"'fractions' of {grid.where} holds one twice; more runs of it are 'seeds'.")
    plan = StudyPlan(
        kind="training",
        name=top.text("name", path.stem),
        file=path,
        data=DataPlan(pairs.layout, pairs.root, pairs.reader, anchors=pairs.train, test=split),
        sources=(),
        targets=(),
        solvers=tuple(changes),
        draws=grid.whole("seeds", 3, least=1),
        replicates=judge.whole("replicates", 2000, least=1),
        seed=top.whole("seed", 0),
        training=TrainingPlan(file, changes, tuple(sorted(fractions))),
    )
    for table in (grid, judge, arms, top):
        table.close()
    return plan


def _changes(arm: TomlTable) -> dict[str, Any]:
    """The changes of an arm: keys of two tables of the recipe."""
    changes = {name: arm.table(name).rest() for name in ("network", "training")}
    arm.close()
    return changes


def _recipes(file: Path, arms: Mapping[str, Mapping[str, Any]], where: str) -> list[Recipe]:
    """Every arm's recipe; a mistake is told with the arm's name."""
    whole = read_recipe(file)  # a mistake of the recipe is told as its own
    recipes = []
    for name, changes in arms.items():
        try:
            recipes.append(read_recipe(file, changes))
        except DataError as error:
            raise DataError(f"arm {name!r} of {where}, in the recipe {whole.name!r}: {error}") from error
    return recipes


def _data(table: TomlTable, folder: Path, kind: str) -> DataPlan:
    folds = table.whole("folds", 0)
    if folds == 1:
        raise DataError(f"'folds' of {table.where} is 0, or 2 and more; got 1.")
    split = {} if folds else {"anchors": table.text("anchors", "train"), "test": table.text("test", "test")}
    where = table.table("where")
    found = DataPlan(
        layout=table.text("layout"),
        root=folder / os.path.expanduser(table.text("root")),
        reader=table.table("reader").rest(),
        where={key: _values(where, key) for key in where.rest()},
        folds=folds,
        texts=table.one_of("texts", TEXTS, "reports") if kind == "zeroshot" else "reports",
        metadata=table.texts("metadata", ()),
        **split,
    )
    table.close()
    return found


def _values(table: TomlTable, key: str) -> tuple[str, ...]:
    values: tuple[str, ...] = table.texts(key)
    return values


def _encoders(grid: TomlTable, key: str, folder: Path) -> tuple[str, ...]:
    return tuple(_beside(name, folder) for name in grid.texts(key))


def _beside(name: str, folder: Path) -> str:
    """A file named in a study lies beside the study file."""
    if name.startswith(PYTHON) and ".py:" in name:
        file, colon, rest = name.removeprefix(PYTHON).partition(".py:")
        return f"{PYTHON}{folder / os.path.expanduser(file)}{colon}{rest}"
    is_file = is_vectors_file(name) or name.endswith((".toml", ".json"))
    return str(folder / os.path.expanduser(name)) if is_file else name


def _head(name: str, folder: Path) -> str:
    """A saved head's folder lies beside the study file too."""
    return str(folder / name) if os.path.isdir(folder / name) else _beside(name, folder)


def _solvers(grid: TomlTable) -> tuple[str, ...]:
    names: tuple[str, ...] = grid.texts("solvers", ("auto",))
    known = ["auto", *SOLVERS, *(PAPER + name for name in PRESETS)]
    for name in names:
        if name not in known:
            raise DataError(str(UnknownNameError.of(f"solver in {grid.where}", name, known)))
    return names


def _anchors(grid: TomlTable) -> tuple[int | None, ...]:
    """Numbers of anchors, from few to many; None for all there are."""
    given = grid.wholes("anchors", (ALL,), least=2, word=ALL)
    numbers: list[int | None] = sorted({one for one in given if one != ALL})
    return (*numbers, None) if ALL in given else tuple(numbers)
