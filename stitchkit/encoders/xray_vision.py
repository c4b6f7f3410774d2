"""Chest radiograph classifiers of torchxrayvision as encoders."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.encoders.checkpoints import check_weights, fingerprint
from stitchkit.encoders.details import image_details
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.feature_maps import rows_of
from stitchkit.encoders.hub import importing, loading
from stitchkit.encoders.images import rgb
from stitchkit.encoders.library_calls import library_call
from stitchkit.encoders.load_checks import image_width
from stitchkit.encoders.names import LOCAL, EncoderName
from stitchkit.encoders.probing import class_names, linear_head, random_images
from stitchkit.encoders.state_dicts import fill, read_state, weights_file

if TYPE_CHECKING:
    import torch

OPTIONS = ("key", "size")
RANGE = 1024.0  # grey levels go from minus this to this
ROUNDING = 1e-3  # of the resize, in grey levels
SIZES = {"densenet": 224, "resnet": 512}  # pixels of a side that the published weights were trained with
SMALLEST, LARGEST = 32, 4096
THRESHOLDS = "op_threshs"  # operating points: no vector depends on them


@dataclass(slots=True, eq=False)
class XrayEncoder:
    """A DenseNet or ResNet of torchxrayvision: its vectors are what its classifier reads."""

    name: str
    space: Space
    model: Any = field(repr=False)  # of torchxrayvision or torchvision, whose methods are not typed
    kind: str
    transform: Any = field(repr=False)
    size: int
    labels: Sequence[str] | None
    trained: np.ndarray = field(repr=False)
    device: str
    dtype: str
    modality: str = "image"

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        return image_details(
            size=f"{self.size} x {self.size}, one channel of -1024 to 1024",
            crop="square in the middle, then resized",
            model=self.model,
            pooling="mean of the last map",
        )

    def prepare(self, items: Sequence[Any]) -> torch.Tensor:
        """Decoded images as one channel (b, 1, h, w) in [-1024, 1024], float32 on the CPU.

        The square in the middle is resized, as the library's XRayCenterCrop and XRayResizer do.
        """
        import torch

        pictures = []
        for item in items:
            grey = np.asarray(rgb(item, "L"), dtype=np.float32)[None]
            with library_call():
                pictures.append(torch.from_numpy(self.transform((2 * (grey / 255) - 1) * RANGE)))
        batch = torch.stack(pictures)
        check_range(self.name, batch)
        return batch

    def encode(self, batch: torch.Tensor) -> Encoded:
        """Vectors (b, d) in float32 on the device, and the positions (b, t, d) of the map that they are the mean of."""
        import torch

        check_range(self.name, batch)
        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: torch.Tensor) -> Encoded:
        """As :meth:`encode`, with gradients where weights are trained; views of images may leave the range."""
        inputs = move(batch, self.device, self.dtype)
        with library_call():
            tokens = rows_of(self._map(inputs))
            return Encoded(tokens.float().mean(dim=1), tokens)

    def _map(self, inputs: torch.Tensor) -> torch.Tensor:
        """The last feature map (b, d, h, w), after its rectifier."""
        import torch

        if self.kind == "densenet":
            features: torch.Tensor = torch.relu(self.model.features(inputs))
            return features
        own = self.model
        features = own.maxpool(own.relu(own.bn1(own.conv1(inputs))))
        for layer in (own.layer1, own.layer2, own.layer3, own.layer4):
            features = layer(features)
        return features

    def classifier(self) -> LinearHead:
        """The linear layer over the vectors, of the findings that it was trained for.

        Its scores are plain logits, without the library's rescaling by operating points (``op_threshs``).

        Raises
        ------
        InputError
            If the file holds no classifier.
        """
        import torch

        linear = self.model.classifier if self.kind == "densenet" else self.model.fc
        if not isinstance(linear, torch.nn.Linear):
            raise InputError(f"the file of {self.name!r} has no linear classifier. Fit a probe on its vectors.")
        batch = random_images((1, self.size, self.size)).clip(-1, 1) * RANGE
        pooled = self.encode(batch).pooled
        with torch.inference_mode():
            logits = self.model(move(batch, self.device, self.dtype))
        classes = class_names(self.labels, linear.out_features)
        head = linear_head(self.space, linear, [f"{i} {one}" for i, one in enumerate(classes)], pooled, logits,
                           multiclass=False)  # fmt: skip
        if head is None:
            raise InputError(f"the classifier of {self.name!r} does not read its vectors. Fit a probe instead.")
        kept = np.flatnonzero(self.trained)
        return LinearHead(self.space, tuple(classes[i] for i in kept), head.weight[:, kept], head.bias[kept],
                          multiclass=False)  # fmt: skip


def check_range(name: str, batch: torch.Tensor) -> None:
    """Raise unless a batch has one channel with grey levels from -1024 to 1024.

    Raises
    ------
    InputError
        With what came: the library itself warns once, and goes on with numbers that mean nothing.
    """
    low, high = (float(one) for one in (batch.min(), batch.max()))
    if batch.ndim != 4 or batch.shape[1] != 1 or not -RANGE - ROUNDING <= low <= high <= RANGE + ROUNDING:
        raise InputError(
            f"encoder {name!r} takes one channel from -1024 to 1024; got shape {tuple(batch.shape)} with values from "
            f"{low:g} to {high:g}. Pass decoded images, and leave the scaling to prepare()."
        )


def load(name: EncoderName, *, device: str, dtype: str) -> XrayEncoder:
    """The encoder of a file of weights, or of a name of the library whose file lies in its own cache.

    A DenseNet and a ResNet are told apart by their weights, as is their depth. Options: ``key=state_dict`` for the
    place of the weights in a training state, and ``size`` (pixels of a side; by default 224 for a DenseNet and 512 for
    a ResNet, which the published weights were trained with).

    Raises
    ------
    InputError
        For odd options, and for float16.
    ModelUnavailableError
        If the file is not there, holds code, or is of another architecture. Nothing is downloaded.
    """
    name.check_options(OPTIONS)
    if dtype == "float16":
        raise InputError(
            f"encoder {str(name)!r} takes grey levels to 1024, whose sums and variances float16 does not hold; got "
            + setting("dtype", dtype) + ". Use float32 or bfloat16."
        )  # fmt: skip
    with importing("torchxrayvision", "'stitchkit[xrv]'"), warnings.catch_warnings():
        library: Any = import_module("torchxrayvision")  # which silences all warnings of the process
        networks: Any = import_module("torchxrayvision.models")
    file, labels = xray_file(name, networks)
    state = read_state(name, file, name.options.get("key", ""), _classes(networks))
    state = {key.removeprefix("model."): one for key, one in state.items()}
    thresholds = state.pop(THRESHOLDS, None)
    with loading(name, None):
        kind, model = _network(name, networks, state)
    size = _size(name, kind)
    last = "classifier" if kind == "densenet" else "fc"
    fill(name, model, state, [] if f"{last}.weight" in state else [f"{last}."])
    if f"{last}.weight" not in state:
        setattr(model, last, None)
    trained, labels = _trained(model, last, labels, thresholds, library.datasets.default_pathologies)
    used = {key: one for key, one in model.state_dict().items() if not key.startswith(f"{last}.")}
    digest = fingerprint(used, {"kind": kind, "size": size, "preprocessing": "center crop, resize, -1024 to 1024"})
    crop, resize = library.datasets.XRayCenterCrop(), library.datasets.XRayResizer(size)
    encoder = XrayEncoder(
        name=str(name), space=Space(str(name), 1), model=freeze(model, device, dtype), kind=kind,
        transform=lambda one: resize(crop(one)), size=size, labels=labels, trained=trained, device=device, dtype=dtype,
    )  # fmt: skip
    takes = f"images of {size} pixels"
    encoder.space = Space(str(name), image_width(encoder, "preprocessing", {"size": [size, size]}, takes), digest)
    return encoder


def xray_file(name: EncoderName, networks: Any) -> tuple[Path, Sequence[str] | None]:
    """The file of weights, and the labels of a name that the library knows."""
    known = {key: one for key, one in networks.model_urls.items() if "-" in key}
    if name.folder is not None or name.id.startswith(LOCAL) or "/" in name.id or "." in name.id:
        return weights_file(name), None
    if name.id not in known:
        raise UnknownNameError.of("torchxrayvision weights", name.id, known, "Or write xrv:/path/of/weights.pt.")
    if name.revision:
        raise InputError(
            f"encoder {str(name)!r}: torchxrayvision's names have no revisions. Leave out @{name.revision}."
        )
    url = str(known[name.id]["weights_url"])
    file = Path(import_module("torchxrayvision.utils").get_cache_dir()) / url.rpartition("/")[2]
    if not file.is_file():
        raise ModelUnavailableError(
            f"encoder {str(name)!r} needs {url}, which is not at {file}; it is not downloaded unasked. Download it "
            f"there, or load a state dict: xrv:/path/of/weights.pt."
        )
    check_weights(file)
    return file, known[name.id]["labels"]


def _classes(networks: Any) -> list[type]:
    """Classes of a whole DenseNet, which its published files are pickles of; they run no code of the file."""
    from torch import nn

    own = [getattr(networks, one) for one in ("DenseNet", "_DenseLayer", "_DenseBlock", "_Transition")]
    return [*own, nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Linear]


def _network(name: EncoderName, networks: Any, state: Mapping[str, torch.Tensor]) -> tuple[str, Any]:
    """The kind of network that weights are of, and such a network without them."""
    depth = [
        len({key.split(".")[2] for key in state if key.startswith(f"features.denseblock{i}.")}) for i in range(1, 9)
    ]
    if "features.conv0.weight" in state and depth[0]:
        growth = state["features.denseblock1.denselayer1.conv2.weight"].shape[0]
        last = state.get("classifier.weight")
        return "densenet", networks.DenseNet(
            growth_rate=int(growth), block_config=tuple(one for one in depth if one),
            num_init_features=int(state["features.conv0.weight"].shape[0]),
            bn_size=int(state["features.denseblock1.denselayer1.conv1.weight"].shape[0] // growth),
            in_channels=1, num_classes=1 if last is None else int(last.shape[0]),
        )  # fmt: skip
    depth = [len({key.split(".")[1] for key in state if key.startswith(f"layer{i}.")}) for i in range(1, 5)]
    if "conv1.weight" in state and all(depth) and "layer1.0.conv3.weight" in state:
        from torch import nn
        from torchvision.models.resnet import Bottleneck, ResNet

        last = state.get("fc.weight")
        model = ResNet(Bottleneck, depth, num_classes=1 if last is None else int(last.shape[0]))
        model.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        return "resnet", model
    raise ModelUnavailableError(
        f"the weights of {str(name)!r} are of no DenseNet or ResNet of torchxrayvision (first key: "
        f"{next(iter(state), 'none')}). For other networks write local:{name.id}#arch=timm/NAME."
    )


def _size(name: EncoderName, kind: str) -> int:
    size = name.options.get("size", str(SIZES[kind]))
    if not size.isdecimal() or not SMALLEST <= int(size) <= LARGEST:
        raise InputError(f"encoder {str(name)!r}: size={size!r} is no number of pixels from {SMALLEST} to {LARGEST}.")
    return int(size)


def _trained(
    model: Any, last: str, labels: Sequence[str] | None, thresholds: torch.Tensor | None, default: Sequence[str]
) -> tuple[np.ndarray, Sequence[str] | None]:
    """True for each class that the classifier was trained for, (c,), and the labels of all classes."""
    layer = getattr(model, last)
    count = 0 if layer is None else int(layer.out_features)
    names = labels if labels is not None else default
    if count != len(names):
        return np.ones(count, dtype=np.bool_), None
    trained = np.array([bool(one) for one in names])
    if labels is None and thresholds is not None and thresholds.shape == (count,):
        trained &= ~np.isnan(thresholds.float().numpy())  # a finding without data has no operating point
    return trained, [one or f"class {i}" for i, one in enumerate(names)]
