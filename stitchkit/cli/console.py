"""Console output of a command: results on stdout, as text or as one JSON document; progress and notes on stderr."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stitchkit.runtime.progress import announce_long_steps

if TYPE_CHECKING:
    from stitchkit.cli.options import Output


@dataclass(frozen=True, slots=True)
class Console:
    """Console output of one command.

    Parameters
    ----------
    out
        The real stdout; while a command runs, what libraries print goes to stderr.
    json
        Results as one JSON document.
    quiet
        Results and errors alone, without progress.
    verbose
        Details of a result, such as all candidates of a fit.
    command
        The command line, for the record.
    """

    out: TextIO
    json: bool
    quiet: bool
    verbose: bool
    command: str

    @classmethod
    def of(cls, output: Output, *, json: bool = False) -> Console:
        """The console that ``output`` asks for; from now until the command's end stdout belongs to results alone."""
        ctx = output.ctx
        line = shlex.join(["stitchkit", *(ctx.obj or [])])
        console = cls(sys.stdout, json or output.json, output.quiet, output.verbose, line)
        ctx.with_resource(announce_long_steps())
        ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
        return console

    @property
    def progress(self) -> bool | None:
        """The ``progress`` argument of verbs."""
        return False if self.quiet else None

    def say(self, line: str) -> None:
        """Print a line of progress."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def result(self, result: Any, document: Mapping[str, Any]) -> None:
        """Print the command's result, or its ``document`` as JSON: settings that they name become options.

        Parameters
        ----------
        result
            A text, a result that prints itself, or a list of these, printed below each other.
        """
        from stitchkit.cli.flags import in_flags

        parts = result if isinstance(result, list) else [result]
        text = as_json(document) if self.json else "\n".join(str(in_flags(part)) for part in parts)
        print(text, file=self.out, flush=True)

    def plan(self, steps: Mapping[str, Any]) -> None:
        """Print what a dry run would have done."""
        wide = max(map(len, steps))
        lines = [f"{name:<{wide}}  {_text_of(value)}" for name, value in steps.items()]
        self.result("\n".join(["dry run: nothing was done", *lines]), {"dry_run": True, **steps})


def as_json(document: Mapping[str, Any]) -> str:
    """``document`` as strict JSON: numpy's numbers as numbers, NaN and infinity as null, settings as options."""
    from stitchkit.cli.flags import in_flags
    from stitchkit.core.plain_values import plain

    return json.dumps(plain(in_flags(document)), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _text_of(value: Any) -> str:
    return (
        ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str | Path) else str(value)
    )
