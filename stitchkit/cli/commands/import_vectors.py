"""``stitchkit import``: vectors of another tool as a file of embeddings, with ids and the model that made them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.wording import counted


@flat
def import_vectors(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, help="An .npy, .npz or .parquet file of vectors, a row an item."),
    ],
    *,
    out: o.VectorsOut,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            "--fingerprint",
            metavar="TEXT",
            help="Changes with the model, its weights or preprocessing: a version, say.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Name of the space; default: the file's name.")
    ] = None,
    vectors: o.VectorFiles,
    output: o.Output,
) -> None:
    """Write vectors of another tool as a file of embeddings, to be used wherever an encoder's vectors are."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import new_file
    from stitchkit.datasets.vector_files import read_vectors
    from stitchkit.storage.embeddings import check_embeddings_path, write_embeddings

    console = Console.of(output)
    new_file(out, output.overwrite, check_embeddings_path)
    result = read_vectors(path, ids=vectors.ids, name=name, fingerprint=fingerprint, unstamped=vectors.unstamped)
    space = result.space
    facts = {"n": len(result), "dim": space.dim, "space": space.name, "fingerprint": space.fingerprint, "out": str(out)}
    if output.dry_run:
        console.plan({**facts, "writes": out})
        return
    write_embeddings(out, result)
    patients = None if vectors.ids is None else vectors.patients(result.ids)
    note = [] if patients is None else ["note: a file of vectors holds ids and no patients; name their table with "
                                        "--anchors or --test where the file is used"]  # fmt: skip
    stamp = "without a fingerprint" if space.fingerprint is None else f"fingerprint {space.fingerprint}"
    line = f"wrote {out}: {counted(len(result), 'vector')} of width {space.dim}, space {space.name}, {stamp}"
    console.result([line, *note], facts)
