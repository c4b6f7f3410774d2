"""Files of an encoder, to be copied to a machine without a network, and its name once they lie there."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders.adapters import files_of_adapter
from stitchkit.encoders.checkpoints import settings_in
from stitchkit.encoders.consent import DEPTH
from stitchkit.encoders.names import ADAPTER, HUB, LOCAL, EncoderName
from stitchkit.storage.folders import HERE, config_naming, read_folder
from stitchkit.storage.path_checks import resolved_path

HUB_FILES = ("config.json", "modules.json", "open_clip_config.json")  # one of them is in every snapshot that loads
CACHES = ("__pycache__", "checkpoint-*", "runs")  # folders of a training run
EXPORTS = ("onnx", "openvino", "coreml")  # folders of the same weights for other runtimes
OTHER = (
    "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.tflite", "*.onnx", "*.onnx_data", "*.pkl",
    "optimizer.*", "scheduler.pt", "rng_state*", "training_args.bin", "trainer_state.json", "events.out.*",
)  # fmt: skip
SAFE, PICKLED = "model*.safetensors", "pytorch_model*.bin"  # the same weights: the first is read where both are
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.md", "*.jinja", "LICENSE*", "NOTICE*")  # beside an ONNX model
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
PARTS = ("config.json", "model.safetensors", "README.md", "tokenizer.json")  # of a folder of this package


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """Files of an encoder, and what it is called where they lie.

    Parameters
    ----------
    id
        The model in a name, :data:`~stitchkit.storage.folders.HERE` for the folder with the files.
    files
        Place in that folder, with slashes -> file to copy, or content to write.
    options
        Options that name files, by those that name their copies.
    """

    id: str
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def name(self, original: EncoderName, place: str) -> str:
        """The encoder's name with its files in the folder ``place`` of the folder that names it.

        Examples
        --------
        >>> copy = EncoderFiles("local-dir:{folder}")
        >>> copy.name(EncoderName.parse("hf:org/name@main#pool=cls"), "encoders/source")
        'hf:local-dir:{folder}/encoders/source#pool=cls'
        """
        inside = f"{HERE}/{place}"
        options = {key: value.replace(HERE, inside) for key, value in self.options.items()}
        placed = self.id.replace(HERE, inside)
        revision = original.revision if placed == self.id else None  # folders have none
        return str(EncoderName(original.family, placed, revision, {**original.options, **options}))


def encoder_files(name: str) -> EncoderFiles:
    """The files that ``name`` leads to on this machine; nothing is downloaded, and no model loaded.

    Raises
    ------
    ModelUnavailableError
        If they are not on this machine.
    InputError
        For an encoder whose files cannot be told: a Python module, or weights that are known by a library's own name
        without a file of settings.
    """
    return _files_of(name, 0)


def _files_of(name: str, depth: int) -> EncoderFiles:
    parsed = EncoderName.parse(name)
    if parsed.family == "stitchkit":
        return _of_stitchkit(parsed, depth)
    return OF_FAMILY[parsed.family](parsed)


def _of_demo(name: EncoderName) -> EncoderFiles:
    return EncoderFiles(name.id)


def _of_folder(name: EncoderName) -> EncoderFiles:
    """A folder, or the snapshot of a hub repository in its cache."""
    folder = name.folder or _snapshot(name, name.id.removeprefix(HUB), name.revision)
    return EncoderFiles(LOCAL + HERE, _checkpoint_in(folder))


def _of_timm(name: EncoderName) -> EncoderFiles:
    if name.folder is not None or name.id.startswith(HUB):
        return _of_folder(name)
    timm: Any = import_module("timm")
    config = timm.get_pretrained_cfg(name.id)
    if config is None:
        raise ModelUnavailableError(f"timm has no weights called {name.id!r}. Name others.")
    facts = {key: value for key, value in config.to_dict().items() if value is not None}
    settings = {
        "architecture": name.id.partition(".")[0],
        "num_classes": config.num_classes,
        "pretrained_cfg": {key: value for key, value in facts.items() if key not in ("url", "hf_hub_id", "source")},
    }
    weights = _timm_weights(name, config)
    place = "model.safetensors" if weights.suffix == ".safetensors" else "pytorch_model.bin"
    return EncoderFiles(LOCAL + HERE, {"config.json": json.dumps(settings, indent=2).encode(), place: weights})


def _timm_weights(name: EncoderName, config: Any) -> Path:
    """The file of weights that timm knows by a name of its own, in the cache of the hub or of torch."""
    import torch
    from huggingface_hub import try_to_load_from_cache

    if repository := config.hf_hub_id:
        names = (config.hf_hub_filename,) if config.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")
        repository, _, revision = repository.partition("@")
        for one in names:
            file = try_to_load_from_cache(repository, one, revision=revision or None)
            if isinstance(file, str):
                return Path(file)
        raise _not_here(name, f"the cache of the hub ({repository})")
    file = Path(torch.hub.get_dir(), "checkpoints", str(config.url).rpartition("/")[2])
    if not file.is_file():
        raise _not_here(name, str(file))
    if file.suffix not in (".safetensors", ".pth", ".bin", ".pt"):
        raise InputError(
            f"the weights of {str(name)!r} are a {file.suffix} file, which timm reads by the name alone. Save the "
            f"model with timm.models.save_for_hf(model, folder) and name timm:{LOCAL}FOLDER."
        )
    return file


def _of_open_clip(name: EncoderName) -> EncoderFiles:
    if name.folder is None and not name.id.startswith(HUB):
        raise InputError(
            f"{str(name)!r} is a name of open_clip's own, whose settings are in the library and not in files. Name "
            f"its repository of the hub (open_clip:{HUB}ORG/NAME) or a folder as the encoder."
        )
    copied = _of_folder(name)
    files = dict(copied.files)
    config = files.get("open_clip_config.json")
    model = settings_in(config).get("model_cfg") if isinstance(config, Path) else None
    text = model.get("text_cfg") if isinstance(model, Mapping) else None
    others = text if isinstance(text, Mapping) and name.folder is None else {}
    # open_clip asks other repositories of the hub for these, where the checkpoint itself came from the hub
    for key, patterns in (("hf_model_name", ("config.json",)), ("hf_tokenizer_name", TOKENIZER_FILES)):
        repository = others.get(key)
        if isinstance(repository, str) and repository and not any(_fits(one, patterns) for one in files):
            beside = _checkpoint_in(_snapshot(name, repository, None))
            files |= {place: file for place, file in beside.items() if _fits(place, patterns)}
    return replace(copied, files=files)


def _of_file(name: EncoderName) -> EncoderFiles:
    """A file of weights."""
    if name.folder is None or not name.folder.is_file():
        raise ModelUnavailableError(
            f"encoder {str(name)!r}: there is no file {name.folder or name.id}. Check the path."
        )
    return _one_file(name.folder)


def _of_xrays(name: EncoderName) -> EncoderFiles:
    from stitchkit.encoders.xray_vision import xray_file

    if name.folder is not None:
        return _of_file(name)
    return _one_file(xray_file(name, import_module("torchxrayvision.models"))[0])


def _one_file(file: Path) -> EncoderFiles:
    place = _plain(file.name)
    return EncoderFiles(f"{HERE}/{place}", {place: file})


def _of_onnx(name: EncoderName) -> EncoderFiles:
    from stitchkit.encoders.onnx_folder import onnx_files, weights_beside

    folder, file = onnx_files(name)
    needed = {one: one.relative_to(folder).as_posix() for one in (file, *weights_beside(name, file))}
    small = [one for one in sorted(folder.iterdir()) if one.is_file() and _fits(one.name, SMALL_FILES)]
    return EncoderFiles(LOCAL + HERE, {**{one.name: one for one in small}, **{v: k for k, v in needed.items()}})


def _of_python(name: EncoderName) -> EncoderFiles:
    source, _, attribute = name.id.rpartition(":")
    file = Path(os.path.expanduser(source))
    if file.suffix != ".py":
        raise InputError(
            f"{str(name)!r} names a Python module, whose files cannot be told from those of its package. Put the "
            f"encoder into one file and name it python:path/to/file.py:{attribute or 'ATTRIBUTE'}."
        )
    if not file.is_file():
        raise ModelUnavailableError(f"encoder {str(name)!r}: there is no file {file}. Check the path.")
    place = _plain(file.name)
    files: dict[str, Path | bytes] = {place: file}
    options = {}
    for key, value in name.options.items():
        path = Path(value)
        if not value or not path.exists():
            continue
        inside = f"options/{key}/{_plain(path.name)}"
        options[key] = f"{HERE}/{inside}"
        files |= {inside: path} if path.is_file() else {f"{inside}/{at}": one for at, one in _walk(path, hidden=True)}
    return EncoderFiles(f"{HERE}/{place}:{attribute}", files, options)


def _of_stitchkit(name: EncoderName, depth: int) -> EncoderFiles:
    """A folder of this package; the encoder of a stitched one goes into a folder of it."""
    folder = Path(name.id)
    config, _ = read_folder(folder)
    if config.get("kind") == "tuned pair":
        raise InputError(
            f"{folder} holds trained encoders that need the checkpoints they were trained from, and a bundle does not "
            f"hold those. Copy the folder and those checkpoints as they are."
        )
    files: dict[str, Path | bytes] = {one: folder / one for one in PARTS if (folder / one).is_file()}
    if isinstance(config.get("encoder"), str):
        if depth >= DEPTH:
            raise ModelUnavailableError(f"{folder} is the innermost of more than {DEPTH} folders. Stitch from fewer.")
        inner = _files_of(config["encoder"], depth + 1)
        files |= {f"encoder/{place}": file for place, file in inner.files.items()}
        named = inner.name(EncoderName.parse(config["encoder"]), "encoder")
        files["config.json"] = config_naming(folder, {"encoder": named, "target_encoder": ""})
    return EncoderFiles(HERE, files)


def _with_adapter(name: EncoderName, model: EncoderFiles) -> EncoderFiles:
    """The files of an encoder's model and of the adapter that its name puts on it."""
    if ADAPTER not in name.options:
        return model
    folder = Path(os.path.expanduser(name.options[ADAPTER]))
    inside = f"options/{ADAPTER}/{_plain(folder.name)}"
    files = {f"{inside}/{file.name}": file for file in files_of_adapter(folder, name)}
    return replace(model, files={**model.files, **files}, options={**model.options, ADAPTER: f"{HERE}/{inside}"})


OF_FAMILY: dict[str, Callable[[EncoderName], EncoderFiles]] = {
    "demo": _of_demo,
    "hf": lambda name: _with_adapter(name, _of_folder(name)),
    "local": _of_file,
    "onnx": _of_onnx,
    "open_clip": _of_open_clip,
    "python": _of_python,
    "st": _of_folder,
    "stitchkit": lambda name: _of_stitchkit(name, 0),
    "timm": lambda name: _with_adapter(name, _of_timm(name)),
    "xrv": _of_xrays,
}


def _snapshot(name: EncoderName, repository: str, revision: str | None) -> Path:
    """The folder of a repository in the cache of the hub, whose files are links to elsewhere in the cache."""
    from huggingface_hub import try_to_load_from_cache

    for file in HUB_FILES:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent
    raise _not_here(name, f"the cache of the hub ({repository})")


def _not_here(name: EncoderName, place: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"the files of {str(name)!r} are not in {place}. Load it once with the hub in reach: stitchkit info '{name}'."
    )


def _checkpoint_in(folder: Path) -> dict[str, Path | bytes]:
    """The files of a checkpoint, without hidden ones, training states, and weights for other libraries."""
    if not folder.is_dir():
        raise ModelUnavailableError(f"there is no folder {folder}. Check the path.")
    files: dict[str, Path | bytes] = {
        place: file
        for place, file in _walk(folder)
        if not _fits(place, OTHER) and not any(_fits(part, (*CACHES, *EXPORTS)) for part in place.split("/")[:-1])
    }
    safe = {os.path.dirname(place) for place in files if _fits(place, (SAFE,))}
    twice = {place for place in files if _fits(place, (PICKLED,)) and os.path.dirname(place) in safe}
    return {place: file for place, file in files.items() if place not in twice}


def _walk(folder: Path, above: tuple[Path, ...] = (), *, hidden: bool = False) -> Iterator[tuple[str, Path]]:
    """Place and path of every file below ``folder``; links are followed, but not round a circle.

    Hidden files and Python's caches are left out unless ``hidden``, as where a fingerprint covers all of a folder.
    """
    real = resolved_path(folder, ModelUnavailableError)
    if real in above:
        return
    for one in sorted(folder.iterdir()):
        if not hidden and (one.name.startswith(".") or one.name == CACHES[0]):
            continue
        if one.is_dir():
            inner = _walk(one, (*above, real), hidden=hidden)
            yield from ((f"{one.name}/{place}", file) for place, file in inner)
        elif one.is_file():
            yield one.name, one


def _fits(place: str, patterns: tuple[str, ...]) -> bool:
    """True if the last part of ``place`` fits a pattern."""
    return any(fnmatch.fnmatchcase(place.rpartition("/")[2], pattern) for pattern in patterns)


def _plain(name: str) -> str:
    """A file's name without characters that mean something in the name of an encoder."""
    return re.sub(r"[^\w.+-]", "_", name)
