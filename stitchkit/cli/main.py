"""The console script ``stitchkit``: its commands, and the door that every error leaves through."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stitchkit.cli.commands.align import align
from stitchkit.cli.commands.anchors.group import anchors
from stitchkit.cli.commands.compare import compare
from stitchkit.cli.commands.demo import demo
from stitchkit.cli.commands.diagnose import diagnose
from stitchkit.cli.commands.embed import embed
from stitchkit.cli.commands.evaluate import evaluate
from stitchkit.cli.commands.gate import gate
from stitchkit.cli.commands.info import info
from stitchkit.cli.commands.stitch import stitch
from stitchkit.cli.commands.study import study
from stitchkit.cli.commands.train import train
from stitchkit.cli.commands.zeroshot import zeroshot
from stitchkit.cli.errors import asks_for_more, run, stoppable


class Commands(TyperGroup):
    """The commands; an error is one line on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit."""
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        parent = super().main
        sys.exit(run(lambda: parent(given, "stitchkit", standalone_mode=False, obj=given, **extra), given))

    def invoke(self, ctx: Any) -> Any:
        """Run one command."""
        with stoppable():
            return super().invoke(ctx)


def _version(asked: bool) -> None:
    if asked:
        from stitchkit import __version__

        print(f"stitchkit {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback(
    epilog="Exit codes: 0 ok, 1 gate failed, 2 your mistake, 3 missing extra, 4 bad data or leakage, "
    "5 model unavailable, 70 internal error, 130 interrupted and resumable."
)
def _stitchkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Connect frozen models: a few anchors, one map, and a general encoder drives a medical head or is named by text.

    Encoders are named FAMILY:ID, for example timm:resnet18.a1_in1k or hf:local-dir:/models/bert. Not a medical device.
    """


for _command in (demo, embed, align, stitch, zeroshot, evaluate, diagnose, compare, gate, study, train, info):
    app.command()(_command)
app.add_typer(anchors)


def main() -> None:
    """Run the command line in a process of its own."""
    _hush(sys.argv[1:])
    app()


def _hush(args: Sequence[str]) -> None:
    """Keep model libraries from talking between our lines; they read these when they are imported."""
    if not asks_for_more(args):
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "--quiet" in args or "-q" in args:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
