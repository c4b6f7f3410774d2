"""Folders of an ONNX model with its tokenizer or image processor, run by onnxruntime."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.encoders.checkpoints import check_weights, fingerprint, settings_in
from stitchkit.encoders.folder_kinds import describe_folder
from stitchkit.encoders.hf.inputs import MASK, ImageInputs, Inputs, TextInputs, details_of
from stitchkit.encoders.hub import importing, loading
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.load_checks import check_processor_levels, image_width, probe_images, settings_of, text_width
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.pooling import at_norm, norm_of
from stitchkit.encoders.tokenizer_files import read_tokenizer
from stitchkit.storage.digests import sha256_of_file

if TYPE_CHECKING:
    import torch

OPTIONS = ("pool", "norm", "prompt", "output")
POOLS = ("mean", "cls", "output")
BY_AXES = {2: "output", 3: "mean"}  # pooling by the number of axes of the output
FILES = ("model.onnx", "onnx/model.onnx")
IDS, TYPES, PIXELS = "input_ids", "token_type_ids", "pixel_values"
INPUTS = {"text": (IDS, MASK, TYPES), "image": (PIXELS,)}
NUMBERS = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(float)": "float32", "tensor(float16)": "float16"}
TOKENIZER, PROCESSOR = "tokenizer.json", "preprocessor_config.json"
NAMED_TOKENS = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")
PADS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")  # where a tokenizer does not name its own
EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\xff][\x01-\x7f]?)")  # key of an entry, start of its value
LONGEST_TRIAL = 1024  # tokens; the memory of attention grows with their square
TRIAL_TEXTS = ("a", "The lungs are clear, and no effusion is seen. The heart is large: 15.5 cm.")  # of two lengths
FOLLOWS = 1e-4  # of the largest value: more than rounding


@dataclass(slots=True, eq=False)
class OnnxEncoder:
    """An ONNX model of texts or images as an encoder.

    ``alone`` is True for a model that is run one item at a time.
    """

    name: str
    space: Space
    modality: str
    session: Any = field(repr=False)  # of onnxruntime, whose methods are not typed
    inputs: Inputs = field(repr=False)
    output: str
    pool: str | None
    norm: str
    device: str
    alone: bool = False
    full: bool = False
    dtype: str = "float32"

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        unit = ", unit length" if self.norm == "unit" else ""
        return details_of(self.inputs, None, f"{self.pool or 'output'} of {self.output}{unit}")

    def prepare(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Decoded images, or texts with the prompt prefix, as the model's inputs on the CPU."""
        return self.inputs(items)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text of which the tokenizer knows something, (n,)."""
        return self.inputs.knows(texts) if isinstance(self.inputs, TextInputs) else [True] * len(texts)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return self.inputs.cuts(texts) if isinstance(self.inputs, TextInputs) else [False] * len(texts)

    def encode(self, batch: dict[str, torch.Tensor]) -> Encoded:
        """Pooled vectors (b, d) in float32 on the device; tokens (b, t, d) where the output has them."""
        import torch

        mask = batch.get(MASK)
        if self.alone:
            vectors = torch.cat([self._pool(self._run(one), one.get(MASK)) for one in self._one_by_one(batch)])
            return Encoded(at_norm(vectors, self.norm).to(self.device))
        output = self._run(batch)
        pooled = at_norm(self._pool(output, mask), self.norm).to(self.device)
        if output.ndim != 3:
            return Encoded(pooled)
        return Encoded(pooled, output.to(self.device), None if mask is None else mask.to(self.device))

    def _one_by_one(self, batch: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
        """The batch in batches of one item, without padding unless the model takes one length only."""
        for row in range(len(next(iter(batch.values())))):
            one = {key: value[row : row + 1] for key, value in batch.items()}
            if MASK in one and not self.full:
                one = {key: value[:, one[MASK][0].bool()] for key, value in one.items()}
            yield one

    def _run(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The output for one batch, float32 on the CPU."""
        import torch

        feeds = {}
        for entry in self.session.get_inputs():
            value = batch[entry.name] if entry.name in batch else torch.zeros_like(batch[IDS])  # types of one text
            feeds[entry.name] = value.numpy().astype(NUMBERS[entry.type])
        with library_call(), _plain_errors():
            (output,) = self.session.run([self.output], feeds)
        return torch.from_numpy(output).float()

    def _pool(self, output: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """One vector an item, (b, d)."""
        shape = tuple(output.shape)
        pool = self.pool or BY_AXES.get(output.ndim, "output")
        if output.ndim not in BY_AXES:
            raise InputError(
                f"the output {self.output!r} of {self.name!r} has the shape {shape}; vectors are (b, d), tokens "
                f"(b, t, d). Choose another with #output=, or export the model with a pooling."
            )
        if (pool == "output") != (output.ndim == 2):
            fitting = "output" if output.ndim == 2 else "mean or pool=cls"
            raise InputError(
                f"encoder {self.name!r}: pool={pool} has no meaning for its output {self.output!r} of shape {shape}. "
                f"Use pool={fitting}."
            )
        if pool == "output":
            return output
        if pool == "cls":
            return output[:, 0]
        if mask is None:
            return output.mean(dim=1)
        if tuple(mask.shape) != shape[:2]:
            raise InputError(
                f"the output {self.output!r} of {self.name!r} has {shape[1]} tokens for texts of {mask.shape[1]}, so "
                f"its mean is not that of the texts. Use pool=cls, or choose another with #output=."
            )
        weight = mask[..., None].float()
        return (output * weight).sum(dim=1) / weight.sum(dim=1)


def load(name: EncoderName, *, device: str, dtype: str) -> OnnxEncoder:
    """The encoder of a folder with ``model.onnx`` or ``onnx/model.onnx``, and a tokenizer or an image processor.

    Options: ``output=NAME`` (of a model with several), ``pool=mean|cls`` of an output (b, t, d) or ``pool=output`` of
    one (b, d), by default what its shape allows, ``norm=none|unit``, and ``prompt=PREFIX`` of texts.

    Raises
    ------
    InputError
        For another precision than float32, and for options and outputs that do not fit each other.
    ModelUnavailableError
        If files are missing or are something else, or the model takes other inputs than these.
    """
    name.check_options(OPTIONS)
    if dtype != "float32":
        raise InputError(
            f"encoder {str(name)!r} computes in the precision it was exported in; got " + setting("dtype", dtype)
            + ". Use float32."
        )  # fmt: skip
    pool, norm = name.options.get("pool"), norm_of(name) or "none"
    if pool is not None and pool not in POOLS:
        raise UnknownNameError.of("pooling", pool, POOLS)
    folder, file = onnx_files(name)
    runtime = _runtime()
    digests = _digests(name, file)
    with loading(name, None), _plain_errors():
        session = runtime.InferenceSession(str(file), _options(runtime), providers=_providers(runtime, device))
    _check_device(name, session, device)
    modality, output = _modality(name, session), _output(name, session)
    batch, length = _fixed_sizes(name, session, modality)
    inputs = _text_inputs(name, folder, length) if modality == "text" else _image_inputs(name, folder)
    encoder = OnnxEncoder(
        name=str(name), space=Space(str(name), 1), modality=modality, session=session, inputs=inputs, output=output,
        pool=pool, norm=norm, device=device, alone=batch == 1, full=length is not None,
    )  # fmt: skip
    dim = _width(encoder)
    with fits(f"{file} cannot encode a batch", "Export it again from its source"):
        _settle(encoder)
    settings = {"model": digests, "output": output, "pool": encoder.pool, "norm": norm, **inputs.settings}
    encoder.space = Space(str(name), dim, fingerprint({}, settings))
    return encoder


def _runtime() -> Any:
    """The library onnxruntime, which writes an id of the machine and sends reports on its use unless told not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with importing("onnxruntime", "'stitchkit[onnx]'"):
        runtime: Any = import_module("onnxruntime")
    if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
        runtime.disable_telemetry_events()  # where something else imported it before
    return runtime


def onnx_files(name: EncoderName) -> tuple[Path, Path]:
    """The folder, and the model's file in it once it looks like one."""
    folder = name.folder
    if name.revision:
        raise InputError(f"encoder {str(name)!r} is a folder, which has no revisions. Leave out @{name.revision}.")
    if folder is None or not folder.exists():
        raise ModelUnavailableError(f"encoder {str(name)!r}: there is no folder {folder or name.id}. Check the path.")
    if folder.is_file():
        raise ModelUnavailableError(f"encoder {str(name)!r} names the file {folder}. Give the folder that holds it.")
    for file in FILES:
        if (folder / file).is_file():
            check_weights(folder / file)
            return folder.resolve(), (folder / file).resolve()
    others = sorted(one.relative_to(folder).as_posix() for at in ("*.onnx", "onnx/*.onnx") for one in folder.glob(at))
    step = f"It has {', '.join(others)}: copy the one you want to {folder / FILES[0]}." if others else ""
    raise ModelUnavailableError(
        f"encoder {str(name)!r}: {folder} holds no {' or '.join(FILES)}. "
        + (step or describe_folder(folder) or "Export the model there.")
    )


def weights_beside(name: EncoderName, file: Path) -> list[Path]:
    """The files of weights that the model's file names, which must lie beside it."""
    content = file.read_bytes()
    others = set()
    for entry in EXTERNAL.finditer(content):
        length = entry[1][0] if entry[1][0] < 128 else entry[1][0] - 128 + 128 * entry[1][-1]
        start = entry.start(1) + (1 if entry[1][0] < 128 else 2)
        others.add(content[start : start + length].decode("utf-8", "replace"))
    del content
    for other in sorted(others):
        if Path(other).is_absolute() or ".." in Path(other).parts:
            raise ModelUnavailableError(
                f"{file} keeps weights at {other!r}, outside its folder. Export it again with its data beside it."
            )
        if not (file.parent / other).is_file():
            raise ModelUnavailableError(
                f"encoder {str(name)!r}: {file.name} keeps weights in {other}, which is not in {file.parent}. Copy it "
                f"there from the model's source."
            )
    return [file.parent / other for other in sorted(others)]


def _digests(name: EncoderName, file: Path) -> list[str]:
    """SHA-256 of the model's file and of the files of weights that it names."""
    beside = weights_beside(name, file)
    for one in beside:
        check_weights(one)
    return [sha256_of_file(one) for one in (file, *beside)]


def _options(runtime: Any) -> Any:
    """Settings of a session: as many threads as torch has, none of which waits busily; errors are not printed."""
    import torch

    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def _providers(runtime: Any, device: str) -> list[Any]:
    """Execution provider: CUDA, in full float32, where the device is one and onnxruntime has it, else the CPU."""
    kind, _, number = device.partition(":")
    if kind == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        return [("CUDAExecutionProvider", {"device_id": number or "0", "use_tf32": "0"}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _check_device(name: EncoderName, session: Any, device: str) -> None:
    """Warn of a CUDA device that this onnxruntime cannot use."""
    if device.startswith("cuda") and "CUDAExecutionProvider" not in session.get_providers():
        warnings.warn(
            f"encoder {str(name)!r} runs on the CPU: the installed onnxruntime has no CUDA here. Install "
            f"onnxruntime-gpu in its place, of the CUDA version of torch.",
            stacklevel=3,
        )


def _modality(name: EncoderName, session: Any) -> str:
    """The modality, by the names of the model's inputs."""
    names = [one.name for one in session.get_inputs()]
    listed = ", ".join(names)
    if IDS in names and PIXELS in names:
        raise ModelUnavailableError(
            f"the model of {str(name)!r} takes {listed}, texts and images. Export the encoder of one by itself."
        )
    modality = "image" if PIXELS in names else "text"
    known = INPUTS[modality]
    strange = [one.name for one in session.get_inputs() if one.name not in known or one.type not in NUMBERS]
    if strange or not names:
        raise ModelUnavailableError(
            f"the model of {str(name)!r} takes {listed or 'nothing'}; encoders take numbers called {IDS}, with {MASK} "
            f"and {TYPES} or without, or {PIXELS}. Export it with those names, or write a python: encoder around it."
        )
    if modality == "text" and IDS not in names:
        raise ModelUnavailableError(f"the model of {str(name)!r} takes {listed}, and no {IDS}. Export it again.")
    if modality == "image" and name.options.get("prompt"):
        raise InputError(f"encoder {str(name)!r} takes images, which have no prompt. Leave out prompt=.")
    return modality


def _output(name: EncoderName, session: Any) -> str:
    """The name of the output to use."""
    names = [one.name for one in session.get_outputs()]
    chosen = name.options.get("output")
    if chosen is not None and chosen not in names:
        raise UnknownNameError.of(f"output of {str(name)!r}", chosen, names)
    if chosen is None and len(names) > 1:
        shapes = ", ".join(f"{one.name} {tuple(one.shape)}" for one in session.get_outputs())
        raise InputError(f"the model of {str(name)!r} has {len(names)} outputs: {shapes}. Choose one with #output=.")
    return chosen or str(names[0])


def _fixed_sizes(name: EncoderName, session: Any, modality: str) -> tuple[int | None, int | None]:
    """The batch size and the number of tokens that the model is limited to, or None; warns of a batch size of 1."""
    shape = next(one.shape for one in session.get_inputs() if one.name in (IDS, PIXELS))
    batch, length = ([*shape, None, None][axis] for axis in (0, 1))
    if isinstance(batch, int) and batch > 1:
        raise ModelUnavailableError(
            f"the model of {str(name)!r} takes batches of {batch} items only. Export it with a dynamic batch axis."
        )
    if batch == 1:
        warnings.warn(
            f"the model of {str(name)!r} has a fixed batch size of 1, so items are encoded one at a time. Export it "
            f"with a dynamic batch axis to be faster.",
            stacklevel=3,
        )
    fixed = modality == "text" and isinstance(length, int)
    return (1 if batch == 1 else None), (length if fixed else None)


def _image_inputs(name: EncoderName, folder: Path) -> ImageInputs:
    """Preprocessing by the folder's image processor."""
    _require(name, folder, PROCESSOR, "images")
    with importing("transformers"):
        from transformers import AutoImageProcessor
    with loading(name, None):
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    check_processor_levels(name, processor)
    return ImageInputs(processor)


def _text_inputs(name: EncoderName, folder: Path, fixed: int | None) -> TextInputs:
    """Preprocessing by ``tokenizer.json``, with the length and the tokens that the files beside it name."""
    _require(name, folder, TOKENIZER, "texts")
    with importing("transformers"):
        from transformers import PreTrainedTokenizerFast
    content = (folder / TOKENIZER).read_bytes()
    try:
        raw = read_tokenizer(content)
    except ValueError as error:
        raise ModelUnavailableError(
            f"{folder / TOKENIZER} cannot be read as a tokenizer: {error}. Copy it again from its source."
        ) from error
    settings, config = (_mapping(folder / one) for one in ("tokenizer_config.json", "config.json"))
    model = settings_in(folder / TOKENIZER).get("model") or {}
    vocabulary = raw.get_vocab()
    named = {"unk_token": model.get("unk_token"), "pad_token": (raw.padding or {}).get("pad_token")}
    named |= {key: _token(settings[key]) for key in NAMED_TOKENS if settings.get(key)}
    named["pad_token"] = next((one for one in (named["pad_token"], named.get("eos_token"), *PADS)
                               if one in vocabulary), None)  # fmt: skip
    if named["pad_token"] is None:
        raise ModelUnavailableError(
            f"the tokenizer of {str(name)!r} names no pad token. Set pad_token in {folder / 'tokenizer_config.json'}."
        )
    special = [str(token) for token in raw.get_added_tokens_decoder().values() if token.special]
    limits = [settings.get("model_max_length"), (raw.truncation or {}).get("max_length"),
              config.get("max_position_embeddings")]  # fmt: skip
    known = [int(one) for one in limits if isinstance(one, int | float) and 0 < one < 10**9]
    raw.no_truncation()
    raw.no_padding()
    fault = f"the tokenizer of {str(name)!r} cannot be used as its settings are"
    with fits(fault, "Copy its files again from one source"), library_call():
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw, padding_side="right", model_input_names=[IDS, MASK, TYPES],
            additional_special_tokens=special, **{key: one for key, one in named.items() if one in vocabulary},
        )  # fmt: skip
    prompt = name.options.get("prompt", "")
    return TextInputs(str(name), tokenizer, prompt, fixed or min(known, default=None), full=fixed is not None)


def _require(name: EncoderName, folder: Path, file: str, what: str) -> None:
    if not (folder / file).is_file():
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: its model takes {what}, and {folder} holds no {file}. Copy it there from the "
            f"model's source."
        )
    check_weights(folder / file)


def _mapping(file: Path) -> Mapping[str, Any]:
    """A file of settings, empty where there is none."""
    settings = settings_in(file) if file.is_file() else {}
    if not isinstance(settings, Mapping):
        raise ModelUnavailableError(f"{file} is not a JSON object. Copy it again from its source.")
    return settings


def _token(value: Any) -> str:
    return str(value.get("content")) if isinstance(value, Mapping) else str(value)


def _width(encoder: OnnxEncoder) -> int:
    """The width d of the vectors, once texts or images of different shapes went through the encoder."""
    if encoder.modality == "text":
        return text_width(encoder, "tokenizer")
    processor = encoder.inputs.processor  # type: ignore[union-attr]
    shape = next(one.shape for one in encoder.session.get_inputs() if one.name == PIXELS)
    return image_width(encoder, type(processor).__name__, settings_of(processor), f"images of shape {shape[1:]}")


def _settle(encoder: OnnxEncoder) -> None:
    """Set what trial runs tell: the pooling that the output allows, and whether items must be encoded alone."""
    image = encoder.modality == "image"
    if not image:
        _check_tokens(encoder)
    items: list[Any] = probe_images() if image else list(TRIAL_TEXTS)
    if encoder.pool is None:
        encoder.pool = BY_AXES[encoder._run(next(encoder._one_by_one(encoder.prepare(items[:1])))).ndim]
    widths = [int(encoder.encode(encoder.prepare([one])).pooled.shape[1]) for one in items]
    if len(set(widths)) > 1:
        raise InputError(
            f"the output {encoder.output!r} of {encoder.name!r} is {widths[0]} wide for one {encoder.modality} and "
            f"{widths[1]} for another, so it is no vector. Choose another with #output=."
        )
    if not encoder.alone:
        one, both = (encoder.encode(encoder.prepare(batch)).pooled[0] for batch in (items[:1], items))
        if bool((one - both).abs().max() > FOLLOWS * one.abs().max()):
            encoder.alone = True
            warnings.warn(
                f"the model of {encoder.name!r} gives an item another vector beside others (as quantised models and "
                f"those without {MASK} do), so items are encoded one at a time.",
                stacklevel=3,
            )


def _check_tokens(encoder: OnnxEncoder) -> None:
    """Raise for a tokenizer that makes tokens, or numbers of them, that the model does not take."""
    import torch

    inputs: Any = encoder.inputs
    vocabulary: dict[str, int] = inputs.tokenizer.get_vocab()
    token = max(vocabulary, key=lambda one: vocabulary[one])
    length = inputs.length if inputs.length and inputs.length <= LONGEST_TRIAL else 1
    advice = "Take tokenizer and model from one source, or set model_max_length in tokenizer_config.json"
    shortest = length if encoder.full else 1
    for ids, words in (
        (torch.full((1, shortest), vocabulary[token]), f"its largest token id, {vocabulary[token]} ({token!r})"),
        (torch.zeros(1, length, dtype=torch.int64), f"a text of {length} tokens, its longest"),
    ):
        with fits(f"the tokenizer of {encoder.name!r} makes what its model does not take: {words}", advice):
            encoder._run({IDS: ids, MASK: torch.ones_like(ids)})


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the errors of onnxruntime, which are of classes of its own, into a RuntimeError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise RuntimeError(str(error)) from error
        raise
