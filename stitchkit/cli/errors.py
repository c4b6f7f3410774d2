"""The end of a command: one line on stderr and an exit code; a traceback only with ``-v``."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stitchkit.cli.flags import forget_command
from stitchkit.core.errors import (
    OWN_CODE,
    DataError,
    InputError,
    MissingExtraError,
    ModelUnavailableError,
    StitchError,
    UnknownNameError,
)
from stitchkit.storage.file_errors import NO_ROOM, free_bytes, write_error_in

OK, FAILED, MISTAKE, MISSING, BAD_DATA, UNAVAILABLE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130
BROKEN_PIPE = 141  # what a shell says of a program that wrote to a closed pipe
CODES: dict[type[StitchError], int] = {
    InputError: MISTAKE,
    UnknownNameError: MISTAKE,
    MissingExtraError: MISSING,
    DataError: BAD_DATA,
    ModelUnavailableError: UNAVAILABLE,
}


def run(command: Callable[[], Any], args: Sequence[str]) -> int:
    """The exit code of ``command``, every error described on stderr."""
    verbose = asks_for_more(args)
    try:
        with _warnings_as_notes(verbose):
            code = command()
            sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except Exception as error:
        if verbose:
            traceback.print_exc()
        code, message = describe_error(error)
        _tell(message)
        _give_up_stdout()
        return code
    finally:
        forget_command()


def describe_error(error: Exception) -> tuple[int, str]:
    """Exit code and message of an error."""
    if isinstance(error, StitchError):
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), MISTAKE)
        return code, f"error: {_in_flags(error.message)}"
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own usage errors
        where = getattr(getattr(error, "ctx", None), "command_path", "stitchkit")
        return MISTAKE, f"error: {error.format_message()} (see '{where} --help')"
    if failure := write_error_in(error):
        return MISTAKE, f"error: {_write_failure(failure)}"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return MISTAKE, f"error: {error.filename}: {error.strerror}."
    first = (str(error).strip().splitlines() or [""])[0][:300]
    if own := next((note for note in getattr(error, "__notes__", ()) if note.startswith(OWN_CODE)), None):
        return MISTAKE, f"error: {type(error).__name__}: {first} ({own}). Correct that code; -v shows the traceback."
    return INTERNAL, (
        f"error: internal error, {type(error).__name__}: {first}. The fault is in stitchkit or in a library it "
        f"uses; run the same command with -v and report the traceback with the output of 'stitchkit --version'."
    )


def _write_failure(error: OSError) -> str:
    """The message of a full disk, or of a place that may not be written or read."""
    named = "a file that the system does not name" if error.filename is None else os.fsdecode(error.filename)
    if error.errno not in {*NO_ROOM, errno.EROFS}:
        return f"{named}: {error.strerror}."
    place = os.getcwd() if error.filename is None else os.fsdecode(error.filename)
    free = free_bytes(place)
    room = "free space unknown" if free is None else f"{free} bytes free"
    at = f" in {place}" if error.filename is None else " there"
    return f"{named}: {error.strerror}; {room}{at}. Make room or choose another place, and run the same command again."


def _give_up_stdout() -> None:
    """Send what cannot be printed nowhere, or the interpreter complains when it closes stdout."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except ValueError:  # closed
        return


def asks_for_more(args: Sequence[str]) -> bool:
    """True if the arguments ask for tracebacks."""
    return any(one in ("-v", "--verbose") for one in args)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Exit codes for Ctrl-C and for a reader that went away, before typer gives them its own."""
    import typer

    try:
        yield
    except KeyboardInterrupt:
        _tell(
            "error: interrupted. Unless --store none was given, what was embedded so far is kept, and the same "
            "command goes on from there."
        )
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it closes stdout
        raise typer.Exit(BROKEN_PIPE) from None


@contextlib.contextmanager
def _warnings_as_notes(verbose: bool) -> Iterator[None]:
    """Show the package's warnings as a line each, and those of other libraries with ``-v`` only."""

    def show(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        if category is UserWarning and f"{os.sep}stitchkit{os.sep}" in filename:
            _tell(f"note: {_in_flags(_words(message))}")
        elif verbose:
            _tell(f"note: {category.__name__}: {message} ({filename})")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _in_flags(message: str) -> str:
    from stitchkit.cli.flags import in_flags  # a run without errors and notes has no message to render

    return str(in_flags(message))


def _words(message: Warning | str) -> str:
    """The words of a warning, with the settings that they name."""
    return message.args[0] if isinstance(message, Warning) and message.args else str(message)


def _tell(message: str) -> None:
    if message:
        with contextlib.suppress(OSError):
            print(message, file=sys.stderr, flush=True)
