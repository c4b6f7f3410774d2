"""``stitchkit study``: a grid of encoders, solvers and anchors from a TOML file, resumable, with its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without

if TYPE_CHECKING:
    from stitchkit.studies.plans import AnyPlan


@flat
def study(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The study's TOML file.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; what is finished in it stays finished.")],
    compute: o.Compute,
    output: Annotated[o.Output, without("overwrite")],
    format: o.Format = o.Form.text,
    allow_leakage: o.AllowLeakage = False,
) -> None:
    """Run a study, or go on with one that was stopped: cells, tables, and one page to mail."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import folder_name
    from stitchkit.reports.study_page import PAGE, TABLE
    from stitchkit.studies.plans import read_plan
    from stitchkit.studies.study import study as run

    folder_name(out)
    console = Console.of(output, json=format is o.Form.json)
    planned = read_plan(plan)
    if output.dry_run:
        console.plan({**_summary(planned), "writes": out})
        return
    summary = run(
        planned, out, loader=Loading(compute, console), say=console.say, progress=console.progress,
        allow_leakage=allow_leakage, trust_python=compute.trust_python or (), command=console.command,
    )  # fmt: skip
    result = (out / TABLE).read_text(encoding="utf-8") if format is o.Form.md else [summary, f"open {out / PAGE}"]
    console.result(result, {"out": str(out), **summary.to_dict()})


def _summary(plan: AnyPlan) -> dict[str, Any]:
    """The study's data and the size of its grid."""
    from stitchkit.studies.plans import FusionPlan, TrainingPlan

    data = {"study": plan.name, "kind": plan.kind, "data": f"{plan.data.layout} in {plan.data.root}"}
    if isinstance(plan, TrainingPlan):
        arms, shares = tuple(plan.arms), plan.grid.fractions
        return {**data, "recipe": plan.recipe, "arms": arms, "shares of the pairs": shares,
                "runs": plan.runs}  # fmt: skip
    if isinstance(plan, FusionPlan):
        fusion = plan.grid
        return {**data, "sources": fusion.sources, "columns": fusion.columns, "arms": fusion.arms or "all",
                "seeds": fusion.seeds}  # fmt: skip
    grid = plan.grid
    return {**data, "sources": grid.sources, "targets": grid.targets, "solvers": grid.solvers,
            "fits per pair": grid.fits_per_pair}  # fmt: skip
