"""``stitchkit demo``: the main job on the embedded default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat


@flat
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and results.json.")] = Path(
        "stitchkit-demo"
    ),
    seed: o.Seed = 0,
    *,
    output: o.Output,
) -> None:
    """Show the whole main job on drawn chest phantoms: offline, within a minute, with a report to open."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import new_page

    console = Console.of(output)
    new_page(out, output.overwrite, ("report.html", "results.json"))
    if output.dry_run:
        console.plan({"writes": [out / "report.html", out / "results.json"], "seed": seed})
        return
    from stitchkit.studies.demo.demo_data import DemoSettings
    from stitchkit.studies.demo.run_demo import run_demo

    result = run_demo(out, settings=DemoSettings(seed=seed), say=console.say)
    if output.json:
        from json import loads

        console.result("", loads((out / "results.json").read_text("utf-8")))
        return
    console.result(f"{result.summary()}\n\nopen {result.report}", {})
