"""Frozen encoders behind one role, a file for each source library.

Adding a family is one file with ``load(name, *, device, dtype) -> Encoder`` and one line in :data:`ENCODERS`.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from stitchkit.core.embeddings import VECTOR_FILES
from stitchkit.core.errors import InputError, ModelUnavailableError, SpaceMismatchError, UnknownNameError
from stitchkit.core.escaping import escape
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.core.wording import advice, setting
from stitchkit.encoders.consent import STITCHED, Consent, TrustPython
from stitchkit.encoders.names import LOCAL, EncoderName
from stitchkit.storage.folders import MANIFEST

__all__ = [
    "ENCODERS",
    "EncoderName",
    "check_encoder_name",
    "check_files",
    "is_vectors_file",
    "load_encoder",
    "load_recorded",
    "runs_hub_code",
    "source_encoder",
]

ENCODERS = {
    "demo": "stitchkit.encoders.demo:load",
    "hf": "stitchkit.encoders.hf.load:load",
    "local": "stitchkit.encoders.local_weights:load",
    "onnx": "stitchkit.encoders.onnx_folder:load",
    "open_clip": "stitchkit.encoders.open_clip_pairs:load",
    "python": "stitchkit.encoders.python_object:load",
    "st": "stitchkit.encoders.sentence_models:load",
    "stitchkit": "stitchkit.encoders.folders:load",
    "timm": "stitchkit.encoders.timm_vision:load",
    "xrv": "stitchkit.encoders.xray_vision:load",
}

RUNS_HUB_CODE = ("hf", "stitchkit")  # families whose load() takes trust_remote_code


def is_vectors_file(name: str) -> bool:
    """True if ``name`` is a file of vectors and no encoder (whose options may end like one)."""
    return name.lower().endswith(VECTOR_FILES) and name.partition(":")[0] not in ENCODERS


def runs_hub_code(name: str) -> bool:
    """True for an encoder of a family whose repositories may hold code, which is what ``trust_remote_code`` allows.

    Examples
    --------
    >>> runs_hub_code("hf:org/name"), runs_hub_code("demo:text")
    (True, False)
    """
    return EncoderName.parse(name).family in RUNS_HUB_CODE


def check_encoder_name(name: str) -> str:
    """``name`` if it is well formed, of a known family and, if it names a folder, there; no library is imported.

    Raises
    ------
    UnknownNameError
        For an unknown family, or a name without one.
    InputError
        For an empty id, or options that are not ``key=value``.
    ModelUnavailableError
        If there is no such folder.
    """
    parsed = _of_known_family(name, "Write FAMILY:NAME.")
    if parsed.id.startswith(LOCAL) and parsed.folder is not None and not parsed.folder.exists():
        raise ModelUnavailableError(f"encoder {name!r}: there is no folder {parsed.folder}. Check the path.")
    return name


def _of_known_family(name: str, hint: str) -> EncoderName:
    """The parts of a name whose family is in the table; ``hint`` ends the error of one that is not."""
    parsed = EncoderName.parse(name)
    if parsed.family not in ENCODERS:
        raise UnknownNameError.of("encoder family", parsed.family, ENCODERS, hint)
    return parsed


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool | None = None,
    trust_remote_code: bool = False,
    trust_python: TrustPython = False,
) -> Encoder:
    """A frozen encoder by name.

    ``name`` is trusted: a ``python:`` name is Python code, and giving it here runs that code. Names that a
    ``stitchkit:`` folder holds are data, and are not.

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
    trust_python
        ``python:`` names that a ``stitchkit:`` folder, or a folder named by it, may lead to: a list of them, exactly
        as they are written there, or True for every name. By default none, and the error shows the name.

    Returns
    -------
    Encoder
        In evaluation mode, without gradients; ``encoder.name`` is ``name``.

    Raises
    ------
    UnknownNameError
        For an unknown family, model or option, listing the nearest.
    ModelUnavailableError
        If weights or preprocessing cannot be found, read or trusted, or a folder names Python code that
        ``trust_python`` does not allow.
    MissingExtraError
        If the family's library is absent or broken.
    InputError
        For a device, dtype or pooling that cannot be used.
    """
    consent = Consent.of(trust_python, trust_remote_code)
    parsed = _of_known_family(name, "Write FAMILY:NAME.")
    if trust_remote_code and not runs_hub_code(name):
        raise InputError(
            setting("trust_remote_code", text="trust_remote_code")
            + f" has no meaning for {name!r}; encoders of {' and '.join(RUNS_HUB_CODE)} alone run a repository's code."
        )
    return _load(parsed, device, dtype, offline, consent)


def load_recorded(
    name: object,
    where: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool | None = None,
    consent: Consent,
) -> Encoder:
    """The encoder of a name that was read from data: a stitched folder, say.

    Parameters
    ----------
    name
        Name as it is written there.
    where
        Place it was read from, for messages.
    consent
        The code that the user allows names from data to run.

    Raises
    ------
    ModelUnavailableError
        If it is no name, or leads to code without consent.
    """
    if not isinstance(name, str):
        raise ModelUnavailableError(f"{where} names as its encoder {escape(repr(name))[:80]}, which is no text.")
    consent.require(name, where)
    parsed = _of_known_family(name, f"It is named by {where}.")
    return _load(parsed, device, dtype, offline, consent)


def source_encoder(
    config: dict[str, Any], source: Space, folder: str | Path, *, device: str, dtype: str, consent: Consent
) -> Encoder:
    """The encoder the stitched ``folder`` was made with, by its config; refused unless its space is ``source``.

    Raises
    ------
    ModelUnavailableError
        If the folder names none, itself, or Python code without consent.
    SpaceMismatchError
        If its fingerprint is not the one on record.
    """
    if "encoder" not in config:
        raise ModelUnavailableError(
            "the folder holds an alignment of vectors, without an encoder. Name encoders when aligning, or use the map."
        )
    if not isinstance(config["encoder"], str):
        raise ModelUnavailableError(f"the encoder that {folder} names is no name. Copy or save the folder again.")
    where, inside = f"the stitched folder {escape(str(folder))}", consent.inside(folder)
    inside.require(config["encoder"], where)
    check_files(folder)
    try:
        encoder = load_recorded(config["encoder"], where, device=device, dtype=dtype, consent=inside)
    except ModelUnavailableError as error:
        check_files(folder, every=True)  # a damaged file is a better reason than what its library says of it
        if not _has_moved(config["encoder"]):
            raise
        raise ModelUnavailableError(
            error.message
            + advice(" Where that checkpoint is at another place now, name it with ", setting("encoder"), ".")
        ) from error
    if not source.accepts(encoder.space):
        check_files(folder, every=True)
        raise SpaceMismatchError(
            f"the folder was stitched on {source.name!r} (fingerprint {source.fingerprint}, width {source.dim}); "
            f"'{escape(config['encoder'])}' now has fingerprint {encoder.space.fingerprint} and width "
            f"{encoder.space.dim}. Restore that checkpoint and its preprocessing, or stitch again."
        )
    return encoder


def check_files(folder: str | Path, *, every: bool = False) -> None:
    """Raise for a bundle whose encoders' files are missing or damaged; ``every`` hashes large ones as well."""
    if Path(folder, MANIFEST).is_file():
        from stitchkit.storage.bundles import check_bundle

        check_bundle(folder, every=every)


def _has_moved(name: str) -> bool:
    """True for the name of a file or folder that is not there."""
    place = EncoderName.parse(name).id.removeprefix(LOCAL).partition(".py:")[0]
    return os.path.isabs(place) and not (os.path.exists(place) or os.path.exists(place + ".py"))


def hub_access(offline: bool | None) -> AbstractContextManager[None]:
    """Forbid every hub call inside the block if ``offline``; ``HF_HUB_OFFLINE=1`` always wins."""
    if not offline:  # what speaks with hubs is not imported for an encoder that needs none
        return nullcontext()
    from stitchkit.encoders.hub import network

    return network(offline)


def _load(parsed: EncoderName, device: str, dtype: str, offline: bool | None, consent: Consent) -> Encoder:
    """The encoder of a name that may be loaded."""
    from stitchkit.encoders.devices import checked_dtype, chosen_device

    module, _, attribute = ENCODERS[parsed.family].partition(":")
    trusted: dict[str, Any] = {}
    if parsed.family == STITCHED:
        trusted = {"consent": consent}
    elif consent.remote_code and parsed.family in RUNS_HUB_CODE:
        trusted = {"trust_remote_code": True}
    with hub_access(offline):
        load = getattr(import_module(module), attribute)
        encoder: Encoder = load(parsed, device=chosen_device(device), dtype=checked_dtype(dtype), **trusted)
    return encoder
