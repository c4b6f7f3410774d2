"""``stitchkit embed``: an encoder over items, into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o


def embed(
    ctx: typer.Context,
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="FAMILY:ID, as in timm:resnet18.a1_in1k.")],
    items: Annotated[
        Path,
        typer.Argument(
            metavar="ITEMS", help="A folder of images, a CSV, a .txt with an item a line, or an image.", exists=True
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    column: o.Column = None,
    id_column: o.IdColumn = None,
    root: o.Root = None,
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    on_error: o.OnErrorOption = o.OnError.raising,
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    trust_python: o.TrustPython = None,
) -> None:
    """Write the vectors of images or texts to one file; a run that was killed goes on where it stopped."""
    from stitchkit.cli.console import Talk
    from stitchkit.cli.loading import Loading, check_name
    from stitchkit.cli.places import new_file
    from stitchkit.datasets.left_out_items import left_out_path
    from stitchkit.datasets.tables import open_items
    from stitchkit.storage.folders import check_embeddings_path

    talk = Talk.of(ctx, json=json, quiet=quiet)
    new_file(out, overwrite, check_embeddings_path)
    skip = on_error is o.OnError.skip
    if skip:
        new_file(left_out_path(out), overwrite)
    check_name(encoder)
    opened = open_items(items, column=column)
    count = opened.count()
    if dry_run:
        listed = {"left_out": left_out_path(out)} if skip else {}
        talk.plan({"encoder": encoder, "items": count, "writes": out, **listed})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    loaded = loading.encoder(encoder)
    given = opened.read(loaded.modality, id=id_column, root=root)
    done = loading.embed(loaded, given, out, on_error.value)
    facts = {"out": str(out), "n": len(done), "dim": done.space.dim, "encoder": encoder, "items": given.modality}
    if skip:
        facts |= {"left_out": len(done.left_out), "left_out_file": str(left_out_path(out))}
    talk.result(
        f"wrote {out}: {len(done)} {given.modality}s, {done.space.dim} wide, by {encoder}",
        {**facts, "fingerprint": done.space.fingerprint},
    )
