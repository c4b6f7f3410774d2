"""Vision and text encoders of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.adapters import adapted
from stitchkit.encoders.checkpoints import check_counts, fingerprint
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.feature_maps import rows_of
from stitchkit.encoders.hf.causal import is_causal
from stitchkit.encoders.hf.checkpoints import (
    Source,
    architecture_of,
    check_whole,
    code_of,
    facts_of,
    holds_two,
    modality_of,
    model_class,
    requested_modality,
)
from stitchkit.encoders.hf.inputs import ImageInputs, Inputs, TextInputs, checked_width, details_of, inputs_of
from stitchkit.encoders.hf.pairs import HFPairEncoder, lacks_text, load_half
from stitchkit.encoders.hf.sentence_pipeline import SentencePipeline
from stitchkit.encoders.hub import importing
from stitchkit.encoders.library_calls import library_call
from stitchkit.encoders.names import ADAPTER, EncoderName
from stitchkit.encoders.pooling import POOLS, Pooling, norm_of
from stitchkit.encoders.probing import class_names, linear_head, neutral, random_images

if TYPE_CHECKING:
    import torch

OPTIONS = ("pool", "layer", "norm", "prompt", "modality", "pipeline", "resolution", "adapter")


@dataclass(slots=True, eq=False)
class HFEncoder:
    """A transformers model as an encoder."""

    name: str
    space: Space
    modality: str
    model: torch.nn.Module = field(repr=False)
    inputs: Inputs = field(repr=False)
    pooling: Pooling
    device: str
    dtype: str
    source: Source

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        return details_of(self.inputs, self.model, self.pooling.in_words())

    def prepare(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Decoded images, or texts, as the model's inputs on the CPU.

        Texts get the prompt prefix, are cut at the longest input of the tokenizer and the model, and padded on
        the right to the longest of the batch.
        """
        return self.inputs(items)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text of which the tokenizer knows something, (n,)."""
        return self.inputs.knows(texts) if isinstance(self.inputs, TextInputs) else [True] * len(texts)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return self.inputs.cuts(texts) if isinstance(self.inputs, TextInputs) else [False] * len(texts)

    def encode(self, batch: dict[str, torch.Tensor]) -> Encoded:
        """Pooled vectors (b, d) in float32 on the device, tokens (b, t, d), and of texts their mask (b, t).

        Tokens of a network with feature maps are the positions of the last one.
        """
        import torch

        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: dict[str, torch.Tensor]) -> Encoded:
        """As :meth:`encode`, with gradients where weights are trained."""
        inputs = move(batch, self.device, self.dtype)
        mask = inputs.get("attention_mask")
        with library_call():
            output = self.model(**inputs, output_hidden_states=self.pooling.layer != -1, return_dict=True)
        tokens = self.pooling.tokens(output)
        pooled = self.pooling.vectors(output, tokens, mask)
        return Encoded(pooled, rows_of(tokens) if tokens.ndim == 4 else tokens, mask)

    def classifier(self) -> LinearHead:
        """The linear classifier of an image classification checkpoint, checked against the model's own logits.

        Raises
        ------
        InputError
            If it has none, or if it reads vectors that this pooling does not make; then the error names the
            pooling that does.
        """
        import torch
        from transformers import AutoModelForImageClassification

        if ADAPTER in self.source.name.options:
            raise InputError(
                f"the classifier of {self.name!r} reads vectors of the model without the adapter. Fit a probe on its "
                f"vectors."
            )
        if not architecture_of(self.model.config).endswith("ForImageClassification"):
            raise InputError(f"the checkpoint of {self.name!r} has no image classifier. Fit a probe on its vectors.")
        model, report = self.source.read(
            AutoModelForImageClassification, dtype=torch.float32, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
        check_whole(self.source.name, report, pooler=True)
        model.eval()
        pixels = random_images(self.prepare([neutral("image")])["pixel_values"].shape[1:])
        further = self.inputs.further if isinstance(self.inputs, ImageInputs) else {}
        with torch.inference_mode():
            logits = model(pixel_values=pixels, return_dict=True, **further).logits
            output = model.base_model(pixel_values=pixels, output_hidden_states=True, return_dict=True, **further)
        return self._head(model, output, logits)

    def _head(self, model: Any, output: Any, logits: torch.Tensor) -> LinearHead:
        """The model's last linear layer over this encoder's pooling, or an error that names the right pooling."""
        import torch

        layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == logits.shape[1]]
        classes = class_names(model.config.id2label, logits.shape[1])
        fits: list[str] = []
        for pooling in (
            self.pooling,
            *(replace(self.pooling, pool=pool, layer=-1, norm="none", after=None) for pool in POOLS if pool != "last"),
        ):
            if not layers or (pooling.pool == "pooler" and getattr(output, "pooler_output", None) is None):
                continue
            pooled = pooling.vectors(output, pooling.tokens(output), None)
            space = Space(self.name, pooled.shape[1], self.space.fingerprint)
            one_of_many = model.config.problem_type in (None, "single_label_classification")
            head = linear_head(space, layers[-1], classes, pooled, logits, multiclass=one_of_many)
            if head is not None and pooling is self.pooling:
                return head
            fits += [pooling.pool] if head is not None else []
        plain = "" if self.pooling.after is None and not self.pooling.every else "pipeline=none&"
        advice = "No single pooling explains its logits; fit a probe instead."
        if fits:
            advice = f"It reads pool={fits[0]} of the final output: load the encoder with #{plain}pool={fits[0]}."
        raise InputError(
            f"the classifier of {self.name!r} does not read the pool={self.pooling.pool} vectors. {advice}"
        )


def load(name: EncoderName, *, device: str, dtype: str, trust_remote_code: bool = False) -> HFEncoder | HFPairEncoder:
    """The encoder ``name`` means: ``org/name[@revision]``, ``hf-hub:org/name``, ``local-dir:/path`` or a path.

    Options: ``pool=cls|mean|last|pooler`` (default: the mean over the mask for texts, the last token of causal
    models, whose first has read nothing; for images the class token, or the mean where there is none), ``layer``
    (index into the hidden states; -1, the default, is the model's final output), ``norm=unit`` (vectors of length
    one, as sentence-transformers models usually end), ``prompt`` (put before every text), and ``resolution`` (pixels
    of a side of images, for which position embeddings are interpolated). What the ``modules.json`` of
    sentence-transformers declares are the defaults of all these; ``pipeline=none`` leaves it out. ``adapter`` names
    the folder of a PEFT adapter, such as LoRA, that is merged into the weights. A pooler that is
    not used stays out of the fingerprint. Of a checkpoint with an image and a text encoder, ``modality=image|text``
    chooses one; its vectors are the projected features. Where only the vision encoder of such a pair is there, it is
    read by itself, without a projection.
    """
    name.check_options(OPTIONS)
    requested_modality(name)
    root = Source.of(name, trust_remote_code)
    with importing("transformers"):
        import torch
        from transformers import AutoConfig
    pipeline = SentencePipeline.of(root)
    source = root.at(pipeline.path) if pipeline.declared else root
    config = source.read(AutoConfig)
    check_counts(config.to_dict(), f"the checkpoint of {str(name)!r}")
    alone: dict[str, Any] = {}
    if holds_two(config):
        if not lacks_text(source):
            return load_half(source, config, pipeline, device=device, dtype=dtype)
        alone["config"] = config = config.vision_config
    kind = model_class(config, name, encoder_only=pipeline.declared)
    model, report = source.read(
        kind, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **alone
    )
    check_whole(name, report, pooler=False)
    model = adapted(model, name)
    modality = modality_of(model, name)
    inputs = inputs_of(source, modality, model, pipeline)
    pooling = _pooling(root, pipeline, model, modality, inputs, device)
    if pooling.pool == "pooler":
        check_whole(name, report, pooler=True)
    used = {k: v for k, v in model.state_dict().items() if pooling.pool == "pooler" or "pooler." not in k}
    after: dict[str, Any] = {}
    if isinstance(pooling.after, torch.nn.Module):
        used |= {f"pipeline.{key}": value for key, value in pooling.after.state_dict().items()}
        after = {"pipeline": pooling.after.settings}
    facts = {"config": facts_of(model.config), **pooling.settings, **inputs.settings, **after}
    digest = fingerprint(used, facts, code_of(model))  # before the weights change precision
    encoder = HFEncoder(
        str(name), Space(str(name), 1), modality, freeze(model, device, dtype), inputs, pooling, device, dtype, source
    )  # fmt: skip
    encoder.space = Space(str(name), checked_width(encoder, inputs, model.config), digest)
    return encoder


def _pooling(
    root: Source, pipeline: SentencePipeline, model: Any, modality: str, inputs: Inputs, device: str
) -> Pooling:
    """The pooling of the options and of the declared pipeline, with the modules behind it."""
    from stitchkit.encoders.hf.sentence_modules import after_of

    open_choice = pipeline.pool is None and root.name.options.get("pool") in (None, "cls")
    causal = isinstance(inputs, TextInputs) and open_choice and is_causal(model, inputs)
    pooling = Pooling.of(root.name, model, modality, pipeline.pool, causal=causal)
    if not pipeline.declared:
        return pooling
    if pipeline.pool is None and "pool" not in root.name.options:
        raise InputError(
            f"the checkpoint of {str(root.name)!r} is a sentence-transformers pipeline without a pooling. "
            f"Choose one with #pool=, or leave the pipeline out with #pipeline=none."
        )
    parts, norm = pipeline.ending(norm_of(root.name))
    after = after_of(root, parts, pipeline.truncate)
    skip = inputs.prompt_tokens if isinstance(inputs, TextInputs) and not pipeline.include_prompt else 0
    return replace(pooling, norm=norm, skip=skip, after=None if after is None else freeze(after, device, "float32"))
