"""FILIP's and GLoRIA's losses in tiles, forwards and back, beside the whole array at once.

``python -m benchmarks token_losses`` times a batch of 64; ``python -m benchmarks.token_losses NAME`` measures the peak
of memory at a batch of 512 in a process of its own, beyond the inputs and their gradients.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Case, Row

PATCHES, WORDS, DIM = 196, 77, 128
LOSSES = ("filip", "gloria")


def sides(batch: int) -> tuple[Any, Any, Any, Any]:
    """Tokens and masks of both modalities: texts of 10 to 77 words."""
    import torch

    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randn(batch, count, DIM, generator=rng).requires_grad_() for count in (PATCHES, WORDS))
    lengths = torch.randint(10, WORDS + 1, (batch,), generator=rng)
    return x, torch.ones(batch, PATCHES, dtype=torch.bool), y, torch.arange(WORDS)[None, :] < lengths[:, None]


def loss_of(name: str) -> Callable[..., Any]:
    """Mean of the similarities that the loss takes."""
    from stitchkit.training.objectives.filip import late_similarities
    from stitchkit.training.objectives.gloria import local_similarity

    if name == "filip":
        return lambda *tokens: sum(one.square().mean() for one in late_similarities(*tokens))
    return lambda *tokens: local_similarity(*tokens, 4.0, 5.0).square().mean()


def _case(name: str) -> Case:
    from stitchkit.training.objectives import token_pairs

    loss, inputs = loss_of(name), sides(64)

    def step(tile: int) -> Callable[[], tuple[float, ...]]:
        def work() -> tuple[float, ...]:
            usual, token_pairs.TILE = token_pairs.TILE, tile
            for one in (inputs[0], inputs[2]):
                one.grad = None
            try:
                value = loss(*inputs)
                value.backward()
            finally:
                token_pairs.TILE = usual
            return float(value.detach()), float(inputs[0].grad.norm()), float(inputs[2].grad.norm())

        return work

    def check(results: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
        error = max(abs(one - two) / abs(one) for one, two in zip(*results.values(), strict=True))
        if error > 1e-5:
            raise AssertionError(f"the loss in tiles and its gradients differ by {error:.1e}")
        return {"loss and gradients": error}

    return Case({"at once": step(2**62), "in tiles": step(token_pairs.TILE)}, check)


SIZE = f"batch 64, {PATCHES} patches, {WORDS} words, width {DIM}"
ROWS = tuple(
    Row(f"{name}, forwards and back", SIZE, lambda name=name: _case(name), quick=False, cpu=True) for name in LOSSES
)


def main() -> int:
    """Peak of memory of one step at a batch of 512."""
    name = sys.argv[1]
    inputs, loss = sides(512), loss_of(name)
    for one in (inputs[0], inputs[2]):
        one.grad = one.detach().clone()  # their place is of the inputs
    loss(*(one[:2] for one in inputs)).backward()  # imports, buffers of the library
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    loss(*inputs).backward()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"{name}, batch 512, {PATCHES} patches, {WORDS} words, width {DIM}: {peak:.2f} GiB beyond the inputs, "
          f"{time.process_time() - start:.0f} s of the processor")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
