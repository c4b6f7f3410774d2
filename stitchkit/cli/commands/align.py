"""``stitchkit align``: a map between two spaces, from files of embeddings or from two encoders and anchors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o


def align(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An encoder, or a .safetensors file of embeddings.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The same for the target space; files are paired by id.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    anchors: o.MaybeAnchors = None,
    pool_source: o.PoolSource = None,
    pool_target: o.PoolTarget = None,
    purpose: Annotated[
        str, typer.Option("--purpose", help="match (zero-shot, retrieval) or head (driving a target head).")
    ] = "match",
    solver: o.Solver = "auto",
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    trust_python: o.TrustPython = None,
) -> None:
    """Fit the map between two spaces and tell how it was chosen and how well it does on held-out pairs."""
    from stitchkit.cli.accounts import account
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.console import Talk
    from stitchkit.cli.fitting import Fitting, check_purpose, solver_of
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairing import EncoderPairs, FilePairs, are_files
    from stitchkit.cli.places import new_folder
    from stitchkit.cli.pools import Pools
    from stitchkit.core.anchor_hashes import without_hashes

    talk = Talk.of(ctx, json=json, quiet=quiet)
    new_folder(out, overwrite)
    check_purpose(purpose, solver_of(solver))
    files = are_files(source, target)
    pools = Pools.of(pool_source, pool_target, files=files)
    fitting = Fitting(solver_of(solver), seed, talk, pools)
    if pools is not None:
        pools.check(fitting, purpose)
    table = AnchorTable.of(anchors, source_column, target_column, id_column, groups, root)
    pairs = (FilePairs if files else EncoderPairs).of(source, target, table)
    if dry_run:
        told = {} if pools is None else {"pools": pools.paths}
        talk.plan({**pairs.plan(), **told, "writes": out})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    done = pairs.write(out, loading, fitting, purpose, overwrite)
    talk.result(
        "\n".join([*account(done.record), f"wrote {out}"]), {"out": str(out), "record": without_hashes(done.record)}
    )
