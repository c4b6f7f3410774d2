"""``stitchkit evaluate``: scores against labels, beside chance, a probe and a metadata-only baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.core.least_patients import MIN_POSITIVES


def evaluate(
    ctx: typer.Context,
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="A .csv of scores, or a stitched folder (--items).", exists=True)
    ],
    labels: o.Labels,
    items: Annotated[
        Path | None,
        typer.Option(
            "--items", help="The test images or texts: for a folder, the probe and file metadata.", exists=True
        ),
    ] = None,
    anchors: o.MaybeAnchors = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Source encoder, for the probe on the anchors' labels.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="CSV",
            exists=True,
            rich_help_panel=o.JUDGE,
            help="Scores of labelled items, neither anchors nor test, that give probabilities and thresholds.",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="METHOD",
            rich_help_panel=o.JUDGE,
            help="platt, temperature (the default with --multiclass), isotonic, or none.",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            metavar="RULE",
            rich_help_panel=o.JUDGE,
            help="youden (the default), sensitivity=0.9 or another share, or none.",
        ),
    ] = None,
    multiclass: Annotated[
        bool,
        typer.Option(
            "--multiclass",
            rich_help_panel=o.JUDGE,
            help="Exactly one class applies: accuracy, balanced accuracy and F1 of the best one too.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON document to this file.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FOLDER", help="Also write report.html into this new folder.")
    ] = None,
    column: o.Column = None,
    source_column: o.SourceColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    label_column: o.LabelColumn = None,
    classes: o.Classes = None,
    metadata: o.Metadata = "",
    min_positives: o.MinPositives = MIN_POSITIVES,
    replicates: o.Replicates = 2000,
    uncertain: o.Uncertain = "error",
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
    allow_leakage: o.AllowLeakage = False,
) -> None:
    """Judge scores by labels: AUROC with intervals over patients, and what chance, a probe and metadata reach."""
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.calibration import Calibrating
    from stitchkit.cli.console import Talk, as_json
    from stitchkit.cli.judging import Judging
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.places import new_file, new_page, write_text
    from stitchkit.cli.scoring import Given
    from stitchkit.reports.evaluation_page import NUMBERS, PAGE, write_evaluation

    talk = Talk.of(ctx, json=json, quiet=quiet)
    if out is not None:
        new_file(out, overwrite)
    if report is not None:
        new_page(report, overwrite, (PAGE, NUMBERS))
    given = Given.of(scores, items, column, encoder, id_column, root)
    given_columns = (None, None) if anchors is None else (id_column, groups)  # they name columns of the labels too
    table = AnchorTable.of(anchors, source_column, None, *given_columns, root)
    judging = Judging.of(
        labels, given.classes, table, label_column=label_column, only=classes, groups=groups, id_column=id_column,
        metadata=metadata, uncertain=uncertain, min_positives=min_positives, replicates=replicates, seed=seed,
        allow_leakage=allow_leakage, multiclass=multiclass,
        calibrating=Calibrating.of(calibrate, calibration, threshold, multiclass),
    )  # fmt: skip
    if given.scores is not None:
        judging.check(given.scores.ids)
    if dry_run:
        talk.plan({"scores": scores, "labels": labels, "classes": list(given.classes), "writes": out or "stdout"})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    found = judging.evaluation(*given.ready(loading, judging), loading)
    document = found.to_dict()
    if out is not None:
        write_text(out, as_json(document) + "\n")
    page = (
        "" if report is None else f"\nopen {write_evaluation(found, report, title=scores.stem, command=talk.command)}"
    )
    talk.result(f"{found}{page}", document)
