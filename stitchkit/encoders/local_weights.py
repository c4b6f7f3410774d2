"""Weights in a file with an architecture of timm or torchvision by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.details import image_details
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.feature_maps import MapPlace
from stitchkit.encoders.hub import importing, loading
from stitchkit.encoders.images import rgb
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.load_checks import check_levels, image_width
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.probing import class_names, linear_head, random_images
from stitchkit.encoders.state_dicts import fill, read_state, weights_file
from stitchkit.encoders.timm_vision import TimmEncoder, encoder_of

if TYPE_CHECKING:
    import torch

LIBRARIES = ("timm", "torchvision")
OPTIONS = ("arch", "key", "size", "mean", "std")
LARGEST = 4096  # pixels of a side
NO_START = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}  # slow, and overwritten


@dataclass(slots=True, eq=False)
class TorchvisionEncoder:
    """A classifier of torchvision as an encoder: its vectors are what its last linear layer reads."""

    name: str
    space: Space
    model: Any = field(repr=False)  # of torchvision, with an identity in place of its last layer
    last: torch.nn.Linear | None = field(repr=False)
    transform: Any = field(repr=False)
    size: int
    place: MapPlace | None = field(repr=False)
    device: str
    dtype: str
    modality: str = "image"

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        known = self.transform
        return image_details(
            size=f"{self.size} x {self.size}",
            crop=f"resize to {known.resize_size[0]}, then the middle",
            mean=known.mean,
            std=known.std,
            interpolation=known.interpolation,
            model=self.model,
            pooling="input of the last layer",
        )

    def prepare(self, items: Sequence[Any]) -> torch.Tensor:
        """Decoded images as a (b, 3, h, w) float32 tensor on the CPU."""
        import torch

        pictures = [rgb(item) for item in items]
        with library_call():
            return torch.stack([self.transform(one) for one in pictures])

    def encode(self, batch: torch.Tensor) -> Encoded:
        """Vectors (b, d) in float32 on the device; positions (b, t, d) of the last map where it is their mean."""
        import torch

        inputs = move(batch, self.device, self.dtype)
        with torch.inference_mode(), library_call():
            if self.place is None:
                return Encoded(self.model(inputs).float())
            pooled, tokens = self.place.read(self.model, inputs)
            return Encoded(pooled.float(), tokens)

    def classifier(self) -> LinearHead:
        """The last linear layer of the file.

        Raises
        ------
        InputError
            If the file has none.
        """
        import torch

        if self.last is None:
            raise InputError(f"the file of {self.name!r} has no linear classifier. Fit a probe on its vectors.")
        batch = random_images((3, self.size, self.size))
        pooled = self.encode(batch).pooled
        with torch.inference_mode():
            logits = self.last(pooled.to(self.last.weight.dtype))
        classes = class_names(None, self.last.out_features)
        head = linear_head(self.space, self.last, classes, pooled, logits, multiclass=True)
        if head is None:
            raise InputError(f"the classifier of {self.name!r} does not read its vectors. Fit a probe instead.")
        return head


def load(name: EncoderName, *, device: str, dtype: str) -> TimmEncoder | TorchvisionEncoder:
    """The encoder of a file of weights (``.safetensors``, or ``.pth`` that holds tensors alone) and an architecture.

    Options: ``arch=timm/NAME`` or ``arch=torchvision/NAME``, which must be given; ``key=state_dict`` for the place of
    the weights in a training state; ``size=224`` (pixels), ``mean=0.485,0.456,0.406`` and ``std=`` of the
    preprocessing, by default that of the library for the architecture. Weights of the classifier may be others, or
    absent.

    Raises
    ------
    InputError
        For a training state without a key, and odd options.
    ModelUnavailableError
        If the file is something else, holds code, or does not fit the architecture.
    """
    name.check_options(OPTIONS)
    library, architecture = _architecture(name)
    changes = _preprocessing(name)
    file = weights_file(name)
    state = read_state(name, file, name.options.get("key", ""))
    with importing(library):
        module: Any = import_module(library)
    if library == "torchvision":
        return _of_torchvision(name, module, architecture, state, changes, device=device, dtype=dtype)
    if not module.is_model(architecture):
        raise UnknownNameError.of("timm model", architecture, module.list_models())
    model = _of_timm(module, name, architecture, state, changes)
    facts = {"architecture": f"timm/{architecture}"}
    return encoder_of(module, name, model, device=device, dtype=dtype, changes=changes, facts=facts)


def _architecture(name: EncoderName) -> tuple[str, str]:
    """Library and architecture of ``#arch=``."""
    library, _, architecture = name.options.get("arch", "").partition("/")
    if not architecture:
        raise InputError(
            f"encoder {str(name)!r} is a file of weights, which does not say what they are of. Add "
            f"#arch=timm/NAME or #arch=torchvision/NAME, such as #arch=timm/resnet18."
        )
    if library not in LIBRARIES:
        raise UnknownNameError.of("library of architectures", library, LIBRARIES)
    return library, architecture


def _preprocessing(name: EncoderName) -> dict[str, Any]:
    """The settings of the preprocessing that the options give, in timm's words."""
    changes: dict[str, Any] = {}
    if size := name.options.get("size"):
        if not size.isdecimal() or not 1 <= int(size) <= LARGEST:
            raise InputError(f"encoder {str(name)!r}: size={size!r} is no number of pixels from 1 to {LARGEST}.")
        changes["input_size"] = (3, int(size), int(size))
    for key in ("mean", "std"):
        if key in name.options:
            try:
                changes[key] = tuple(float(one) for one in name.options[key].split(","))
            except ValueError as error:
                raise InputError(
                    f"encoder {str(name)!r}: {key}={name.options[key]!r} is not three numbers with commas, such as "
                    f"{key}=0.5,0.5,0.5."
                ) from error
            if len(changes[key]) != 3:
                raise InputError(
                    f"encoder {str(name)!r}: {key} has {len(changes[key])} numbers; images have 3 colours."
                )
    if changes.keys() & {"mean", "std"}:
        mean, std = (changes.get(key, (0.5,) * 3) for key in ("mean", "std"))
        check_levels(name, 1.0, mean, std, "pixels scaled to 0 to 1,")
    return changes


def _of_timm(
    timm: Any, name: EncoderName, architecture: str, state: Mapping[str, Any], changes: Mapping[str, Any]
) -> Any:
    """A timm model with the weights of ``state``, and as many classes as they have."""
    with loading(name, None):
        plan = timm.create_model(architecture, pretrained=False)
        named = plan.pretrained_cfg.get("classifier") or ()
        heads = [named] if isinstance(named, str) else list(named)
        counts = {int(state[f"{one}.weight"].shape[0]) for one in heads if _fits(plan, state, f"{one}.weight")}
        classes = counts.pop() if len(counts) == 1 else 0
        sized = "input_size" in changes and hasattr(plan, "patch_embed")  # other networks take any size
        settings = {"img_size": changes["input_size"][1]} if sized else {}
        model = timm.create_model(architecture, pretrained=False, num_classes=classes, **settings)
    fill(name, model, state, [f"{one}." for one in heads] if not classes else [])
    return model


def _fits(plan: Any, state: Mapping[str, Any], key: str) -> bool:
    """True if a classifier of the same input stands in ``state`` under ``key``."""
    own = plan.state_dict().get(key)
    return own is not None and key in state and tuple(state[key].shape)[1:] == tuple(own.shape)[1:]


def _of_torchvision(
    name: EncoderName, torchvision: Any, architecture: str, state: Mapping[str, Any], changes: Mapping[str, Any], *,
    device: str, dtype: str,
) -> TorchvisionEncoder:  # fmt: skip
    import torch

    library: Any = import_module("torchvision.models")
    known = library.list_models(module=library)
    if architecture not in known:
        raise UnknownNameError.of("torchvision model", architecture, known)
    extra = NO_START.get(architecture, {})
    with loading(name, None):
        model = library.get_model(architecture, weights=None, **extra)
    path = next((key for key, one in reversed(list(model.named_modules())) if isinstance(one, torch.nn.Linear)), "")
    if not path or not next(reversed(model.state_dict())).startswith(f"{path}."):
        raise InputError(f"torchvision's {architecture} does not end in a linear layer, so it gives no vectors here.")
    has_last = _fits(model, state, f"{path}.weight")
    last: torch.nn.Linear = model.get_submodule(path)
    if has_last:
        count = int(state[f"{path}.weight"].shape[0])
        last = torch.nn.Linear(last.in_features, count, bias=last.bias is not None)
        model.set_submodule(path, last)
    start = path.partition(".")[0]  # another classifier in that place, unless the place holds more than it
    alone = all(key.startswith(f"{path}.") for key in model.state_dict() if key.startswith(f"{start}."))
    fill(name, model, state, [] if has_last else [f"{start if alone else path}."])
    model.set_submodule(path, torch.nn.Identity())
    preset = library.get_model_weights(architecture).DEFAULT.transforms()
    size = int(changes["input_size"][1]) if "input_size" in changes else int(preset.crop_size[0])
    settings = {
        "resize_size": round(int(preset.resize_size[0]) * size / int(preset.crop_size[0])), "crop_size": size,
        "mean": list(changes.get("mean", preset.mean)), "std": list(changes.get("std", preset.std)),
        "interpolation": preset.interpolation, "antialias": getattr(preset, "antialias", True),
    }  # fmt: skip
    transform = type(preset)(**settings)
    facts = {**settings, "interpolation": str(settings["interpolation"].value)}
    digest = fingerprint(
        model.state_dict(), {"preprocessing": facts, "architecture": f"torchvision/{architecture}", "pool": "last"}
    )
    check_levels(name, 1.0, settings["mean"], settings["std"], "torchvision, which scales to 0 to 1,")
    model.eval()
    with (
        fits(
            f"{str(name)!r} takes no images of {size} pixels", "Leave out size=, or take the size it was trained with"
        ),
        library_call(),
    ):
        place = MapPlace.of(model, random_images((3, size, size)))
    encoder = TorchvisionEncoder(
        name=str(name), space=Space(str(name), 1), model=freeze(model, device, dtype),
        last=freeze(last, device, dtype) if has_last else None, transform=transform, size=size, place=place,
        device=device, dtype=dtype,
    )  # fmt: skip
    takes = f"images of {size} pixels"
    encoder.space = Space(str(name), image_width(encoder, "preprocessing", {"size": [size, size]}, takes), digest)
    return encoder
