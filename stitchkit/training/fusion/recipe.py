"""A fused head's training as its TOML file states it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import asdict, replace

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.storage.toml_files import AtLeastOne, Flag, NotNegative, Positive, Seed, Whole, read_record, read_toml

Strengths = Annotated[tuple[NotNegative, ...], Meta(min_length=1, description="a list of numbers, 0 or more each")]
Part = Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")]


class FusionRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides the training of a fused head.

    Parameters
    ----------
    hidden
        Width of the fused vector, default 128; 0 for the rounded mean of the modalities' widths.
    stages
        Stages (layer norm, ReLU, dropout, linear) of the network before the classifier, default 2.
    dropout
        Share of features dropped in every stage, in [0, 1), default 0.1.
    token
        Vector in place of a missing one. ``"substitute"`` (default): a learnt one, which begins as zeros; ``"add"``:
        the same, added to present vectors too; ``"zero"`` and ``"mean"``: a fixed one, zeros as the encoder would give
        them and the mean of the training rows, as rivals to compare with.
    subsets
        Modalities that a training row shows. ``"all"`` (default): all of its subsets in every step; ``"random"``: one
        subset, drawn anew; ``"full"``: what it has.
    subset_weight
        Weight of a proper subset's loss beside that of the whole row, called ``lambda`` in a file; default 1.
    sampled
        Subsets drawn a step beside the whole and the single modalities, where there are more than four; default 4.
    contrastive
        Stage before the classifier. ``"sigmoid"`` (default): rows of one class are pairs; ``"infonce"``: without
        labels, a row is its own pair; ``"none"``: no such stage.
    contrastive_epochs, epochs
        Epochs of that stage, default 5, and most epochs of the classifier, default 12: their number is chosen.
    batch
        Rows a step, default 256.
    learning_rate, weight_decay
        Settings of AdamW; default 0.003, and the best of 0.01, 0.1 and 1 on rows of other patients.
    held
        Share of the training patients held out for that choice, in [0, 1), default 0.2; 0 takes the first
        ``weight_decay`` and all epochs.
    standardise
        Vectors of encoders standardised by feature with statistics of the training rows, default True. Columns of
        tables always are.
    balanced
        Classes weighted inversely to their frequency, default False.
    seed
        Seed of weights, batches, dropout and splits, default 0.
    """

    hidden: Whole = 128
    stages: AtLeastOne = 2
    dropout: Part = 0.1
    token: Literal["substitute", "add", "zero", "mean"] = "substitute"
    subsets: Literal["all", "random", "full"] = "all"
    subset_weight: NotNegative = field(name="lambda", default=1.0)
    sampled: Whole = 4
    contrastive: Literal["sigmoid", "infonce", "none"] = "sigmoid"
    contrastive_epochs: Whole = 5
    epochs: AtLeastOne = 12
    batch: AtLeastOne = 256
    learning_rate: Positive = 3e-3
    weight_decay: Strengths = (0.01, 0.1, 1.0)
    held: Part = 0.2
    standardise: Flag = True
    balanced: Flag = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            try:
                convert(getattr(self, name), kind, strict=True)
            except ValidationError as error:
                shown = "lambda" if name == "subset_weight" else name
                raise InputError(f"the fusion recipe's {shown} is {getattr(self, name)!r:.60}: {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of a file."""
        values = asdict(self)
        values["lambda"] = values.pop("subset_weight")
        return {**values, "weight_decay": list(self.weight_decay)}

    def with_settings(self, **changes: Any) -> FusionRecipe:
        """The recipe with other settings; an unknown one is an error that lists the nearest."""
        if "lambda" in changes:
            changes["subset_weight"] = changes.pop("lambda")
        for name in changes:
            if name not in self.__struct_fields__:
                raise UnknownNameError.of("setting of a fusion recipe", name, self.__struct_fields__)
        return replace(self, **changes)


# what was published differs from the defaults in size and in raw vectors, neither in lambda nor in the token
PAPERS = {"modality-dropout": FusionRecipe(hidden=0, standardise=False)}


def paper_recipe(name: str) -> FusionRecipe:
    """The recipe of a publication, as far as it is known.

    Examples
    --------
    >>> paper_recipe("modality-dropout").token == FusionRecipe().token
    True
    """
    if name not in PAPERS:
        raise UnknownNameError.of("publication with a fusion recipe", name, PAPERS)
    return PAPERS[name]


def read_fusion_recipe(path: str | Path) -> FusionRecipe:
    """A recipe from a TOML file of the settings' names.

    Raises
    ------
    DataError
        If the file cannot be read, or a value is not of its key's type.
    UnknownNameError
        For an unknown key, listing the nearest.
    """
    recipe: FusionRecipe = read_record(read_toml(path), FusionRecipe, Path(path))
    return recipe
