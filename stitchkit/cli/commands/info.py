"""``stitchkit info``: what a name, a folder or a file is."""

from __future__ import annotations

from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without


@flat
def info(
    what: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER|FILE", help="An encoder, a shipped set, a stitched folder, or a file.")
    ],
    *,
    compute: Annotated[o.Compute, without("batch_size", "store")],
    output: Annotated[o.Output, without("dry_run", "overwrite")],
) -> None:
    """Tell what an encoder, a stitched folder, a file of embeddings or scores, a shipped set or a table holds."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.reports.descriptions import describe_named, description_lines

    console = Console.of(output)
    facts = describe_named(what, Loading(compute, console).encoder)
    console.result(description_lines(facts), facts)
