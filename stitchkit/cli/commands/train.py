"""``stitchkit train``: a recipe to a shared encoder that is named wherever an encoder is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only, without

if TYPE_CHECKING:
    from stitchkit.training.recipes import Recipe


@flat
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's TOML file.", exists=True)],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the encoder; a run that was stopped goes on there.")],
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files into OUT/run too.")] = False,
    compute: Annotated[o.Compute, only("device")],
    output: Annotated[o.Output, without("overwrite")],
) -> None:
    """Train two encoders, of images and of texts, into one space, their blocks shared as the recipe says.

    Under torchrun every process trains its part of each batch.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import folder_name
    from stitchkit.training.recipes import read_recipe

    console = Console.of(output)
    folder_name(out)
    read = read_recipe(recipe)
    if output.dry_run:
        console.plan({**_summary(read), "writes": out})
        return
    from stitchkit.training.loop import train as run

    result = run(
        read, out, device=compute.device, say=console.say, progress=console.progress, tensorboard=tensorboard
    )  # fmt: skip
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes only the first one prints
        return
    document = {
        "out": str(result.folder), "encoders": result.names, "epochs": result.epochs, "steps": result.steps,
        **result.best.to_dict(), "kept_step": result.best.step,
    }  # fmt: skip
    console.result(result, document)


def _summary(recipe: Recipe) -> dict[str, Any]:
    """The recipe's data, network and length."""
    network = recipe.network
    common = "all" if network.shared is None else network.shared or "none"
    return {
        "recipe": recipe.name, "pairs": f"{recipe.pairs.layout} in {recipe.pairs.root}",
        "network": f"{network.layers} layers of {network.width}, shared: {common}, {network.mode}",
        "batch": f"{recipe.training.batch}, in chunks of {recipe.training.chunk}",
        "until": f"step {recipe.training.steps}" if recipe.training.steps else f"epoch {recipe.training.epochs}",
    }  # fmt: skip
