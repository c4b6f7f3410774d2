"""``stitchkit stitch``: two checkpoints to one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.core.errors import InputError
from stitchkit.core.least_patients import MIN_POSITIVES

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.heads import HeadChoice
    from stitchkit.cli.judging import Judging
    from stitchkit.cli.loading import Loading
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder
    from stitchkit.core.scores import Labels
    from stitchkit.stitching import Stitched
    from stitchkit.studies.results import StudySummary

REPORT, LEAST = "report.html", 10  # the page beside the model; fewer pairs are not diagnosed


def stitch(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The encoder that reads the items.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The encoder whose space, head or language it gets.")],
    anchors: o.Anchors,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="HEAD",
            help="own (the target's classifier), none, prompts:NAME_OR_PATH, python:FILE:NAME or the folder of a "
            "probe; default: own if the target reads images and has one.",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            "--test", help="Table of test items: refuse anchors of their patients.", metavar="CSV", exists=True
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            exists=True,
            rich_help_panel=o.JUDGE,
            help="Labels of the anchors: report.html compares the stitch, cross-fitted, with all it must be.",
        ),
    ] = None,
    label_column: o.LabelColumn = None,
    classes: o.Classes = None,
    metadata: o.Metadata = "",
    min_positives: o.MinPositives = MIN_POSITIVES,
    replicates: o.Replicates = 2000,
    uncertain: o.Uncertain = "error",
    images: Annotated[
        int,
        typer.Option(
            "--images",
            metavar="N",
            min=0,
            rich_help_panel=o.JUDGE,
            help="Show N best and worst images of each class in report.html; they are the patients' own.",
        ),
    ] = 0,
    solver: o.Solver = "auto",
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    format: o.Format = o.Form.text,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    trust_python: o.TrustPython = None,
    allow_leakage: o.AllowLeakage = False,
) -> None:
    """Write one folder that reads SOURCE's items as TARGET would: encoder, map, and head if there is one."""
    from stitchkit.cli.anchor_tables import AnchorTable, check_test
    from stitchkit.cli.console import Talk
    from stitchkit.cli.fitting import Fitting, check_purpose, solver_of
    from stitchkit.cli.flags import in_flags
    from stitchkit.cli.heads import HeadChoice
    from stitchkit.cli.judging import Judging
    from stitchkit.cli.loading import Loading, check_name
    from stitchkit.cli.places import new_folder
    from stitchkit.cli.scoring import summary_of
    from stitchkit.reports.study_page import TABLE

    talk = Talk.of(ctx, json=json or format is o.Form.json, quiet=quiet)
    if labels is None and (images or format is o.Form.md):
        raise InputError("--images and --format md are about the comparison: give --labels of the anchors too.")
    new_folder(out, overwrite)
    choice, fitting = HeadChoice.of(head), Fitting(solver_of(solver), seed, talk)
    if choice.prompts is None and head not in (None, "none"):
        check_purpose("head", fitting.solver)
    check_name(source), check_name(target)
    table = AnchorTable(anchors, source_column, target_column, id_column, groups, root)
    pairs = table.check()
    audit = check_test(pairs, test, id_column, groups, allow_leakage) if test else []
    if dry_run:
        talk.plan({"source": source, "target": target, "anchors": len(pairs), "head": head or "own", "writes": out})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    made = stitched(source, target, table, choice, loading, fitting)
    judging = None
    if labels is not None and made.model.head is not None:
        judging = Judging.of(
            labels, made.model.head.classes, None, label_column=label_column, only=classes, groups=groups,
            id_column=id_column, metadata=metadata, uncertain=uncertain, min_positives=min_positives,
            replicates=replicates, seed=seed, allow_leakage=allow_leakage,
        )  # fmt: skip
    facts = {**made.facts, **({"audit": audit} if audit else {})}
    made.model.save(out, extra=facts, command=talk.command, overwrite=overwrite)
    found = write_report(made, judging, solver, fitting, loading, audit, out, images)
    lines, document = summary_of(made.model, out)
    notes = [*([made.note] if made.note else []), *audit]
    lines += [f"note      {in_flags(one)}" for one in notes]
    lines += ["", str(found)] if found is not None else []
    more = {} if found is None else {"comparison": found.to_dict()}
    lines += [f"open {out / REPORT}"] if (out / REPORT).exists() else []
    text = (out / TABLE).read_text(encoding="utf-8") if format is o.Form.md and found is not None else "\n".join(lines)
    talk.result(text, {**document, **facts, **more, "notes": notes})


@dataclass(frozen=True, slots=True)
class Made:
    """A stitched model, what it was made of, the facts its folder keeps, and a note on its head."""

    model: Stitched
    target: Encoder
    x: Embeddings
    y: Embeddings
    pairs: AnchorSet
    facts: dict[str, Any]
    note: str
    prompts: PromptSet | None = None


def stitched(
    source: str, target: str, table: AnchorTable, choice: HeadChoice, loading: Loading, fitting: Fitting
) -> Made:
    """The stitched model, with its head if one is to be had."""
    import stitchkit as sk
    from stitchkit.cli.anchor_tables import about
    from stitchkit.cli.heads import kept
    from stitchkit.evaluation.fitted_pairs import remember_files
    from stitchkit.zero_shot import prompt_vectors

    left, right = loading.encoder(source), loading.encoder(target)
    linear, note = choice.linear(right)
    pairs = table.read(left.modality, right.modality)
    drives = linear is not None or (choice.prompts is None and right.modality == "image")
    x, y = loading.embed(left, pairs.source_items), loading.embed(right, pairs.target_items)
    vectors = by = None
    if choice.prompts is not None:
        vectors = prompt_vectors(right, choice.prompts, loading.kept)
        by = sk.PromptVectors.distinct_or_none(choice.prompts, vectors) if fitting.pools is None else None
    fitted = fitting.fit(x, y, pairs.groups, "head" if drives else "match", head=linear, prompts=by)
    alignment = remember_files(fitted, pairs.source_items)
    facts: dict[str, Any] = {"anchor_set": about(pairs)}
    if choice.prompts is None or vectors is None:
        model = sk.stitch(left, alignment, linear, target_name=target)
    else:
        named = sk.zeroshot(alignment, vectors, choice.prompts)
        facts["prompts"] = kept(choice.prompts)
        model = sk.stitch(left, alignment, named, target_name=target)
    return Made(model, right, x, y, pairs, facts, note, choice.prompts)


def write_report(
    made: Made,
    judging: Judging | None,
    solver: str,
    fitting: Fitting,
    loading: Loading,
    audit: list[str],
    out: Path,
    images: int,
) -> StudySummary | None:
    """``report.html`` beside the model: with labels the comparison, which comes back; else a diagnosis of the map."""
    from stitchkit.core.heads import LinearHead
    from stitchkit.studies.stitch_pages import Stitch, write_stitch

    if judging is None:
        import stitchkit as sk
        from stitchkit.reports.diagnosis_page import page
        from stitchkit.storage.atomic_writes import replace_file

        if len(made.x) >= LEAST:
            found = sk.diagnose(made.model.alignment, made.x, made.y, groups=made.pairs.groups, seed=fitting.seed)
            replace_file(out / REPORT, page(found).encode())
        return None
    head = made.model.head
    linear = head if isinstance(head, LinearHead) else None
    stitch = Stitch(
        made.model.encoder, made.target, made.x, made.y, made.pairs.source_items, solver, linear, made.prompts, loading
    )
    return write_stitch(
        stitch, with_patients(judging.labels, made.pairs), out, metadata=judging.metadata,
        min_positives=judging.min_positives, images=images, replicates=judging.replicates,
        seed=judging.seed, say=fitting.talk.say, progress=fitting.talk.progress, command=fitting.talk.command,
        notes=audit,
    )  # fmt: skip


def with_patients(labels: Labels, pairs: AnchorSet) -> Labels:
    """The labels with the anchors' own patients, where the table of labels names none."""
    import numpy as np

    from stitchkit.core.scores import Labels

    if labels.groups is not None or pairs.groups is None:
        return labels
    of = dict(zip(pairs.ids.tolist(), pairs.groups.tolist(), strict=True))
    kept = labels.take(np.flatnonzero(np.isin(labels.ids, pairs.ids)))
    groups = np.asarray([of[one] for one in kept.ids.tolist()])
    return Labels(kept.values, kept.ids, kept.classes, groups, kept.columns)
