"""One half of a trained shared encoder: ``stitchkit:FOLDER#modality=image`` and ``#modality=text``.

The folder holds ``config.json``, ``model.safetensors`` and, for texts, ``tokenizer.json``; ``stitchkit train`` writes
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.images import rgb
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.pair_network import ImageInput, Input, TableInput, TextInput
from stitchkit.encoders.shared.network import SharedNetwork, SharedShape
from stitchkit.encoders.shared.schemas import image_preparing, shape_of, text_preparing
from stitchkit.encoders.tokenizer_files import read_tokenizer
from stitchkit.storage.artefact_schemas import array_of
from stitchkit.storage.digests import sha256_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KIND = "shared encoder"  # of the folder, in its config; folders.py tells by it
TOKENIZER = "tokenizer.json"
KINDS: dict[str, type[Input]] = {"image": ImageInput, "text": TextInput, "table": TableInput}


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Tensors from decoded images: the shorter side to ``wide``, the middle cut out, normalised.

    Parameters
    ----------
    side
        Pixels a side of what is cut out.
    wide
        Pixels of the shorter side before; crops of training are taken from as much.
    mean, std
        Mean and standard deviation of each channel, of values in [0, 1]; one channel means grey.
    """

    side: int
    wide: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        """Images (b, channels, side, side) float32."""
        return self.normalise(torch.from_numpy(np.stack([self.pixels(item) for item in items])))

    def pixels(self, item: Any, side: int | None = None) -> np.ndarray:
        """The middle of one image, (side, side, channels) uint8; by default as much as the network takes."""
        side = side or self.side
        image = rgb(item, "RGB" if len(self.mean) == 3 else "L")
        scale = self.wide / min(image.size)
        if scale != 1:
            size = tuple(max(self.wide, round(length * scale)) for length in image.size)
            image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        array = np.asarray(image.crop((left, top, left + side, top + side)))
        return array[..., None] if array.ndim == 2 else array

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (b, side, side, channels) uint8 as the network takes them, on the device they are on."""
        mean, std = (torch.tensor(one, device=pixels.device)[:, None, None] for one in (self.mean, self.std))
        return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


@dataclass(frozen=True, slots=True, eq=False)
class TextBatch:
    """Token ids from texts: start, words, end, zeros up to the longest of the batch."""

    tokenizer: Tokenizer = field(repr=False)
    context: int
    start: int
    end: int

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        """Token ids (b, t), t at most ``context``; what is longer is cut before the end token."""
        for row, item in enumerate(items):
            if not isinstance(item, str):
                raise InputError(f"a shared encoder takes texts; item {row} of the batch is a {type(item).__name__}.")
        read = self.tokenizer.encode_batch(list(items), add_special_tokens=False)
        words = [one.ids[: self.context - 2] for one in read]
        ids = torch.zeros(len(words), max(map(len, words), default=0) + 2, dtype=torch.long)
        for row, one in enumerate(words):
            ids[row, : len(one) + 2] = torch.tensor([self.start, *one, self.end])
        return ids

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text that is longer than what is read of it, (n,)."""
        read = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(one.ids) > self.context - 2 for one in read]


@dataclass(frozen=True, slots=True, eq=False)
class SharedEncoder:
    """One modality of a shared encoder, frozen.

    Parameters
    ----------
    modality
        ``"image"`` or ``"text"``: the kind of its items.
    branch
        Name of the modality in the network.
    pair
        Mark of the whole: its modalities were trained into one space, and need no anchors to be compared.
    """

    name: str
    modality: str
    branch: str
    space: Space
    pair: str
    network: SharedNetwork = field(repr=False)
    inputs: Callable[[Sequence[Any]], torch.Tensor] = field(repr=False)
    device: str = "cpu"
    dtype: str = "float32"

    def prepare(self, items: Sequence[Any]) -> torch.Tensor:
        """A batch of decoded images, or of texts."""
        return self.inputs(items)

    @torch.no_grad()
    def encode(self, batch: torch.Tensor) -> Encoded:
        """Vectors (b, d); ``tokens`` are patches or words, ``mask`` is True where they are content."""
        output = self.network(self.branch, move(batch, self.device, self.dtype))
        return Encoded(output.pooled.float(), output.tokens.float(), output.mask)


def load(
    name: EncoderName, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, device: str, dtype: str
) -> SharedEncoder:
    """The half of the folder ``name.id`` that ``#modality=`` names.

    Raises
    ------
    UnknownNameError
        For a modality that it does not have, or none where it has several.
    ModelUnavailableError
        If the folder is incomplete.
    """
    name.check_options(("modality",))
    network, settings = unpack_shared(config, arrays)
    known = list(network.shape.inputs)
    modality = name.options.get("modality", "")
    if modality not in known:
        example = f"{name.family}:{name.id}#modality={known[0]}"
        raise UnknownNameError.of(f"modality of {name.id}", modality, known, f"Write {example}.")
    kind_of_input = network.shape.inputs[modality]
    if isinstance(kind_of_input, TableInput):
        raise InputError(f"{str(name)!r} reads rows of numbers; only images and texts can be embedded by name.")
    inputs: Callable[[Sequence[Any]], torch.Tensor]
    if isinstance(kind_of_input, ImageInput):
        inputs = image_batch(kind_of_input, settings)
    else:
        inputs = text_batch(kind_of_input, Path(name.id) / TOKENIZER, settings)
    state = network.state_dict()
    whole = fingerprint(state, {**settings, "shape": asdict(network.shape)})  # heads are in no array
    space = Space(str(name), network.shape.dim, fingerprint({}, {"pair": whole, "modality": modality}))
    kind = "image" if isinstance(kind_of_input, ImageInput) else "text"
    return SharedEncoder(str(name), kind, modality, space, whole, freeze(network, device, dtype), inputs, device, dtype)


def pack_shared(network: SharedNetwork, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration and arrays of a network; ``settings`` tell how its inputs are prepared."""
    shape = network.shape
    kinds = {one: name for name, one in KINDS.items()}
    inputs = {name: {"kind": kinds[type(one)], **asdict(one)} for name, one in shape.inputs.items()}
    plain = {**{key: getattr(shape, key) for key in ("width", "layers", "heads", "dim", "mode", "size")},
             "shared": list(shape.shared_layers), "inputs": inputs}  # fmt: skip
    arrays = {key: value.detach().float().cpu().numpy() for key, value in network.state_dict().items()}
    return {"kind": KIND, "shape": plain, "preparing": dict(settings)}, arrays


def unpack_shared(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[SharedNetwork, dict[str, Any]]:
    """The network that :func:`pack_shared` took apart, and how its inputs are prepared.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong.
    """
    try:
        shape = shape_of(config.get("shape"))
        settings = config.get("preparing")
        if not isinstance(settings, Mapping):
            raise InputError("it does not say how its inputs are prepared")
        for one in shape.inputs.values():
            if isinstance(one, ImageInput):
                image_preparing(settings, one)
            elif isinstance(one, TextInput):
                text_preparing(settings, one)
        state = {key: torch.from_numpy(array_of(arrays, key)) for key in arrays}
        _check_shapes(shape, state)
        network = SharedNetwork(shape)
        network.load_state_dict(state)
        return network, dict(settings)
    except (InputError, UnknownNameError) as error:
        raise ModelUnavailableError(
            "the folder holds no shared encoder: " + error.message.rstrip(".") + ". Copy or train it again."
        ) from error


def _check_shapes(shape: SharedShape, state: Mapping[str, torch.Tensor]) -> None:
    """Raise unless the arrays are those of the form, before memory is taken for it."""
    with torch.device("meta"):
        wanted = SharedNetwork(shape).state_dict()
    if odd := sorted(wanted.keys() ^ state.keys()):
        raise InputError(f"the array {odd[0]!r} is {'missing' if odd[0] in wanted else 'none of this network'}")
    for key, value in wanted.items():
        if value.shape != state[key].shape:
            raise InputError(f"the array {key!r} is {tuple(state[key].shape)} and not {tuple(value.shape)}")


def image_batch(shape: ImageInput, settings: Mapping[str, Any]) -> ImageBatch:
    """The step from images to tensors, from a folder's settings."""
    fields = image_preparing(settings, shape)
    return ImageBatch(shape.side, fields.wide, tuple(fields.mean), tuple(fields.std))


def text_batch(shape: TextInput, path: Path, settings: Mapping[str, Any]) -> TextBatch:
    """The step from texts to token ids, from a folder's settings and its tokenizer.

    Raises
    ------
    ModelUnavailableError
        If the tokenizer is not there, cannot be read, or is not the one the network was trained with.
    """

    if not path.is_file():
        raise ModelUnavailableError(f"there is no {path}. Copy the whole folder.")
    fields, content = text_preparing(settings, shape), path.read_bytes()
    if sha256_of(content) != fields.tokenizer:
        raise ModelUnavailableError(f"{path} is not the tokenizer that the network was trained with. Copy it again.")
    return tokenizer_batch(shape, content, fields.start, str(path))


def tokenizer_batch(shape: TextInput, content: bytes, start: int, where: str = TOKENIZER) -> TextBatch:
    """The step from texts to token ids, from the content of a ``tokenizer.json``; ``where`` names it in errors.

    Raises
    ------
    ModelUnavailableError
        If it cannot be read, or has more tokens than the network.
    """
    try:
        tokenizer = read_tokenizer(content)
    except ValueError as error:
        raise ModelUnavailableError(f"{where} cannot be read as a tokenizer: {error}. Copy it again.") from error
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= shape.vocabulary:
        raise ModelUnavailableError(
            f"{where} has a token {largest}, and the network a vocabulary of {shape.vocabulary}. Copy the whole folder."
        )
    tokenizer.encode_special_tokens = True  # a text that holds "[END]" does not end there
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextBatch(tokenizer, shape.context, start, shape.end)
