"""``stitchkit search``: the items of every modality nearest to a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.cli.searching import Gallery
from stitchkit.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Lists of hits, and where they are written."""

    top: Annotated[int, typer.Option("--top", min=1, help="Items in a list.")] = 12
    each: Annotated[bool, typer.Option("--each", help="A list for each modality, not one over all.")] = False
    out: Annotated[Path | None, typer.Option("--out", help="Also write the hits to this .csv file.")] = None
    page: Annotated[
        Path | None, typer.Option("--page", metavar="HTML", help="Also write one page with the hits as cards.")
    ] = None
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Show the images (the beginnings of texts) on the page; they are the "
                                          "patients' own."),
    ] = False  # fmt: skip


@flat
def search(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A bound folder, one of its modalities, a stitched folder, or a file of vectors."
        ),
    ],
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Texts to search for, or a .txt with one a line.")
    ],
    *,
    gallery: Gallery,
    lists: Lists,
    columns: Annotated[o.Columns, o.only("id_column", "root")],
    vectors: o.VectorFiles,
    compute: o.Compute,
    output: o.Output,
) -> None:
    """List the items nearest to a text, over all modalities of a bound folder; a similarity is not a probability."""
    import stitchkit as sk
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_file
    from stitchkit.cli.searching import source_of, texts_called
    from stitchkit.persistence.search_tables import check_hits_path, write_hits
    from stitchkit.reports.search_page import check_page_path, write_search

    console = Console.of(output)
    if lists.thumbnails and lists.page is None:
        raise InputError("--thumbnails are shown on a page. Name it with --page PAGE.html.")
    for path, check in ((lists.out, check_hits_path), (lists.page, check_page_path)):
        if path is not None:
            new_file(path, output.overwrite, check)
    queries = texts_called(texts)
    source = source_of(folder, gallery, columns, vectors)
    if output.dry_run:
        writes = [str(one) for one in (lists.out, lists.page) if one is not None]
        console.plan({**source.plan(), "texts": len(queries), "writes": writes or "nothing"})
        return
    loading = Loading(compute, console)
    inputs = source.load(loading)
    if lists.thumbnails and not inputs.items:
        raise InputError("--thumbnails show items, and only their vectors are known. Name the items with --items.")
    result = sk.search(
        inputs.space, queries, inputs.gallery, text=inputs.text, top=lists.top, center=gallery.center,
        store=loading.store,
    )  # fmt: skip
    lines = [*result.lines(each=lists.each), *(f"note: {note}" for note in inputs.notes)]
    document = {
        **result.to_dict(),
        "folder": str(folder),
        "items": dict(source.origins),
        "notes": [*result.notes, *inputs.notes],
    }
    if lists.out is not None:
        write_hits(lists.out, result, each=lists.each)
        lines.append(f"wrote {lists.out}")
    if lists.page is not None:
        write_search(
            result, lists.page, folder=str(folder), origins=source.origins, each=lists.each, notes=inputs.notes,
            items=inputs.items if lists.thumbnails else None, command=console.command,
        )  # fmt: skip
        lines.append(f"open {lists.page}")
    console.result(lines, document)
