"""What a command says, and where: results on stdout, as text or as one JSON document; talk on stderr."""

from __future__ import annotations

import contextlib
import json as _json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import typer


@dataclass(frozen=True, slots=True)
class Talk:
    """The voice of one command.

    Parameters
    ----------
    out
        The real stdout; while a command runs, what libraries print goes to stderr.
    json
        Give results as one JSON document.
    quiet
        Say nothing but results and errors.
    command
        The command line, for the record.
    """

    out: TextIO
    json: bool
    quiet: bool
    command: str

    @classmethod
    def of(cls, ctx: typer.Context, *, json: bool = False, quiet: bool = False) -> Talk:
        """The voice for ``ctx``; from now until its end stdout belongs to results alone."""
        talk = cls(sys.stdout, json, quiet, shlex.join(["stitchkit", *(ctx.obj or [])]))
        ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
        return talk

    @property
    def progress(self) -> bool | None:
        """What a verb takes as ``progress``."""
        return False if self.quiet else None

    def say(self, line: str) -> None:
        """A line of talk."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def result(self, text: str, document: Mapping[str, Any]) -> None:
        """The command's result, in the form asked for."""
        print(as_json(document) if self.json else text, file=self.out, flush=True)

    def plan(self, what: Mapping[str, Any]) -> None:
        """What a dry run would have done."""
        wide = max(map(len, what))
        lines = [f"{name:<{wide}}  {_listed(value)}" for name, value in what.items()]
        self.result("\n".join(["dry run: nothing was done", *lines]), {"dry_run": True, **what})


def as_json(document: Mapping[str, Any]) -> str:
    """``document`` as strict JSON: numpy's numbers as numbers, NaN and infinity as null, settings as options."""
    from stitchkit.cli.flags import in_flags
    from stitchkit.core.plain_values import plain

    return _json.dumps(plain(in_flags(document)), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _listed(value: Any) -> str:
    return (
        ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str | Path) else str(value)
    )
