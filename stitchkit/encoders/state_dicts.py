"""State dicts in files: read without running code, stripped of wrappers, and held against the model they fill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders.checkpoints import check_weights
from stitchkit.encoders.hub import loading
from stitchkit.encoders.names import EncoderName

if TYPE_CHECKING:
    import torch

WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
COUNTS = ".num_batches_tracked"  # no vector depends on them, and old checkpoints lack them
SHOWN = 3  # keys in a message


def weights_file(name: EncoderName) -> Path:
    """The file that ``name`` means, once it looks like weights.

    Raises
    ------
    ModelUnavailableError
        If there is none, or it is a folder or something else.
    """
    file = name.folder
    if name.revision:
        raise InputError(f"encoder {str(name)!r} is a file, which has no revisions. Leave out @{name.revision}.")
    if file is None or not file.exists():
        raise ModelUnavailableError(f"encoder {str(name)!r}: there is no file {file or name.id}. Check the path.")
    if file.is_dir():
        raise ModelUnavailableError(
            f"encoder {str(name)!r} names the folder {file}; this family reads a file of weights. Give the file."
        )
    check_weights(file)
    return file


def read_state(name: EncoderName, file: Path, key: str = "", classes: Iterable[type] = ()) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights by name, on the CPU, without the prefix of a wrapper.

    Parameters
    ----------
    key
        Key of the state dict inside a training state, with dots for deeper ones.
    classes
        Classes of modules that may stand in the file; no other code is run.

    Raises
    ------
    InputError
        For a training state without a key, or a key that it does not have.
    ModelUnavailableError
        If it holds code or something else than tensors.
    """
    import torch
    from safetensors.torch import load_file

    allowed: list[Any] = list(classes)
    with loading(name, None):
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            with torch.serialization.safe_globals(allowed) if allowed else nullcontext():
                content = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    for part in key.split(".") if key else []:
        if not isinstance(content, Mapping) or part not in content:
            raise InputError(f"encoder {str(name)!r}: {file} has no key {key!r}; {_keys(content)}.")
        content = content[part]
    if not isinstance(content, Mapping) or not content or not all(
        isinstance(one, torch.Tensor) for one in content.values()
    ):  # fmt: skip
        raise InputError(
            f"encoder {str(name)!r}: {file} holds no state dict{f' under {key!r}' if key else ''}; {_keys(content)}. "
            f"Choose one with #key=, or save model.state_dict() alone."
        )
    state = {str(one): tensor for one, tensor in content.items()}
    for prefix in WRAPPERS:
        if all(one.startswith(prefix) for one in state):
            state = {one.removeprefix(prefix): tensor for one, tensor in state.items()}
    return state


def fill(name: EncoderName, model: torch.nn.Module, state: Mapping[str, torch.Tensor], spare: Iterable[str]) -> None:
    """Load ``state`` into ``model``.

    Parameters
    ----------
    spare
        Starts of keys that may be missing or left over: those of the classifier.

    Raises
    ------
    ModelUnavailableError
        For any other key that is missing or left over, and for weights of another shape, naming the first ones.
    """
    starts = tuple(spare)
    kept = check_state(name, model.state_dict(), state, starts)
    model.load_state_dict(kept, strict=False)


def check_state(
    name: EncoderName,
    model: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    starts: tuple[str, ...] = (),
) -> dict[str, torch.Tensor]:
    """The part of ``state`` that fills the weights ``model``; errors and ``starts`` as of :func:`fill`."""
    wanted = {key: tuple(tensor.shape) for key, tensor in model.items()}
    kept = {key: tensor for key, tensor in state.items() if key in wanted or not key.startswith(starts or ("\0",))}
    missing = [key for key in wanted if key not in kept and not key.startswith(starts or ("\0",))
               and not key.endswith(COUNTS)]  # fmt: skip
    strange = [key for key in kept if key not in wanted]
    other = [key for key in kept if key in wanted and tuple(kept[key].shape) != wanted[key]]
    if missing or strange:
        raise ModelUnavailableError(
            f"the weights of {str(name)!r} are not those of its architecture: "
            + "; ".join(f"{len(keys)} {what} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
                        for keys, what in ((missing, "missing"), (strange, "unexpected")) if keys)
            + ". Check the architecture, and #key= of a training state."
        )  # fmt: skip
    if other:
        raise ModelUnavailableError(
            f"the weights of {str(name)!r} are not those of its architecture: {len(other)} have another shape, such as "
            f"{other[0]} with {tuple(kept[other[0]].shape)} in the file and {wanted[other[0]]} in the model."
        )
    return kept


def _keys(content: Any) -> str:
    """Content of a file, in words."""
    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    keys = [str(key) for key in content]
    return f"it has {', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''}" if keys else "it is empty"
