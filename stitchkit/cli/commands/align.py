"""``stitchkit align``: a map between two spaces, each an encoder or a file of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat


@flat
def align(
    source: o.SourceSide,
    target: o.TargetSide,
    *,
    out: o.OutFolder,
    anchors: o.OptionalAnchors = None,
    pool_source: Annotated[
        Path | None,
        typer.Option(
            "--pool-source",
            metavar="ITEMS|FILE",
            callback=o.existing_items,
            help="Few anchors: unpaired items for SOURCE, or a file of their vectors.",
        ),
    ] = None,
    pool_target: Annotated[
        Path | None,
        typer.Option("--pool-target", metavar="ITEMS|FILE", callback=o.existing_items, help="The same for TARGET."),
    ] = None,
    purpose: Annotated[
        str, typer.Option("--purpose", help="match (zero-shot, retrieval) or head (driving a target head).")
    ] = "match",
    fit: o.Fit,
    columns: o.Columns,
    vectors: o.VectorFiles,
    compute: o.Compute,
    output: o.Output,
) -> None:
    """Fit the map between two spaces and tell how it was chosen and how well it does on held-out pairs."""
    from stitchkit.alignment.request import solver_beside_pools
    from stitchkit.cli.console import Console
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairs import Pairs, Pools
    from stitchkit.cli.paths import new_folder
    from stitchkit.core.alignment_summary import summary_lines
    from stitchkit.core.anchor_hashes import without_hashes

    console = Console.of(output)
    new_folder(out, output.overwrite)
    fitting = Fitting.of(fit.solver, fit.seed, console)
    fitting.check_purpose(purpose)
    if pool_source is not None or pool_target is not None:
        solver_beside_pools(fitting.solver, purpose)
    pairs = Pairs.of(source, target, columns.of_optional(anchors), vectors)
    pools = Pools.of(pool_source, pool_target, pairs, vectors)
    if output.dry_run:
        listed = {} if pools is None else {"pools": [pool_source, pool_target]}
        console.plan({**pairs.plan(), **listed, "writes": out})
        return
    alignment = pairs.write(out, purpose, fitting, pools, Loading(compute, console), overwrite=output.overwrite)
    console.result(
        [*summary_lines(alignment.record, candidates=console.verbose), f"wrote {out}"],
        {"out": str(out), "record": without_hashes(alignment.record)},
    )
