"""``stitchkit anchors card``: origin, counts, hashes and columns of an anchor set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.evaluation.anchors.card import AnchorCard

STATED = "What only you can say"
MARKDOWN, JSON = ".md", ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Facts that the table does not hold."""

    name: Annotated[str, typer.Option("--name", help="Default: the table's name.", rich_help_panel=STATED)] = ""
    description: Annotated[
        str, typer.Option("--description", help="What it is for, and its caveats.", rich_help_panel=STATED)
    ] = ""
    source: Annotated[str, typer.Option("--source", help="Who made it, with a citation.", rich_help_panel=STATED)] = ""
    licence: Annotated[str, typer.Option("--licence", help="Its licence.", rich_help_panel=STATED)] = ""
    obtain: Annotated[str, typer.Option("--obtain", help="How somebody else gets it.", rich_help_panel=STATED)] = ""


@flat
def card(
    table: o.AnchorTableArgument,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .md or .json file to write; default: the card on stdout."),
    ] = None,
    statements: Statements,
    columns: o.Columns,
    output: o.Output,
) -> None:
    """Tell where an anchor set comes from and what is in it: counts, hashes, columns; no text, no patient.

    The hash of the content is of images and texts alone, whatever their order, ids and file names.
    """
    from stitchkit.cli.console import Console, as_json
    from stitchkit.cli.paths import new_file, write_text
    from stitchkit.evaluation.anchors.card import anchor_card

    console = Console.of(output)
    if out is not None:
        new_file(out, output.overwrite, _check_suffix)
    anchors = columns.of(table)
    pairs = anchors.pairs()
    if output.dry_run:
        console.plan({"anchors": table, "pairs": len(pairs), "writes": out or "stdout"})
        return
    console.say(f"reading {counted(len(pairs), 'pair')}")
    result = anchor_card(pairs, **asdict(statements), columns=anchors.column_uses(pairs))
    document = result.to_dict()
    if out is None:
        console.result(result, document)
    else:
        write_text(out, f"{as_json(document) if out.suffix.lower() == JSON else result}\n")
        console.result("\n".join([f"wrote {out}", *_missing(result)]), {"out": str(out), **document})


def _check_suffix(path: Path) -> Path:
    from stitchkit.core.errors import InputError

    if path.suffix.lower() not in (MARKDOWN, JSON):
        raise InputError(f"{path} ends neither in {MARKDOWN} nor in {JSON}. Name the card that way.")
    return path


def _missing(result: AnchorCard) -> list[str]:
    flags = ", ".join(f"--{name}" for name in result.unstated)
    return [f"note: the card does not state everything: pass {flags}"] if flags else []
