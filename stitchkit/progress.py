"""A bar on stderr, with rate and time left, for work that takes longer than two seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

PATIENCE = 2.0  # seconds of silence


class Progress:
    """Counts work done; shows a bar once it takes long.

    Parameters
    ----------
    show
        None shows the bar after two seconds, True at once, False never.

    Examples
    --------
    >>> with Progress(show=None) as bar:
    ...     bar.begin("embedding", total=2)
    ...     bar.step(2)
    """

    def __init__(self, show: bool | None = None) -> None:
        self._show = show
        self._bar: Any = None
        self._began = time.monotonic()
        self._task: Any = None
        self._what, self._total, self._done, self._here = "", 0, 0, 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a piece of work of ``total`` items, ``done`` of them done before."""
        self._what, self._total, self._done, self._here = what, total, done, 0
        self._began = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(what, total=total, completed=done, rate="")
        elif self._show:
            self._open()

    def step(self, n: int) -> None:
        """``n`` more items are done."""
        self._done, self._here = self._done + n, self._here + n
        seconds = time.monotonic() - self._began
        if self._bar is None and self._show is None and seconds > PATIENCE and self._done < self._total:
            self._open()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{self._here / max(seconds, 1e-9):,.1f}/s")

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        # force_jupyter=False: in a notebook rich would ask for ipywidgets, with a warning
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_jupyter=False),
        )
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._total, completed=self._done, rate="")
