"""A training run as its TOML file states it: network, pairs, and how it is trained."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stitchkit.core.errors import DataError
from stitchkit.storage.toml_files import TomlTable, read_toml

SIZES = {  # width, layers, heads, dim; side and patch of images; context of texts
    "tiny": {"width": 96, "layers": 3, "heads": 3, "dim": 64, "side": 64, "patch": 16, "context": 64},
    "small": {"width": 384, "layers": 8, "heads": 6, "dim": 256, "side": 128, "patch": 16, "context": 77},
    "base": {"width": 768, "layers": 12, "heads": 12, "dim": 512, "side": 224, "patch": 16, "context": 77},
}
PRECISIONS = ("32", "bf16", "16")
NAME = re.compile(r"[a-z][a-z0-9_-]*")  # of a modality: it stands in an encoder's name


@dataclass(frozen=True, slots=True)
class NetworkRecipe:
    """The network: a size, or single numbers instead of its own.

    Parameters
    ----------
    shared
        Layers that both modalities share; None for all, () for none.
    mode, size
        As :class:`stitchkit.encoders.shared.network.SharedShape` says.
    grey
        Images of one channel.
    vocabulary
        Entries of the tokenizer that is made from the captions.
    tokenizer
        A folder with a ``tokenizer.json`` to be used instead; relative to the recipe's file.
    """

    width: int
    layers: int
    heads: int
    dim: int
    side: int
    patch: int
    context: int
    shared: tuple[int, ...] | None = None
    mode: str = "token_wise"
    size: int = 20
    grey: bool = False
    vocabulary: int = 4096
    tokenizer: str = ""


@dataclass(frozen=True, slots=True)
class PairsRecipe:
    """The pairs of a recipe.

    Parameters
    ----------
    layout, root, reader
        As ``read_cohort`` takes them; a root is relative to the recipe's file.
    train, valid
        Published splits; where ``valid`` is empty, a share ``held`` of the train patients is held out instead.
    fraction
        The share of the train pairs that is used, drawn patient by patient, the fewer inside the more.
    modalities
        What the two sides are called, ``stitchkit:FOLDER#modality=...``; None for image and text, or, where items are
        texts too (``modality = "text"`` of the reader), first and second.
    """

    layout: str
    root: Path
    reader: Mapping[str, Any] = field(default_factory=dict)
    train: str = "train"
    valid: str = ""
    held: float = 0.1
    fraction: float = 1.0
    modalities: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run.

    Parameters
    ----------
    epochs
        At most so many passes over the pairs; 0 where ``steps`` says when to end.
    steps
        At most so many batches; 0 where ``epochs`` says when to end.
    validate_every
        Steps between validations; 0 for once an epoch.
    batch
        Pairs that are contrasted with each other, over all machines.
    chunk
        Pairs that are in memory with their activations at once; the gradient is that of the whole batch.
    rate, decay
        Peak learning rate (cosine to 0, no warm-up) and weight decay of AdamW.
    best
        The weights of which validation are kept: that of the least ``"loss"``, as the original does, or of the best
        ``"rank"``, the mean reciprocal rank of both ways. On few pairs the loss rises, from confidence, while ranks
        still get better.
    patience
        Validations without a better one after which it ends; 0 for never.
    equal_captions
        Pairs of one caption are positives of each other; False takes each pair alone, as the original does.
    zoom
        Images are resized to this much more than the network takes, and a square is cut out: at random in training, the
        middle ever after, so that things keep their size.
    precision
        ``"32"``, ``"bf16"`` or ``"16"`` (mixed).
    """

    name: str
    network: NetworkRecipe
    pairs: PairsRecipe
    epochs: int = 50
    steps: int = 0
    validate_every: int = 0
    batch: int = 256
    chunk: int = 256
    rate: float = 5e-4
    decay: float = 0.2
    best: str = "loss"
    patience: int = 10
    equal_captions: bool = True
    zoom: float = 1.14
    precision: str = "32"
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        plain["pairs"]["root"] = str(self.pairs.root)
        return plain


def read_recipe(path: str | Path, changes: Mapping[str, Any] = MappingProxyType({})) -> Recipe:
    """The recipe in a TOML file, with ``changes`` of its keys, table by table.

    Raises
    ------
    DataError
        For a file that cannot be read, a missing or unknown key (the nearest is listed), or a value of a wrong kind.
    """
    path = Path(path)
    top = read_toml(path).changed(_without_rivals(changes))
    training = top.table("training")
    if "steps" in training and "epochs" in training:
        raise DataError(f"'steps' and 'epochs' of {training.where} both say when to end. Keep one.")
    steps = training.whole("steps", 0, least=1)
    batch = training.whole("batch", 256, least=2)
    recipe = Recipe(
        name=top.text("name", path.stem),
        seed=top.whole("seed", 0),
        network=_network(top.table("network"), path.parent),
        pairs=_pairs(top.table("pairs"), path.parent),
        epochs=0 if steps else training.whole("epochs", 50, least=1),
        steps=steps,
        validate_every=training.whole("validate_every", 0),
        batch=batch,
        chunk=training.whole("chunk", batch, least=1),
        rate=training.number("rate", 5e-4, above=True),
        decay=training.number("decay", 0.2, least=0),
        best=training.one_of("best", ("loss", "rank"), "loss"),
        patience=training.whole("patience", 10),
        equal_captions=training.flag("equal_captions", True),
        zoom=training.number("zoom", 1.14, least=1),
        precision=training.one_of("precision", PRECISIONS, "32"),
    )
    training.close()
    top.close()
    return recipe


def _without_rivals(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Changes that say when to end another way take the first way out."""
    training = changes.get("training", {})
    gone = {"steps": "epochs", "epochs": "steps"}
    out = {other: None for one, other in gone.items() if one in training and other not in training}
    return {**changes, "training": {**training, **out}} if out else changes


def _network(table: TomlTable, folder: Path) -> NetworkRecipe:
    numbers = dict(SIZES[table.one_of("size", SIZES, "tiny")])
    for key in numbers:
        numbers[key] = table.whole(key, numbers[key], least=3 if key == "context" else 1)  # start, a word, end
    common = table.wholes("shared") if table.holds_list("shared") else table.text("shared", "all")
    if isinstance(common, str) and common not in ("all", "none"):
        raise DataError(f"'shared' of {table.where} is 'all', 'none' or a list of layers; got {common!r}.")
    shared = None if common == "all" else () if common == "none" else tuple(common)
    tokenizer = table.text("tokenizer", "")
    found = NetworkRecipe(
        **numbers,
        shared=shared,
        mode=table.text("mode", "token_wise"),
        size=table.whole("features", 20),
        grey=table.flag("grey", False),
        vocabulary=table.whole("vocabulary", 4096, least=300),
        tokenizer=str((folder / os.path.expanduser(tokenizer)).absolute()) if tokenizer else "",
    )
    table.close()
    return found


def _pairs(table: TomlTable, folder: Path) -> PairsRecipe:
    valid = table.text("valid", "")
    if valid and "held" in table:
        raise DataError(f"'valid' and 'held' of {table.where} both say what is validated on. Keep one.")
    names = table.texts("modalities", None)
    if names is not None and (len(set(names)) != 2 or len(names) != 2 or not all(map(NAME.fullmatch, names))):
        raise DataError(
            f"'modalities' of {table.where} are two different names of small letters, digits, - and _, with a letter "
            f"first; got {', '.join(names)}."
        )
    found = PairsRecipe(
        layout=table.text("layout"),
        root=(folder / os.path.expanduser(table.text("root"))).absolute(),  # the same from wherever it is run
        reader=table.table("reader").rest(),
        train=table.text("train", "train"),
        valid=valid,
        held=table.share("held", 0.1),
        fraction=table.share("fraction", 1.0),
        modalities=names,
    )
    table.close()
    return found
