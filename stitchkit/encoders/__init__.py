"""Frozen encoders behind one role, a file for each source library.

Adding a family is one file with ``load(name, *, device, dtype) -> Encoder`` and one line in :data:`ENCODERS`.
"""

from __future__ import annotations

from importlib import import_module

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.roles import Encoder
from stitchkit.encoders.names import EncoderName

__all__ = ["ENCODERS", "EncoderName", "is_vectors_file", "load_encoder"]

ENCODERS = {
    "demo": "stitchkit.encoders.demo:load",
    "hf": "stitchkit.encoders.hf:load",
    "python": "stitchkit.encoders.python_object:load",
    "stitchkit": "stitchkit.encoders.folders:load",
    "timm": "stitchkit.encoders.timm_vision:load",
}

RUNS_HUB_CODE = ("hf", "stitchkit")  # families whose load() takes trust_remote_code


def is_vectors_file(name: str) -> bool:
    """Whether ``name`` is a file of embeddings and no encoder (whose options may end like one)."""
    return name.endswith(".safetensors") and name.partition(":")[0] not in ENCODERS


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool | None = None,
    trust_remote_code: bool = False,
) -> Encoder:
    """A frozen encoder by name.

    Parameters
    ----------
    name
        ``FAMILY:ID[@REVISION][#pool=cls&layer=-1&prompt=...]`` with a family of :data:`ENCODERS`. A path that
        exists wins over ``@`` and ``#`` in it.
    device
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a torch device such as ``"cuda:1"``.
    dtype
        ``"float32"``, ``"float16"`` or ``"bfloat16"``: the precision the encoder computes in.
    offline
        True forbids every call to a hub while loading. ``HF_HUB_OFFLINE=1`` does the same and always wins.
    trust_remote_code
        Run the Python code of a hub repository; only with ``@`` and a full commit of 40 hex digits.

    Returns
    -------
    Encoder
        In evaluation mode, without gradients; ``encoder.name`` is ``name``.

    Raises
    ------
    UnknownNameError
        For an unknown family, model or option, listing the nearest.
    ModelUnavailableError
        If weights or preprocessing cannot be found, read or trusted.
    MissingExtraError
        If the family's library is absent or broken.
    InputError
        For a device, dtype or pooling that cannot be used.
    """
    from stitchkit.encoders.devices import checked_dtype, chosen_device
    from stitchkit.encoders.hub import network

    parsed = EncoderName.parse(name)
    if parsed.family not in ENCODERS:
        raise UnknownNameError.of("encoder family", parsed.family, ENCODERS, "Write FAMILY:NAME.")
    if trust_remote_code and parsed.family not in RUNS_HUB_CODE:
        raise InputError(f"trust_remote_code has no meaning for {name!r}; only hf encoders run a repository's code.")
    module, _, attribute = ENCODERS[parsed.family].partition(":")
    trusted = {"trust_remote_code": True} if trust_remote_code else {}
    with network(offline):
        load = getattr(import_module(module), attribute)
        encoder: Encoder = load(parsed, device=chosen_device(device), dtype=checked_dtype(dtype), **trusted)
    return encoder
