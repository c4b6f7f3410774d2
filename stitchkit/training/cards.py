"""The card of a trained encoder: what it is, what it was trained on, what it is worth."""

from __future__ import annotations

from typing import Any

from stitchkit.encoders.names import EncoderName
from stitchkit.training.recipes import Recipe
from stitchkit.training.validation import Validation


def encoder_card(recipe: Recipe, record: dict[str, Any], validation: Validation) -> str:
    """Markdown for ``README.md``."""
    pairs, kind = recipe.pairs, "shared-encoder" if recipe.towers is None else "tuned-pair"
    first, second = record["modalities"]
    return "\n".join([
        "---", "library_name: stitchkit", f"tags: [{kind}, contrastive]", "---", "",
        f"# {recipe.name}", "",
        f"Two encoders, {first} and {second}, in one space of {_form(recipe)}. Research software; not a medical "
        "device.", "",
        f"Trained on {record['pairs']} pairs with {record['captions']} distinct captions of {pairs.layout} "
        f"(fraction {pairs.fraction:g}) by the objective {recipe.objective.name!r}, seed {recipe.seed}.", "",
        f"Validation after step {validation.step}:", "", "```", str(validation), "```", "",
        *(f"- {note}" for note in record["notes"]), "",
        "```python", "import stitchkit as sk",
        f'encoder = sk.load_encoder("stitchkit:FOLDER#modality={first}")', "```", "",
    ])  # fmt: skip


def _form(recipe: Recipe) -> str:
    """Width of the space, and the network in words."""
    if recipe.towers is not None:
        bases = " and ".join(EncoderName.parse(name).public for name in recipe.towers.encoders)
        return f"{recipe.towers.dim} dimensions; pretrained towers {bases}"
    network = recipe.network
    common = (
        "all layers" if network.shared is None else f"layers {list(network.shared)}" if network.shared else "no layer"
    )
    return f"{network.dim} dimensions; {common} of {network.layers} shared ({network.mode})"
