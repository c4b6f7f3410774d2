"""Reading transformers checkpoints: where from, whether whole, and with which preprocessing."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.encoders.checkpoints import check_folder, settings_in, tensor_names
from stitchkit.encoders.hub import check_trust, hub_file, loading
from stitchkit.encoders.names import HUB, EncoderName
from stitchkit.encoders.sides import no_text_side

if TYPE_CHECKING:
    import torch

MODALITIES = {"pixel_values": "image", "input_ids": "text"}
OWN_CODE = "transformers_modules."  # package that the library puts code of checkpoints into
MODULES = "modules.json"  # of a sentence-transformers checkpoint
OF_NO_VECTOR = (
    "transformers_version",
    "architectures",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
    "num_labels",
    "auto_map",
    "problem_type",
    "use_cache",
    "return_dict",
    "output_hidden_states",
    "output_attentions",
    "name_or_path",
    "finetuning_task",
    "task_specific_params",
    "bos_token_id",
    "tie_word_embeddings",
    "out_features",
    "out_indices",
)  # settings that a checkpoint of the same vectors may have otherwise
OF_TRAINING = ("dropout", "drop_path", "initializer", "logit_scale", "checkpointing", "loss", "summary_")
NAMES_ONLY = ("image_processor_type", "feature_extractor_type", "processor_class")  # do not change the pixels


@dataclass(frozen=True, slots=True)
class Source:
    """The place of a checkpoint, and the settings with which each part of it is read."""

    name: EncoderName
    where: str  # a folder or a hub id
    hub_id: str | None
    keywords: Mapping[str, Any]

    @classmethod
    def of(cls, name: EncoderName, trust_remote_code: bool) -> Source:
        """The source that ``name`` means; a folder is looked at before anything is opened."""
        check_trust(name, trust_remote_code)
        keywords: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        if name.folder is not None:
            if name.revision:
                raise InputError(
                    f"encoder {str(name)!r} is a folder, which has no revisions. Leave out @{name.revision}."
                )
            if not ((name.folder / MODULES).is_file() and name.options.get("pipeline") != "none"):
                _check_code(check_folder(name.folder, str(name)), name, trust_remote_code)
            return cls(name, str(name.folder.resolve()), None, {**keywords, "local_files_only": True})
        hub_id = name.id.removeprefix(HUB)
        if hub_id.startswith(("/", ".", "~")) or hub_id.count("/") > 1 or "\\" in hub_id:
            raise ModelUnavailableError(f"encoder {str(name)!r}: there is no folder {hub_id}. Check the path.")
        return cls(name, hub_id, hub_id, {**keywords, "revision": name.revision})

    def at(self, path: str) -> Source:
        """The source of the model that ``modules.json`` places in the folder ``path``, empty for the root."""
        if self.hub_id is not None:
            return replace(self, keywords={**self.keywords, "subfolder": path}) if path else self
        folder = Path(self.where) / path
        _check_code(check_folder(folder, str(self.name)), self.name, bool(self.keywords["trust_remote_code"]))
        return replace(self, where=str(folder))

    def file(self, path: str) -> Path | None:
        """A further file of the checkpoint, or None if there is none."""
        if self.hub_id is not None:
            return hub_file(self.name, self.hub_id, path)
        file = Path(self.where, path)
        return file if file.is_file() else None

    def json(self, path: str) -> Any:
        """Content of a further file of settings, or None if there is none."""
        if (file := self.file(path)) is None:
            return None
        return settings_in(file)

    def weight_names(self) -> list[str]:
        """Names of the weights, where a safetensors file or the index of several tells them; else none."""
        if (file := self.file("model.safetensors.index.json")) is not None:
            index = settings_in(file)
            names = index.get("weight_map") if isinstance(index, Mapping) else None
            return list(names) if isinstance(names, Mapping) else []
        file = self.file("model.safetensors")
        return [] if file is None else tensor_names(file)

    def read(self, auto: Any, **settings: Any) -> Any:
        """``auto.from_pretrained`` of this checkpoint, with this library's errors."""
        with quiet(), loading(self.name, self.hub_id):
            return auto.from_pretrained(self.where, **self.keywords, **settings)


def check_whole(name: EncoderName, report: Mapping[str, Any], *, pooler: bool) -> None:
    """Raise if weights were missing from the checkpoint, other than a pooler that is not used."""
    check_shapes(name, [one for one in report["mismatched_keys"] if pooler or "pooler." not in one[0]])
    missing = [key for key in report["missing_keys"] if pooler or "pooler." not in key]
    if missing and all("pooler." in key for key in missing):
        raise ModelUnavailableError(
            f"the checkpoint of {str(name)!r} holds no pooler; it would be random. Use pool=cls or pool=mean."
        )
    check_none_missing(name, missing, report["unexpected_keys"])


def check_shapes(name: EncoderName, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise for weights of another shape than the model's, given as (key, held, wanted), naming one with both."""
    others = sorted((str(key), tuple(held), tuple(wanted)) for key, held, wanted in mismatched)
    if not others:
        return
    key, held, wanted = others[0]
    more = f", and so with {len(others) - 1} others" if len(others) > 1 else ""
    raise ModelUnavailableError(
        f"encoder {str(name)!r} cannot be loaded: its weight {key!r} has the shape {held} in the checkpoint and "
        f"{wanted} in the model that config.json describes{more}. Take config.json and weights from one source."
    )


def check_none_missing(name: EncoderName, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Raise for the weights ``missing`` from a checkpoint, naming one, and a stray one it holds."""
    lost, others = sorted(missing), sorted(unexpected)
    if not lost:
        return
    stray = f" It holds {len(others)} the model does not know, such as {others[0]!r}." if others else ""
    raise ModelUnavailableError(
        f"the checkpoint of {str(name)!r} lacks {len(lost)} weights of the model, such as {lost[0]!r}; they "
        f"would be random.{stray} Check that config.json and the weights belong together."
    )


def holds_two(config: Any) -> bool:
    """True if a checkpoint holds an image and a text encoder, by its config."""
    return all(getattr(config, part, None) is not None for part in ("vision_config", "text_config"))


def model_class(config: Any, name: EncoderName, *, encoder_only: bool) -> Any:
    """The class to load: ``AutoModel``, or the encoder's own where encoder and decoder have one config.

    Parameters
    ----------
    encoder_only
        True to take the encoder of a checkpoint that holds both.

    Raises
    ------
    InputError
        For an encoder with a decoder, with the way to the encoder alone.
    """
    import transformers

    own = _encoder_class(config)
    if own is not None and (encoder_only or architecture_of(config) == own.__name__):
        return own
    if not getattr(config, "is_encoder_decoder", False):
        return transformers.AutoModel
    if own is None:
        step = (
            "transformers has no class for its encoder alone. Write a python: encoder that loads it and calls "
            "get_encoder()"
        )
    else:
        step = (
            f"Save its encoder and its tokenizer into one folder and load that: {own.__name__}.from_pretrained(name)"
            f".save_pretrained(folder) and AutoTokenizer.from_pretrained(name).save_pretrained(folder)"
        )
    raise InputError(
        f"the checkpoint of {str(name)!r} ({config.model_type}) is an encoder with a decoder; this family loads one "
        f"encoder. {step}."
    )


def facts_of(config: Any) -> dict[str, Any]:
    """The settings of a model's config that may change its vectors: equal weights with others are another space.

    Parameters
    ----------
    config
        Config of transformers, of a model or of one half of a pair.
    """
    return _without_training(config.to_diff_dict())


def code_of(model: torch.nn.Module) -> list[bytes]:
    """The source of a model that a checkpoint brings code for; nothing for one of the library."""
    own = sys.modules.get(type(model).__module__)
    file = getattr(own, "__file__", None)
    return [Path(file).read_bytes()] if file and type(model).__module__.startswith(OWN_CODE) else []


def _without_training(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_training(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key not in OF_NO_VECTOR and not key.startswith("_") and not any(part in key for part in OF_TRAINING)
    }


def architecture_of(config: Any) -> str:
    """The name of the class that a checkpoint was saved from, by its config; empty where it names none."""
    named = getattr(config, "architectures", None)
    return str(named[0]) if isinstance(named, list | tuple) and named else ""


def _encoder_class(config: Any) -> Any:
    """The class of transformers for the encoder of a model that has a decoder too, or None."""
    import transformers

    whole = transformers.MODEL_MAPPING.get(type(config), None)
    kinds = whole if isinstance(whole, tuple) else (whole,)
    for one in kinds:
        own = getattr(transformers, f"{getattr(one, '__name__', '').removesuffix('Model')}EncoderModel", None)
        if own is not None and getattr(own, "config_class", None) is type(config):
            return own
    return None


def modality_of(model: torch.nn.Module, name: EncoderName) -> str:
    """``"image"`` or ``"text"``, by what the model takes."""
    takes = str(getattr(model, "main_input_name", "nothing known"))
    if takes not in MODALITIES:
        raise InputError(f"the model of {str(name)!r} takes {takes}; encoders take images or texts.")
    modality = MODALITIES[takes]
    if modality == "image" and requested_modality(name) == "text":
        raise no_text_side(name)
    if requested_modality(name) not in (None, modality):
        raise InputError(
            f"the checkpoint of {str(name)!r} holds one encoder, which takes {modality}s. Leave out modality=."
        )
    return modality


def requested_modality(name: EncoderName) -> str | None:
    """The modality that the options of ``name`` ask for, or None."""
    modality = name.options.get("modality")
    if modality is not None and modality not in MODALITIES.values():
        raise UnknownNameError.of("modality", modality, MODALITIES.values())
    return modality


def preprocessing_of(processor: Any) -> Any:
    """Settings that decide the inputs a processor makes, as JSON."""
    if hasattr(processor, "image_mean") or not hasattr(processor, "all_special_tokens"):
        settings = processor.to_dict()
        return {k: v for k, v in settings.items() if k not in NAMES_ONLY and not k.startswith("_")}
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is None:
        return {"vocabulary": processor.get_vocab(), "special": processor.special_tokens_map}
    state = json.loads(backend.to_str())
    return {key: value for key, value in state.items() if key not in ("truncation", "padding", "version")}


def _check_code(settings: Mapping[str, Any], name: EncoderName, trust_remote_code: bool) -> None:
    """Raise for a config of another family, and if a trusted folder's code lives in another repository.

    No revision pins the code of another repository.
    """
    if "model_type" not in settings and (family := _family_of(settings)):
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: config.json of {name.folder} is one of {family}, which transformers does "
            f"not read. Load {family}:{name.folder}."
        )
    named = settings.get("auto_map")
    elsewhere = [str(code) for code in (named.values() if isinstance(named, dict) else ()) if "--" in str(code)]
    if trust_remote_code and elsewhere:
        raise InputError(
            f"the folder of {str(name)!r} takes its code from another repository ({elsewhere[0]}), which is not "
            f"pinned. Copy that code into the folder, or load the hub repository at a full commit."
        )


def _family_of(settings: Mapping[str, Any]) -> str:
    """The family of a config without a model type, or nothing."""
    if "architecture" in settings and ("pretrained_cfg" in settings or "num_classes" in settings):
        return "timm"
    return "stitchkit" if "stitchkit_format" in settings else ""


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Without the load report and its progress bar: what it warns of is checked here, and raises or does not matter.

    The list that comes back holds the reports, of every load inside the block that was not wholly clean.
    """
    own: Any = import_module("transformers.utils.logging")

    reports: list[str] = []

    def unless_report(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "LOAD REPORT" in message:
            reports.append(message)
        return "LOAD REPORT" not in message and record.levelno >= before

    def unless_sharding(record: logging.LogRecord) -> bool:
        return "layers were not sharded" not in record.getMessage()  # said of every model that lies on one device

    sharding = [logging.getLogger(f"transformers.{part}.tensor_parallel") for part in ("distributed", "integrations")]
    for one in sharding:
        one.addFilter(unless_sharding)
    logger = logging.getLogger("transformers.modeling_utils")
    bars = own.is_progress_bar_enabled()
    before, level = logger.getEffectiveLevel(), logger.level
    logger.addFilter(unless_report)
    logger.setLevel(min(before, logging.WARNING))
    own.disable_progress_bar()
    try:
        yield reports
    finally:
        logger.setLevel(level)
        logger.removeFilter(unless_report)
        for one in sharding:
            one.removeFilter(unless_sharding)
        if bars:
            own.enable_progress_bar()
