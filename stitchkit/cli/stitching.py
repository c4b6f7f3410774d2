"""``stitchkit stitch``: two checkpoints to one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.heads import HeadChoice
    from stitchkit.cli.loading import Loading
    from stitchkit.stitching import Stitched


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
            help="own (the target's classifier), none, prompts:NAME_OR_PATH, or the folder of a probe; default: own "
            "if the target reads images and has one.",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            "--test", help="Table of test items: refuse anchors of their patients.", metavar="CSV", exists=True
        ),
    ] = None,
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
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    allow_leakage: o.AllowLeakage = False,
) -> None:
    """Write one folder that reads SOURCE's items as TARGET would: encoder, map, and head if there is one."""
    from stitchkit.cli.anchor_marks import KEY, marks_of
    from stitchkit.cli.anchor_tables import AnchorTable, check_test
    from stitchkit.cli.fitting import Fitting, solver_of
    from stitchkit.cli.heads import HeadChoice
    from stitchkit.cli.loading import Loading, check_name
    from stitchkit.cli.places import new_folder
    from stitchkit.cli.talk import Talk

    talk = Talk.of(ctx, json=json, quiet=quiet)
    new_folder(out, overwrite)
    choice, fitting = HeadChoice.of(head), Fitting(solver_of(solver), seed, talk)
    check_name(source), check_name(target)
    table = AnchorTable(anchors, source_column, target_column, id_column, groups, root)
    pairs = table.check()
    audit = check_test(pairs, test, id_column, groups, allow_leakage) if test else []
    if dry_run:
        talk.plan({"source": source, "target": target, "anchors": len(pairs), "head": head or "own", "writes": out})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk)
    model, facts, note = stitched(source, target, table, choice, loading, fitting)
    facts |= {"audit": audit} if audit else {}
    model.save(out, extra={**facts, KEY: marks_of(pairs.ids, pairs.groups)}, command=talk.command, overwrite=overwrite)
    lines, document = told(model, out)
    notes = [*([note] if note else []), *audit]
    talk.result("\n".join([*lines, *(f"note      {one}" for one in notes)]), {**document, **facts, "notes": notes})


def stitched(
    source: str, target: str, table: AnchorTable, choice: HeadChoice, loading: Loading, fitting: Fitting
) -> tuple[Stitched, dict[str, Any], str]:
    """The stitched model, the facts its folder keeps, and a note on its head."""
    import stitchkit as sk
    from stitchkit.cli.anchor_tables import about
    from stitchkit.cli.heads import kept

    left, right = loading.encoder(source), loading.encoder(target)
    linear, note = choice.linear(right)
    pairs = table.read(left.modality, right.modality)
    drives = linear is not None or (choice.prompts is None and right.modality == "image")
    x, y = loading.embed(left, pairs.source_items), loading.embed(right, pairs.target_items)
    alignment = fitting.fit(x, y, pairs.groups, "head" if drives else "match")
    facts: dict[str, Any] = {"anchor_set": about(pairs)}
    if choice.prompts is None:
        return sk.stitch(left, alignment, linear, target_name=target), facts, note
    named = sk.zeroshot(alignment, right, choice.prompts, store=loading.kept)
    facts["prompts"] = kept(choice.prompts)
    return sk.stitch(left, alignment, named, target_name=target), facts, note


def told(model: Stitched, out: Path) -> tuple[list[str], dict[str, Any]]:
    """The account of a stitched model in words and as plain values."""
    from stitchkit.cli.accounts import account
    from stitchkit.core.heads import LinearHead

    head = model.head
    kind = "none" if head is None else "linear" if isinstance(head, LinearHead) else "zero-shot"
    classes = [] if head is None else list(head.classes)
    record = dict(model.alignment.record)
    words = "head      " + (f"{kind}: {', '.join(classes)}" if classes else kind)
    document = {"out": str(out), "head": kind, "classes": classes, "record": record}
    return [*account(record), words, f"wrote {out}"], document
