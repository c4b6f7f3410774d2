"""CLIP-like checkpoints of transformers: an image and a text encoder of one space, each loaded by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.adapters import adapted
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.clip_pairs import own_logit
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.hf.checkpoints import (
    Source,
    check_none_missing,
    check_shapes,
    code_of,
    facts_of,
    requested_modality,
)
from stitchkit.encoders.hf.inputs import Inputs, TextInputs, checked_width, details_of, inputs_of
from stitchkit.encoders.hf.sentence_pipeline import SentencePipeline
from stitchkit.encoders.hub import importing
from stitchkit.encoders.library_calls import library_call
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.pooling import at_norm, norm_of
from stitchkit.encoders.sides import is_vision_only, no_text_side

if TYPE_CHECKING:
    import torch

FEATURES = {"image": "get_image_features", "text": "get_text_features"}
STARTS = {"image": "vis", "text": "text"}  # vision_model, visual_projection; text_model, text_projection
FULL_LENGTH = ("siglip", "siglip2")  # trained on texts padded to full length, whose last position they read


@dataclass(slots=True, eq=False)
class HFPairEncoder:
    """The image or the text encoder of a CLIP-like checkpoint, with its projection.

    ``pair`` is a fingerprint of the weights of both, the same for either: what tells that their vectors can be
    compared. ``logit_scale`` and ``logit_bias`` make the pair's own logits of cosines.
    """

    name: str
    space: Space
    modality: str
    model: torch.nn.Module = field(repr=False)
    inputs: Inputs = field(repr=False)
    norm: str
    device: str
    dtype: str
    pair: str
    logit_scale: float | None = None
    logit_bias: float | None = None

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        unit = ", unit length" if self.norm == "unit" else ""
        return details_of(self.inputs, self.model, f"projected features{unit}")

    def prepare(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Decoded images, or texts, as the model's inputs on the CPU.

        Texts get the prompt prefix and are cut at the longest input of the tokenizer and the model. They are padded
        on the right to the longest of the batch; for SigLIP and SigLIP 2 to their full length, as these were trained.
        """
        return self.inputs(items)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text of which the tokenizer knows something, (n,)."""
        return self.inputs.knows(texts) if isinstance(self.inputs, TextInputs) else [True] * len(texts)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return self.inputs.cuts(texts) if isinstance(self.inputs, TextInputs) else [False] * len(texts)

    def encode(self, batch: dict[str, torch.Tensor]) -> Encoded:
        """Projected features (b, d) in float32 on the device, of any length unless ``norm=unit``."""
        import torch

        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: dict[str, torch.Tensor]) -> Encoded:
        """As :meth:`encode`, with gradients where weights are trained."""
        inputs = move(batch, self.device, self.dtype)
        with library_call():
            output = getattr(self.model, FEATURES[self.modality])(**inputs)
        features = output.pooler_output if hasattr(output, "pooler_output") else output
        return Encoded(at_norm(features.float(), self.norm))


def lacks_text(source: Source) -> bool:
    """True for a checkpoint that is described as a pair and holds the vision encoder alone.

    Raises
    ------
    InputError
        If its text encoder is asked for.
    """
    name = source.name
    if source.hub_id is not None and requested_modality(name) is None:
        return False  # the error that names both encoders comes before gigabytes are fetched
    if not is_vision_only(source.weight_names(), STARTS["image"], STARTS["text"]):
        return False
    if requested_modality(name) == "text":
        raise no_text_side(name)
    return True


def load_half(source: Source, config: Any, pipeline: SentencePipeline, *, device: str, dtype: str) -> HFPairEncoder:
    """The encoder of a two-encoder checkpoint that ``#modality=image`` or ``#modality=text`` asks for.

    Raises
    ------
    InputError
        If no modality is asked for, if the checkpoint is no pair with projected features, or for options that have
        no meaning for one.
    ModelUnavailableError
        If weights of either half are missing.
    """
    name = source.name
    modality, norm = _choose_modality(name, config), _norm(name, pipeline)
    model = adapted(_whole(source, config), name, STARTS[modality])
    digests = {one: fingerprint(_state(model, one, name), {}) for one in FEATURES}
    half = getattr(model, "text_model" if modality == "text" else "vision_model", model)
    inputs = inputs_of(source, modality, half, pipeline, full=config.model_type in FULL_LENGTH,
                       forward=getattr(model, FEATURES[modality]))  # fmt: skip
    settings = {"weights": digests[modality], "modality": modality, "pool": "projected", "norm": norm}
    digest = fingerprint({}, {**settings, "config": facts_of(half.config), **inputs.settings}, code_of(model))
    scale, bias = own_logit(model)
    _drop_other(model, modality)
    encoder = HFPairEncoder(
        str(name), Space(str(name), 1), modality, freeze(model, device, dtype), inputs, norm, device, dtype,
        fingerprint({}, digests), scale, bias,
    )  # fmt: skip
    encoder.space = Space(str(name), checked_width(encoder, inputs, half.config), digest)
    if modality == "text":
        _check_padding(encoder)
    return encoder


def _norm(name: EncoderName, pipeline: SentencePipeline) -> str:
    """The norm of the features; raises for a declared pipeline that does more with them."""
    parts, norm = pipeline.ending(norm_of(name))
    if pipeline.pool is not None or parts or pipeline.truncate is not None:
        kinds = [part.kind for part in parts if part.kind != "Normalize"]
        extra = "Pooling" if pipeline.pool is not None else kinds[0] if kinds else "truncate_dim"
        raise InputError(
            f"the checkpoint of {str(name)!r} declares {extra} behind a CLIP-like pair, whose projected features this "
            f"family takes as they are. Leave the pipeline out with #pipeline=none."
        )
    return norm


def _whole(source: Source, config: Any) -> torch.nn.Module:
    """The model with both halves, on the CPU in float32."""
    with importing("transformers"):
        import torch
        from transformers import MODEL_MAPPING, AutoModel
    _check_features(MODEL_MAPPING.get(type(config), None), source.name, config)  # before gigabytes are read
    model, report = source.read(AutoModel, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True)
    check_shapes(source.name, report["mismatched_keys"])
    _check_features(model, source.name, config)
    # parameters of the pair itself, without a dot in their names, scale logits only
    missing = [key for key in report["missing_keys"] if "." in key]
    check_none_missing(source.name, missing, report["unexpected_keys"])
    whole: torch.nn.Module = model
    return whole


def _choose_modality(name: EncoderName, config: Any) -> str:
    """The modality asked for; the two there are in an error if there is none."""
    modality = requested_modality(name)
    if modality is None:
        both = (str(replace(name, options={**name.options, "modality": one})) for one in FEATURES)
        raise InputError(
            f"the checkpoint of {str(name)!r} ({config.model_type}) holds an image and a text encoder; this family "
            f"loads one encoder. Choose one: {' or '.join(both)}."
        )
    if meaningless := [key for key in ("pool", "layer") if key in name.options]:
        raise InputError(
            f"encoder {str(name)!r} gives the projected features of a CLIP-like pair, which are not pooled again. "
            f"Leave out {meaningless[0]}=."
        )
    return modality


def _check_features(model: Any, name: EncoderName, config: Any) -> None:
    """Raise for a model, or the class of one, that projects no features into a common space; None is let through."""
    if model is None or all(hasattr(model, method) for method in FEATURES.values()):
        return
    raise InputError(
        f"the checkpoint of {str(name)!r} ({config.model_type}) is no CLIP-like pair: its model has no "
        f"{' and '.join(FEATURES.values())}. Save the encoder you need as a model of its own."
    )


def _state(model: torch.nn.Module, modality: str, name: EncoderName) -> dict[str, torch.Tensor]:
    """The weights of one half and its projection."""
    state = {key: value for key, value in model.state_dict().items() if "." in key}
    strays = [key for key in state if not key.startswith(tuple(STARTS.values()))]
    if strays or not any(key.startswith(STARTS[modality]) for key in state):
        raise InputError(
            f"the model of {str(name)!r} is not made of an image and a text encoder alone"
            f"{f' (it has {strays[0]!r})' if strays else ''}. Save the encoder you need as a model of its own."
        )
    return {key: value for key, value in state.items() if key.startswith(STARTS[modality])}


def _drop_other(model: torch.nn.Module, modality: str) -> None:
    """Free the half that is not used."""
    for child, _ in list(model.named_children()):
        if not child.startswith(STARTS[modality]):
            delattr(model, child)


def _check_padding(encoder: HFPairEncoder) -> None:
    """Raise if a text's vector follows the longer texts of its batch."""
    alone, beside = (
        to_numpy(encoder.encode(encoder.prepare(texts)).pooled)[0] for texts in (["a"], ["a", "a a a a a a a a"])
    )
    if alone @ beside < 0.99 * np.linalg.norm(alone) * np.linalg.norm(beside):
        raise InputError(
            f"the text encoder of {encoder.name!r} gives a text another vector beside a longer one, so it was not "
            f"trained on texts padded to the longest of a batch. Use a checkpoint of a kind that is known "
            f"({', '.join(FULL_LENGTH)} get their full length), or write a python: encoder that pads as it should."
        )
