"""The network and the libraries around a checkpoint: forbidding calls, and saying what went wrong."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stitchkit.core.errors import InputError, MissingExtraError, ModelUnavailableError, StitchError
from stitchkit.core.wording import setting
from stitchkit.encoders.checkpoints import settings_in
from stitchkit.encoders.library_calls import is_fault_of_checkpoint, is_lack_of_memory
from stitchkit.encoders.names import EncoderName

LONGEST = 1000  # characters of a library's reason that are shown
UNKNOWN_TYPE = re.compile(r"model type `?'?([^`']+)`?'? but Transformers does not recognize")
COMMIT = re.compile(r"[0-9a-f]{40}")


@contextmanager
def network(offline: bool | None) -> Iterator[None]:
    """Forbid every hub call inside the block if ``offline``; ``HF_HUB_OFFLINE=1`` always wins.

    timm has no switch of its own, so the hub client's is set for the whole process while the block runs.
    """
    if not offline:
        yield
        return
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def is_offline() -> bool:
    """True where hub calls are forbidden now."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def importing(library: str, package: str = "") -> Iterator[None]:
    """Turn a missing or broken ``library`` imported inside the block into a MissingExtraError.

    ``package`` is what pip installs it by, where that is called otherwise.

    A torch and a torchvision of different builds fail on import with a RuntimeError about
    ``torchvision::nms``, and on a second try with an AttributeError about a half-imported torchvision.
    """
    try:
        yield
    except (ImportError, RuntimeError, AttributeError) as error:
        if (broken := _broken_torchvision(library, error)) is not None:
            raise broken from error
        if not isinstance(error, ImportError):
            raise
        step = f"Install it: pip install {package or library}."
        raise MissingExtraError(f"{library} cannot be imported: {error}. {step}") from error


def _broken_torchvision(what: str, error: BaseException) -> MissingExtraError | None:
    """The error for a torchvision of another build than torch, if that is what ``error`` says."""
    signs = ("torchvision::", "partially initialized module 'torchvision'")
    if not any(sign in str(one) for one in _chain(error) for sign in signs):
        return None
    return MissingExtraError(
        f"{what} cannot be used because torchvision does not fit the installed torch: {_whole(error)}. Install "
        f"both from the same build: pip install --force-reinstall torch torchvision, or, to keep a CPU-only torch, the "
        f"torchvision of the same CPU index."
    )


@contextmanager
def loading(name: EncoderName, hub_id: str | None) -> Iterator[None]:
    """Turn what the libraries raise on checkpoints they cannot find or read into a ModelUnavailableError.

    Nothing but the call of the library stands in the block: an error of other code would be blamed on the checkpoint.
    A device that is out of memory stays what it is.
    """
    try:
        yield
    except StitchError:
        raise
    except ImportError as error:
        broken = _broken_torchvision(str(name), error)
        raise (broken or _lacking(name, error)) from error
    except Exception as error:
        if not is_fault_of_checkpoint(error):
            raise
        if (broken := _broken_torchvision(str(name), error)) is not None:
            raise broken from error
        if any(isinstance(one, pickle.UnpicklingError) for one in _chain(error)):
            raise _refusal(name) from error
        if "trust_remote_code" in str(error):
            raise InputError(
                f"encoder {str(name)!r} needs Python code from its repository, which is not run unasked. "
                + _consent(name)
            ) from error
        if (kind := UNKNOWN_TYPE.search(str(error))) is not None:
            raise _unknown_type(name, kind[1]) from error
        raise unavailable(name, hub_id, error) from error


def hub_file(name: EncoderName, hub_id: str, path: str) -> Path | None:
    """A file of a hub repository, fetched or from the cache, or None if the repository has none of that name.

    Out of reach of the hub nothing tells a file that is not there from one that was never fetched; a warning says so
    where the repository's ``config.json`` is in the cache.
    """
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils.hub import cached_file

    with loading(name, hub_id):
        file = cached_file(
            hub_id, path, revision=name.revision,
            _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
    if file is not None:
        return Path(file)
    with loading(name, hub_id):
        known = try_to_load_from_cache(hub_id, path, revision=name.revision)
        config = try_to_load_from_cache(hub_id, "config.json", revision=name.revision)
    if known is None and isinstance(config, str) and path == "modules.json":
        warnings.warn(
            f"{str(name)!r}: out of reach of the hub nothing tells whether the repository declares a pipeline of "
            f"sentence-transformers ({path}), so it is read as a plain checkpoint. Load it once with the hub in reach, "
            f"or confirm with #pipeline=none.",
            stacklevel=2,
        )
    return None


def _consent(name: EncoderName) -> str:
    """The way to run code of a checkpoint that was read first."""
    if name.folder is not None:
        return f"Read that code in {name.folder}, then pass " + setting("trust_remote_code", True) + "."
    commit = f"{name.family}:{name.id}@<40 hex digits>"
    return f"Read that code, then give its full commit ({commit}) and " + setting("trust_remote_code", True) + "."


def _unknown_type(name: EncoderName, kind: str) -> ModelUnavailableError:
    """The error for a model type that transformers does not know: remote code, or a later version."""
    from transformers import __version__

    fault = f"encoder {str(name)!r} is of model type {kind!r}, which transformers {__version__} does not know"
    code = _own_code(name)
    if code:
        return ModelUnavailableError(
            f"{fault}; its config.json names Python code of its own for it (auto_map: {code}), which is not run "
            f"unasked. " + _consent(name)
        )
    return ModelUnavailableError(
        f"{fault}. A later version may know it (pip install --upgrade transformers); else the model needs code of its "
        f"own, and a python: encoder around it."
    )


def _own_code(name: EncoderName) -> str:
    """The code that the config of a folder names, or nothing."""
    config = None if name.folder is None else name.folder / "config.json"
    if config is None or not config.is_file():
        return ""
    settings = settings_in(config)
    names = settings.get("auto_map") if isinstance(settings, dict) else None
    return ", ".join(sorted(map(str, names.values()))) if isinstance(names, dict) else ""


def _lacking(name: EncoderName, error: ImportError) -> MissingExtraError:
    """The error for a library that a part of the checkpoint needs; transformers names it in its own words."""
    fault = f"encoder {str(name)!r} needs a library that is missing"
    if (named := re.search(r"requires the (\w+) library", str(error))) is None:
        return MissingExtraError(f"{fault}: {_whole(error)}.")
    return MissingExtraError(f"{fault}: {named[1]}. Install it: pip install {named[1].lower()}.")


def unavailable(name: EncoderName, hub_id: str | None, error: BaseException) -> ModelUnavailableError:
    """The error for a checkpoint that ``error`` kept from loading, with the next step."""
    if is_lack_of_memory(error):
        return ModelUnavailableError(
            f"encoder {str(name)!r} cannot be loaded: it asks for more main memory than there is ({_whole(error)}). "
            f"Use a machine with more, or compare the sizes in its config.json with those of its source."
        )
    if hub_id is None:
        kind = "" if isinstance(error, OSError | RuntimeError | ValueError) else f"{type(error).__name__}: "
        return ModelUnavailableError(
            f"encoder {str(name)!r} cannot be loaded: {kind}{_whole(error)}. "
            f"Check the files of {str(name.folder or name.id)!r} against their source and copy them again."
        )
    repository = hub_id.partition("@")[0]
    way = f"accept its licence at https://huggingface.co/{repository} and set HF_TOKEN to a token of that account."
    gated = _is_gated(error)
    return ModelUnavailableError(
        f"encoder {str(name)!r} cannot be loaded from the hub: " + _reason(error)
        + (f". A{way[1:]}" if gated else f". If it is gated, {way}")
        + " Without a network, copy the repository to a folder and load "
        + f"{name.family}:local-dir:/path/to/folder."
    )  # fmt: skip


def check_trust(name: EncoderName, trust_remote_code: bool) -> None:
    """Raise unless running the repository's code, if asked for, is pinned to one commit."""
    if trust_remote_code and name.folder is None and not COMMIT.fullmatch(name.revision or ""):
        raise InputError(
            setting("trust_remote_code", text="trust_remote_code")
            + f" for {str(name)!r} would run whatever the repository holds today. Pin the commit you "
            f"have read: {name.family}:{name.id}@<40 hex digits>."
        )


def _refusal(name: EncoderName) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"the weights of {str(name)!r} are a pickle that would run code when opened, so they are refused. "
        f"Convert them to safetensors on a machine where that is safe: load the tensors there and write "
        f"safetensors.torch.save_file(state_dict, 'model.safetensors')."
    )


def _is_gated(error: BaseException) -> bool:
    """True for a repository whose terms were not accepted by the account of this machine's token."""
    from huggingface_hub.errors import GatedRepoError

    return any(isinstance(one, GatedRepoError) for one in _chain(error))


def _reason(error: BaseException) -> str:
    """Why the hub gave nothing, in a line."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    causes = list(_chain(error))
    if _is_gated(error):
        return "the repository is gated and this machine has no token that was granted access"
    if any(isinstance(one, RevisionNotFoundError) for one in causes):
        return "the repository has no such revision"
    if any(isinstance(one, RepositoryNotFoundError) for one in causes):
        return "there is no such public repository"
    if is_offline():
        return (
            "hub calls are forbidden (HF_HUB_OFFLINE or "
            + setting("offline", True)
            + ") and it is not in the local cache"
        )
    return _whole(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what caused it."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _whole(error: BaseException) -> str:
    """A library's message on one line; one of pages is cut, with its length."""
    message = " ".join(str(error).split())
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]} ... ({len(message)} characters)"
    return message.rstrip(".!") or type(error).__name__
