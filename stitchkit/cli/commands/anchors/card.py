"""``stitchkit anchors card``: origin, counts, hashes and columns of an anchor set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.evaluation.anchors.card import AnchorCard

STATED = "What only you can say"
MARKDOWN, JSON = ".md", ".json"


def card(
    ctx: typer.Context,
    table: Annotated[Path, typer.Argument(metavar="ANCHORS", help="Table of anchor pairs, one a row.", exists=True)],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .md or .json file to write; default: the card on stdout."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Default: the table's name.", rich_help_panel=STATED)] = "",
    description: Annotated[
        str, typer.Option("--description", help="What it is for, and its caveats.", rich_help_panel=STATED)
    ] = "",
    source: Annotated[str, typer.Option("--source", help="Who made it, with a citation.", rich_help_panel=STATED)] = "",
    licence: Annotated[str, typer.Option("--licence", help="Its licence.", rich_help_panel=STATED)] = "",
    obtain: Annotated[str, typer.Option("--obtain", help="How somebody else gets it.", rich_help_panel=STATED)] = "",
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Tell where an anchor set comes from and what is in it: counts, hashes, columns; no text, no patient.

    The hash of the content is of images and texts alone, whatever their order, ids and file names.
    """
    from stitchkit.cli.anchor_reading import column_uses, read_pairs
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.console import Talk, as_json
    from stitchkit.cli.places import new_file, write_text
    from stitchkit.evaluation.anchors.card import anchor_card

    talk = Talk.of(ctx, json=json, quiet=quiet)
    if out is not None:
        new_file(out, overwrite, _check_suffix)
    named = AnchorTable(table, source_column, target_column, id_column, groups, root)
    pairs = read_pairs(named)
    if dry_run:
        talk.plan({"anchors": table, "pairs": len(pairs), "writes": out or "stdout"})
        return
    talk.say(f"reading {counted(len(pairs), 'pair')}")
    made = anchor_card(
        pairs, name=name, description=description, source=source, licence=licence, obtain=obtain,
        columns=column_uses(named, pairs),
    )  # fmt: skip
    document = made.to_dict()
    if out is None:
        talk.result(str(made), document)
    else:
        write_text(out, f"{as_json(document) if out.suffix.lower() == JSON else made}\n")
        talk.result("\n".join([f"wrote {out}", *_missing(made)]), {"out": str(out), **document})


def _check_suffix(path: Path) -> Path:
    from stitchkit.core.errors import InputError

    if path.suffix.lower() not in (MARKDOWN, JSON):
        raise InputError(f"{path} ends neither in {MARKDOWN} nor in {JSON}. Name the card that way.")
    return path


def _missing(made: AnchorCard) -> list[str]:
    flags = ", ".join(f"--{name}" for name in made.unstated)
    return [f"note: the card does not state everything: pass {flags}"] if flags else []
