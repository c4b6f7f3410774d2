"""``stitchkit train``: a recipe to a shared encoder that is named wherever an encoder is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o


def train(
    ctx: typer.Context,
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's TOML file.", exists=True)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the encoder; a run that was stopped goes on there.")],
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files into OUT/run too.")] = False,
    device: o.Device = "auto",
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Train two encoders, of images and of texts, into one space, their blocks shared as the recipe says.

    Under torchrun every process trains its part of each batch.
    """
    from stitchkit.cli.console import Talk
    from stitchkit.cli.places import folder_name
    from stitchkit.training.recipes import read_recipe

    talk = Talk.of(ctx, json=json, quiet=quiet)
    folder_name(out)
    read = read_recipe(recipe)
    if dry_run:
        network = read.network
        common = "all" if network.shared is None else network.shared or "none"
        talk.plan(
            {
                "recipe": read.name, "pairs": f"{read.pairs.layout} in {read.pairs.root}",
                "network": f"{network.layers} layers of {network.width}, shared: {common}, {network.mode}",
                "batch": f"{read.training.batch}, in chunks of {read.training.chunk}",
                "until": f"step {read.training.steps}" if read.training.steps else f"epoch {read.training.epochs}",
                "writes": out,
            }
        )  # fmt: skip
        return
    from stitchkit.training.loop import train as run

    found = run(read, out, device=device, say=talk.say, progress=talk.progress, tensorboard=tensorboard)
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes the first one tells
        return
    talk.result(
        str(found),
        {
            "out": str(found.folder), "encoders": found.names, "epochs": found.epochs, "steps": found.steps,
            **found.best.to_dict(), "kept_step": found.best.step,
        },
    )  # fmt: skip
