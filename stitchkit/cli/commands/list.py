"""``stitchkit list``: names of prompt sets, encoder families, solvers, layouts of data sets, objectives and tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only

KINDS = ("prompts", "families", "solvers", "layouts", "objectives", "tasks")


@flat
def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="The kind of names.")],
    *,
    output: Annotated[o.Output, only("ctx", "json", "quiet", "verbose")],
) -> None:
    """List the names of shipped prompt sets, encoder families, solvers, layouts of data sets, objectives or tasks."""
    from stitchkit.cli.console import Console
    from stitchkit.core.text_tables import text_table
    from stitchkit.listings import listing

    console = Console.of(output)
    rows = listing(kind)
    console.result("\n".join(text_table([(row["name"], row["is"]) for row in rows])), {kind: rows})
