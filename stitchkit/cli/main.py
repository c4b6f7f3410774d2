"""The console script ``stitchkit``: its commands, and the door that every error leaves through."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from stitchkit.cli.errors import asks_for_more, run, stoppable
from stitchkit.cli.flags import Command

COMMANDS = {  # in the order of the help; a command is imported when it is asked for
    "demo": "stitchkit.cli.commands.demo:demo",
    "embed": "stitchkit.cli.commands.embed:embed",
    "import": "stitchkit.cli.commands.import_vectors:import_vectors",
    "align": "stitchkit.cli.commands.align:align",
    "stitch": "stitchkit.cli.commands.stitch:stitch",
    "bind": "stitchkit.cli.commands.bind:bind",
    "fuse": "stitchkit.cli.commands.fuse:fuse",
    "zeroshot": "stitchkit.cli.commands.zeroshot:zeroshot",
    "search": "stitchkit.cli.commands.search:search",
    "evaluate": "stitchkit.cli.commands.evaluate:evaluate",
    "calibrate": "stitchkit.cli.commands.calibrate:calibrate",
    "diagnose": "stitchkit.cli.commands.diagnose:diagnose",
    "compare": "stitchkit.cli.commands.compare:compare",
    "exam": "stitchkit.cli.commands.exam:exam",
    "gate": "stitchkit.cli.commands.gate:gate",
    "study": "stitchkit.cli.commands.study:study",
    "train": "stitchkit.cli.commands.train:train",
    "bundle": "stitchkit.cli.commands.bundle:bundle",
    "info": "stitchkit.cli.commands.info:info",
    "list": "stitchkit.cli.commands.list:list_names",
    "encoders": "stitchkit.cli.commands.encoders:encoders",
    "anchors": "stitchkit.cli.commands.anchors.group:anchors",
}
MARKUP: Final = "rich"  # of help texts


class LazyCommands(Mapping[str, Any]):
    """The commands by name, each imported on first use."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._table, self._loaded = table, dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, attribute = self._table[name].split(":")
            self._loaded[name] = _command(name, getattr(import_module(module), attribute))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def _command(name: str, target: Any) -> Any:
    """The command of a function, or the group of an application."""
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        target.command(name, cls=Command)(function)
    return typer.main.get_command(target)


class Commands(TyperGroup):
    """The commands; an error is one line on stderr and an exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands(COMMANDS)  # type: ignore[assignment]

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
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        parent = super().main
        sys.exit(run(lambda: parent(words, "stitchkit", standalone_mode=False, obj=words, **extra), words))

    def invoke(self, ctx: Any) -> Any:
        """Run one command."""
        with stoppable():
            return super().invoke(ctx)


def _version(show: bool) -> None:
    if show:
        from stitchkit import __version__

        print(f"stitchkit {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=MARKUP)


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
