"""``stitchkit fuse``: a table with holes to one folder that scores items, whatever each of them has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only, without
from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted


@flat
def fuse(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="Table of items and labels; any cell may be blank.", exists=True)
    ],
    *,
    out: o.OutFolder,
    encode: Annotated[
        list[str] | None,
        typer.Option(
            "--encode",
            metavar="[NAME:]COLUMN=ENCODER",
            help="A column of images or texts and the encoder that reads it: a modality; may be repeated.",
        ),
    ] = None,
    tabular: Annotated[
        str,
        typer.Option("--tabular", metavar="COLUMN,COLUMN", help="Columns of numbers and names: the modality 'table'."),
    ] = "",
    categories: Annotated[
        str,
        typer.Option("--categories", metavar="COLUMN,COLUMN", help="Those of --tabular whose numbers are codes."),
    ] = "",
    held: Annotated[
        float,
        typer.Option(
            "--held", min=0, max=0.99, help="Share of the patients that calibrations are fitted on; 0: none.",
            rich_help_panel=o.EVALUATION,
        ),
    ] = 0.25,
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha", min=0.001, max=0.999, help="Share of errors of conformal sets.", rich_help_panel=o.EVALUATION
        ),
    ] = 0.1,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="TOML", help="Settings of the training.", exists=True)
    ] = None,
    paper: Annotated[
        str | None, typer.Option("--paper", metavar="NAME", help="modality-dropout: the published recipe.")
    ] = None,
    evaluation: Annotated[o.Evaluation, without("metadata")],
    columns: Annotated[o.Columns, only("id_column", "groups", "root")],
    vectors: o.ModalityFiles,
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:  # fmt: skip
    """Fuse columns that encoders read, columns of a table and files of vectors into one head.

    Any item may lack any of them, in TABLE and later. A run that was stopped goes on where it was.
    """
    from stitchkit.alignment.binding.modalities import check_name
    from stitchkit.cli.console import Console
    from stitchkit.cli.flags import in_flags
    from stitchkit.cli.fused_inputs import TABLE, EncodedColumn, modality_files
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_folder
    from stitchkit.datasets.labels import read_labels
    from stitchkit.datasets.table_rows import ItemTable
    from stitchkit.persistence.fused_folders import save_fused
    from stitchkit.reports.fusion_page import write_fusion
    from stitchkit.training.checkpoints import check_run, forget_run
    from stitchkit.training.fusion.fuse import chosen_recipe, fuse_and_judge

    console = Console.of(output)
    new_folder(out, output.overwrite)
    read = ItemTable.of(table, columns.id_column, columns.root)
    encoded = [EncodedColumn.of(one) for one in encode or ()]
    named, codes = ([one.strip() for one in text.split(",") if one.strip()] for text in (tabular, categories))
    files = modality_files(vectors.modality_vectors, vectors)
    for name in files:
        check_name(name, "a modality", "image")
    names = [*(one.name for one in encoded), *([TABLE] if named else []), *files]
    if not names:
        raise InputError(
            "a fused head needs inputs: --encode COLUMN=ENCODER, --tabular COLUMNS or --vectors NAME=FILE."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two modalities are called {twice[0]!r}. Name one of them: --encode NAME:COLUMN=ENCODER.")
    if not evaluation.label_column and not evaluation.classes:
        raise InputError(
            "a fused head learns labels: --label-column names the column of classes, or --class each one's."
        )
    labels = read_labels(
        table, classes=evaluation.classes, label=evaluation.label_column, id=read.id, groups=columns.groups,
        uncertain=evaluation.uncertain,
    )  # fmt: skip
    settings = chosen_recipe(recipe, paper)
    settings = settings.with_settings(seed=seed) if seed else settings  # a recipe has one of its own
    for one in encoded:
        read.table.require(one.column)
    rows = read.rows(named, codes) if named or codes else None
    state = out.with_name(f"{out.name}.run")  # beside the folder, which is written as a whole
    check_run(state)
    if output.dry_run:
        console.plan({"items": len(read), "modalities": names, "classes": list(labels.classes), "writes": out})
        return
    loading, inputs = Loading(compute, console), dict[str, Any]()
    for one in encoded:
        encoder = loading.encoder(one.encoder)
        inputs[one.name] = loading.embed(encoder, read.items(one.column, encoder.modality))
    if rows is not None:
        inputs[TABLE] = rows
    fusion = fuse_and_judge(
        inputs | files, labels, multiclass=True if evaluation.label_column else None, groups=None, recipe=settings,
        held=held, alpha=alpha, encoders={one.name: one.encoder for one in encoded} | dict.fromkeys(files, ""),
        columns={one.name: one.column for one in encoded}, run=state, allow_leakage=evaluation.allow_leakage,
        judge=True, progress=console.progress, min_positives=evaluation.min_positives,
        replicates=evaluation.replicates, seed=seed,
    )  # fmt: skip
    fusion = replace(fusion, evaluation=in_flags(fusion.evaluation))

    def fill(folder: Path) -> None:
        if fusion.evaluation is not None:
            title = f"Fused head of {', '.join(names)}"
            write_fusion(fusion.head, fusion.evaluation, fusion.notes, folder, title=title, command=console.command)
        # before the folder stands: the same command goes on, or begins again, wherever it was stopped
        forget_run(state)

    save_fused(fusion.head, out, command=console.command, overwrite=output.overwrite, fill=fill)
    page = None if fusion.evaluation is None else out / "report.html"
    classes = counted(len(labels.classes), "class", "classes")
    lines: list[Any] = [f"fused     {', '.join(names)}: {classes}", *(f"note      {note}" for note in fusion.notes)]
    lines += [] if fusion.evaluation is None else ["", fusion.evaluation]
    lines += [f"wrote {out}", *([] if page is None else [f"open {page}"])]
    judged = None if fusion.evaluation is None else fusion.evaluation.to_dict()
    document = {"out": str(out), "modalities": names, "classes": list(labels.classes), "notes": list(fusion.notes),
                "evaluation": judged}  # fmt: skip
    console.result(lines, document)
