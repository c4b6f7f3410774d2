"""Vision encoders of timm."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.adapters import adapted
from stitchkit.encoders.checkpoints import check_folder, fingerprint
from stitchkit.encoders.details import image_details
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.feature_maps import is_mean, near, rows_of
from stitchkit.encoders.hub import importing, is_offline, loading
from stitchkit.encoders.images import rgb
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.load_checks import check_levels, image_width
from stitchkit.encoders.names import HUB, LOCAL, EncoderName
from stitchkit.encoders.probing import class_names, linear_head, random_images
from stitchkit.encoders.resolution import resolution_of
from stitchkit.encoders.sides import no_text_side

if TYPE_CHECKING:
    import torch

OPTIONS = ("resolution", "adapter")
OF_TRAINING = ("num_classes", "drop_rate", "drop_path_rate", "label_names")  # arguments that no vector depends on


@dataclass(slots=True, eq=False)
class TimmEncoder:
    """A timm model as an encoder: pooled vectors are what its own classifier reads.

    ``maps`` is the way from a last feature map to tokens: ``"mean"`` where its mean is the vector, ``"head"`` where
    something follows the mean (a norm, say), which is then done at each position, or None.
    """

    name: str
    space: Space
    model: Any = field(repr=False)  # a timm module; its methods are not typed
    transform: Any = field(repr=False)
    input_size: tuple[int, int, int]
    device: str
    dtype: str
    modality: str = "image"
    maps: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the preprocessing

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        _, height, width = self.input_size
        known = self.settings
        return image_details(
            size=f"{height} x {width}",
            crop=f"{known.get('crop_mode', 'center')}, {known['crop_pct']:g} of the resized image"
            if "crop_pct" in known
            else "",
            mean=known.get("mean"),
            std=known.get("std"),
            interpolation=known.get("interpolation"),
            model=self.model,
            pooling=str(getattr(self.model, "global_pool", "") or "the checkpoint's own"),
        )

    def prepare(self, items: Sequence[Any]) -> torch.Tensor:
        """Decoded images as a (b, channels, h, w) float32 tensor on the CPU, by the checkpoint's own transform."""
        import torch

        mode = "L" if self.input_size[0] == 1 else "RGB"
        pictures = [rgb(item, mode) for item in items]
        with library_call():
            return torch.stack([self.transform(one) for one in pictures])

    def encode(self, batch: torch.Tensor) -> Encoded:
        """Pooled vectors (b, d) in float32 on the device, and tokens (b, t, d) or the positions of the last map."""
        import torch

        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: torch.Tensor) -> Encoded:
        """As :meth:`encode`, with gradients where weights are trained."""
        inputs = move(batch, self.device, self.dtype)
        with library_call():
            features = self.model.forward_features(inputs)
            pooled = self.model.forward_head(features, pre_logits=True).float()
            return Encoded(pooled, self._tokens(features))

    def _tokens(self, features: torch.Tensor) -> torch.Tensor | None:
        """Tokens (b, t, d) of features, which are tokens already or a map."""
        if features.ndim == 3:
            return features
        if features.ndim != 4 or self.maps is None:
            return None
        rows = rows_of(features, _is_channels_last(self.model))
        if self.maps == "mean":
            return rows
        return _by_head(self.model, rows.flatten(0, 1)).reshape(len(rows), rows.shape[1], -1)

    def classifier(self) -> LinearHead:
        """The checkpoint's own linear classifier, checked against the model's logits.

        Raises
        ------
        InputError
            If it has none, or one that is not linear in the pooled vectors.
        """
        import torch

        linear = self.model.get_classifier()
        if not isinstance(linear, torch.nn.Linear) or linear.out_features == 0:
            raise InputError(f"the checkpoint of {self.name!r} has no linear classifier. Fit a probe on its vectors.")
        batch = random_images(self.input_size)
        with torch.inference_mode():
            logits = self.model(move(batch, self.device, self.dtype))
        config = self.model.pretrained_cfg
        classes = class_names(config.get("label_names"), linear.out_features)
        pooled = self.encode(batch).pooled
        head = linear_head(self.space, linear, classes, pooled, logits, multiclass=True)
        if head is None:
            raise InputError(
                f"the classifier of {self.name!r} does more than a linear map of its pooled vectors, so it cannot be "
                f"a head over them. Fit a probe instead."
            )
        return head


def load(name: EncoderName, *, device: str, dtype: str) -> TimmEncoder:
    """The encoder of a timm model name, ``hf-hub:org/name[@revision]``, ``local-dir:/path`` or a path.

    Pooling is the checkpoint's own (``forward_head(..., pre_logits=True)``). The option ``resolution=384`` brings
    images to another number of pixels a side, for which position embeddings are interpolated; ``adapter`` names the
    folder of a PEFT adapter that is merged into the weights. The fingerprint leaves the classifier out: it does not
    change the vectors.

    Raises
    ------
    InputError
        For a resolution that the network cannot take.
    """
    if name.options.get("modality") == "text":  # of a vision tower of CLIP, say
        raise no_text_side(name)
    name.check_options(OPTIONS)
    side = resolution_of(name)
    with importing("timm"):
        timm: Any = import_module("timm")
    model, facts = _model(timm, name)
    model = adapted(model, name)
    changes = None if side is None else _at_resolution(model, side, name)
    return encoder_of(timm, name, model, device=device, dtype=dtype, changes=changes, facts=facts)


def _at_resolution(model: Any, side: int, name: EncoderName) -> dict[str, Any]:
    """The change of the preprocessing for images of ``side`` pixels, once the network takes them."""
    settings = model.pretrained_cfg
    patches = getattr(getattr(model, "patch_embed", None), "patch_size", None) or (1,)
    pixels = int(max(patches)) if isinstance(patches, list | tuple) else int(patches)
    if side % pixels:
        raise InputError(
            f"encoder {str(name)!r} cuts images into patches of {pixels} pixels; resolution={side} is no multiple of "
            f"that. Use {max(pixels, side // pixels * pixels)} or {(side // pixels + 1) * pixels}."
        )
    if hasattr(model, "set_input_size"):
        fault = f"the network of {str(name)!r} cannot be brought to images of {side} pixels"
        with fits(fault, "Leave resolution= out, or choose another"), library_call():
            model.set_input_size(img_size=(side, side))
    elif settings.get("fixed_input_size"):
        raise InputError(
            f"encoder {str(name)!r} takes images of {settings['input_size'][1]} pixels only; its network "
            f"({settings.get('architecture')}) has no way to another resolution. Leave resolution= out."
        )
    return {"input_size": (settings["input_size"][0], side, side)}


def encoder_of(
    timm: Any, name: EncoderName, model: Any, *, device: str, dtype: str, changes: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> TimmEncoder:  # fmt: skip
    """The encoder of a model that has its weights.

    Parameters
    ----------
    changes
        Settings of the preprocessing in place of the model's own.
    facts
        Further settings that the fingerprint holds.
    """
    fault = f"the preprocessing of {str(name)!r} cannot be made from its settings (pretrained_cfg in config.json)"
    with fits(fault, "Copy config.json again from its source"), library_call():
        config = {**timm.data.resolve_model_data_config(model), **(changes or {})}
        transform = timm.data.create_transform(**config, is_training=False)
    if config["input_size"][0] not in (1, 3):
        raise InputError(f"encoder {str(name)!r} takes {config['input_size'][0]} channels; images have 1 or 3.")
    digest = fingerprint(_trunk_state(model), {"preprocessing": config, "pool": "pre_logits", **(facts or {})})
    size = tuple(config["input_size"])
    check_levels(name, 1.0, config["mean"], config["std"], "timm, which scales to 0 to 1,")
    sizes = getattr(getattr(model, "patch_embed", None), "img_size", None)
    maps = _way_to_tokens(model, size)
    encoder = TimmEncoder(
        str(name), Space(str(name), 1), freeze(model, device, dtype), transform, size, device, dtype, maps=maps,
        settings=config,
    )  # fmt: skip
    takes = f"input_size = {list(size)}" if sizes is None else f"images of {sizes}"
    encoder.space = Space(str(name), image_width(encoder, "preprocessing", {"size": list(size)}, takes), digest)
    return encoder


def _way_to_tokens(model: Any, size: tuple[int, int, int]) -> str | None:
    """The way from the last feature map to tokens of the vectors' width, by a trial in float32 on the CPU."""
    import torch

    with torch.inference_mode():
        try:
            features = model.eval().forward_features(random_images(size))
            if not isinstance(features, torch.Tensor) or features.ndim != 4:
                return None
            pooled = model.forward_head(features, pre_logits=True)
            rows = rows_of(features, _is_channels_last(model))
            if is_mean(rows, pooled):
                return "mean"
            alike = _by_head(model, rows.mean(dim=1))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):  # a head that reads one size of map
            return None
        return "head" if alike.shape == pooled.shape and near(alike, pooled) else None


def _by_head(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """Vectors (n, d) that the head gives for maps of one position (n, c)."""
    maps = rows[:, None, None] if _is_channels_last(model) else rows[..., None, None]
    tokens: torch.Tensor = model.forward_head(maps, pre_logits=True)
    return tokens


def _is_channels_last(model: Any) -> bool:
    return bool(getattr(model, "output_fmt", "NCHW") == "NHWC")


def _model(timm: Any, name: EncoderName) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, on the CPU in float32, and what it was built by beside them."""
    arguments: Mapping[str, Any] = {}
    if name.folder is not None:
        if name.revision:
            raise InputError(f"encoder {str(name)!r} is a folder, which has no revisions. Leave out @{name.revision}.")
        settings = check_folder(name.folder, str(name))
        if "architecture" not in settings:
            raise ModelUnavailableError(
                f"encoder {str(name)!r}: {name.folder / 'config.json'} names no timm architecture. "
                f"If it is a transformers checkpoint, load hf:{name.folder}."
            )
        where, hub_id, arguments = f"{LOCAL}{name.folder.resolve()}", None, settings.get("model_args") or {}
    elif name.id.startswith(HUB):
        hub_id = name.id.removeprefix(HUB) + (f"@{name.revision}" if name.revision else "")
        where = f"{HUB}{hub_id}"
    else:
        where, hub_id = name.id, _repository_of(timm, name)
    with _missing_weights_raise(name), loading(name, hub_id):
        if where.startswith(HUB):
            arguments = timm.models.load_model_config_from_hf(hub_id)[2] or {}
        model = timm.create_model(where, pretrained=True)
    kept = {key: value for key, value in arguments.items() if key not in OF_TRAINING}
    return model, {"architecture": str(model.pretrained_cfg.get("architecture")), "arguments": kept or None}


def _repository_of(timm: Any, name: EncoderName) -> str | None:
    """The hub repository of a model that timm knows by name."""
    if "/" in name.id or "\\" in name.id:
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: there is no folder {name.id}. For a hub repository write timm:{HUB}{name.id}."
        )
    architecture, _, tag = name.id.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError.of("timm model", name.id, timm.list_models(pretrained=True) + timm.list_models())
    if name.revision:
        raise InputError(
            f"encoder {str(name)!r}: timm's own names have no revisions. "
            f"Write timm:{HUB}timm/{name.id}@{name.revision}."
        )
    tags = timm.list_pretrained(architecture + ".*")
    if not tags or (tag and name.id not in tags):
        nearest = f"it has {', '.join(tags)}" if tags else "it has none; choose another model"
        raise UnknownNameError(f"timm has no weights called {name.id!r} for {architecture!r}; {nearest}.")
    config = timm.get_pretrained_cfg(name.id)
    if not config.hf_hub_id:
        _check_download(name, config.url)
    return str(config.hf_hub_id) if config.hf_hub_id else None


def _check_download(name: EncoderName, url: str) -> None:
    """Raise for weights that come from a plain address and are not there while calls are forbidden."""
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if is_offline() and not file.exists():
        raise ModelUnavailableError(
            f"encoder {str(name)!r} needs {url}, which is not at {file}, and network calls are forbidden. "
            f"Download it there, or load timm:{LOCAL}/path/to/folder."
        )


@contextmanager
def _missing_weights_raise(name: EncoderName) -> Iterator[None]:
    """Raise if timm leaves weights random inside the block; it says so only in its log."""
    logger = logging.getLogger("timm.models._builder")
    heard: list[str] = []

    def listen(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith("Missing keys"):
            heard.append(message)
        return record.levelno >= before

    before = logger.getEffectiveLevel()
    level = logger.level
    logger.addFilter(listen)
    logger.setLevel(min(before, logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeFilter(listen)
    if heard:
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: its weights do not fill the model, the rest would be random. {heard[0]} "
            f"Check that config.json and the weights belong together, num_classes included."
        )


def _trunk_state(model: Any) -> dict[str, Any]:
    """The state dict without the final classifier."""
    import torch

    last = model.get_classifier() if hasattr(model, "get_classifier") else None
    heads = [n for n, module in model.named_modules() if module is last and isinstance(last, torch.nn.Linear)]
    state = model.state_dict()
    return {key: value for key, value in state.items() if not any(key.startswith(f"{head}.") for head in heads)}
