"""A study as its TOML file states it, one record a kind: data, grid of encoders and solvers, and how it is judged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import asdict, force_setattr, replace

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.encoders import is_vectors_file
from stitchkit.solvers import SOLVERS
from stitchkit.solvers.presets import PRESETS
from stitchkit.storage.toml_files import (
    AtLeastOne,
    Flag,
    Seed,
    Share,
    Text,
    Texts,
    Whole,
    read_record,
    read_toml,
)
from stitchkit.training.recipes import Recipe, read_recipe

OBJECTIVES = "objectives"
TRAINED = ("training", OBJECTIVES)  # kinds whose cells are training runs
RANKED = ("retrieval", *TRAINED)  # kinds in which partners are looked for
FUSION = "fusion"
PAPER = "paper:"  # before the name of a published map
PYTHON = "python:"
ALL: Literal["all"] = "all"
HIDDEN = ("file", "written", "recipes")  # fields of a plan that its file does not state

ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]*")  # names of arms, which may become names of folders

AnchorCounts = Annotated[
    tuple[Annotated[int, Meta(ge=2)] | Literal["all"], ...],
    Meta(min_length=1, description="a list of whole numbers, 2 or more each, or 'all'"),
]
Gaps = Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")]
Fractions = Annotated[tuple[Share, ...], Meta(min_length=1, description="a list of shares in (0, 1]")]


class DataPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selection of the items that are anchors and of those that are judged, ``[data]``.

    Parameters
    ----------
    layout, root, reader
        Arguments of ``read_cohort``; a root is relative to the study file.
    where
        Column -> values; only rows with one of them take part.
    anchors, test
        Published splits, defaults ``"train"`` and ``"test"``; with ``folds`` both None: every item is judged once, by
        anchors of other folds.
    folds
        Number of folds by patient; 0, the default, for published splits.
    metadata
        Label-table columns of the metadata-only baseline, beside what the files tell.
    """

    layout: Text
    root: Path
    reader: dict[str, Any] = {}
    where: dict[str, Texts] = {}
    anchors: Text | None = None
    test: Text | None = None
    folds: Whole = 0
    metadata: Texts = Texts()

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise InputError("'folds' is 0, or 2 and more; got 1")
        if self.folds and (self.anchors or self.test):
            raise InputError("'folds' stands instead of the splits 'anchors' and 'test'. Keep the one or the others")
        if not self.folds:
            force_setattr(self, "anchors", self.anchors or "train")
            force_setattr(self, "test", self.test or "test")


class ZeroShotDataPlan(DataPlan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data of a zero-shot study.

    Parameters
    ----------
    texts
        ``"reports"``, the default: the items' own texts are the anchors' texts. ``"prompts"``: each anchor's text is a
        prompt of its own label, which is a label map in disguise; the result says so.
    """

    texts: Literal["reports", "prompts"] = "reports"


class Grid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encoders, solvers and numbers of anchors of a study of maps, ``[grid]``.

    Parameters
    ----------
    sources, targets
        Encoder names, or ``.safetensors`` files of embeddings by item id.
    solvers
        Names of solvers as ``sk.align`` takes them, or ``paper:NAME``; default ``"auto"``.
    anchors
        Numbers of anchors, 2 or more each, or ``"all"``, the default.
    draws
        Draws of each number below all, default 3.
    """

    sources: Texts
    targets: Texts
    solvers: Texts = Texts(("auto",))
    anchors: AnchorCounts = (ALL,)
    draws: AtLeastOne = 3

    def __post_init__(self) -> None:
        known = ["auto", *SOLVERS, *(PAPER + name for name in PRESETS)]
        for name in self.solvers:
            if name not in known:
                raise InputError(str(UnknownNameError.of("solver", name, known)))

    @property
    def anchor_counts(self) -> tuple[int | None, ...]:
        """Numbers of anchors, from few to many; None for all there are."""
        numbers = sorted({one for one in self.anchors if one != ALL})
        return (*numbers, None) if ALL in self.anchors else tuple(numbers)

    @property
    def fits_per_pair(self) -> int:
        """Fits of each source with each target."""
        return len(self.solvers) * sum(1 if n is None else self.draws for n in self.anchor_counts)


class ZeroShotGrid(Grid, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The grid of a zero-shot study.

    Parameters
    ----------
    clip
        CLIP-like checkpoints scored beside, without anchors; default none.
    """

    clip: Texts = Texts()


class TrainingGrid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the pairs and seeds of a training study, ``[grid]``.

    Parameters
    ----------
    fractions
        Shares of the recipe's train pairs, in (0, 1], from few to many; default all of them.
    seeds
        Number of seeds, from the study's ``seed`` on, default 3.
    keep
        True to keep the encoders of runs that are made from now on, in ``encoders/`` of the study's folder; default
        False.
    """

    fractions: Fractions = (1.0,)
    seeds: AtLeastOne = 3
    keep: Flag = False

    def __post_init__(self) -> None:
        if len(set(self.fractions)) < len(self.fractions):
            raise InputError("'fractions' holds one twice; more runs of it are 'seeds'")
        force_setattr(self, "fractions", tuple(sorted(self.fractions)))


class FusionGrid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encoders, columns and arms of a fusion study, ``[grid]``.

    Parameters
    ----------
    sources
        Encoders of the items, or ``.safetensors`` files of embeddings by item id.
    columns
        Columns of the table, of numbers and categories.
    categories
        Those of ``columns`` whose numbers are codes of categories, default none.
    arms
        Names of the rivals of the fused head; default all.
    seeds
        Number of seeds, from the study's ``seed`` on, default 3.
    holes
        Share of the rows of each input that is taken out in training, in [0, 1), default 0.
    """

    sources: Texts
    columns: Texts
    categories: Texts = Texts()
    arms: Texts = Texts()
    seeds: AtLeastOne = 3
    holes: Gaps = 0.0

    @property
    def anchor_counts(self) -> tuple[int | None, ...]:
        """All training rows, once."""
        return (None,)

    @property
    def draws(self) -> int:
        """One choice of training rows; what is repeated are seeds."""
        return 1


class ClassJudgePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judging of scores of classes, ``[judge]``.

    Parameters
    ----------
    classes
        The classes judged; None, the default, takes those of the head or the prompts.
    multiclass
        Exactly one class applies, default False.
    min_positives
        Classes with fewer positive or negative patients are listed, not judged; default 10.
    replicates
        Number of resamples, default 2000.
    sensitivity
        Share of positives that the page's thresholds find, in (0, 1]; None, the default, for Youden's.
    images
        Number of the best and worst images of each class that the page shows, default 0; they are the patients' own.
    """

    classes: Texts | None = None
    multiclass: Flag = False
    min_positives: AtLeastOne = MIN_POSITIVES
    replicates: AtLeastOne = REPLICATES
    sensitivity: Share | None = None
    images: Whole = 0


class PairJudgePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judging of retrieval, ``[judge]``: nothing is to be set, since its intervals need no resamples."""


class TrainingJudgePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judging of training runs, ``[judge]``.

    Parameters
    ----------
    split
        Published split whose pairs are judged, default ``"test"``.
    replicates
        Number of resamples of patients and runs, default 2000.
    """

    split: Text = "test"
    replicates: AtLeastOne = REPLICATES


class ObjectivesJudgePlan(TrainingJudgePlan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judging of training runs of several objectives, ``[judge]``.

    Parameters
    ----------
    measure
        The measure by which objectives are compared, stated before the study is run: ``"recall@1"`` (the default) or
        ``"mean_average_precision"``.
    regions
        Table of sentences and the regions of the judged images that they are about (columns ``id``, ``text``,
        ``mask``), by which pointing is judged; None, the default, for none.
    """

    measure: Literal["recall@1", "mean_average_precision"] = "recall@1"
    regions: Path | None = None


class Arm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of a recipe that are other in one arm of a training study, table by table."""

    network: dict[str, Any] = {}
    towers: dict[str, Any] = {}
    objective: dict[str, Any] = {}
    training: dict[str, Any] = {}


class StudyPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Parts that every kind of study has.

    Parameters
    ----------
    name
        Name of the study; default that of its file.
    seed
        Seed of folds, draws and resamples (of a training study: of its first runs), default 0.
    file
        The study file.
    written
        A name whose path was made relative to the study file -> the same as it is written there.
    """

    name: Text
    seed: Seed = 0
    file: Path = Path()
    written: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """Kind of the study, as its file states it."""
        return str(self.__struct_config__.tag)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that state the study."""
        return (self.file,)

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders and heads that are loaded."""
        return ()


class StitchingPlan(StudyPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stitching"):
    """A study of stitching: source vectors drive a head of the target.

    Parameters
    ----------
    head
        ``"own"`` (the default), the folder of a saved probe, ``python:FILE:NAME``, or ``"identity"``: the target's
        vectors are themselves the scores of ``head_classes``.
    head_classes
        Names of the target's columns, for ``head = "identity"``.
    rename
        A class of the head -> its name in the labels.
    """

    data: DataPlan
    grid: Grid
    judge: ClassJudgePlan = ClassJudgePlan()
    head: Text = "own"
    head_classes: Texts = Texts()
    rename: dict[str, Text] = {}

    def __post_init__(self) -> None:
        if self.head == "identity" and not self.head_classes:
            raise InputError("head = 'identity' needs 'head_classes', the names of the target's columns")

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders and of the head."""
        return (*self.grid.sources, *self.grid.targets, self.head)


class ZeroShotPlan(StudyPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="zeroshot"):
    """A zero-shot study: classes are named by text.

    Parameters
    ----------
    prompts
        Name of a shipped prompt set, or a file.
    rename
        A class of the prompts -> its name in the labels.
    """

    data: ZeroShotDataPlan
    grid: ZeroShotGrid
    judge: ClassJudgePlan = ClassJudgePlan()
    prompts: Text
    rename: dict[str, Text] = {}

    def __post_init__(self) -> None:
        if files := [one for one in self.grid.targets if is_vectors_file(one)]:
            raise InputError(f"target {files[0]} of [grid] cannot read prompts: name the text encoder itself")

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders and CLIP-like checkpoints."""
        return (*self.grid.sources, *self.grid.targets, *self.grid.clip)


class RetrievalPlan(StudyPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="retrieval"):
    """A study of retrieval: of each item the partner in the other space is looked for.

    Parameters
    ----------
    rename
        As in the other kinds; nothing is renamed, but a file with it stays readable.
    """

    data: DataPlan
    grid: Grid
    judge: PairJudgePlan = PairJudgePlan()
    rename: dict[str, Text] = {}

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders."""
        return (*self.grid.sources, *self.grid.targets)


class FusionPlan(StudyPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fusion"):
    """A fusion study: a fused head of items and a table beside its rivals, with each input missing.

    Parameters
    ----------
    recipe
        File of the recipe of every arm; None, the default, for the usual one.
    rename
        As in the other kinds; nothing is renamed.
    """

    data: DataPlan
    grid: FusionGrid
    judge: ClassJudgePlan = ClassJudgePlan()
    recipe: Path | None = None
    rename: dict[str, Text] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """The study file and that of the recipe."""
        return (self.file, *([] if self.recipe is None else [self.recipe]))

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders."""
        return tuple(self.grid.sources)


class TrainingPlan(StudyPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="training"):
    """A training study: encoders are trained from several recipes, and of each item the caption is looked for.

    Parameters
    ----------
    recipe
        File of the recipe that every arm begins with.
    arms
        Name -> keys of the recipe that are other in this arm. The others are compared with the first.
    recipes
        Name of an arm -> its recipe.
    """

    recipe: Path
    arms: dict[str, Arm] = {}
    grid: TrainingGrid = TrainingGrid()
    judge: TrainingJudgePlan = TrainingJudgePlan()
    recipes: dict[str, Recipe] = {}

    def __post_init__(self) -> None:
        if len(self.arms) < 2:
            raise InputError(f"[arms] has {len(self.arms)} arms; name two or more, each with what is other in it")
        for name in self.arms:
            if not ARM.fullmatch(name):
                raise InputError(
                    f"an arm is called {name!r}; names are letters, digits, spaces, '.', '_', '+' and '-', and begin "
                    f"with a letter or digit"
                )

    @property
    def runs(self) -> int:
        """Number of training runs: each arm, with each share of the pairs, from each seed."""
        return len(self.arms) * len(self.grid.fractions) * self.grid.seeds

    @property
    def data(self) -> DataPlan:
        """The data of its recipe."""
        pairs = next(iter(self.recipes.values())).pairs
        return DataPlan(
            layout=pairs.layout, root=pairs.root, reader=pairs.reader, anchors=pairs.train, test=self.judge.split
        )

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the encoders that training begins with."""
        towers = [recipe.towers for recipe in self.recipes.values() if recipe.towers is not None]
        return tuple(dict.fromkeys(name for one in towers for name in one.encoders))

    @property
    def files(self) -> tuple[Path, ...]:
        """The study file and that of the recipe."""
        return (self.file, self.recipe)


class ObjectivesPlan(TrainingPlan, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="objectives"):
    """A study of training objectives under one setup: arms differ in ``[objective]``, or in what training begins with.

    The first arm is the one that all others are compared with.
    """

    judge: ObjectivesJudgePlan = ObjectivesJudgePlan()


MapPlan: TypeAlias = StitchingPlan | ZeroShotPlan | RetrievalPlan
FoldedPlan: TypeAlias = MapPlan | FusionPlan  # whose items are divided into anchors (training rows) and judged ones
AnyPlan: TypeAlias = FoldedPlan | TrainingPlan | ObjectivesPlan
_EVERY = (StitchingPlan, ZeroShotPlan, RetrievalPlan, TrainingPlan, ObjectivesPlan, FusionPlan)
KINDS = tuple(str(one.__struct_config__.tag) for one in _EVERY)


def read_plan(path: str | Path) -> AnyPlan:
    """The study in a TOML file.

    Raises
    ------
    DataError
        For a file that cannot be read, a missing or unknown key (the nearest is listed), or a value of a wrong kind.
    """
    path = Path(path)
    content = {"name": path.stem, **read_toml(path)}
    _check_replicates(content, path)
    plan: AnyPlan = read_record(content, AnyPlan, path, hidden=HIDDEN)
    return _with_recipes(plan, path) if isinstance(plan, TrainingPlan) else _with_paths(plan, path)


def _check_replicates(content: Mapping[str, Any], path: Path) -> None:
    judge = content.get("judge")
    if content.get("kind") == "retrieval" and isinstance(judge, Mapping) and "replicates" in judge:
        raise DataError(
            f"there is no key of [judge] in {path} called 'replicates' in a study of retrieval: its intervals need no "
            f"resamples. Take the line out."
        )


def _with_paths(plan: FoldedPlan, path: Path) -> FoldedPlan:
    """The plan with the files that it names beside its own file."""
    folder = path.parent
    if isinstance(plan, FusionPlan):
        sources = plan.grid.sources
        placed = Texts(_beside(name, folder) for name in sources)
        written = dict(zip(placed, sources, strict=True))
        return replace(plan, grid=replace(plan.grid, sources=placed), file=path, written=written)
    grid = plan.grid
    named = [*grid.sources, *grid.targets, *([plan.head] if isinstance(plan, StitchingPlan) else [])]
    sides = {side: Texts(_beside(name, folder) for name in getattr(grid, side)) for side in ("sources", "targets")}
    changes: dict[str, Any] = {
        "grid": replace(grid, **sides), "file": path, "written": {_beside(name, folder): name for name in named}
    }  # fmt: skip
    if isinstance(plan, StitchingPlan):
        is_folder = os.path.isdir(folder / plan.head)  # a saved head's folder lies beside the study file too
        changes["head"] = str(folder / plan.head) if is_folder else _beside(plan.head, folder)
    elif isinstance(plan, ZeroShotPlan):
        changes["prompts"] = _beside(plan.prompts, folder)
    return replace(plan, **changes)


def _beside(name: str, folder: Path) -> str:
    """A name whose file, if it names one, lies in ``folder``, that of the study file."""
    if name.startswith(PYTHON) and ".py:" in name:
        file, colon, rest = name.removeprefix(PYTHON).partition(".py:")
        return f"{PYTHON}{folder / os.path.expanduser(file)}{colon}{rest}"
    is_file = is_vectors_file(name) or name.endswith((".toml", ".json"))
    return str(folder / os.path.expanduser(name)) if is_file else name


def _with_recipes(plan: TrainingPlan, path: Path) -> TrainingPlan:
    """The plan with the recipe of each arm; a mistake is reported with the arm's name."""
    whole = read_recipe(plan.recipe)  # a mistake of the recipe is reported as its own
    recipes = {}
    for name, arm in plan.arms.items():
        try:
            recipes[name] = read_recipe(plan.recipe, {table: keys for table, keys in asdict(arm).items() if keys})
        except DataError as error:
            raise DataError(f"arm {name!r} of [arms] in {path}, in the recipe {whole.name!r}: {error}") from error
    if isinstance(plan, ObjectivesPlan):
        _check_one_setup(plan, path)
    if plan.judge.split in (whole.pairs.train, whole.pairs.valid):
        raise DataError(
            f"'split' of [judge] in {path} is {plan.judge.split!r}, on which the recipe trains or validates. Take "
            f"another."
        )
    return replace(plan, file=path, recipes=recipes)


def _check_one_setup(plan: ObjectivesPlan, path: Path) -> None:
    """Raise where arms of a study of objectives differ in how they are trained."""
    for name, arm in plan.arms.items():
        if arm.training:
            raise DataError(
                f"arm {name!r} of [arms] in {path} has keys of [training] of its own ({next(iter(arm.training))!r}), "
                f"and objectives are compared under one setup. Put them into the recipe, for all arms, or make it a "
                f"study of kind 'training'."
            )
