"""A training step of a fused head under all subsets of its inputs, beside a plain step and a step a subset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.harness import Case, Row

WIDTHS = {"image": 1280, "text": 384, "table": 25}
ITEMS, CLASSES = 256, 7
PLAIN, ALL, LOOP = "plain step", "all subsets at once", "one pass a subset"


def _case() -> Case:
    import torch

    from stitchkit.core.fusion_rows import FusionRows
    from stitchkit.training.fusion.fit import Tensors, TrainingRows, classifier_loss, new_network
    from stitchkit.training.fusion.losses import item_losses
    from stitchkit.training.fusion.network import subset_columns
    from stitchkit.training.fusion.recipe import FusionRecipe

    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=(ITEMS, width)) for name, width in WIDTHS.items()}
    rows = FusionRows([f"r{i}" for i in range(ITEMS)], vectors, np.ones((ITEMS, len(WIDTHS)), dtype=bool))
    targets = np.eye(CLASSES)[rng.integers(0, CLASSES, ITEMS)]
    data = TrainingRows(rows, targets, None, True, frozenset({"image", "text"}), frozenset({"table"}))

    def step(subsets: str, loop: bool = False) -> Callable[[], float]:
        recipe = FusionRecipe(subsets=subsets, dropout=0.0)
        torch.manual_seed(0)
        network, tensors = new_network(data, recipe), Tensors.of(data, recipe)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)
        every = np.arange(ITEMS)

        def by_loop() -> Any:
            columns, losses = subset_columns(len(WIDTHS), 4, rng), []
            for mask in columns:
                masks = torch.from_numpy(np.tile(mask, (ITEMS, 1)))
                logits = network(tensors.batch(every), torch.arange(ITEMS), masks)
                own = item_losses(logits, tensors.targets, multiclass=True, class_weights=tensors.class_weights)
                losses.append(own.mean())
            return torch.stack(losses).mean()

        def work() -> float:
            optimizer.zero_grad()
            loss = by_loop() if loop else classifier_loss(network, tensors, every, recipe, rng)
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return work

    def check(results: Mapping[str, float]) -> dict[str, float]:
        error = abs(results[ALL] - results[LOOP]) / results[LOOP]
        if error > 1e-5:
            raise AssertionError(f"the loss of all subsets differs from a loop's by {error:.1e}")
        return {"loss beside a loop": error}

    return Case({PLAIN: step("full"), ALL: step("all"), LOOP: step("all", loop=True)}, check)


SIZE = f"{ITEMS} rows; widths {', '.join(map(str, WIDTHS.values()))}"
ROWS = (Row("training step under all subsets", SIZE, _case, cpu=True),)
