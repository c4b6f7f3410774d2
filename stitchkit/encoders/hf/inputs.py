"""Decoded images and texts as the inputs of transformers models, by a checkpoint's own processor or tokenizer."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.roles import Encoder
from stitchkit.encoders.details import processor_details, text_details
from stitchkit.encoders.hf.checkpoints import Source, preprocessing_of
from stitchkit.encoders.hf.sentence_pipeline import SentencePipeline
from stitchkit.encoders.hub import importing
from stitchkit.encoders.images import rgb
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.load_checks import (
    check_processor_levels,
    check_token_ids,
    image_width,
    settings_of,
    sizes_of,
    text_width,
)
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.resolution import check_images, resolution_of
from stitchkit.encoders.tokenizer_files import check_merges

if TYPE_CHECKING:
    import torch

MASK = "attention_mask"
INTERPOLATE = "interpolate_pos_encoding"  # argument of networks that can interpolate their position embeddings
SPECIAL = 4  # tokens around a text, at most
SOME = 1024  # texts that are tokenised at once
FIRST_WORDS = 8  # of a text, enough to see that its tokenizer knows it
SPACES = " \t\n\u2581\u0120\u010a"  # a space or line end as tokenizers write them


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Inputs of a model from decoded images.

    ``further`` are arguments that the model gets with every batch.
    """

    processor: Any = field(repr=False)
    further: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, items: Sequence[Any]) -> dict[str, Any]:
        """Inputs on the CPU."""
        pictures = [rgb(item) for item in items]
        with library_call():
            return {**self.processor(images=pictures, return_tensors="pt"), **self.further}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the fingerprint holds."""
        return {"prompt": "", "length": None, "preprocessing": preprocessing_of(self.processor)}


@dataclass(frozen=True, slots=True)
class TextInputs:
    """Inputs of a model from texts.

    Parameters
    ----------
    name
        The encoder, for messages.
    tokenizer
        Its padding side is the one to use.
    prompt
        Put before every text.
    length
        Most tokens of a text; what is longer is cut. None for no limit.
    full
        Every text is padded to ``length`` and not to the longest of its batch, and the model gets a mask only if the
        tokenizer is set to give one: for models that read the last position, whatever stands there.
    """

    name: str
    tokenizer: Any = field(repr=False)
    prompt: str
    length: int | None
    full: bool = False

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Inputs on the CPU."""
        for row, item in enumerate(items):
            if not isinstance(item, str):
                kind = type(item).__name__
                raise InputError(f"encoder {self.name!r} takes texts; item {row} of the batch is a {kind}.")
        cut = {"truncation": True, "max_length": self.length} if self.length else {}
        padding = {"padding": "max_length" if self.full else True, "return_attention_mask": True}
        texts = [self.prompt + item for item in items]
        with library_call():
            batch = dict(self.tokenizer(texts, return_tensors="pt", **padding, **cut))
        filled = batch[MASK].any(dim=1)
        if not bool(filled.all()):
            row = int((~filled).nonzero()[0])
            raise InputError(f"encoder {self.name!r}: text {row} of the batch has no tokens. Leave empty texts out.")
        if self.full and not self._masks:
            del batch[MASK]
        return batch

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text with a token that is neither unknown, nor special, nor a blank, (n,)."""
        if self.tokenizer.unk_token_id is None:  # of bytes, or of characters: there is no unknown text
            return [True] * len(texts)
        starts = [" ".join(text.split(None, FIRST_WORDS)[:FIRST_WORDS]) for text in texts]  # cheaper, and mostly enough
        known = self._knows(starts)
        rest = [row for row, one in enumerate(known) if not one]
        for row, one in zip(rest, self._knows([texts[row] for row in rest]), strict=True):
            known[row] = one
        return known

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text that has more tokens than ``length``, prompt and special tokens included, (n,)."""
        if self.length is None:
            return [False] * len(texts)
        whole = [self.prompt + text for text in texts]
        # a token holds a byte at least, so that most texts need no second look
        rows = [row for row, text in enumerate(whole) if len(text.encode("utf-8", "replace")) + SPECIAL > self.length]
        cut = [False] * len(texts)
        for start in range(0, len(rows), SOME):
            some = rows[start : start + SOME]
            read = self.tokenizer([whole[row] for row in some], return_attention_mask=False, verbose=False)
            for row, ids in zip(some, read["input_ids"], strict=True):
                cut[row] = len(ids) > self.length
        return cut

    def _knows(self, texts: Sequence[str]) -> list[bool]:
        if not texts:
            return []
        cut = {"truncation": True, "max_length": self.length} if self.length else {}
        nothing = {self.tokenizer.unk_token_id, *self.tokenizer.all_special_ids}
        read = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, **cut)["input_ids"]
        token_ids = sorted({token for ids in read for token in ids} - nothing)
        tokens = self.tokenizer.convert_ids_to_tokens(token_ids)
        blank = {token for token, text in zip(token_ids, tokens, strict=True) if not str(text).strip(SPACES)}
        return [not (nothing | blank).issuperset(ids) for ids in read]

    @property
    def prompt_tokens(self) -> int:
        """Number of tokens of the prompt by itself, without a special token at its end."""
        if not self.prompt:
            return 0
        cut = {"truncation": True, "max_length": self.length} if self.length else {}
        ids = self.tokenizer(self.prompt, **cut)["input_ids"]
        return len(ids) - int(bool(ids) and ids[-1] in self.tokenizer.all_special_ids)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the fingerprint holds."""
        padding = {"side": self.tokenizer.padding_side, "mask": self._masks} if self.full else None
        preprocessing = preprocessing_of(self.tokenizer)
        return {"prompt": self.prompt, "length": self.length, "padding": padding, "preprocessing": preprocessing}

    @property
    def _masks(self) -> bool:
        return MASK in self.tokenizer.model_input_names


Inputs = ImageInputs | TextInputs


def details_of(inputs: Inputs, model: Any, pooling: str) -> dict[str, Any]:
    """Details of an encoder with these inputs."""
    if isinstance(inputs, TextInputs):
        return text_details(length=inputs.length, prompt=inputs.prompt, model=model, pooling=pooling)
    return processor_details(inputs.processor, model=model, pooling=pooling)


def inputs_of(
    source: Source, modality: str, model: torch.nn.Module, declared: SentencePipeline, *, full: bool = False,
    forward: Callable[..., Any] | None = None,
) -> Inputs:  # fmt: skip
    """The preprocessing of the checkpoint at ``source`` for ``model``, which takes one modality.

    ``forward`` is what gets the inputs, by default the model's own ``forward``.
    """
    name = source.name
    check_images(name, modality)
    if modality == "image" and name.options.get("prompt"):
        raise InputError(f"encoder {str(name)!r} takes images, which have no prompt. Leave out prompt=.")
    with importing("transformers"):  # image processors may need torchvision, which a text encoder does without
        import transformers

        kind = "AutoImageProcessor" if modality == "image" else "AutoTokenizer"
        processor_class = getattr(transformers, kind)  # imported by transformers at this access
    if modality == "text":
        check_tokenizer_file(source)
    processor = source.read(processor_class)
    if modality == "image":
        if (side := resolution_of(name)) is not None:
            processor = _at_resolution(processor, side, name)
        check_processor_levels(name, processor)
        takes = inspect.signature(forward or model.forward).parameters
        return ImageInputs(processor, {INTERPOLATE: True} if side is not None and INTERPOLATE in takes else {})
    fault = f"the tokenizer of {str(name)!r} cannot be used as its settings are"
    with fits(fault, "Copy tokenizer.json and tokenizer_config.json again from one source"):
        if declared.lower:
            _lower_case(processor, name)
        _check_tokenizer(processor, name)
        check_token_ids(name, processor, model)
    if not full:  # positions count from the left, so there a text's vector would follow the others of its batch
        processor.padding_side = "right"
    prompt = name.options.get("prompt", declared.prompt)
    return TextInputs(str(name), processor, prompt, _longest_input(model, processor, declared.length), full)


def _at_resolution(processor: Any, side: int, name: EncoderName) -> Any:
    """An image processor that makes images of ``side`` pixels, with the same share of them cut off at the edges."""
    settings = settings_of(processor)
    size, crop = (
        {key: one for key, one in (settings.get(part) or {}).items() if one} for part in ("size", "crop_size")
    )
    crops = bool(settings.get("do_center_crop")) and set(crop) == {"height", "width"}
    known = set(size) in ({"height", "width"}, {"shortest_edge"})
    if not known or not settings.get("do_resize"):
        raise InputError(
            f"encoder {str(name)!r} cannot be brought to resolution={side}: its {type(processor).__name__} is set to "
            f"{size or 'no size'}, which is no number of pixels a side. Leave resolution= out."
        )
    changed = {key: round(one * side / crop["height"]) if crops else side for key, one in size.items()}
    both = {"size": changed, **({"crop_size": {"height": side, "width": side}} if crops else {})}
    fault = f"the {type(processor).__name__} of {str(name)!r} takes no resolution"
    with fits(fault, "Leave resolution= out"), library_call():
        return type(processor).from_dict({**processor.to_dict(), **both})


def checked_width(encoder: Encoder, inputs: Inputs, config: Any) -> int:
    """The width d of the encoder's vectors, once images of different shapes went through it."""
    if isinstance(inputs, TextInputs):
        return text_width(encoder, type(inputs.tokenizer).__name__)
    processor, name = inputs.processor, EncoderName.parse(encoder.name)
    try:
        return image_width(encoder, type(processor).__name__, settings_of(processor), sizes_of(config))
    except ModelUnavailableError as error:
        if (side := name.options.get("resolution")) is None:
            raise
        raise InputError(
            f"encoder {encoder.name!r} cannot be brought to resolution={side}: its network ({config.model_type}) takes "
            f"{sizes_of(config)} and refuses images of that size. Choose a multiple of its patches, or leave "
            f"resolution= out."
        ) from error


def _lower_case(tokenizer: Any, name: EncoderName) -> None:
    """Set a tokenizer up to lower-case texts before all else, unless it does."""
    from tokenizers import normalizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"the checkpoint of {str(name)!r} declares do_lower_case, which its tokenizer "
            f"({type(tokenizer).__name__}) cannot be set to. Write texts in lower case and add #pipeline=none."
        )
    own = backend.normalizer
    many: Any = own if isinstance(own, normalizers.Sequence) else [own] if own is not None else []
    steps = list(many)
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def check_tokenizer_file(source: Source) -> None:
    """Raise for a tokenizer in a folder on which the library would end the process."""
    if source.hub_id is not None or (file := source.file("tokenizer.json")) is None:
        return
    try:
        check_merges(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"{file} of {str(source.name)!r} cannot be read as a tokenizer: {error}. Copy it again from its source."
        ) from error


def _check_tokenizer(tokenizer: Any, name: EncoderName) -> None:
    """Set a tokenizer up for padding; raise if it is empty or cannot pad."""
    # without a vocabulary file transformers makes a tokenizer of special tokens alone, and no error
    special = {*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())}
    if not any(token.strip(SPACES) for token in set(tokenizer.get_vocab()) - special):
        raise ModelUnavailableError(
            f"the tokenizer of {str(name)!r} knows special tokens only: its vocabulary file is missing. "
            f"Copy tokenizer.json (or vocab.txt, or the .model file) next to config.json."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(
                f"the tokenizer of {str(name)!r} has neither a pad nor an end token. Set pad_token in its config."
            )
        tokenizer.pad_token = tokenizer.eos_token  # masked, so any token serves
    settings = getattr(tokenizer, "init_kwargs", {})
    with library_call():
        capital, small = (tokenizer(letter)["input_ids"] for letter in "Aa")
    if settings.get("do_lower_case") and capital != small:
        warnings.warn(
            f"the tokenizer of {str(name)!r} is set to lower-case texts (do_lower_case) but keeps capitals, as "
            f"GemmaTokenizer of transformers does. The model was trained on lower case: write texts that way.",
            stacklevel=2,
        )


def _longest_input(model: torch.nn.Module, tokenizer: Any, declared: int | None) -> int | None:
    """The most tokens that the pipeline, else the tokenizer, and the model's positions allow; None for no limit."""
    limits = [declared or tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "num_embeddings"):
            # RoBERTa and its kin count positions from after the padding index
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - offset)
    known = [int(limit) for limit in limits if limit and 0 < limit < 10**9]
    return min(known, default=None)
