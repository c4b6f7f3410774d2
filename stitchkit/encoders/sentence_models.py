"""Text encoders of sentence-transformers, by the library itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.core.roles import Encoded
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import check_weights, fingerprint, weight_files
from stitchkit.encoders.details import text_details
from stitchkit.encoders.devices import freeze
from stitchkit.encoders.folder_kinds import describe_folder
from stitchkit.encoders.hf.checkpoints import MODULES, Source, check_whole, facts_of, preprocessing_of, quiet
from stitchkit.encoders.hf.inputs import TextInputs, check_tokenizer_file
from stitchkit.encoders.hub import importing, is_offline, loading
from stitchkit.encoders.library_calls import library_call
from stitchkit.encoders.load_checks import text_width
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.pooling import at_norm, norm_of

if TYPE_CHECKING:
    import torch

OPTIONS = ("prompt", "prompt_name", "norm")
LIBRARY = "sentence_transformers"  # modules of other packages are code of the checkpoint
TRANSFORMER = "Transformer"


@dataclass(slots=True, eq=False)
class SentenceEncoder:
    """A SentenceTransformer as an encoder: its vectors are those of its own ``encode``."""

    name: str
    space: Space
    model: Any = field(repr=False)  # of sentence_transformers, whose methods are not typed
    prompt: str
    norm: str
    device: str
    dtype: str
    words: TextInputs | None = field(default=None, repr=False)
    modality: str = "text"

    @property
    def details(self) -> Mapping[str, Any]:
        """Preprocessing, pooling and size, for a screen."""
        modules = ", ".join(type(one).__name__ for one in self.model)
        unit = ", unit length" if self.norm == "unit" else ""
        return text_details(
            length=self.model.max_seq_length, prompt=self.prompt, model=self.model, pooling=f"modules {modules}{unit}"
        )

    def prepare(self, items: Sequence[Any]) -> list[str]:
        """The texts: the library reads them inside ``encode``, with the prompt before each."""
        for row, item in enumerate(items):
            if not isinstance(item, str):
                kind = type(item).__name__
                raise InputError(f"encoder {self.name!r} takes texts; item {row} of the batch is a {kind}.")
        return list(items)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """True for each text of which the tokenizer knows something, (n,)."""
        return [True] * len(texts) if self.words is None else self.words.knows(texts)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """True for each text whose end the encoder does not read, (n,)."""
        return [False] * len(texts) if self.words is None else self.words.cuts(texts)

    def encode(self, batch: list[str]) -> Encoded:
        """Vectors (b, d) in float32 on the device, after everything that the checkpoint declares."""
        with library_call():
            vectors: torch.Tensor = self.model.encode(
                batch, prompt=self.prompt, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False
            )
        return Encoded(at_norm(vectors.float(), self.norm))


def load(name: EncoderName, *, device: str, dtype: str) -> SentenceEncoder:
    """The encoder of ``org/name[@revision]``, ``local-dir:/path`` or a path that holds ``modules.json``.

    Options are ``prompt=PREFIX``, or ``prompt_name=NAME`` for a prompt that the checkpoint declares (by default its
    own default prompt), and ``norm=unit`` for vectors of length one; ``none`` leaves them as the modules end.

    Raises
    ------
    InputError
        For a checkpoint of images, code of the checkpoint, and both kinds of prompt at once.
    ModelUnavailableError
        If files are missing or are something else, or weights do not fill the model.
    UnknownNameError
        For a prompt that the checkpoint does not declare, listing those there are.
    """
    name.check_options(OPTIONS)
    norm = norm_of(name) or "none"
    if "prompt" in name.options and "prompt_name" in name.options:
        raise InputError(f"encoder {str(name)!r} sets prompt and prompt_name. Keep one.")
    source = Source.of(name, False)
    modules = _modules(source)
    with importing("sentence_transformers", "'stitchkit[st]'"):
        library: Any = import_module(LIBRARY)
    with quiet() as reports, loading(name, source.hub_id):
        model = library.SentenceTransformer(
            source.where, device="cpu", trust_remote_code=False, revision=name.revision,
            local_files_only=source.hub_id is None or is_offline(),
        )  # fmt: skip
    if "text" not in getattr(model, "modalities", ("text",)):
        raise InputError(
            f"the checkpoint of {str(name)!r} takes {', '.join(model.modalities)}; this family takes texts."
        )
    model = model.float()
    first = model[0]
    pooler = "pooler" in json.dumps(_config(first), default=str)  # where an output of that name is used
    if any("MISSING" in report for report in reports):
        _check_missing(source, modules[0], first, pooler)
    prompt = _prompt(name, model)
    state = {key: value for key, value in model.state_dict().items() if pooler or "pooler." not in key}
    settings = {
        "modules": [[type(one).__name__, _config(one)] for one in model], "tokenizer": _tokenizer(model),
        "length": model.max_seq_length, "prompt": prompt, "norm": norm, "dimensions": model.truncate_dim,
        "configs": [facts_of(one.auto_model.config) for one in model if hasattr(one, "auto_model")] or None,
    }  # fmt: skip
    digest = fingerprint(state, settings)
    tokenizer = getattr(model, "tokenizer", None)
    words = (TextInputs(str(name), tokenizer, prompt, model.max_seq_length)
             if hasattr(tokenizer, "all_special_ids") else None)  # fmt: skip
    encoder = SentenceEncoder(
        str(name), Space(str(name), 1), freeze(model, device, dtype), prompt, norm, device, dtype, words
    )
    encoder.space = Space(str(name), text_width(encoder, "tokenizer"), digest)
    return encoder


def _modules(source: Source) -> list[Mapping[str, Any]]:
    """The lines of ``modules.json``, once the files of its modules look like what they should be."""
    name = source.name
    lines: list[Mapping[str, Any]] | None = source.json(MODULES)
    if lines is None:
        kind = ""
        if source.hub_id is None:
            kind = describe_folder(Path(source.where))
        else:
            source.read(import_module("transformers").AutoConfig)  # raises where the repository cannot be reached
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: there is no {MODULES}, so it is no checkpoint of sentence-transformers. "
            + (kind or f"For a checkpoint of transformers write hf:{name.id}.")
        )
    whole = isinstance(lines, list) and lines and all(isinstance(one, Mapping) for one in lines)
    if not whole or not all(isinstance(one.get(key), str) for one in lines for key in ("type", "path")):
        raise ModelUnavailableError(
            f"{MODULES} of {str(name)!r} is no list of modules, each with a type and a path. Copy it again."
        )
    if foreign := [one["type"] for one in lines if not one["type"].startswith(f"{LIBRARY}.")]:
        raise InputError(
            f"the checkpoint of {str(name)!r} declares {foreign[0]!r}, code of its own, which is not run. "
            f"Read that code and write a python: encoder around it."
        )
    if source.hub_id is None:
        for one in lines:
            if one["type"].endswith(f".{TRANSFORMER}"):
                check_tokenizer_file(source.at(one["path"]))
            for file in weight_files(Path(source.where) / one["path"]):
                check_weights(file)
    return lines


def _check_missing(source: Source, line: Mapping[str, Any], first: Any, pooler: bool) -> None:
    """Raise for weights that the library left random, of which it says no more than a line in its log."""
    kind = type(first.auto_model)
    _, report = source.at(line["path"]).read(kind, output_loading_info=True, ignore_mismatched_sizes=True)
    check_whole(source.name, report, pooler=pooler)


def _prompt(name: EncoderName, model: Any) -> str:
    """The prompt that is put before every text."""
    if "prompt" in name.options:
        return name.options["prompt"]
    key = name.options.get("prompt_name", model.default_prompt_name)
    if key is not None and key not in model.prompts:
        listed = ", ".join(map(repr, model.prompts)) or "none"
        raise UnknownNameError(f"the checkpoint of {str(name)!r} declares no prompt {key!r}; known prompts: {listed}.")
    return "" if key is None else model.prompts[key] or ""


def _config(module: Any) -> Any:
    """The settings that a module is saved with."""
    return module.get_config_dict() if hasattr(module, "get_config_dict") else {}


def _tokenizer(model: Any) -> Any:
    """Settings that decide the tokens of a text, as JSON."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    if hasattr(tokenizer, "all_special_tokens"):
        return {"side": tokenizer.padding_side, "preprocessing": preprocessing_of(tokenizer)}
    return json.loads(tokenizer.to_str()) if hasattr(tokenizer, "to_str") else type(tokenizer).__name__
