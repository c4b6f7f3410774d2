"""``stitchkit encoders``: a catalogue of encoders that researchers use."""

from __future__ import annotations

from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without


@flat
def encoders(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="Part of a name, domain, licence or note that entries must hold.")
    ] = "",
    *,
    output: Annotated[o.Output, without("dry_run", "overwrite")],
) -> None:
    """List encoders that researchers use, with width, licence and access; any other name of a family loads as well."""
    from stitchkit.cli.console import Console
    from stitchkit.encoders.catalog import catalog_document, catalog_table, read_catalog

    console = Console.of(output)
    entries = read_catalog(word)
    console.result(catalog_table(entries), catalog_document(entries))
