"""The embedded encoders ``demo:general``, ``demo:medical`` and ``demo:text``: small, frozen, in the package.

They come from ``stitchkit/training/demo_recipe.py``: the general one saw procedural shapes only, the medical one
chest phantoms with noisy report labels, the text one reports only. They know nothing about patients.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import setting
from stitchkit.encoders.images import rgb
from stitchkit.encoders.names import EncoderName
from stitchkit.storage.artefact_schemas import check_fields
from stitchkit.storage.tensor_files import read_tensors

__all__ = [
    "NAMES",
    "DemoClassifier",
    "DemoEncoder",
    "TextNet",
    "VisionNet",
    "features_of",
    "load",
    "new_net",
    "read_encoder",
    "text_batch",
    "vision_batch",
]

NAMES = ("general", "medical", "text")
WEIGHTS = Path(__file__).parent / "demo_weights"
SIDE = 96  # pixels
BUCKETS = 4096
_PREPARED = {
    "image": f"grey, {SIDE} px (means of boxes, or bilinear if smaller), x / 127.5 - 1",
    "text": f"crc32 uni- and bigrams, {BUCKETS}, 1",
}


class DemoFields(msgspec.Struct):
    """Name, modality, width and classes of a demo encoder, as its weight file holds them."""

    name: str
    modality: Literal["image", "text"]
    dim: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    classes: Annotated[list[str], msgspec.Meta(max_length=4096)]


class VisionNet(nn.Module):
    """Six convolutions; 3 x 3 grids of means of the third and the last, maxima of the last; a linear map; a classifier.

    Parameters
    ----------
    dim
        Width of the vectors.
    classes
        Width of the classifier, which reads the vectors.
    """

    WIDTHS = (16, 32, 48, 64, 96, 128)
    STRIDES = (2, 2, 1, 2, 1, 1)

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, stride in zip((1, *self.WIDTHS), self.WIDTHS, self.STRIDES, strict=False):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.early, self.late = nn.Sequential(*layers[:9]), nn.Sequential(*layers[9:])
        pooled = self.WIDTHS[2] * 9 + self.WIDTHS[5] * 10
        self.even = nn.BatchNorm1d(pooled, affine=False)
        self.project = nn.Linear(pooled, dim)
        self.classify = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Vectors (b, dim) of images (b, 1, 96, 96) in [-1, 1]."""
        early = self.early(images)  # (b, 48, 24, 24)
        late = self.late(early)  # (b, 128, 12, 12)
        grids = [nn.functional.avg_pool2d(maps, maps.shape[-1] // 3).flatten(1) for maps in (early, late)]
        vectors: Tensor = self.project(self.even(torch.cat([*grids, late.amax((2, 3))], dim=1)))
        return vectors


class TextBatch(NamedTuple):
    """Hashed n-grams of several texts: ``features`` (m,), where each sentence starts, and each sentence's text."""

    features: Tensor
    starts: Tensor  # (s,)
    texts: Tensor  # (s,)
    size: int  # b


class TextNet(nn.Module):
    """Means of hashed uni- and bigrams, a small perceptron, the mean over a text's sentences."""

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.grams = nn.EmbeddingBag(BUCKETS, 64, mode="mean")
        self.lift = nn.Linear(64, hidden)
        self.project = nn.Linear(hidden, dim)

    def forward(self, batch: TextBatch) -> Tensor:
        """Vectors (b, dim)."""
        sentences = self.project(nn.functional.gelu(self.lift(self.grams(batch.features, batch.starts))))
        total: Tensor = sentences.new_zeros(batch.size, sentences.shape[1]).index_add_(0, batch.texts, sentences)
        counts = torch.bincount(batch.texts, minlength=batch.size).clamp(min=1)
        return total / counts[:, None]


def features_of(text: str) -> list[list[int]]:
    """Hashed uni- and bigrams of each sentence of a text; the same in every process.

    Examples
    --------
    >>> [len(sentence) for sentence in features_of("No effusion. Large heart.")]
    [5, 5]
    """
    sentences = []
    for sentence in re.split(r"[.!?;\n]+", text.lower()):
        words = re.findall(r"[a-z0-9]+", sentence)
        if words:
            framed = ["<", *words, ">"]
            grams = words + [" ".join(pair) for pair in pairwise(framed)]
            sentences.append([zlib.crc32(gram.encode()) % BUCKETS for gram in grams])
    return sentences or [[zlib.crc32(b"<empty>") % BUCKETS]]


def text_batch(texts: Sequence[list[list[int]]], device: str = "cpu") -> TextBatch:
    """The batch of several texts' features."""
    sentences = [sentence for text in texts for sentence in text]
    starts = np.cumsum([0, *(len(one) for one in sentences)])[:-1]
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    flat = np.fromiter((gram for one in sentences for gram in one), np.int64)
    features, firsts, owners = (
        torch.as_tensor(part, dtype=torch.long, device=device) for part in (flat, starts, owner)
    )
    return TextBatch(features, firsts, owners, len(texts))


def vision_batch(images: np.ndarray, device: str = "cpu") -> Tensor:
    """Images (b, 96, 96) uint8 as (b, 1, 96, 96) float32 in [-1, 1]."""
    return torch.as_tensor(images, device=device)[:, None].float() / 127.5 - 1


def _grey(item: Any) -> np.ndarray:
    """A PIL image or (h, w[, 3]) uint8 array as (96, 96) uint8."""
    image = rgb(item, "L")
    if image.size != (SIDE, SIDE):
        smooth = Image.Resampling.BOX if min(image.size) > SIDE else Image.Resampling.BILINEAR
        image = image.resize((SIDE, SIDE), smooth)
    return np.asarray(image)


@dataclass(frozen=True, eq=False)
class DemoEncoder:
    """One of the three, frozen: evaluation mode, no gradients, float32."""

    name: str  # "demo:general", ...
    modality: str
    space: Space
    net: VisionNet | TextNet
    device: str

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        from stitchkit.encoders.details import image_details, text_details

        if self.modality == "text":
            return text_details(length=None, prompt="", model=self.net, pooling="mean of sentences")
        return image_details(size=f"{SIDE} x {SIDE}, grey", model=self.net, pooling="means and maxima of maps")

    def prepare(self, items: Sequence[Any]) -> Any:
        """A batch of PIL images or (h, w[, 3]) uint8 arrays, or of strings."""
        if self.modality == "text":
            return text_batch([features_of(item) for item in items], self.device)
        return vision_batch(np.stack([_grey(item) for item in items]), self.device)

    @torch.no_grad()
    def encode(self, batch: Any) -> Encoded:
        """Vectors (b, d) float32."""
        return Encoded(self.net(batch))


@dataclass(frozen=True, eq=False)
class DemoClassifier(DemoEncoder):
    """A demo encoder that brings its own head."""

    classes: tuple[str, ...] = ()

    def classifier(self) -> LinearHead:
        """The checkpoint's head over the phantoms' findings (logits)."""
        head = self.net.get_submodule("classify")
        weight, bias = (part.detach().double().cpu().numpy() for part in head.parameters())
        return LinearHead(self.space, self.classes, weight.T.copy(), bias)


def load(name: EncoderName, *, device: str, dtype: str) -> DemoEncoder:
    """``demo:general`` (images), ``demo:medical`` (images, with a classifier) or ``demo:text``.

    Raises
    ------
    UnknownNameError
        If there is no such demo encoder.
    InputError
        For another precision than float32, in which they are small and fast.
    ModelUnavailableError
        If its weights are not in the package.
    """
    name.check_options(())
    if name.id not in NAMES:
        raise UnknownNameError.of("demo encoder", name.id, NAMES)
    if dtype != "float32":
        raise InputError(
            f"{str(name)!r} computes in float32 only; got {dtype!r}. Leave out " + setting("dtype", text="dtype") + "."
        )
    return read_encoder(WEIGHTS / f"{name.id}.safetensors", device=device)


def read_encoder(path: Path, *, device: str = "cpu") -> DemoEncoder:
    """The encoder in one weight file of the demo recipe.

    Raises
    ------
    ModelUnavailableError
        If the file is missing, damaged, or another.
    """
    if not path.is_file():
        raise ModelUnavailableError(
            f"{path.name} is not in {path.parent}. Reinstall stitchkit, or run the demo recipe."
        )
    tensors = read_tensors(path, ModelUnavailableError)
    state = {key: torch.from_numpy(array).float() for key, array in tensors.arrays.items()}
    try:
        facts = check_fields(parse_json(tensors.metadata.get("demo", "null")), DemoFields)
        net = new_net(facts.modality, facts.dim, len(facts.classes))
        net.load_state_dict(state)
    except (InputError, ValueError, RuntimeError) as error:  # torch lists every weight that does not fit
        reason = str(error).splitlines()[0].rstrip(".:")
        raise ModelUnavailableError(f"{path} holds no demo encoder: {reason}. Reinstall stitchkit.") from error
    net.requires_grad_(False).eval().to(device)
    name = f"demo:{facts.name}"
    space = Space(name, facts.dim, _fingerprint(state, _PREPARED[facts.modality]))
    if facts.classes and facts.name == "medical":
        return DemoClassifier(name, facts.modality, space, net, device, tuple(facts.classes))
    return DemoEncoder(name, facts.modality, space, net, device)


def new_net(modality: str, dim: int, classes: int = 0) -> VisionNet | TextNet:
    """An untrained network of the demo's shape."""
    return TextNet(dim) if modality == "text" else VisionNet(dim, classes)


def _fingerprint(state: Mapping[str, Tensor], prepared: str) -> str:
    """Hash of weights and preprocessing, 16 hexadecimal digits."""
    digest = hashlib.sha256(prepared.encode())
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].numpy().tobytes())
    return digest.hexdigest()[:16]
