"""``stitchkit calibrate``: probabilities and thresholds, fitted on labelled items and kept in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without


@flat
def calibrate(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="A stitched folder (--items), or a .csv of scores.", exists=True)
    ],
    *,
    labels: o.LabelTable,
    out: o.OutFolder,
    items: o.OptionalItems = None,
    anchors: o.OptionalAnchors = None,
    encoder: o.FolderEncoder = None,
    calibration: Annotated[o.Calibration, without("calibrate")],
    column: o.Column = None,
    columns: Annotated[o.Columns, without("source_column", "target_column")],
    vectors: o.VectorFiles,
    evaluation: Annotated[o.Evaluation, without("metadata")],
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:
    """Fit probabilities and thresholds on labelled items that are neither anchors nor test, and keep them.

    Of a stitched folder OUT is a copy that gives probabilities; of a .csv of scores it holds the fit alone, for
    'stitchkit evaluate --calibrate OUT'. Neither holds an id or a patient, only salted hashes of them.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.evaluation import EvaluationRequest, check_methods
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.paths import new_folder
    from stitchkit.cli.scoring import ScoreSource
    from stitchkit.core.errors import InputError
    from stitchkit.evaluation.scores.decision_fits import fit_decisions
    from stitchkit.stitching import add_decisions
    from stitchkit.storage.calibrations import calibration_facts, save_calibration

    console = Console.of(output)
    new_folder(out, output.overwrite)
    multiclass = calibration.multiclass
    method, rule, at = check_methods(calibration.calibration, calibration.threshold)
    if method is None and rule is None:
        raise InputError("neither a calibration nor thresholds are wanted. Leave one of the two 'none' out.")
    file = None if items is None else ItemsFile.or_vectors(items, column, columns, vectors)
    source = ScoreSource.of(scores, file, encoder)
    table = columns.of_optional(anchors, beside=True)
    request = EvaluationRequest.of(labels, source.classes, table, evaluation, columns, seed, multiclass=multiclass)
    if source.scores is not None:
        request.check(source.scores.ids)
    if output.dry_run:
        console.plan({"scores": scores, "labels": labels, "classes": list(source.classes), "writes": out})
        return
    loading = Loading(compute, console)
    scored = source.score(request, loading)
    fitted, thresholds = fit_decisions(
        scored.scores.of_classes(request.classes), request.labels, method=method, rule=rule, at=at,
        multiclass=multiclass, on_probabilities=True, min_positives=evaluation.min_positives,
        anchors=None if table is None else table.ids_only(), replicates=evaluation.replicates, seed=seed,
        allow_leakage=evaluation.allow_leakage, progress=console.progress,
    )  # fmt: skip
    if source.scorer is None:
        save_calibration(fitted, thresholds, out, overwrite=output.overwrite)
    else:
        add_decisions(scores, out, fitted, thresholds, command=console.command, overwrite=output.overwrite)
    notes = [
        *scored.notes,
        *(() if fitted is None else fitted.notes),
        *(() if thresholds is None else thresholds.notes),
    ]
    lines: list[Any] = (
        [] if fitted is None else [f"{name.lower()} {value}" for name, value in calibration_facts(fitted)]
    )
    lines += [] if thresholds is None else [str(thresholds).split("\nnote: ")[0]]
    lines += [f"note: {note}" for note in dict.fromkeys(notes)]
    document = {
        "out": str(out),
        "n": len(scored.scores),
        "method": None if fitted is None else fitted.method,
        "rule": rule,
        "at": at,
        "classes": [] if fitted is None else list(fitted.classes),
        "thresholds": {} if thresholds is None else thresholds.to_dict(),
        "notes": list(dict.fromkeys(notes)),
    }
    console.result([*lines, f"wrote {out}"], document)
