"""``stitchkit demo``: the main job on the embedded default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and results.json.")] = Path(
        "stitchkit-demo"
    ),
    seed: o.Seed = 0,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Show the whole main job on drawn chest phantoms: offline, within a minute, with a report to open."""
    from stitchkit.cli.console import Talk
    from stitchkit.cli.places import new_page

    talk = Talk.of(ctx, json=json, quiet=quiet)
    new_page(out, overwrite, ("report.html", "results.json"))
    if dry_run:
        talk.plan({"writes": [out / "report.html", out / "results.json"], "seed": seed})
        return
    from stitchkit.studies.demo.demo_data import DemoSettings
    from stitchkit.studies.demo.run_demo import run_demo

    done = run_demo(out, settings=DemoSettings(seed=seed), say=talk.say)
    if json:
        from json import loads

        talk.result("", loads((out / "results.json").read_text("utf-8")))
        return
    talk.result(f"{done.summary()}\n\nopen {done.report}", {})
