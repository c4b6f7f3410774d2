"""Checkpoints of open_clip: the image or the text encoder of a pair, with open_clip's own and Hugging Face's towers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import check_counts, check_weights, fingerprint, settings_in, tensor_names
from stitchkit.encoders.clip_pairs import own_logit
from stitchkit.encoders.details import image_details, text_details
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.folder_kinds import describe_folder
from stitchkit.encoders.hub import hub_file, importing, is_offline, loading
from stitchkit.encoders.images import rgb
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.load_checks import check_levels, image_width, text_width
from stitchkit.encoders.names import HUB, LOCAL, EncoderName
from stitchkit.encoders.pooling import at_norm, norm_of
from stitchkit.encoders.resolution import check_images, resolution_of
from stitchkit.encoders.sides import is_vision_only, no_text_side
from stitchkit.encoders.state_dicts import check_state, read_state

if TYPE_CHECKING:
    import torch

CONFIG = "open_clip_config.json"
PATTERNS = ("*.safetensors", "*.bin", "*.pth")  # files that open_clip looks for in a folder
MODALITIES = ("image", "text")
VISION = "visual."  # start of the names of weights of the vision encoder
OPTIONS = ("modality", "norm", "prompt", "resolution")
NO_VECTOR = (
    "image_size",
    "timm_model_pretrained",
    "timm_drop",
    "timm_drop_path",
    "patch_dropout",
    "output_tokens",
    "hf_model_pretrained",
    "hf_model_name",
    "hf_tokenizer_name",
)  # settings that stand elsewhere in the fingerprint, or that no vector depends on
OF_PAIR = ("logit_scale", "logit_bias")  # parameters that no vector depends on


@dataclass(slots=True, eq=False)
class OpenClipEncoder:
    """The image or the text encoder of an open_clip checkpoint, with its projection.

    ``pair`` is a fingerprint of the weights of both, the same for either; empty where the text encoder is not there.
    ``logit_scale`` and ``logit_bias`` make the pair's own logits of cosines.
    """

    name: str
    space: Space
    modality: str
    model: Any = field(repr=False)  # of open_clip, whose methods are not typed
    inputs: Callable[[Sequence[Any]], torch.Tensor] = field(repr=False)
    norm: str
    device: str
    dtype: str
    pair: str
    vocabulary: Callable[[Sequence[str]], list[bool]] | None = field(default=None, repr=False)
    context: Callable[[Sequence[str]], list[bool]] | None = field(default=None, repr=False)
    logit_scale: float | None = None
    logit_bias: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the preprocessing

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        known, pooling = self.settings, "projected features" + (", unit length" if self.norm == "unit" else "")
        if self.modality == "text":
            prompt, length = known.get("prompt", ""), known.get("length")
            return text_details(length=length, prompt=prompt, model=self.model, pooling=pooling)
        sides = known["size"] if isinstance(known["size"], list | tuple) else (known["size"], known["size"])
        return image_details(
            size=f"{sides[0]} x {sides[1]}",
            crop={"shortest": "shortest side, then the middle"}.get(known.get("resize_mode", ""), ""),
            mean=known["mean"],
            std=known["std"],
            interpolation=known.get("interpolation"),
            model=self.model,
            pooling=pooling,
        )

    def prepare(self, items: Sequence[Any]) -> torch.Tensor:
        """Decoded images as pixels (b, 3, h, w), or texts as token ids (b, t), on the CPU.

        Texts get the prompt prefix and are cut and padded to the context length of the checkpoint.
        """
        return self.inputs(items)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text of which the tokenizer knows something, (n,); of bytes all are known."""
        return [True] * len(texts) if self.vocabulary is None else self.vocabulary(texts)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return [False] * len(texts) if self.context is None else self.context(texts)

    def encode(self, batch: torch.Tensor) -> Encoded:
        """Projected features (b, d) in float32 on the device, of any length unless ``norm=unit``."""
        import torch

        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: torch.Tensor) -> Encoded:
        """As :meth:`encode`, with gradients where weights are trained."""
        inputs = move(batch, self.device, self.dtype)
        with library_call():
            features = self.model(inputs) if self.modality == "image" else self.model.encode_text(inputs)
        return Encoded(at_norm(features.float(), self.norm))


def load(name: EncoderName, *, device: str, dtype: str) -> OpenClipEncoder:
    """One encoder of ``ARCHITECTURE/TAG`` in open_clip's words, ``hf-hub:org/name``, ``local-dir:/path`` or a path.

    Options are ``modality=image|text``, which must be chosen, ``norm=none|unit``, of texts ``prompt=PREFIX``, and of
    images ``resolution=384`` (pixels of a side, for which position embeddings are interpolated).

    Raises
    ------
    InputError
        If no modality is asked for, or for an option without a meaning.
    ModelUnavailableError
        If files are missing or are something else, or weights do not fill the model.
    """
    name.check_options(OPTIONS)
    alone = _vision_only(name)
    modality = "image" if alone is not None and name.options.get("modality") is None else _modality(name)
    if alone is not None and modality == "text":
        raise no_text_side(name)
    with importing("open_clip", "'stitchkit[open-clip]'"):
        library: Any = import_module("open_clip")
    model, preprocessing, tokenizer, built = _read(library, name, _resolution(name, modality), alone)
    state = {key: value for key, value in model.state_dict().items() if key not in OF_PAIR}
    halves = {
        one: {key: value for key, value in state.items() if key.startswith(VISION) == (one == "image")}
        for one in MODALITIES
    }
    digests = {one: fingerprint(half, {}) for one, half in halves.items() if not (alone and one == "text")}
    scale, bias = (None, None) if alone else own_logit(model)
    norm, prompt, settings = norm_of(name) or "none", name.options.get("prompt", ""), dict(model.visual.preprocess_cfg)
    if modality == "image":
        check_levels(name, 1.0, list(settings["mean"]), list(settings["std"]), "open_clip, which scales to 0 to 1,")
        tower, inputs, known, context = model.visual, _image_inputs(preprocessing), None, None
        facts: dict[str, Any] = {"preprocessing": settings, "built": _half(built, "vision_cfg", model.visual)}
    else:
        del model.visual
        tower, inputs, known = model, _text_inputs(str(name), tokenizer, prompt), _vocabulary(name, tokenizer)
        context = _context(name, tokenizer, prompt)
        facts = {"prompt": prompt, "length": tokenizer.context_length, "built": _half(built, "text_cfg", model),
                 **_text_facts(model, tokenizer)}  # fmt: skip
    digest = fingerprint({}, {"weights": digests[modality], "modality": modality, "norm": norm, **facts})
    encoder = OpenClipEncoder(
        name=str(name), space=Space(str(name), 1), modality=modality, model=freeze(tower, device, dtype), inputs=inputs,
        norm=norm, device=device, dtype=dtype, pair="" if alone else fingerprint({}, digests),
        vocabulary=known, context=context, logit_scale=scale, logit_bias=bias,
        settings=facts.get("preprocessing", facts),
    )  # fmt: skip
    if modality == "image":
        dim = image_width(encoder, "preprocessing", {"size": settings["size"]}, f"images of {settings['size']}")
    else:
        dim = text_width(encoder, "tokenizer")
    encoder.space = Space(str(name), dim, digest)
    return encoder


def _modality(name: EncoderName) -> str:
    chosen = name.options.get("modality")
    if chosen is None:
        both = (str(replace(name, options={**name.options, "modality": one})) for one in MODALITIES)
        raise InputError(f"the checkpoint of {str(name)!r} holds two encoders. Choose one: {' or '.join(both)}.")
    if chosen not in MODALITIES:
        raise UnknownNameError.of("modality", chosen, MODALITIES)
    if chosen == "image" and name.options.get("prompt"):
        raise InputError(f"encoder {str(name)!r} takes images, which have no prompt. Leave out prompt=.")
    return chosen


def _resolution(name: EncoderName, modality: str) -> int | None:
    """The resolution that the options ask for; of texts there is none."""
    check_images(name, modality)
    return resolution_of(name)


def _half(built: Mapping[str, Any], part: str, tower: Any) -> dict[str, Any]:
    """The settings that one tower was built by; some activations are known only from the tower itself."""
    own = built.get(part)
    settings = {key: value for key, value in (own or {}).items() if key not in NO_VECTOR}
    quick = any(type(module).__name__ == "QuickGELU" for module in tower.modules())
    return {**settings, "quick_gelu": quick or None}


def _text_facts(model: Any, tokenizer: Any) -> dict[str, Any]:
    """The tokenizer, and the config of a text tower of Hugging Face, for the fingerprint."""
    from stitchkit.encoders.hf.checkpoints import facts_of, preprocessing_of

    inner, config = getattr(tokenizer, "tokenizer", None), getattr(getattr(model, "text", None), "config", None)
    return {
        "tokens": _probe_tokens(tokenizer),
        "tokenizer": None if inner is None else preprocessing_of(inner),
        "config": None if config is None else facts_of(config),
    }


def _vision_only(name: EncoderName) -> Path | None:
    """The file of weights of a folder that holds the vision encoder alone, else None."""
    folder = name.folder
    files = [] if folder is None else [one for pattern in PATTERNS for one in sorted(folder.glob(pattern))]
    if folder is None or len(files) != 1 or not (folder / CONFIG).is_file():
        return None
    check_weights(files[0])
    if files[0].suffix == ".safetensors":
        names: Iterable[str] = tensor_names(files[0])
    else:
        names = read_state(name, files[0])
    return files[0] if is_vision_only(names, VISION, "") else None


def _read_vision(
    library: Any, name: EncoderName, where: str, file: Path, settings: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Model with the weights of its vision encoder alone, and the transform of images."""
    import torch

    state = {key: one for key, one in read_state(name, file).items() if key.startswith(VISION)}
    with loading(name, None):
        model, _, transform = library.create_model_and_transforms(where, load_weights=False, **settings)
        import_module("open_clip.model").resize_pos_embed(state, model)
    if f"{VISION}proj" not in state and isinstance(getattr(model.visual, "proj", None), torch.nn.Parameter):
        model.visual.proj = None  # a tower without a projection: its pooled output is the vector
    check_state(name, {key: one for key, one in model.state_dict().items() if key.startswith(VISION)}, state)
    model.load_state_dict(state, strict=False)
    return model, transform


def _read(
    library: Any, name: EncoderName, side: int | None, alone: Path | None
) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    """Model with its weights, transform of images, tokenizer, all on the CPU, and the config it was built by."""
    sized = {} if side is None else {"force_image_size": side}
    if name.folder is not None:
        if name.revision:
            raise InputError(f"encoder {str(name)!r} is a folder, which has no revisions. Leave out @{name.revision}.")
        folder = name.folder.resolve()
        where, hub_id, tag, overrides = f"{LOCAL}{folder}", None, None, _check_folder(folder, name)
    elif name.id.startswith(HUB):
        if name.revision:
            raise InputError(
                f"encoder {str(name)!r}: open_clip loads no revisions. Copy that revision to a folder and load "
                f"{name.family}:{LOCAL}/path/to/folder."
            )
        where, hub_id, tag, overrides = name.id, name.id.removeprefix(HUB), None, {}
    else:
        (where, tag), overrides = _tagged(library, name), {}
        hub_id = _repository(library.get_pretrained_cfg(where, tag), name)
    if alone is not None:
        model, transform = _read_vision(library, name, where, alone, {**sized, **overrides})
        return model, transform, None, _model_config(library, name, where, hub_id)
    with loading(name, hub_id):
        # weights that the hub does not give would be random, with a line in the log
        model, _, transform = library.create_model_and_transforms(
            where, pretrained=tag, require_pretrained=True, **sized, **overrides
        )
        tokenizer = library.get_tokenizer(where)
    return model, transform, tokenizer, _model_config(library, name, where, hub_id)


def _model_config(library: Any, name: EncoderName, where: str, hub_id: str | None) -> Mapping[str, Any]:
    """The config of both towers."""
    if name.folder is None and not name.id.startswith(HUB):
        return library.get_model_config(where) or {}
    file = name.folder / CONFIG if name.folder is not None else hub_file(name, str(hub_id), CONFIG)
    settings = settings_in(file) if file is not None else {}
    return settings.get("model_cfg", {}) if isinstance(settings, Mapping) else {}


def _tagged(library: Any, name: EncoderName) -> tuple[str, str]:
    """Architecture and tag of weights that open_clip knows by name."""
    architecture, _, tag = name.id.rpartition("/")
    known = library.list_pretrained_tags_by_model(architecture) if architecture else []
    if architecture not in library.list_models():
        raise UnknownNameError.of(
            "open_clip model", architecture or name.id, library.list_models(), "Write open_clip:ARCHITECTURE/TAG."
        )
    if tag not in known:
        raise UnknownNameError.of(f"weights of {architecture}", tag, known, "Without weights a model is random.")
    if name.revision:
        raise InputError(f"encoder {str(name)!r}: open_clip's own names have no revisions. Leave out @{name.revision}.")
    return architecture, tag


def _repository(config: Mapping[str, Any], name: EncoderName) -> str | None:
    """The hub repository of known weights; raises for weights of a plain address that may not be asked for."""
    if repository := str(config.get("hf_hub") or "").rstrip("/"):
        return repository
    url = str(config.get("url") or "")
    file = Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]
    if is_offline() and not file.is_file():
        raise ModelUnavailableError(
            f"encoder {str(name)!r} needs {url}, which is not at {file}, and network calls are forbidden. Download it "
            f"there, or load {name.family}:{LOCAL}/path/to/folder."
        )
    return None


def _check_folder(folder: Path, name: EncoderName) -> dict[str, Any]:
    """Settings for open_clip beside the folder's config, once its files look like a checkpoint."""
    if not folder.is_dir():
        raise ModelUnavailableError(f"encoder {str(name)!r}: there is no folder {folder}. Check the path.")
    if not (folder / CONFIG).is_file():
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: {folder} holds no {CONFIG}, so it is no checkpoint of open_clip. "
            + (describe_folder(folder) or "Copy the whole folder from its source.")
        )
    settings = settings_in(folder / CONFIG)
    check_counts(settings, folder / CONFIG)
    config = settings.get("model_cfg") if isinstance(settings, Mapping) else None
    text = config.get("text_cfg") if isinstance(config, Mapping) else None
    if not isinstance(text, Mapping):
        raise ModelUnavailableError(f"{folder / CONFIG} names no model_cfg with a text_cfg. Copy it from its source.")
    files = [file for pattern in PATTERNS for file in sorted(folder.glob(pattern))]
    if not files:
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: {folder} holds no weights ({', '.join(PATTERNS)}); they would be random. Copy the "
            f"weights next to {CONFIG}."
        )
    for file in files:
        check_weights(file)
    if not text.get("hf_model_name") or not (folder / "config.json").is_file():
        return {}
    # the architecture of a Hugging Face text tower is read from the folder, not asked of the hub
    return {"text_cfg": {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}}


def _image_inputs(transform: Any) -> Callable[[Sequence[Any]], torch.Tensor]:
    def pixels(items: Sequence[Any]) -> torch.Tensor:
        import torch

        pictures = [rgb(item) for item in items]
        with library_call():
            return torch.stack([transform(one) for one in pictures])

    return pixels


def _text_inputs(name: str, tokenizer: Any, prompt: str) -> Callable[[Sequence[Any]], torch.Tensor]:
    def tokens(items: Sequence[Any]) -> torch.Tensor:
        for row, item in enumerate(items):
            if not isinstance(item, str):
                kind = type(item).__name__
                raise InputError(f"encoder {name!r} takes texts; item {row} of the batch is a {kind}.")
        with library_call():
            ids: torch.Tensor = tokenizer([prompt + item for item in items])
        return ids

    return tokens


def _vocabulary(name: EncoderName, tokenizer: Any) -> Callable[[Sequence[str]], list[bool]] | None:
    """The test of texts by a Hugging Face tokenizer's vocabulary; open_clip's own reads bytes and knows all."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return None
    from stitchkit.encoders.hf.inputs import TextInputs

    return TextInputs(str(name), inner, "", tokenizer.context_length).knows


def _context(name: EncoderName, tokenizer: Any, prompt: str) -> Callable[[Sequence[str]], list[bool]]:
    """The test of texts that are longer than the context length of the checkpoint."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None:
        from stitchkit.encoders.hf.inputs import TextInputs

        return TextInputs(str(name), inner, prompt, tokenizer.context_length).cuts

    def cuts(texts: Sequence[str]) -> list[bool]:
        room = tokenizer.context_length - 2  # a start and an end token
        return [len(tokenizer.encode(prompt + text)) > room for text in texts]

    return cuts


def _probe_tokens(tokenizer: Any) -> list[list[int]]:
    """Token ids of two fixed texts: another tokenizer gives others."""
    with (
        fits("the tokenizer of the checkpoint makes no tokens", "Copy its files again from their source"),
        library_call(),
    ):
        ids: list[list[int]] = tokenizer(["a chest radiograph", "Pleural Effusion, 12 mm."]).tolist()
    return ids
