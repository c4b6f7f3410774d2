"""Calls of another library with what a checkpoint holds: its failures, told from errors of this package's own code."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from stitchkit.core.errors import ModelUnavailableError, StitchError

_MARKER = "stitchkit_raised_by_library"  # attribute of errors that a library raised
_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NameError, OSError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, re.error, struct.error,
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


def is_fault_of_checkpoint(error: Exception) -> bool:
    """True for a failure of a library that its checkpoint is to blame for: any but a device that is out of memory.

    Parameters
    ----------
    error
        Error that a library raised on a checkpoint.

    Examples
    --------
    >>> is_fault_of_checkpoint(ValueError("hidden_size must be a number"))
    True
    >>> is_fault_of_checkpoint(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    False
    """
    one: BaseException | None = error
    while one is not None:
        if "out of memory" in str(one).lower():  # another program may fill the device
            return False
        one = one.__cause__
    return is_failure(error)


def is_lack_of_memory(error: BaseException) -> bool:
    """True for more main memory asked for than there is, in the words of Python, numpy or torch.

    Examples
    --------
    >>> is_lack_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    True
    """
    return isinstance(error, MemoryError) or "allocate memory" in str(error).lower()


@contextmanager
def library_call() -> Iterator[None]:
    """Mark errors that the block raises as a library's; nothing but the call of the library stands in the block.

    See Also
    --------
    fits : refuses a checkpoint for such errors, and for no others.
    """
    try:
        yield
    except Exception as error:
        setattr(error, _MARKER, True)
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
        if not (hasattr(error, _MARKER) and is_fault_of_checkpoint(error)):
            raise
        raise ModelUnavailableError(f"{fault}. {advice}. The library says: {_message(error)}.") from error


def _message(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:_MOST] or type(error).__name__
