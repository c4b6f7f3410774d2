"""The pipeline of a sentence-transformers checkpoint, as its ``modules.json`` declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

import msgspec

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.encoders.hf.checkpoints import Source
from stitchkit.encoders.names import EncoderName

LIBRARY = "sentence_transformers."  # classes of other packages are code of the checkpoint
INPUTS = ("Transformer", "CLIPModel")
AFTER = ("Dense", "LayerNorm", "Normalize", "Dropout")
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")  # in the order they are joined
TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)  # the first that is there counts, as in the library
LONGEST_NAME = 255  # bytes of a folder's name
POOLED = "sentence_embedding"

Settings = TypeVar("Settings")

# settings of a transformer that change no vector of a single text (beyond rounding), by the key that holds them
HARMLESS = {
    "model": {"dtype", "torch_dtype", "attn_implementation", "add_pooling_layer", "device_map", "use_safetensors",
              "low_cpu_mem_usage", "trust_remote_code"},
    "processor": {"padding_side", "use_fast", "trust_remote_code", "model_max_length", "clean_up_tokenization_spaces"},
    "config": {"trust_remote_code", "use_cache"},
}  # fmt: skip


class Module(msgspec.Struct, frozen=True):
    """A line of ``modules.json``."""

    type: str
    path: str = ""

    @property
    def kind(self) -> str:
        """The class's own name, or empty for a class of another package."""
        return self.type.rpartition(".")[2] if self.type.startswith(LIBRARY) else ""


class TransformerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``sentence_bert_config.json``."""

    max_seq_length: int | None = None
    do_lower_case: bool = False
    transformer_task: str = "feature-extraction"
    modality_config: dict[str, dict[str, Any]] = {}
    module_output_name: str | None = None
    tokenizer_name_or_path: str | None = None
    model_args: dict[str, Any] = {}
    model_kwargs: dict[str, Any] = {}
    tokenizer_args: dict[str, Any] = {}
    processor_kwargs: dict[str, Any] = {}
    config_args: dict[str, Any] = {}
    config_kwargs: dict[str, Any] = {}
    processing_kwargs: dict[str, Any] = {}
    unpad_inputs: bool | None = None  # speed only
    query_length: int | None = None  # these three: only where a task is named
    document_length: int | None = None
    query_expansion: Any = None


class PoolingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``config.json`` of a Pooling module, of old and of new versions."""

    word_embedding_dimension: int | None = None
    embedding_dimension: int | None = None
    pooling_mode: str | list[str] | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False
    include_prompt: bool = True

    @property
    def modes(self) -> list[str]:
        """The modes that are joined, in their order; the new key wins over the old ones."""
        if self.pooling_mode is not None:
            return [self.pooling_mode] if isinstance(self.pooling_mode, str) else self.pooling_mode
        named = {mode: f"pooling_mode_{mode}{'' if 'token' in mode else '_token' if mode == 'cls' else '_tokens'}"
                 for mode in MODES}  # fmt: skip
        return [mode for mode in MODES if getattr(self, named[mode])] or ["mean"]


class PipelineSettings(msgspec.Struct, frozen=True):
    """The settings that are used of ``config_sentence_transformers.json``."""

    prompts: dict[str, str | None] = {}
    default_prompt_name: str | None = None
    truncate_dim: int | None = None
    model_type: str = "SentenceTransformer"


@dataclass(frozen=True, slots=True)
class Part:
    """A module behind the pooling: its kind, its folder and its settings."""

    kind: str
    path: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SentencePipeline:
    """The steps that a checkpoint declares for its vectors; by default it declares none.

    Parameters
    ----------
    declared
        False for a checkpoint without ``modules.json``.
    path
        Folder of the transformer below the checkpoint; empty for the checkpoint itself.
    pool
        Pooling modes joined by ``+``, or None where there is no pooling.
    include_prompt
        False leaves the prompt's tokens out of the pooling.
    length
        Most tokens of a text, or None for the tokenizer's own limit.
    lower
        True lower-cases texts.
    prompt
        Put before every text.
    after
        Modules behind the pooling.
    truncate
        Leading dimensions to keep, or None for all.
    """

    declared: bool = False
    path: str = ""
    pool: str | None = None
    include_prompt: bool = True
    length: int | None = None
    lower: bool = False
    prompt: str = ""
    after: tuple[Part, ...] = ()
    truncate: int | None = None

    @classmethod
    def of(cls, source: Source) -> SentencePipeline:
        """The pipeline of a checkpoint; the default where there is none, or for the option ``pipeline=none``.

        Raises
        ------
        InputError
            For a module or setting that cannot be followed, naming it.
        ModelUnavailableError
            For a part that is missing or not what it should be.
        """
        name = source.name
        wanted = name.options.get("pipeline")
        if wanted is not None and wanted != "none":
            raise UnknownNameError.of("pipeline", wanted, ("none",))
        lines = None if wanted == "none" else source.json("modules.json")
        if lines is None:
            return cls()
        modules = _convert(lines, list[Module], "modules.json", name)
        _check_modules(modules, name)
        first, pooling = modules[0], [one for one in modules if one.kind == "Pooling"]
        transformer = _transformer(source, first.path)
        if first.kind == "Transformer" and pooling:
            _check_outputs(transformer, name)
        whole = _settings(source, "config_sentence_transformers.json", PipelineSettings)
        if whole.model_type != "SentenceTransformer":
            raise _refusal(name, f"a {whole.model_type}, which gives no one vector an item")
        if whole.truncate_dim is not None and whole.truncate_dim < 1:
            raise _refusal(name, f"truncate_dim = {whole.truncate_dim}")
        pooled = _settings(source, _join(pooling[0].path, "config.json"), PoolingSettings) if pooling else None
        return cls(
            declared=True,
            path=first.path,
            pool=None if pooled is None else _pool(pooled, name),
            include_prompt=pooled is None or pooled.include_prompt,
            length=_length(transformer, name),
            lower=transformer.do_lower_case,
            prompt=_prompt(whole, name),
            after=tuple(_part(source, one) for one in modules[1:] if one.kind not in ("Pooling", "Dropout")),
            truncate=whole.truncate_dim,
        )

    def ending(self, norm: str | None) -> tuple[tuple[Part, ...], str]:
        """The modules behind the pooling, and the norm that comes last, where the option ``norm`` may be given.

        A Normalize module at the end is the norm ``unit``, so that an option takes its place.
        """
        last = len(self.after)
        while last and self.after[last - 1].kind == "Normalize":
            last -= 1
        if last == len(self.after) or (norm is None and self.truncate is not None):
            return self.after, norm or "none"
        return self.after[:last], norm or "unit"


def _check_modules(modules: list[Module], name: EncoderName) -> None:
    """Raise unless the modules are an input, at most one pooling, and modules behind it that can be followed."""
    if not modules:
        raise _refusal(name, "no module at all")
    for place, one in enumerate(modules):
        known = one.kind in (INPUTS if place == 0 else (*AFTER, "Pooling"))
        if not known or (one.kind == "Pooling" and place != 1):
            raise _refusal(name, f"{one.type!r} as its module {place}")
        path = PurePosixPath(one.path.replace("\\", "/"))
        nameless = any(
            len(part.encode("utf-8", "replace")) > LONGEST_NAME or not part.isprintable() for part in path.parts
        )
        if path.is_absolute() or ".." in path.parts or nameless:
            raise _refusal(name, f"a module that is in no folder of its own ({one.path[:80]!r})")


def _part(source: Source, module: Module) -> Part:
    """A module behind the pooling, with the settings it was saved with."""
    config = source.json(_join(module.path, "config.json"))
    settings = _convert(config if config is not None else {}, dict[str, Any], module.path, source.name)
    ends = [settings.get(f"module_{end}_name") for end in ("input", "output")]
    if strange := [one for one in ends if one not in (None, POOLED)]:
        raise _refusal(source.name, f"a {module.kind} of {strange[0]!r}, which is not the pooled vector")
    return Part(module.kind, module.path, settings)


def _transformer(source: Source, path: str) -> TransformerSettings:
    """The settings of the transformer, of the first of its files that is there."""
    for file in TRANSFORMER_FILES:
        if source.json(_join(path, file)):
            return _settings(source, _join(path, file), TransformerSettings)
    return TransformerSettings()


def _check_outputs(settings: TransformerSettings, name: EncoderName) -> None:
    """Raise for a transformer that gives something else than the last hidden states of plain inputs."""
    wanted = {"method": "forward", "method_output_name": "last_hidden_state"}
    if settings.transformer_task != "feature-extraction":
        raise _refusal(name, f"transformer_task = {settings.transformer_task!r}")
    for modality, outputs in settings.modality_config.items():
        if modality == "message" or any(outputs.get(key, value) != value for key, value in wanted.items()):
            raise _refusal(name, f"modality_config of {modality!r}: {outputs.get('method_output_name')!r}")
    if settings.module_output_name not in (None, "token_embeddings"):
        raise _refusal(name, f"module_output_name = {settings.module_output_name!r}")


def _length(settings: TransformerSettings, name: EncoderName) -> int | None:
    """Most tokens of a text; raises for settings of the libraries below that change the vectors."""
    if settings.tokenizer_name_or_path is not None:
        raise _refusal(name, "a tokenizer of another checkpoint (tokenizer_name_or_path)")
    if settings.processing_kwargs:
        raise _refusal(name, f"processing_kwargs of {next(iter(settings.processing_kwargs))!r}")
    processor = {**settings.tokenizer_args, **settings.processor_kwargs}
    model = {**settings.model_args, **settings.model_kwargs}
    config = {**settings.config_args, **settings.config_kwargs}
    for kind, arguments in (("model", model), ("processor", processor), ("config", config)):
        if strange := sorted(set(arguments) - HARMLESS[kind]):
            raise _refusal(name, f"{strange[0]!r} among its {kind}_kwargs")
    length = processor.get("model_max_length", settings.max_seq_length)
    if length is not None and (not isinstance(length, int) or length < 1):
        raise _refusal(name, f"max_seq_length = {length!r}")
    return length


def _pool(settings: PoolingSettings, name: EncoderName) -> str:
    """The modes joined by ``+``."""
    for mode in settings.modes:
        if mode not in MODES:
            raise _refusal(name, f"the pooling mode {mode!r} (known: {', '.join(MODES)})")
    if not settings.modes:
        raise _refusal(name, "a pooling without a mode")
    return "+".join(settings.modes)


def _prompt(settings: PipelineSettings, name: EncoderName) -> str:
    """The prompt that is put before texts by default."""
    key = settings.default_prompt_name
    if key is None:
        return ""
    if key not in settings.prompts and key not in ("query", "document"):  # these two are empty in the library
        raise _refusal(name, f"the default prompt {key!r}, which is not among its prompts")
    return settings.prompts.get(key) or ""


def _settings(source: Source, path: str, kind: type[Settings]) -> Settings:
    """A file of settings as ``kind``; its defaults where there is no such file."""
    config = source.json(path)
    if config is None and kind is PoolingSettings:
        raise ModelUnavailableError(
            f"the checkpoint of {str(source.name)!r} lacks {path}, which its modules.json names. Copy the whole folder."
        )
    return _convert({} if config is None else config, kind, path, source.name)


def _convert(value: Any, kind: type[Settings], file: str, name: EncoderName) -> Settings:
    """``value`` as ``kind``, or an error that names the file and the field."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a surrogate pair is in no UTF-8
        raise _refusal(name, f"in {file} something that cannot be followed ({error})") from error


def _join(folder: str, file: str) -> str:
    return f"{folder.rstrip('/')}/{file}" if folder else file


def _refusal(name: EncoderName, what: str) -> InputError:
    return InputError(
        f"the checkpoint of {str(name)!r} is a sentence-transformers pipeline that declares {what}; the family "
        f"{name.family!r} cannot follow that, and without it the vectors would be others. Write a python: encoder "
        f"around sentence_transformers, or leave the pipeline out with #pipeline=none."
    )
