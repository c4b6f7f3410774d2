"""``stitchkit evaluate``: scores against labels, beside chance, a probe and a metadata-only baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without


@flat
def evaluate(
    scores: Annotated[
        Path,
        typer.Argument(metavar="SCORES", help="A .csv of scores, or a stitched or fused folder (--items)."),
    ],
    *,
    labels: o.LabelTable,
    items: Annotated[
        Path | None,
        typer.Option(
            "--items",
            help="The test images or texts: for a folder, the probe and file metadata.",
            callback=o.existing_items,
        ),
    ] = None,
    anchors: o.OptionalAnchors = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="Source encoder, for a probe on the anchors' labels; of a folder if it has moved.",
        ),
    ] = None,
    calibration: o.Calibration,
    out: o.JsonOut = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FOLDER", help="Also write report.html into this new folder.")
    ] = None,
    column: o.Column = None,
    columns: Annotated[o.Columns, without("target_column")],
    evaluation: o.Evaluation,
    vectors: o.ModalityFiles,
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:
    """Judge scores by labels: AUROC with intervals over patients, and what chance, a probe and metadata reach."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.evaluation import CalibrationRequest, EvaluationRequest
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.paths import new_file, new_page, write_json
    from stitchkit.cli.scoring import ScoreSource
    from stitchkit.reports.evaluation_page import NUMBERS, PAGE, write_evaluation

    console = Console.of(output)
    if out is not None:
        new_file(out, output.overwrite)
    if report is not None:
        new_page(report, output.overwrite, (PAGE, NUMBERS))
    file = None if items is None else ItemsFile.or_vectors(items, column, columns, vectors)
    source = ScoreSource.of(scores, file, encoder, vectors)
    # the columns of ids and patients are those of the labels as well, which are there without anchors
    of_anchors = columns if anchors is not None else o.Columns(source_column=columns.source_column)
    table = of_anchors.of_optional(anchors)
    fit = CalibrationRequest.of(calibration, folder=source.scorer is not None)
    request = EvaluationRequest.of(
        labels, source.classes, table, evaluation, columns, seed, multiclass=calibration.multiclass, calibration=fit
    )
    if source.scores is not None:
        request.check(source.scores.ids)
    if output.dry_run:
        console.plan({"scores": scores, "labels": labels, "classes": list(source.classes), "writes": out or "stdout"})
        return
    loading = Loading(compute, console)
    result = request.evaluate(source.score(request, loading), loading)
    write_json(out, result.to_dict())
    lines: list[Any] = [result]
    if report is not None:
        lines.append(
            f"open {write_evaluation(result, report, title=f'Evaluation of {scores.name}', command=console.command)}"
        )
    console.result(lines, result.to_dict())
