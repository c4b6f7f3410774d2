"""``stitchkit gate``: an alignment against thresholds or another alignment; exit code 1 where it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o

GATE = "What must hold"


def gate(
    ctx: typer.Context,
    alignment: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The alignment: what 'align' or 'stitch' wrote.", exists=True)
    ],
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", "--anchors", metavar="CSV", exists=True,
                     help="Table of pairs that it was not fitted on."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", exists=True,
                     help=".safetensors of source embeddings, instead of the encoder."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--target", metavar="FILE", exists=True, help="The same for the target; paired by id."),
    ] = None,
    min_mrr: Annotated[
        float | None, typer.Option("--min-mrr", help="Least mean reciprocal rank, 0 to 1.", rich_help_panel=GATE)
    ] = None,
    min_recall_at_1: Annotated[
        float | None, typer.Option("--min-recall-at-1", help="Least recall@1, 0 to 1.", rich_help_panel=GATE)
    ] = None,
    min_r2: Annotated[
        float | None, typer.Option("--min-r2", help="Least R2 of the map into the target.", rich_help_panel=GATE)
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FOLDER", exists=True, rich_help_panel=GATE,
                     help="It must not be worse than this one."),
    ] = None,
    against_source: Annotated[
        Path | None,
        typer.Option("--against-source", metavar="FILE", exists=True, rich_help_panel=GATE,
                     help="The same pairs' source embeddings for --against; default: those of --source."),
    ] = None,
    against_target: Annotated[
        Path | None,
        typer.Option("--against-target", metavar="FILE", exists=True, rich_help_panel=GATE,
                     help="The same for the target."),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="How much worse is still as good, 0 up to 1.", rich_help_panel=GATE)
    ] = 0.02,
    by: Annotated[
        str,
        typer.Option("--by", metavar="lower|value|upper", rich_help_panel=GATE,
                     help="Which end of the 95 % interval must reach the threshold."),
    ] = "lower",
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON document to this file.")] = None,
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
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
) -> None:  # fmt: skip
    """Pass or fail an alignment on held-out pairs: for the test that runs when an encoder or its anchors change.

    A check passes when the lower end of its 95 % interval over patients reaches the threshold, so that too few pairs
    fail the gate rather than pass it. Exit code 0 when all passed, 1 when one failed.
    """
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.console import Talk, as_json
    from stitchkit.cli.errors import FAILED
    from stitchkit.cli.flags import in_flags
    from stitchkit.cli.held_out import Held, Tried
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.places import new_file, write_text
    from stitchkit.evaluation.retrieval.gate import check_gate

    talk = Talk.of(ctx, json=json, quiet=quiet)
    if out is not None:
        new_file(out, overwrite)
    limits = {"min_mrr": min_mrr, "min_recall_at_1": min_recall_at_1, "min_r2": min_r2}
    check_gate(**limits, compared=against is not None, margin=margin, by=by)
    table = AnchorTable.of(pairs, source_column, target_column, id_column, groups, root)
    tried = Tried.of(alignment, source, target, table)
    other = None
    if against is not None:
        other = Tried.of(against, against_source or source, against_target or target, table)
    audits = [one.audit(allow_leakage) for one in (tried, other) if one is not None]
    notes = list(dict.fromkeys(note for one in audits for note in one))  # a folder gated against itself says it once
    if dry_run:
        asked = [f"{name} {value:g}" for name, value in limits.items() if value is not None]
        talk.plan({"alignment": alignment, "checks": [*asked, *([f"against {against}"] if against else [])]})
        return
    import stitchkit as sk

    held = Held(table, Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python))
    fitted, x, y, patients = held.vectors(tried)
    theirs = None if other is None else held.vectors(other)
    found = sk.gate(
        fitted, x, y, groups=patients, **limits, margin=margin, by=by,
        against=None if theirs is None else theirs[0],
        against_source=None if theirs is None else theirs[1],
        against_target=None if theirs is None else theirs[2], allow_leakage=allow_leakage,
    )  # fmt: skip
    document = {**found.to_dict(), "audit": notes}
    if out is not None:
        write_text(out, as_json(document) + "\n")
    talk.result("\n".join([str(in_flags(found)), *(f"note: {note}" for note in notes)]), document)
    if not found.passed:
        raise typer.Exit(FAILED)
