"""``stitchkit zeroshot``: scores of classes named by text, or of a stitched folder's own head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.wording import counted


def zeroshot(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The encoder that reads the items, or a stitched folder.")
    ],
    items: Annotated[
        Path, typer.Option("--items", help="A folder of images, a CSV, a .txt, or an image.", exists=True)
    ],
    out: Annotated[Path, typer.Option("--out", help="The .csv file of scores to write.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The text encoder; none with a stitched folder.")
    ] = None,
    anchors: o.MaybeAnchors = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="A shipped prompt set, or a .toml or .json of your own.")
    ] = None,
    column: o.Column = None,
    solver: o.Solver = "auto",
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    labels: o.MaybeLabels = None,
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
    """Score items for classes named by text (SOURCE TEXT --anchors --prompts), or with a stitched folder's head."""
    from stitchkit.cli.console import Talk
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.places import new_file
    from stitchkit.cli.scoring import FolderScorer, PairScorer, summary_of
    from stitchkit.datasets.tables import open_items
    from stitchkit.evaluation.fitted_pairs import audit_items
    from stitchkit.storage.scores import check_scores_path, write_scores

    talk = Talk.of(ctx, json=json, quiet=quiet)
    new_file(out, overwrite, check_scores_path)
    # a finished folder that scores an image reads no table, fits nothing and judges nothing: it imports none of it
    table = judging = None
    if any(one is not None for one in (anchors, source_column, target_column, id_column, groups)):
        from stitchkit.cli.anchor_tables import AnchorTable

        table = AnchorTable.of(anchors, source_column, target_column, id_column, groups, root)
    if text is not None or solver != "auto":
        from stitchkit.cli.fitting import Fitting, solver_of

        fitting = Fitting(solver_of(solver), seed, talk)
    scorer: FolderScorer | PairScorer
    if text is None:
        scorer = FolderScorer.of(Path(source), prompts)
    else:
        scorer = PairScorer.of(source, text, table, prompts, fitting)
    if labels is not None:
        from stitchkit.cli.judging import Judging

        judging = Judging.of(
            labels, scorer.classes, table, label_column=label_column, only=classes, groups=groups, id_column=id_column,
            metadata=metadata, uncertain=uncertain, min_positives=min_positives, replicates=replicates, seed=seed,
            allow_leakage=allow_leakage,
        )  # fmt: skip
    opened = open_items(items, column=column)
    count = opened.count()
    if dry_run:
        talk.plan({**scorer.plan(), "items": count, "classes": list(scorer.classes), "writes": out})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    model = scorer.model(loading)
    given = opened.read(model.encoder.modality, id=id_column, root=root)
    patients = None if judging is None else judging.check(given.ids)
    notes = audit_items(model.alignment, given, patients, judged=judging is not None, allow=allow_leakage)
    vectors = loading.embed(model.encoder, given)
    scores = model.scores(vectors)
    evaluation = None
    if judging is not None:
        evaluation = judging.evaluation(scores, given, model.encoder, vectors, notes, model.alignment, loading)
    write_scores(out, scores)
    lines, document = summary_of(model, out, fitted=text is not None)
    lines[-1] += f": {counted(len(scores), 'item')}, {counted(len(scores.classes), 'class', 'classes')}, {scores.kind}s"
    lines += [f"note      {note}" for note in notes]
    document |= {"n": len(scores), "kind": scores.kind, **({"notes": notes} if notes else {})}
    if evaluation is not None:
        lines += ["", str(evaluation)]
        document["evaluation"] = evaluation.to_dict()
    talk.result("\n".join(lines), document)
