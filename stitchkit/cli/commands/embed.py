"""``stitchkit embed``: an encoder over items, into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only


@flat
def embed(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="FAMILY:ID, as in timm:resnet18.a1_in1k.")],
    items: Annotated[
        Path,
        typer.Argument(
            metavar="ITEMS",
            help="A folder of images, a CSV, a .txt with an item a line, or an image.",
            callback=o.existing_items,
        ),
    ],
    *,
    out: o.VectorsOut,
    column: o.Column = None,
    columns: Annotated[o.Columns, only("id_column", "root")],
    compute: o.Compute,
    on_error: Annotated[
        o.OnError,
        typer.Option(
            "--on-error",
            rich_help_panel=o.COMPUTE,
            help="raise: a damaged item ends the work; skip: it is left out and listed in OUT's .left_out.csv.",
        ),
    ] = o.OnError.raising,
    output: o.Output,
) -> None:
    """Write the vectors of images or texts to one file; a run that was killed goes on where it stopped."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.paths import new_file
    from stitchkit.datasets.embeddable_items import left_out_path
    from stitchkit.encoders import check_encoder_name
    from stitchkit.storage.embeddings import check_embeddings_path

    console = Console.of(output)
    new_file(out, output.overwrite, check_embeddings_path)
    skip = on_error is o.OnError.skip
    if skip:
        new_file(left_out_path(out), output.overwrite)
    check_encoder_name(encoder)
    file = ItemsFile.open(items, column, columns)
    count = file.check()
    if output.dry_run:
        listed = {"left_out": left_out_path(out)} if skip else {}
        console.plan({"encoder": encoder, "items": count, "writes": out, **listed})
        return
    loading = Loading(compute, console)
    loaded = loading.encoder(encoder)
    read = file.read(loaded.modality)
    vectors = loading.embed(loaded, read, out, on_error.value)
    facts = {"out": str(out), "n": len(vectors), "dim": vectors.space.dim, "encoder": encoder, "items": read.modality}
    if skip:
        facts |= {"left_out": len(vectors.left_out), "left_out_file": str(left_out_path(out))}
    console.result(
        f"wrote {out}: {len(vectors)} {read.modality}s, {vectors.space.dim} wide, by {encoder}",
        {**facts, "fingerprint": vectors.space.fingerprint},
    )
