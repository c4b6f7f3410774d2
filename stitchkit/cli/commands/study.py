"""``stitchkit study``: a grid of encoders, solvers and anchors from a TOML file, resumable, with its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o


def study(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The study's TOML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; what is finished in it stays finished.")],
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    format: o.Format = o.Form.text,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    trust_python: o.TrustPython = None,
    allow_leakage: o.AllowLeakage = False,
) -> None:
    """Run a study, or go on with one that was stopped: cells, tables, and one page to mail."""
    from stitchkit.cli.console import Talk
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.places import folder_name
    from stitchkit.reports.study_page import PAGE, TABLE
    from stitchkit.studies.plans import TrainingPlan, read_plan
    from stitchkit.studies.reporting import study as run

    folder_name(out)
    talk = Talk.of(ctx, json=json or format is o.Form.json, quiet=quiet)
    planned = read_plan(plan)
    if dry_run:
        shown: dict[str, object] = {
            "study": planned.name, "kind": planned.kind, "data": f"{planned.data.layout} in {planned.data.root}"
        }  # fmt: skip
        if isinstance(planned, TrainingPlan):
            arms, shares = tuple(planned.arms), planned.grid.fractions
            shown |= {"recipe": planned.recipe, "arms": arms, "shares of the pairs": shares,
                      "runs": len(arms) * len(shares) * planned.grid.seeds}  # fmt: skip
        else:
            shown |= {"sources": planned.grid.sources, "targets": planned.grid.targets, "solvers": planned.grid.solvers,
                      "fits per pair": planned.grid.fits_per_pair}  # fmt: skip
        talk.plan({**shown, "writes": out})
        return
    loading = Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    found = run(
        planned, out, loader=loading, say=talk.say, progress=talk.progress, allow_leakage=allow_leakage,
        trust_python=trust_python or (), command=talk.command,
    )  # fmt: skip
    text = (out / TABLE).read_text(encoding="utf-8") if format is o.Form.md else f"{found}\nopen {out / PAGE}"
    talk.result(text, {"out": str(out), **found.to_dict()})
