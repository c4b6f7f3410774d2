"""``stitchkit anchors select``: which rows of a table to make anchors of, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings


@flat
def select(
    table: Annotated[
        Path,
        typer.Argument(metavar="ANCHORS", help="Table of pairs to choose from, or a shipped set by name.",
                       callback=o.existing_anchors),
    ],
    *,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many to choose.")],
    out: Annotated[Path, typer.Option("--out", metavar="CSV", help="The table to write.")],
    method: Annotated[
        str,
        typer.Option("--method", metavar="NAME",
                     help="kmeans, farthest, leverage, random, balanced (--label-column) or diverse-text."),
    ] = "kmeans",
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", metavar="NAME", help="Encoder of the images; for diverse-text, of the texts."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", metavar="FILE", exists=True, help="Or a .safetensors file of their vectors."),
    ] = None,
    test: o.TestTable = None,
    label_column: Annotated[
        str | None,
        typer.Option("--label-column", help="Column of each row's class, for balanced.", rich_help_panel=o.COLUMNS),
    ] = None,
    columns: o.Columns,
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:  # fmt: skip
    """Choose rows to make anchors of, no patient twice while another has none, and write them as a table.

    Rows stand in the order they were picked, cells as they were. Relative image paths are written anew where the table
    lies in another folder, so that 'stitchkit align --anchors' reads it as it is.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_file, write_text
    from stitchkit.datasets.row_selection import check_table_path, select_rows
    from stitchkit.evaluation.anchors.select import candidates_of, select_anchors

    console = Console.of(output)
    new_file(out, output.overwrite, check_table_path)
    if out.exists() and out.samefile(table):
        raise InputError(f"{out} is the table that is chosen from, which is never overwritten. Name another file.")
    _check_method(method, encoder, embeddings, label_column)
    anchors = columns.of(table)
    pairs = anchors.pairs()
    classes = _classes(table, label_column)
    tested, patients = (None, None) if test is None else anchors.read_test(test)
    if output.dry_run:
        console.plan({"anchors": table, "chosen": n, "of": len(pairs), "method": method,
                      "vectors": encoder or embeddings or "none", "test": test or "none", "writes": out})  # fmt: skip
        return
    candidates = candidates_of(pairs, tested, patients, progress=console.progress)
    vectors = _vectors(encoder, embeddings, method, pairs.take(candidates.rows), Loading(compute, console))
    selection = select_anchors(
        pairs, n, candidates, method=method, vectors=vectors, seed=seed,
        classes=None if classes is None else classes[candidates.rows],
    )  # fmt: skip
    text, notes = select_rows(anchors, pairs, selection.rows, out)
    write_text(out, text)
    parts = [selection, *("note: " + note for note in notes), f"wrote {out}"]
    document = {"out": str(out), **selection.to_dict()}
    console.result(parts, {**document, "notes": [*document["notes"], *notes]})


def _check_method(method: str, encoder: str | None, embeddings: Path | None, label: str | None) -> None:
    """Raise for a method that does not exist, or that lacks what it reads."""
    from stitchkit.encoders import check_encoder_name
    from stitchkit.evaluation.anchors.select import check_selection

    if encoder is not None and embeddings is not None:
        raise InputError("--encoder and --embeddings both give the vectors. Pass one of them.")
    check_selection(method, vectors=encoder is not None or embeddings is not None, classes=label is not None)
    if encoder is not None:
        check_encoder_name(encoder)


def _classes(table: Path, column: str | None) -> Any:
    """The class of each row, or None."""
    import numpy as np

    from stitchkit.datasets.rows import read_rows

    return None if column is None else np.asarray(read_rows(table).filled_column(column))


def _vectors(
    encoder: str | None, embeddings: Path | None, method: str, pairs: AnchorSet, loading: Loading
) -> Embeddings | None:  # fmt: skip
    """Vectors of the pairs' items, or None."""
    from stitchkit.evaluation.anchors.select import compared_items
    from stitchkit.storage.embeddings import read_embeddings

    if embeddings is not None:
        return read_embeddings(embeddings).of_ids(pairs.ids)
    if encoder is None:
        return None
    loaded = loading.encoder(encoder)
    return loading.embed(loaded, compared_items(method, pairs, loaded))
