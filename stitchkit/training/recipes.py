"""A training run as its TOML file states it: network, pairs, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import asdict, force_setattr, replace

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.storage.toml_files import (
    AtLeastOne,
    Flag,
    Rate,
    Seed,
    Share,
    Text,
    Weight,
    Whole,
    Width,
    merge,
    read_record,
    read_toml,
)
from stitchkit.training.objectives import OBJECTIVES, ObjectiveSettings, objective_type

SIZES = {  # width, layers, heads, dim; side and patch of images; context of texts
    "tiny": {"width": 96, "layers": 3, "heads": 3, "dim": 64, "side": 64, "patch": 16, "context": 64},
    "small": {"width": 384, "layers": 8, "heads": 6, "dim": 256, "side": 128, "patch": 16, "context": 77},
    "base": {"width": 768, "layers": 12, "heads": 12, "dim": 512, "side": 224, "patch": 16, "context": 77},
}
RIVALS = (  # keys of one table that exclude each other, and what both of them say
    ("training", "steps", "epochs", "say when to end"),
    ("pairs", "valid", "held", "say what is validated on"),
)
OBJECTIVE = "clip"  # of recipes that name none
_NAMES = "two different names of small letters, digits, - and _, with a letter first"

Layers = Annotated[
    Literal["all", "none"] | Annotated[tuple[Whole, ...], Meta(min_length=1)],
    Meta(description="'all', 'none' or a list of whole numbers, 0 or more each"),
]
ContextLength = Annotated[int, Meta(ge=3, description="a whole number, 3 or more")]  # start, a word, end
VocabularySize = Annotated[int, Meta(ge=300, description="a whole number, 300 or more")]
BatchSize = Annotated[int, Meta(ge=2, description="a whole number, 2 or more")]
Zoom = Annotated[int, Meta(ge=1, le=16)] | Annotated[float, Meta(ge=1, le=16, description="a number from 1 to 16")]
ModalityName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*\Z")]  # it stands in an encoder's name
EncoderPair = Annotated[tuple[Text, Text], Meta(description="names of two encoders: of the items, and of the captions")]
Modalities = Annotated[tuple[ModalityName, ModalityName] | None, Meta(description=_NAMES)]


class NetworkRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[network]`` of a recipe: a size, or single numbers instead of its own.

    Parameters
    ----------
    size
        Key of ``SIZES``, default ``"tiny"``.
    width, layers, heads, dim, side, patch, context
        Numbers instead of those of ``size``; 0, the default, takes that of ``size``.
    sharing
        Layers that both modalities share: ``"all"`` (the default), ``"none"``, or a list of layers from 0. The key in a
        file is ``shared``.
    mode, features
        Mode and size of :class:`stitchkit.encoders.shared.network.SharedShape`; defaults ``"token_wise"`` and 20.
    grey
        Images of one channel, default False.
    vocabulary
        Entries of the tokenizer that is made from the captions, default 4096.
    tokenizer
        Folder with a ``tokenizer.json`` to be used instead, default None.
    """

    size: Literal["tiny", "small", "base"] = "tiny"
    width: Width = 0
    layers: Width = 0
    heads: Width = 0
    dim: Width = 0
    side: Width = 0
    patch: Width = 0
    context: ContextLength = 0
    sharing: Layers = field(name="shared", default="all")
    mode: Text = "token_wise"
    features: Whole = 20
    grey: Flag = False
    vocabulary: VocabularySize = 4096
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        for name, number in SIZES[self.size].items():
            if not getattr(self, name):
                force_setattr(self, name, number)

    @property
    def shared(self) -> tuple[int, ...] | None:
        """Layers that both modalities share; None for all, () for none."""
        if self.sharing == "all":
            return None
        return () if self.sharing == "none" else self.sharing

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``size`` is the number of features."""
        numbers = {name: getattr(self, name) for name in SIZES[self.size]}
        return {
            **numbers,
            "shared": self.shared,
            "mode": self.mode,
            "size": self.features,
            "grey": self.grey,
            "vocabulary": self.vocabulary,
            "tokenizer": str(self.tokenizer or ""),
        }


class TowersRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[towers]`` of a recipe, instead of ``[network]``: pretrained encoders that are trained on.

    Parameters
    ----------
    encoders
        Names of two encoders: that of the items, then that of the captions.
    dim
        Width of the common space, default 512.
    """

    encoders: EncoderPair
    dim: Width = 512

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"encoders": list(self.encoders), "dim": self.dim}


class PairsRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[pairs]`` of a recipe.

    Parameters
    ----------
    layout, root, reader
        Arguments of ``read_cohort``; a root is relative to the recipe's file.
    train, valid
        Published splits, defaults ``"train"`` and none; without ``valid`` a share ``held`` of the train patients is
        held out instead.
    held
        Share of the train patients that is held out where ``valid`` is empty, in (0, 1], default 0.1.
    fraction
        Share of the train pairs that is used, in (0, 1], default 1, drawn patient by patient in nested subsets.
    modalities
        Names of the two sides, ``stitchkit:FOLDER#modality=...``; None, the default, for image and text, or, where
        items are texts too (``modality = "text"`` of the reader), first and second.
    """

    layout: Text
    root: Path
    reader: dict[str, Any] = {}
    train: Text = "train"
    valid: Text = ""
    held: Share = 0.1
    fraction: Share = 1.0
    modalities: Modalities = None

    def __post_init__(self) -> None:
        if self.modalities is not None and self.modalities[0] == self.modalities[1]:
            raise ValueError(f"'modalities' are {_NAMES}; got {', '.join(self.modalities)}")


class TrainingRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[training]`` of a recipe.

    Parameters
    ----------
    epochs
        Largest number of passes over the pairs, default 50; 0 where ``steps`` says when to end.
    steps
        Largest number of batches; 0, the default, where ``epochs`` says when to end.
    validate_every
        Steps between validations; 0, the default, for once an epoch.
    batch
        Pairs that are contrasted with each other, over all processes, default 256.
    chunk
        Pairs that are in memory with their activations at once; 0, the default, for a whole batch. The gradient is
        that of the whole batch either way.
    rate, decay
        Peak learning rate (cosine to 0, no warm-up), default 5e-4, and weight decay, default 0.2, of AdamW.
    best
        Validation whose weights are kept: that of the least ``"loss"`` (the default), as the original does, or of the
        best ``"rank"``, the mean reciprocal rank of both ways. On few pairs the loss rises, from confidence, while
        ranks still get better.
    patience
        Validations without a better one after which training ends, default 10; 0 for never.
    zoom
        Size that images are resized to, as a multiple of the network's, from 1 to 16, default 1.14. A square is cut
        out: at random in training, the middle ever after, so that things keep their size.
    precision
        ``"32"`` (the default), ``"bf16"`` or ``"16"`` (mixed).
    """

    epochs: AtLeastOne = 50
    steps: AtLeastOne = 0
    validate_every: Whole = 0
    batch: BatchSize = 256
    chunk: AtLeastOne = 0
    rate: Rate = 5e-4
    decay: Weight = 0.2
    best: Literal["loss", "rank"] = "loss"
    patience: Whole = 10
    zoom: Zoom = 1.14
    precision: Literal["32", "bf16", "16"] = "32"

    def __post_init__(self) -> None:
        if self.steps:
            force_setattr(self, "epochs", 0)
        if not self.chunk:
            force_setattr(self, "chunk", self.batch)


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a training run; each table of its file is a record.

    Parameters
    ----------
    name
        Name of the run, in the encoder's card; default the name of the file.
    seed
        Seed of weights, batches, crops, held-out patients and the fraction, default 0.
    towers
        Pretrained encoders in place of ``network``, default None: a network from scratch.
    objective
        Settings of the loss, default those of CLIP's. The file names it; its keys are those of its own settings.
    """

    name: Text
    seed: Seed = 0
    network: NetworkRecipe = NetworkRecipe()
    towers: TowersRecipe | None = None
    pairs: PairsRecipe
    objective: ObjectiveSettings = field(default_factory=lambda: objective_type(OBJECTIVE).Settings(name=OBJECTIVE))
    training: TrainingRecipe = TrainingRecipe()

    def to_dict(self) -> dict[str, Any]:
        """Plain values. Keys of kept runs and states of stopped ones are made of them, so that none may change."""
        return {
            "name": self.name,
            **({"network": self.network.to_dict()} if self.towers is None else {"towers": self.towers.to_dict()}),
            "pairs": {**asdict(self.pairs), "root": str(self.pairs.root)},
            "objective": asdict(self.objective),
            **asdict(self.training),
            "seed": self.seed,
        }


def read_recipe(path: str | Path, changes: Mapping[str, Any] = MappingProxyType({})) -> Recipe:
    """The recipe in a TOML file, with ``changes`` of its keys, table by table.

    Raises
    ------
    DataError
        For a file that cannot be read, a missing or unknown key (the nearest is listed), or a value of a wrong kind.
    """
    path = Path(path)
    stated = read_toml(path)
    if _names_another_objective(stated, changes):
        stated.pop("objective", None)  # whose keys are those of its own loss
    content = {"name": path.stem, **merge(stated, _without_rivals(changes))}
    for one, other in (("towers", "network"), ("network", "towers")):
        if changes.get(one) and not changes.get(other):
            content.pop(other, None)
    for name, *keys, purpose in RIVALS:
        table = content.get(name)
        if isinstance(table, Mapping) and all(key in table for key in keys):
            first, second = keys
            raise DataError(f"{first!r} and {second!r} of [{name}] in {path} both {purpose}. Keep one.")
    if "network" in content and "towers" in content:
        raise DataError(
            f"{path} has [network], which is trained from scratch, and [towers], which are pretrained. Keep one."
        )
    objective = _read_objective(content.pop("objective", {}), path)
    _check_keys_of_objective(content, objective, path)
    recipe: Recipe = read_record(content, Recipe, path, folder=path.parent.absolute())  # wherever it is run
    return replace(recipe, objective=objective)


def _names_another_objective(stated: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """True if ``changes`` name another objective than the recipe does."""
    tables = [one.get("objective", {}) for one in (stated, changes)]
    own, other = (one.get("name", OBJECTIVE) if isinstance(one, Mapping) else None for one in tables)
    return bool(changes.get("objective")) and "name" in changes["objective"] and own != other


def _read_objective(table: Any, path: Path) -> ObjectiveSettings:
    """Settings of the objective that a recipe names."""
    if not isinstance(table, Mapping):
        raise DataError(f"'objective' of {path} is a table [objective]; got {table!r}.")
    name = table.get("name", OBJECTIVE)
    if not isinstance(name, str):
        raise DataError(f"'name' of [objective] in {path} is the name of one objective; got {name!r}.")
    if name not in OBJECTIVES:
        raise DataError(str(UnknownNameError.of(f"name of [objective] in {path}", name, OBJECTIVES)))
    settings: ObjectiveSettings = read_record(table, objective_type(name).Settings, path, table="objective")
    return settings


def _check_keys_of_objective(content: Mapping[str, Any], objective: ObjectiveSettings, path: Path) -> None:
    """Raise where a setting of the objective stands among those of the training."""
    training = content.get("training")
    for key in training if isinstance(training, Mapping) else ():
        if key in objective.__struct_fields__ and key not in TrainingRecipe.__struct_fields__:
            raise DataError(
                f"no key of [training] in {path} is called {key!r}: it is a key of [objective]. Move it there."
            )


def _without_rivals(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Changes that say when to end another way take the first way out."""
    training = changes.get("training", {})
    rivals = {"steps": "epochs", "epochs": "steps"}
    out = {other: None for one, other in rivals.items() if one in training and other not in training}
    return {**changes, "training": {**training, **out}} if out else changes
