"""Types of the values in a shared encoder's config."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from stitchkit.core.errors import InputError
from stitchkit.encoders.pair_network import ImageInput, Input, TableInput, TextInput
from stitchkit.encoders.shared.network import SharedShape
from stitchkit.storage.artefact_schemas import Count, Size, check_fields

Layers = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Layer = Annotated[int, msgspec.Meta(ge=0, lt=1000)]
Width = Annotated[int, msgspec.Meta(ge=1, le=2**16)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class ImageFields(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="image"):
    """A branch that reads images."""

    side: Size
    patch: Size
    channels: Annotated[int, msgspec.Meta(ge=1, le=3)]

    def input(self) -> Input:
        """The input that the branch reads."""
        return ImageInput(self.side, self.patch, self.channels)


class TextFields(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="text"):
    """A branch that reads texts."""

    context: Annotated[int, msgspec.Meta(ge=3, le=2**20)]
    vocabulary: Size
    end: Count

    def input(self) -> Input:
        """The input that the branch reads."""
        if self.end >= self.vocabulary:
            raise InputError(f"the end token {self.end} is none of a vocabulary of {self.vocabulary}")
        return TextInput(self.context, self.vocabulary, self.end)


class TableFields(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="table"):
    """A branch that reads rows of numbers."""

    columns: Size

    def input(self) -> Input:
        """The input that the branch reads."""
        return TableInput(self.columns)


class ShapeFields(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the network."""

    width: Width
    layers: Layers
    heads: Width
    dim: Width
    mode: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**20)]
    shared: list[Layer]
    inputs: dict[str, ImageFields | TextFields | TableFields]


class ImagePreparing(msgspec.Struct):
    """Settings of the step from images to tensors."""

    wide: Size
    mean: list[float]
    std: list[Positive]


class TextPreparing(msgspec.Struct):
    """Settings of the step from texts to token ids."""

    start: Count
    tokenizer: str


def shape_of(config: Any) -> SharedShape:
    """The form of a network from its config.

    Raises
    ------
    InputError
        Naming the value that is missing or wrong.
    """
    fields = check_fields(config, ShapeFields)
    if not fields.inputs:
        raise InputError("it reads no modality")
    inputs = {name: one.input() for name, one in fields.inputs.items()}
    return SharedShape(
        fields.width, fields.layers, fields.heads, fields.dim, tuple(fields.shared), fields.mode, fields.size, inputs
    )


def image_preparing(settings: Any, shape: ImageInput) -> ImagePreparing:
    """Preparation of images for ``shape``, from a folder's settings; errors as of :func:`shape_of`."""
    fields = check_fields(settings, ImagePreparing)
    if not len(fields.mean) == len(fields.std) == shape.channels:
        raise InputError(f"mean and std must have {shape.channels} values each")
    if fields.wide < shape.side:
        raise InputError(f"images of {fields.wide} pixels cannot be cut to {shape.side}")
    return fields


def text_preparing(settings: Any, shape: TextInput) -> TextPreparing:
    """Preparation of texts for ``shape``, from a folder's settings; errors as of :func:`shape_of`."""
    fields = check_fields(settings, TextPreparing)
    if fields.start >= shape.vocabulary:
        raise InputError(f"the start token {fields.start} is none of a vocabulary of {shape.vocabulary}")
    return fields
