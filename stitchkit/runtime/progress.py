"""Progress of work that takes longer than two seconds: a bar on a terminal, one line in a notebook, else silence."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

PATIENCE = 2.0  # seconds of silence
ESTIMATE_AFTER = 5.0  # seconds of work, from which the rest is estimated
LONG = 120.0  # seconds of an expected rest that is worth a line
PAUSE = 0.25  # seconds between two updates of a notebook's line: each is a message to the browser


_ANNOUNCES: ContextVar[bool] = ContextVar("long steps are announced", default=False)


@contextlib.contextmanager
def announce_long_steps() -> Iterator[None]:
    """Write a line to stderr, once for each piece of work of minutes, where no bar shows the time left.

    For command lines, also quiet ones: a job's log then says how long it will be.
    """
    before = _ANNOUNCES.set(True)
    try:
        yield
    finally:
        _ANNOUNCES.reset(before)


@dataclass
class Piece:
    """A piece of work of ``total`` items, ``done`` of them done, ``here`` of these since it began."""

    what: str
    total: int
    done: int
    here: int = 0
    began: float = field(default_factory=lambda: time.monotonic())

    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float:
        """Expected seconds until it is done, at the rate so far; infinity before the first item."""
        return (self.total - self.done) * self.seconds() / self.here if self.here else math.inf

    def rate(self) -> str:
        """Items a second."""
        return f"{self.here / max(self.seconds(), 1e-9):,.1f}/s"

    def line(self) -> str:
        """One plain line."""
        return f"{self.what} {self.done}/{self.total} {self.rate()}"


class Surface(Protocol):
    """A place where progress is shown."""

    def begin(self, piece: Piece) -> None:
        """A new piece of work."""

    def update(self) -> None:
        """The piece went on."""

    def stop(self) -> None:
        """Nothing more comes."""


class Progress:
    """Counts work done; shows it once it takes long.

    On a terminal it is a bar with rate and time left, in a notebook one line that is rewritten. Where stderr is
    neither (a file, a pipe, a job's log), nothing is written, unless ``show`` is True.

    Parameters
    ----------
    show
        None shows progress after two seconds where somebody watches; True shows it at once, and writes a plain line
        at the end of each piece of work where stderr is a file or a pipe; False never shows it.

    Examples
    --------
    >>> with Progress(show=None) as bar:
    ...     bar.begin("embedding", total=2)
    ...     bar.step(2)
    """

    def __init__(self, show: bool | None = None) -> None:
        self._show = show
        self._surface: Surface | None = None
        self._piece = Piece("", 0, 0)
        self._announced = not _ANNOUNCES.get()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._surface is not None:
            self._surface.stop()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a piece of work of ``total`` items, ``done`` of them done before."""
        self._piece = Piece(what, total, done)
        self._announced = not _ANNOUNCES.get()
        if self._surface is not None:
            self._surface.begin(self._piece)
        elif self._show:
            self._open()

    def step(self, n: int) -> None:
        """``n`` more items are done."""
        piece = self._piece
        piece.done, piece.here = piece.done + n, piece.here + n
        if self._surface is not None:
            self._surface.update()
        elif self._show is None and piece.seconds() > PATIENCE and piece.done < piece.total:
            self._open()
        if self._surface is None and not self._announced and piece.seconds() > ESTIMATE_AFTER:
            self._announced = True
            if LONG <= (left := piece.seconds_left()) < math.inf and sys.stderr is not None:
                sys.stderr.write(f"{piece.what}: about {_duration(left)} to go, {piece.done} of {piece.total} done\n")
                sys.stderr.flush()

    def _open(self) -> None:
        self._surface = _surface_for(self._show)
        if self._surface is None:
            self._show = False  # nobody watches: do not look again at each step
        else:
            self._surface.begin(self._piece)


def _duration(seconds: float) -> str:
    """Whole minutes, or hours from two on."""
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _surface_for(show: bool | None) -> Surface | None:
    """The place that fits stderr: a terminal's bar, a notebook's line, plain lines if they are wanted."""
    if in_notebook():
        return _NotebookLine()
    if sys.stderr is None or sys.stderr.closed:
        return None
    if sys.stderr.isatty():
        return _TerminalBar()
    return _PlainLines() if show else None


def in_notebook() -> bool:
    """True inside a Jupyter kernel, whose stderr is no terminal but is watched."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class _TerminalBar:
    """A bar of rich for each piece."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_jupyter=False),
        )
        self._bar.start()

    def begin(self, piece: Piece) -> None:
        self._piece = piece
        self._task = self._bar.add_task(piece.what, total=piece.total, completed=piece.done, rate="")

    def update(self) -> None:
        self._bar.update(self._task, completed=self._piece.done, rate=self._piece.rate())

    def stop(self) -> None:
        self._bar.stop()


class _NotebookLine:
    """One output of the cell, rewritten in place: what a stream printed would stay in the saved notebook."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._written = 0.0

    def begin(self, piece: Piece) -> None:
        self._piece = piece
        self._write()

    def update(self) -> None:
        if time.monotonic() - self._written >= PAUSE:
            self._write()

    def stop(self) -> None:
        self._write()

    def _write(self) -> None:
        from IPython import display as displays

        show: Any = displays.display  # without types
        self._written = time.monotonic()
        line = {"text/plain": self._piece.line()}
        if self._handle is None:
            self._handle = show(line, raw=True, display_id=True)
        else:
            self._handle.update(line, raw=True)


class _PlainLines:
    """A plain line at the end of each piece, for a log."""

    def __init__(self) -> None:
        self._piece: Piece | None = None

    def begin(self, piece: Piece) -> None:
        self.stop()
        self._piece = piece

    def update(self) -> None:
        """Lines are written at the end."""

    def stop(self) -> None:
        if self._piece is not None:
            sys.stderr.write(f"{self._piece.line()}\n")
            sys.stderr.flush()
