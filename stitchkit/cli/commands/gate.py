"""``stitchkit gate``: an alignment against thresholds or another alignment; exit code 1 where it fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat

GATE = "What must hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """Thresholds that must be reached, and another alignment that it must not be worse than."""

    min_mrr: Annotated[
        float | None, typer.Option("--min-mrr", help="Least mean reciprocal rank, 0 to 1.", rich_help_panel=GATE)
    ] = None
    min_recall_at_1: Annotated[
        float | None, typer.Option("--min-recall-at-1", help="Least recall@1, 0 to 1.", rich_help_panel=GATE)
    ] = None
    min_r2: Annotated[
        float | None, typer.Option("--min-r2", help="Least R2 of the map into the target.", rich_help_panel=GATE)
    ] = None
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FOLDER", exists=True, rich_help_panel=GATE,
                     help="It must not be worse than this one."),
    ] = None  # fmt: skip
    against_source: Annotated[
        Path | None,
        typer.Option("--against-source", metavar="FILE", exists=True, rich_help_panel=GATE,
                     help="The same pairs' source embeddings for --against; default: those of --source."),
    ] = None  # fmt: skip
    against_target: Annotated[
        Path | None,
        typer.Option("--against-target", metavar="FILE", exists=True, rich_help_panel=GATE,
                     help="The same for the target."),
    ] = None  # fmt: skip
    margin: Annotated[
        float, typer.Option("--margin", help="How much worse is still as good, 0 up to 1.", rich_help_panel=GATE)
    ] = 0.02
    by: Annotated[
        str,
        typer.Option("--by", metavar="lower|value|upper", rich_help_panel=GATE,
                     help="Which end of the 95 % interval must reach the threshold."),
    ] = "lower"  # fmt: skip

    @property
    def limits(self) -> dict[str, float | None]:
        """The thresholds as ``sk.gate`` takes them."""
        return {"min_mrr": self.min_mrr, "min_recall_at_1": self.min_recall_at_1, "min_r2": self.min_r2}

    def plan(self) -> list[str]:
        """The checks in words."""
        limits = [f"{name} {value:g}" for name, value in self.limits.items() if value is not None]
        return [*limits, *([f"against {self.against}"] if self.against else [])]


@flat
def gate(
    alignment: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The alignment: what 'align' or 'stitch' wrote.", exists=True)
    ],
    *,
    test: o.TestTable = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", exists=True,
                     help="A file of source vectors, instead of the encoder."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--target", metavar="FILE", exists=True, help="The same for the target; paired by id."),
    ] = None,
    encoder: o.FolderEncoder = None,
    checks: Checks,
    out: o.JsonOut = None,
    columns: o.Columns,
    vectors: o.VectorFiles,
    compute: o.Compute,
    output: o.Output,
    allow_leakage: o.AllowLeakage = False,
) -> None:  # fmt: skip
    """Pass or fail an alignment on held-out pairs: for the test that runs when an encoder or its anchors change.

    A check passes when the lower end of its 95 % interval over patients reaches the threshold, so that too few pairs
    fail the gate rather than pass it. Exit code 0 when all passed, 1 when one failed.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.errors import FAILED
    from stitchkit.cli.gate_inputs import GateInputs
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_file, write_json
    from stitchkit.evaluation.retrieval.gate import check_gate

    console = Console.of(output)
    if out is not None:
        new_file(out, output.overwrite)
    check_gate(**checks.limits, compared=checks.against is not None, margin=checks.margin, by=checks.by)
    table = columns.of_optional(test)
    inputs, other = GateInputs.of(alignment, source, target, table, vectors, encoder), None
    if checks.against is not None:
        sides = checks.against_source or source, checks.against_target or target
        other = GateInputs.of(checks.against, *sides, table, vectors)
    audits = [one.audit(allow_leakage) for one in (inputs, other) if one is not None]
    notes = list(dict.fromkeys(note for one in audits for note in one))  # a folder gated against itself says it once
    if output.dry_run:
        console.plan({"alignment": alignment, "checks": checks.plan()})
        return
    import stitchkit as sk

    loading = Loading(compute, console)
    x, y, patients = inputs.vectors(loading)
    against_x, against_y, _ = (None, None, None) if other is None else other.vectors(loading)
    result = sk.gate(
        inputs.alignment, x, y, groups=patients, **checks.limits, margin=checks.margin, by=checks.by,
        against=None if other is None else other.alignment, against_source=against_x, against_target=against_y,
        allow_leakage=allow_leakage,
    )  # fmt: skip
    document = {**result.to_dict(), "audit": notes}
    write_json(out, document)
    console.result([result, *("note: " + note for note in notes)], document)
    if not result.passed:
        raise typer.Exit(FAILED)
