"""Adapters of PEFT, such as LoRA: merged into the weights of the encoder that ``#adapter=FOLDER`` names them for."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import MissingExtraError, ModelUnavailableError
from stitchkit.core.wording import counted
from stitchkit.encoders.checkpoints import check_weights, fingerprint, settings_in, tensor_names
from stitchkit.encoders.folder_kinds import ADAPTER as SETTINGS
from stitchkit.encoders.folder_kinds import base_name
from stitchkit.encoders.library_calls import fits, library_call
from stitchkit.encoders.names import ADAPTER, EncoderName
from stitchkit.storage.atomic_writes import write_text

if TYPE_CHECKING:
    import torch

REMEDY = "Name the model that it was trained on"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."  # of the names of tensors in the file
INVOCATION = "alora_invocation_tokens"  # setting of LoRA that acts on some tokens of a text only
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")
BASE = "stitchkit.json"  # written beside adapters of our own training: the weights that they were trained on


def adapted(model: Any, name: EncoderName, half: str = "") -> Any:
    """The model with the adapter of ``name`` merged into its weights; the model itself where it names none.

    Parameters
    ----------
    model
        Model with its weights, in float32 on the CPU; changed in place.
    half
        Start of the names of the modules that the encoder reads, where the model holds two encoders.

    Raises
    ------
    ModelUnavailableError
        If the folder holds no adapter in safetensors, one of another model or of the other half, one of a kind that
        cannot be merged, or values that are not finite.
    MissingExtraError
        Without PEFT.

    Warns
    -----
    UserWarning
        If the adapter's settings name another repository of the hub than ``name``.
    """
    if ADAPTER not in name.options:
        return model
    folder = Path(os.path.expanduser(name.options[ADAPTER]))
    check_adapter(folder, name)
    peft = import_peft()
    base, below = _base_in(folder)
    if base and base != base_of(model, below):
        raise ModelUnavailableError(
            f"the adapter in {folder} was trained on other weights than those of {str(name)!r}. Name the model and "
            f"revision that it was trained on."
        )
    names = set(tensor_names(folder / WEIGHTS))
    fault = f"the adapter in {folder} does not fit the model of {str(name)!r}"
    _check_finite(folder / WEIGHTS, fault)
    with fits(fault, REMEDY), library_call(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of missing tensors, which are an error below
        prompts = peft.PeftConfig.from_pretrained(str(folder)).is_prompt_learning
        whole = None if prompts else peft.PeftModel.from_pretrained(model, str(folder))
        # told, not left to PEFT, which would ask the hub for the settings of the model that the adapter names
        held: dict[str, Any] = {"save_embedding_layers": any(".base_layer." in one for one in names)}
        odd = set() if whole is None else set(peft.get_peft_model_state_dict(whole, **held)) ^ names
    if whole is None:
        raise _not_merged(folder)
    if odd:
        raise ModelUnavailableError(
            f"{fault}. {REMEDY}. {counted(len(odd), 'tensor')} of one have no place in the other, the first is "
            f"{min(odd)!r}."
        )
    if half and not any(one.removeprefix(PREFIX).startswith(half) for one in names):
        raise ModelUnavailableError(
            f"the adapter in {folder} changes nothing in the encoder {str(name)!r}: none of its tensors belongs to "
            f"this half of the model, the first is {min(names, default='')!r}. Leave out {ADAPTER}=, or load the other "
            f"half."
        )
    merged = _merge(whole, folder, fault)
    if not base:
        _warn_of_other_base(folder, name)
    return merged


def _check_finite(file: Path, fault: str) -> None:
    """Raise for a tensor with NaN or infinity, which vectors of some items may not show."""
    import torch
    from safetensors import safe_open

    with fits(fault, REMEDY), library_call(), safe_open(file, "pt") as tensors:
        bad = [key for key in sorted(tensors.keys()) if not torch.isfinite(tensors.get_tensor(key).float()).all()]
    if bad:
        raise ModelUnavailableError(
            f"{file} holds NaN or infinity in its tensor {bad[0]!r}. Copy it again from its source, or train it again."
        )


def _merge(whole: Any, folder: Path, fault: str) -> Any:
    """The model of an adapter, with the adapter in its weights."""
    with fits(fault, REMEDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with library_call():
                return whole.merge_and_unload()
        except NotImplementedError as error:
            raise _not_merged(folder) from error


def _not_merged(folder: Path) -> ModelUnavailableError:
    """The error for an adapter that acts on more than weights."""
    settings = settings_in(folder / SETTINGS)
    suffix = f" with {INVOCATION}" if settings.get(INVOCATION) else ""
    return ModelUnavailableError(
        f"the adapter in {folder} is of the kind {settings.get('peft_type')!r}{suffix}, which cannot be merged into "
        f"the weights of a model. Train one that can be, such as LoRA."
    )


def _warn_of_other_base(folder: Path, name: EncoderName) -> None:
    """Warn of an adapter whose settings name another repository of the hub, where both are known."""
    base = settings_in(folder / SETTINGS).get("base_model_name_or_path")
    known = base_name(base) if isinstance(base, str) else None
    theirs, ours = None if known is None else known.repository, name.repository
    if theirs is None or ours is None or theirs.casefold() == ours.casefold():
        return
    warnings.warn(
        f"the adapter in {folder} was trained on {theirs!r} by its settings, and is merged into {ours!r}. Where their "
        f"weights differ its vectors are not what it was trained for: name {theirs!r} as the model.",
        stacklevel=3,
    )


def check_adapter(folder: Path, name: EncoderName) -> None:
    """Raise unless ``folder`` holds settings and weights of an adapter, whole.

    Raises
    ------
    ModelUnavailableError
        Naming the file that is missing or damaged.
    """
    for file in (SETTINGS, WEIGHTS):
        if not (folder / file).is_file():
            raise ModelUnavailableError(
                f"encoder {str(name)!r}: there is no {folder / file}. An adapter is a folder that PEFT's "
                f"save_pretrained wrote, with its weights in safetensors."
            )
    if not isinstance(settings_in(folder / SETTINGS), dict):
        raise ModelUnavailableError(f"{folder / SETTINGS} is not a JSON object. Copy it again from its source.")
    check_weights(folder / WEIGHTS)


def files_of_adapter(folder: Path, name: EncoderName) -> list[Path]:
    """The files of an adapter that loading it reads, and its licences; none of the state of its training.

    Raises
    ------
    ModelUnavailableError
        As :func:`check_adapter`.
    """
    check_adapter(folder, name)
    licences = (file for pattern in LICENCES for file in folder.glob(pattern))
    return sorted({file for file in (folder / SETTINGS, folder / WEIGHTS, folder / BASE, *licences) if file.is_file()})


def base_names(model: torch.nn.Module) -> list[str]:
    """Names of the weights below an adapter, without a pooler, which libraries make up if no checkpoint has it."""
    return sorted(name for name in model.state_dict() if "pooler." not in name)


def base_of(model: torch.nn.Module, names: Sequence[str]) -> str:
    """Fingerprint of the weights of these names; of a model that lacks one of them it is another."""
    state = model.state_dict()
    return fingerprint({name: state[name] for name in names if name in state}, {})


def write_base(folder: Path, base: str, names: Sequence[str]) -> None:
    """Write the fingerprint of the weights below an adapter, and their names, beside the adapter."""
    write_text(folder / BASE, json.dumps({"base": base, "names": list(names)}) + "\n")


def _base_in(folder: Path) -> tuple[str, list[str]]:
    """The same as read back; nothing of an adapter that was trained elsewhere."""
    file = folder / BASE
    known = settings_in(file) if file.is_file() else {"base": "", "names": []}
    if not isinstance(known, dict) or not isinstance(known.get("base"), str) or not _are_names(known.get("names")):
        raise ModelUnavailableError(f"{file} does not name the weights below the adapter. Copy the whole folder again.")
    return known["base"], known["names"]


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def import_peft() -> Any:
    """The library of adapters.

    Raises
    ------
    MissingExtraError
        If it cannot be imported.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(
            f"adapters need PEFT, which cannot be imported: {error}. Run: pip install 'stitchkit[train]'"
        ) from error
    return peft
