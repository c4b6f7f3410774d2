"""``stitchkit zeroshot``: scores of classes named by text, or of a stitched folder's own head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.wording import counted


@flat
def zeroshot(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="The encoder that reads the items, its vectors, or a stitched or fused folder."
        ),
    ],
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="The text encoder; none with a folder. Of SOURCE's own pair it needs no --anchors."
        ),
    ] = None,
    *,
    items: o.ItemsToScore,
    out: Annotated[Path, typer.Option("--out", help="The .csv file of scores to write.")],
    anchors: o.OptionalAnchors = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="A shipped prompt set, or a .toml or .json of your own.")
    ] = None,
    encoder: o.FolderEncoder = None,
    fit: o.Fit,
    columns: o.Columns,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            exists=True,
            rich_help_panel=o.EVALUATION,
            help="Table of labels: also evaluate the scores.",
        ),
    ] = None,
    evaluation: o.Evaluation,
    vectors: o.ModalityFiles,
    compute: o.Compute,
    output: o.Output,
) -> None:
    """Score items for classes named by text (SOURCE TEXT --anchors --prompts), or with a stitched folder's head."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.cli.paths import new_file
    from stitchkit.cli.scoring import (
        ModelScorer,
        PairScorer,
        score_fused,
        score_items,
        scorer_of,
        summary_of,
        with_command,
    )
    from stitchkit.core.scores import plural
    from stitchkit.storage.scores import check_scores_path, write_scores

    console = Console.of(output)
    new_file(out, output.overwrite, check_scores_path)
    table = columns.of_optional(anchors, beside=True)
    fitting = None
    if text is not None or fit.solver != "auto":  # a finished folder that scores items fits nothing
        from stitchkit.cli.fitting import Fitting

        fitting = Fitting.of(fit.solver, fit.seed, console)
    file = items.open(columns, vectors)
    alone = not isinstance(file, ItemsFile)
    pair = None
    if text is not None and prompts is not None and anchors is None and not alone:
        from stitchkit.cli.clip_scorer import clip_scorer

        pair = clip_scorer(source, text, prompts)
    scorer = pair or scorer_of(source, text, table, prompts, fitting, vectors, encoder, vectors=alone)
    request = None
    if labels is not None:
        from stitchkit.cli.evaluation import EvaluationRequest

        request = EvaluationRequest.of(labels, scorer.classes, table, evaluation, columns, fit.seed)
    count = len(file)
    if output.dry_run:
        console.plan({**scorer.plan(), "items": count, "classes": list(scorer.classes), "writes": out})
        return
    loading = Loading(compute, console)
    allow = evaluation.allow_leakage
    if isinstance(scorer, ModelScorer):
        model = scorer.model(loading, vectors=alone)
        scored = score_items(model, file, request, loading, allow_leakage=allow, raw=items.raw)
        lines, document = summary_of(model, out, fitted=isinstance(scorer, PairScorer), candidates=console.verbose)
    else:
        from stitchkit.cli.fused_inputs import fused_summary

        scored = score_fused(scorer, file, request, loading, allow_leakage=allow, raw=items.raw)
        lines, document = fused_summary(scorer, out)
    result = None if request is None else request.evaluate(scored, loading)
    scores, calibrated = scored.read()
    notes = [*scored.notes, *calibrated]
    write_scores(out, with_command(scores, console.command, scored.notes))
    size = counted(len(scores), "item"), counted(len(scores.classes), "class", "classes")
    lines[-1] += f": {', '.join(size)}, {plural(scores.kind)}"
    lines += ["note      " + note for note in notes]
    document |= {"n": len(scores), "kind": scores.kind, **({"notes": notes} if notes else {})}
    if result is not None:
        lines += ["", result]
        document["evaluation"] = result.to_dict()
    console.result(lines, document)
