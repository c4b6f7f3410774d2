"""``stitchkit train``: a recipe to encoders that are named wherever an encoder is."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, only, without
from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.console import Console
    from stitchkit.training.binding.outcome import TunedBinding
    from stitchkit.training.binding.recipe import BindingRecipe
    from stitchkit.training.recipes import Recipe


@flat
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's TOML file.", exists=True)],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the encoder; a run that was stopped goes on there.")],
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files into OUT/run too.")] = False,
    compute: Annotated[o.Compute, only("device", "trust_python")],
    output: Annotated[o.Output, without("overwrite")],
) -> None:
    """Train two encoders, of images and of texts, into one space, their blocks shared as the recipe says.

    Under torchrun every process trains its part of each batch. A recipe with kind = "binding" trains low-rank adapters
    for the encoders of a bound space instead, in one process.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import folder_name
    from stitchkit.training.binding.recipe import is_binding_recipe, read_binding_recipe
    from stitchkit.training.recipes import read_recipe

    console = Console.of(output)
    folder_name(out)
    if is_binding_recipe(recipe):
        if tensorboard:
            raise InputError("--tensorboard has no meaning for a recipe of a binding. Leave it out.")
        _tune(read_binding_recipe(recipe), out, compute, console, dry=output.dry_run)
        return
    read = read_recipe(recipe)
    if output.dry_run:
        console.plan({**_summary(read), "writes": out})
        return
    from stitchkit.training.loop import train as run

    result = run(
        read, out, device=compute.device, say=console.say, progress=console.progress, tensorboard=tensorboard,
        trust_python=compute.trust_python or (),
    )  # fmt: skip
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes only the first one prints
        return
    document = {
        "out": str(result.folder), "encoders": result.names, "epochs": result.epochs, "steps": result.steps,
        **result.best.to_dict(), "kept_step": result.best.step,
    }  # fmt: skip
    console.result(result, document)


def _tune(recipe: BindingRecipe, out: Path, compute: o.Compute, console: Console, *, dry: bool) -> None:
    """Adapters for the encoders of a bound space, and the command that binds them."""
    if dry:
        training, lora = recipe.training, recipe.lora
        console.plan({
            "recipe": recipe.name, **{name: str(one.anchors) for name, one in recipe.modalities.items()},
            "adapters": f"rank {lora.rank}, towers: {lora.towers}", "batch": f"{training.batch} of each",
            "until": f"step {training.steps}", "writes": out,
        })  # fmt: skip
        return
    from stitchkit.training.binding.tune_binding import tune_binding

    tuned = tune_binding(
        recipe, out, device=compute.device, say=console.say, progress=console.progress,
        trust_python=compute.trust_python or (),
    )  # fmt: skip
    document = {
        "out": str(tuned.folder), "steps": tuned.steps, "before": tuned.start.to_dict(), "after": tuned.best.to_dict(),
        "encoders": dict(tuned.encoders), "text_encoders": dict(tuned.text_encoders), "notes": list(tuned.notes),
        "next": _bind_command(recipe, tuned),
    }  # fmt: skip
    console.result([tuned, "bind them:", document["next"]], document)


def _bind_command(recipe: BindingRecipe, tuned: TunedBinding) -> str:
    """The command that binds the encoders with their adapters."""
    words = ["stitchkit", "bind", *(f"{name}={one.anchors}" for name, one in recipe.modalities.items())]
    for option, names in (("--encoder", tuned.encoders), ("--text-encoder", tuned.text_encoders)):
        words += [word for name, encoder in names.items() for word in (option, f"{name}={encoder}")]
    words += [] if recipe.texts is None else ["--texts", str(recipe.texts)]
    return shlex.join([*words, "--out", "bound"])


def _summary(recipe: Recipe) -> dict[str, Any]:
    """The recipe's data, network and length."""
    network = recipe.network
    common = "all" if network.shared is None else network.shared or "none"
    form = f"{network.layers} layers of {network.width}, shared: {common}, {network.mode}"
    return {
        "recipe": recipe.name, "pairs": f"{recipe.pairs.layout} in {recipe.pairs.root}",
        "objective": recipe.objective.name,
        **({"network": form} if recipe.towers is None else {"towers": " and ".join(recipe.towers.encoders)}),
        "batch": f"{recipe.training.batch}, in chunks of {recipe.training.chunk}",
        "until": f"step {recipe.training.steps}" if recipe.training.steps else f"epoch {recipe.training.epochs}",
    }  # fmt: skip
