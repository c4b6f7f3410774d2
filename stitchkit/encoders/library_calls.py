"""Calls of another library with what a checkpoint holds: its failures, told from errors of this package's own code."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from stitchkit.core.errors import ModelUnavailableError, StitchError

_NOTE = "Raised inside the library that the checkpoint is read with."
_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError, OSError, RuntimeError,
    TypeError, ValueError, pickle.UnpicklingError,
)  # fmt: skip
_MOST = 300  # characters of the library's words


def is_failure(error: Exception) -> bool:
    """True for what the libraries raise on a checkpoint that they cannot use.

    Beside Python's own classes that is a plain ``Exception``, the only kind that tokenizers has, and the classes of
    safetensors and of the hub's client for files and settings.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return type(error) is Exception or isinstance(error, (*_FAILURES, SafetensorError, StrictDataclassError))


@contextmanager
def library_call() -> Iterator[None]:
    """Note on what the block raises that a library raised it; nothing but the call of the library stands in the block.

    See Also
    --------
    fits : refuses a checkpoint for such errors, and for no others.
    """
    try:
        yield
    except Exception as error:
        if is_failure(error):
            error.add_note(_NOTE)
        raise


@contextmanager
def fits(fault: str, advice: str) -> Iterator[None]:
    """Turn what a :func:`library_call` inside the block raises into a ModelUnavailableError.

    Errors of other code come through as they are, and so does a device that is out of memory; settings that ask for
    more main memory than there is do not fit.

    Parameters
    ----------
    fault, advice
        The sentences of the error: what does not fit, and the next step.

    Raises
    ------
    ModelUnavailableError
        With both sentences, and what the library says.
    """
    try:
        yield
    except StitchError:
        raise
    except Exception as error:
        of_device = "out of memory" in str(error).lower()  # another program may fill it
        if of_device or _NOTE not in getattr(error, "__notes__", ()):
            raise
        raise ModelUnavailableError(f"{fault}. {advice}. The library says: {_said(error)}.") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:_MOST] or type(error).__name__
