"""``stitchkit stitch``: two checkpoints to one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.evaluation import EvaluationRequest
    from stitchkit.cli.loading import Loading
    from stitchkit.core.roles import Encoder
    from stitchkit.fitting.fit_stitch import FittedStitch
    from stitchkit.studies.results import StudySummary


@flat
def stitch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The encoder that reads the items, or a file of its vectors.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The encoder whose space, head or language it gets, or a file of its vectors."
        ),
    ],
    *,
    anchors: o.Anchors,
    out: o.OutFolder,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="HEAD",
            help="own (the target's classifier), none, prompts:NAME_OR_PATH, python:FILE:NAME, identity:CLASSES (the "
            "vectors are their scores) or the folder of a probe; default: own if the target reads images and has one.",
        ),
    ] = None,
    test: o.TestTable = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            exists=True,
            rich_help_panel=o.EVALUATION,
            help="Labels of the anchors: report.html compares the stitch, cross-fitted, with all it must be.",
        ),
    ] = None,
    evaluation: o.Evaluation,
    images: Annotated[
        int,
        typer.Option(
            "--images",
            metavar="N",
            min=0,
            rich_help_panel=o.EVALUATION,
            help="Show N best and worst images of each class in report.html; they are the patients' own.",
        ),
    ] = 0,
    fit: o.Fit,
    columns: o.Columns,
    vectors: o.VectorFiles,
    compute: o.Compute,
    output: o.Output,
    format: o.Format = o.Form.text,
) -> None:
    """Write one folder that reads SOURCE's items as TARGET would: encoder, map, and head if there is one."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.evaluation import EvaluationRequest
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairs import side_called
    from stitchkit.cli.paths import draft_beside, new_folder
    from stitchkit.cli.prompts import prompts_called
    from stitchkit.cli.scoring import summary_of
    from stitchkit.evaluation.anchors.overlap import audit_test_table
    from stitchkit.head_names import HeadChoice
    from stitchkit.reports.study_page import PAGE, TABLE
    from stitchkit.studies.stitch_pages import labels_of_anchors

    console = Console.of(output, json=format is o.Form.json)
    if labels is None and (images or format is o.Form.md):
        raise InputError("--images and --format md are about the comparison: give --labels of the anchors too.")
    new_folder(out, output.overwrite)
    choice, fitting = HeadChoice.of(head, prompts_called), Fitting.of(fit.solver, fit.seed, console)
    if choice.is_linear:
        fitting.check_purpose("head")
    sides = side_called(source, vectors), side_called(target, vectors)
    for side, what in zip(sides, ("source encoder's vectors, and SOURCE", "target encoder, and TARGET"), strict=True):
        if labels is not None and not isinstance(side, str):
            raise InputError(f"--labels compares with the {what} is a file. Judge by 'stitchkit evaluate'.")
    table = columns.of(anchors)
    pairs = table.check()
    audit = audit_test_table(pairs, table, test, allow=evaluation.allow_leakage) if test else []
    if output.dry_run:
        console.plan({"source": source, "target": target, "anchors": len(pairs), "head": head or "own", "writes": out})
        return
    request = None
    if labels is not None and choice.classes is not None:  # refused before the encoders are loaded
        request = EvaluationRequest.of(labels, choice.classes, None, evaluation, columns, fit.seed)
        labels_of_anchors(request.labels, pairs.ids)
    loading = Loading(compute, console)
    fitted = fitting.stitch(*sides, table, choice, loading)
    if labels is not None and request is None and fitted.model.head is not None:
        request = EvaluationRequest.of(labels, fitted.model.head.classes, None, evaluation, columns, fit.seed)
    facts = {**fitted.facts, **({"audit": audit} if audit else {})}
    with draft_beside(out) as pages:  # a comparison that cannot be made leaves no folder
        comparison = _write_report(fitted, request, fit, loading, audit, pages, images)
        fitted.model.save(out, extra=facts, command=console.command, overwrite=output.overwrite)
        for page in pages.iterdir():
            page.replace(out / page.name)
    lines, document = summary_of(fitted.model, out, candidates=console.verbose)
    notes = [*([fitted.note] if fitted.note else []), *audit]
    lines += ["note      " + note for note in notes]
    lines += [] if comparison is None else ["", comparison]
    lines += [f"open {out / PAGE}"] if (out / PAGE).exists() else []
    compared = {} if comparison is None else {"comparison": comparison.to_dict()}
    as_table = format is o.Form.md and comparison is not None
    result = (out / TABLE).read_text(encoding="utf-8") if as_table else lines
    console.result(result, {**document, **facts, **compared, "notes": notes})


def _write_report(
    fitted: FittedStitch, request: EvaluationRequest | None, fit: o.Fit, loading: Loading,
    notes: list[str], out: Path, images: int,
) -> StudySummary | None:  # fmt: skip
    """``report.html`` beside the model: with labels the comparison, which comes back; else a diagnosis of the map."""
    if request is not None and fitted.target is not None and fitted.model.encoder is not None:
        sides = fitted.model.encoder, fitted.target
        return _write_comparison(fitted, sides, request, fit.solver, loading, notes, out, images)
    from stitchkit.studies.stitch_pages import write_diagnosis_page

    write_diagnosis_page(
        fitted.model.alignment, fitted.x, fitted.y, out,
        prompts=_positives(fitted, loading), groups=fitted.pairs.groups, seed=fit.seed,
    )  # fmt: skip
    return None


def _positives(fitted: FittedStitch, loading: Loading) -> Any:
    """The positive prompts by class with their vectors; None where the model has no prompts."""
    from stitchkit.evaluation.diagnosis.coverage import embed_positives

    if fitted.prompts is None or fitted.target is None:
        return None
    return embed_positives(fitted.target, fitted.prompts, **loading.embedding)


def _write_comparison(
    fitted: FittedStitch, sides: tuple[Encoder, Encoder], request: EvaluationRequest, solver: str, loading: Loading,
    notes: list[str], out: Path, images: int,
) -> StudySummary:  # fmt: skip
    """The stitch, cross-fitted on its labelled anchors, beside what it must beat."""
    from stitchkit.core.heads import LinearHead
    from stitchkit.studies.stitch_pages import Stitch, write_stitch

    model, console, options = fitted.model, loading.console, request.options
    linear = model.head if isinstance(model.head, LinearHead) else None
    stitch = Stitch(
        source=sides[0], target=sides[1], x=fitted.x, y=fitted.y, items=fitted.pairs.source_items,
        solver=solver, head=linear, prompts=fitted.prompts, loader=loading,
    )  # fmt: skip
    return write_stitch(
        stitch, request.labels.with_patients_of(fitted.pairs), out, metadata=options.metadata_columns,
        min_positives=options.min_positives, images=images, replicates=options.replicates, seed=request.seed,
        say=console.say, progress=console.progress, command=console.command, notes=notes,
    )  # fmt: skip
