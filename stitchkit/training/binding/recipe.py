"""The tuning of a bound space's encoders as its TOML file states it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from stitchkit.alignment.binding.modalities import check_modality_name
from stitchkit.core.errors import DataError, InputError
from stitchkit.storage.toml_files import (
    AtLeastOne,
    NotNegative,
    Positive,
    Rate,
    Seed,
    Share,
    Text,
    Weight,
    Whole,
    merge,
    read_record,
    read_toml,
)

KIND = "binding"
BatchSize = Annotated[int, Meta(ge=2, description="a whole number, 2 or more")]
Dropout = Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")] | Literal[0]


class ModalityRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[modalities.NAME]`` of a recipe.

    Parameters
    ----------
    encoder, text_encoder
        Names of the encoders of its items and of their texts.
    anchors
        Table of its items with their texts.
    reader
        Columns of the table, as arguments of ``read_anchors``: ``source``, ``target``, ``id``, ``groups``, ``root``.
    """

    encoder: Text
    text_encoder: Text
    anchors: Path
    reader: dict[str, str] = {}


class AdapterRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[lora]`` of a recipe: low-rank adapters of the query and value layers.

    Parameters
    ----------
    rank, alpha
        Rank of an adapter and its scale (the adapter is multiplied by alpha / rank); defaults 8 and 8.
    dropout
        Share of an adapter's inputs dropped in training, default 0.1.
    towers
        Encoders that get adapters: ``"both"`` (the default), ``"image"`` or ``"text"``; those without attention, and
        those of other families than ``hf`` and ``timm``, stay frozen.
    """

    rank: AtLeastOne = 8
    alpha: Positive = 8
    dropout: Dropout = 0.1
    towers: Literal["both", "image", "text"] = "both"


class TuningRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[training]`` of a recipe; the defaults are those of the paper, where it states them.

    Parameters
    ----------
    steps
        Steps at most, default 3,000.
    batch
        Pairs of each modality, and common texts, in a step; default 48.
    rate, decay
        Peak learning rate, default 2e-5, and weight decay, default 1e-5, of AdamW.
    warmup
        Steps in which the rate rises to its peak, default 100; it falls to 0 by a cosine after them.
    agreement
        Weight of the disagreement between text encoders on the common texts, default 1.
    temperature
        Temperature of the contrastive losses at the start, in [0.01, 1]; each modality learns its own. Default: that of
        the least loss of the modality's held-out pairs.
    held
        Share of each modality's patients, and of the common texts, that is held out to choose the step, default 0.1.
    validate_every
        Steps between two looks at what is held out, default 100.
    patience
        Looks without a lower loss after which training ends, default 5; 0 for never.
    """

    steps: AtLeastOne = 3000
    batch: BatchSize = 48
    rate: Rate = 2e-5
    decay: Weight = 1e-5
    warmup: Whole = 100
    agreement: NotNegative = 1.0
    temperature: Annotated[float, Meta(ge=0.01, le=1, description="a number in [0.01, 1]")] | None = None
    held: Share = 0.1
    validate_every: AtLeastOne = 100
    patience: Whole = 5


class BindingRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides the tuning of a bound space's encoders; each table of its file is a record.

    Parameters
    ----------
    name
        Name of the run, default the name of the file.
    kind
        ``"binding"``, which tells the file from a shared encoder's recipe.
    seed
        Seed of adapters, batches, dropout and what is held out, default 0.
    texts
        File of the common texts that every text encoder reads. Default: the distinct texts of all anchors.
    modalities
        Name of each modality -> its encoders and anchors; two or more.
    lora, training
        Settings of the adapters and of the training.
    """

    name: Text
    kind: Literal["binding"] = "binding"
    seed: Seed = 0
    texts: Path | None = None
    modalities: dict[str, ModalityRecipe]
    lora: AdapterRecipe = field(default_factory=AdapterRecipe)
    training: TuningRecipe = field(default_factory=TuningRecipe)

    def __post_init__(self) -> None:
        if len(self.modalities) < 2:
            raise ValueError(f"'modalities' are two tables or more, [modalities.NAME]; got {len(self.modalities)}")
        names: list[str] = []
        for name in self.modalities:
            try:
                check_modality_name(name, names)
            except InputError as error:
                raise ValueError(str(error)) from error
            names.append(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by which a stopped run knows its recipe."""
        plain: dict[str, Any] = asdict(self)
        modalities = {name: {**asdict(one), "anchors": str(one.anchors)} for name, one in self.modalities.items()}
        return {
            **plain,
            "texts": str(self.texts or ""),
            "modalities": modalities,
            "lora": asdict(self.lora),
            "training": asdict(self.training),
        }


def is_binding_recipe(path: str | Path) -> bool:
    """True for the TOML file of a binding's tuning."""
    return read_toml(path).get("kind") == KIND


def read_binding_recipe(path: str | Path, changes: Mapping[str, Any] = MappingProxyType({})) -> BindingRecipe:
    """The recipe in a TOML file, with ``changes`` of its keys, table by table.

    Raises
    ------
    DataError
        For a file that cannot be read, a missing or unknown key (the nearest is listed), or a value of a wrong kind.
    """
    path = Path(path)
    content = {"name": path.stem, **merge(read_toml(path), changes)}
    if content.get("kind") != KIND:
        raise DataError(f"{path} is no recipe of a binding: its 'kind' is {content.get('kind')!r}. Set it to {KIND!r}.")
    recipe: BindingRecipe = read_record(content, BindingRecipe, path, folder=path.parent.absolute())
    return recipe
