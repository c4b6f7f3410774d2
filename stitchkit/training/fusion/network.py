"""The network of a fused head: frozen vectors of several modalities to one fused vector, and a classifier.

Every modality enters by itself, once a step, whatever subsets are shown: its vectors and its token are projected, and
a subset is a sum of projections. All subsets of a row cost little more than the row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stitchkit.core.fused_heads import NORM_EPS, stages_of

FIXED, LEARNT = ("center", "scale"), ("norm", "shift", "token", "enter")  # arrays of each modality
PROJECTED = 128  # width of the vectors that the contrastive stage compares


@dataclass(frozen=True, slots=True)
class FusionShape:
    """Sizes of a network.

    Parameters
    ----------
    widths
        Modality -> width of its vectors.
    normed
        Modalities that a layer norm and a ReLU come first for.
    hidden, stages, classes, dropout
        Width of the fused vector, stages with the entrance, classes, and share of features dropped.
    added
        True if tokens are added to present vectors too.
    learnt
        True if tokens are learnt, False if they stay as they are.
    """

    widths: Mapping[str, int]
    normed: frozenset[str]
    hidden: int
    stages: int
    classes: int
    dropout: float
    added: bool = False
    learnt: bool = True


class FusionNetwork(nn.Module):
    """Fused vectors (k, hidden) and logits (k, c) of rows under masks.

    Parameters
    ----------
    shape
        Sizes.
    center, scale
        Modality -> (d,) subtracted and divided by first; not trained.
    tokens
        Modality -> (d,) first value of its token; zeros where it is not named.
    """

    def __init__(
        self,
        shape: FusionShape,
        center: Mapping[str, Tensor],
        scale: Mapping[str, Tensor],
        tokens: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        # by number, since a user's words may be no names of attributes
        self.norm, self.shift, self.token, self.enter = (nn.ParameterList() for _ in range(4))
        for m, (name, width) in enumerate(shape.widths.items()):
            self.register_buffer(f"center{m}", center[name])
            self.register_buffer(f"scale{m}", scale[name])
            first = (tokens or {}).get(name, torch.zeros(width))
            self.token.append(nn.Parameter(first.clone(), requires_grad=shape.learnt))
            self.norm.append(nn.Parameter(torch.ones(width)))
            self.shift.append(nn.Parameter(torch.zeros(width)))
            # by its own width: a table of ten columns beside a thousand features would begin as a whisper
            self.enter.append(nn.Parameter((torch.rand(width, shape.hidden) * 2 - 1) / math.sqrt(width)))
        self.enter_bias = nn.Parameter(torch.zeros(shape.hidden))
        self.stage_norms = nn.ModuleList(nn.LayerNorm(shape.hidden, eps=NORM_EPS) for _ in range(shape.stages - 1))
        self.stages = nn.ModuleList(nn.Linear(shape.hidden, shape.hidden) for _ in range(shape.stages - 1))
        self.drop = nn.Dropout(shape.dropout)
        self.renew_classifier()

    def renew_classifier(self) -> None:
        """A classifier that has learnt nothing."""
        self.out_norm = nn.LayerNorm(self.shape.hidden, eps=NORM_EPS)
        self.out = nn.Linear(self.shape.hidden, self.shape.classes)

    def _entered(self, m: int, name: str, x: Tensor) -> Tensor:
        """Projections (n, hidden) of the vectors (n, d) of one modality."""
        if name in self.shape.normed:
            x = torch.relu(nn.functional.layer_norm(x, x.shape[-1:], self.norm[m], self.shift[m], NORM_EPS))
        else:
            x = x * self.norm[m] + self.shift[m]
        entered: Tensor = self.drop(x) @ self.enter[m]
        return entered

    def fused(self, vectors: Mapping[str, Tensor], rows: Tensor, masks: Tensor) -> Tensor:
        """Fused vectors (k, hidden).

        Parameters
        ----------
        vectors
            Modality -> (n, d); rows that lack it hold any finite numbers.
        rows : (k,) int64
            Row of each fused vector.
        masks : (k, M) bool
            Modalities that it shows, in the order of the shape's widths.
        """
        z = self.enter_bias.expand(len(rows), -1)
        for m, name in enumerate(self.shape.widths):
            x = (vectors[name] - getattr(self, f"center{m}")) / getattr(self, f"scale{m}")
            here = self._entered(m, name, x + self.token[m] if self.shape.added else x)
            absent = self._entered(m, name, self.token[m][None])
            z = z + torch.where(masks[:, m, None], here[rows], absent)
        for norm, stage in zip(self.stage_norms, self.stages, strict=True):
            z = stage(self.drop(torch.relu(norm(z))))
        return z

    def classified(self, z: Tensor) -> Tensor:
        """Logits (k, c) of fused vectors."""
        logits: Tensor = self.out(self.drop(self.out_norm(z)))
        return logits

    def forward(self, vectors: Mapping[str, Tensor], rows: Tensor, masks: Tensor) -> Tensor:
        """Logits (k, c)."""
        return self.classified(self.fused(vectors, rows, masks))

    def weights(self) -> dict[str, np.ndarray]:
        """The arrays of a :class:`stitchkit.core.fused_heads.FusedHead`."""
        held: dict[str, Tensor] = {"fused.bias": self.enter_bias}
        for m, name in enumerate(self.shape.widths):
            held |= {f"{part}.{name}": getattr(self, f"{part}{m}") for part in FIXED}
            held |= {f"{part}.{name}": getattr(self, part)[m] for part in LEARNT}
        for i, (norm, stage) in enumerate(zip(self.stage_norms, self.stages, strict=True)):
            held |= {f"stage{i}.norm": norm.weight, f"stage{i}.shift": norm.bias}  # type: ignore[dict-item]
            held |= {f"stage{i}.weight": stage.weight.T, f"stage{i}.bias": stage.bias}  # type: ignore[dict-item]
        held |= {"out.norm": self.out_norm.weight, "out.shift": self.out_norm.bias}
        held |= {"out.weight": self.out.weight.T, "out.bias": self.out.bias}
        return {name: np.ascontiguousarray(value.detach().numpy()) for name, value in held.items()}

    def take_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set every weight to those of a fused head of the same shape."""
        assigned = {"enter_bias": weights["fused.bias"]}
        for m, name in enumerate(self.shape.widths):
            assigned |= {f"{part}{m}": weights[f"{part}.{name}"] for part in FIXED}
            assigned |= {f"{part}.{m}": weights[f"{part}.{name}"] for part in LEARNT}
        for i in range(stages_of(weights)):
            assigned |= {f"stage_norms.{i}.weight": weights[f"stage{i}.norm"],
                         f"stage_norms.{i}.bias": weights[f"stage{i}.shift"],
                         f"stages.{i}.weight": weights[f"stage{i}.weight"].T,
                         f"stages.{i}.bias": weights[f"stage{i}.bias"]}  # fmt: skip
        assigned |= {"out_norm.weight": weights["out.norm"], "out_norm.bias": weights["out.shift"]}
        assigned |= {"out.weight": weights["out.weight"].T, "out.bias": weights["out.bias"]}
        self.load_state_dict({name: torch.tensor(np.ascontiguousarray(value)) for name, value in assigned.items()})


class Projection(nn.Module):
    """Fused vectors to unit vectors that the contrastive stage compares, with its scale and bias."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, PROJECTED)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, z: Tensor) -> Tensor:
        """Unit vectors (k, 128)."""
        return nn.functional.normalize(self.second(self.first(z)), dim=1)


def subset_columns(count: int, sampled: int, rng: np.random.Generator) -> np.ndarray:
    """Subsets of ``count`` modalities as bool (K, M), the whole first: all to four, else single ones and a sample."""
    whole = np.ones((1, count), dtype=bool)
    if count <= 4:
        codes = np.arange(2**count - 2, 0, -1)
        return np.concatenate([whole, (codes[:, None] >> np.arange(count)) % 2 == 1])
    drawn = np.zeros((sampled, count), dtype=bool)
    for one in drawn:
        one[rng.permutation(count)[: rng.integers(2, count)]] = True
    return np.concatenate([whole, np.eye(count, dtype=bool), drawn])


def shown_subsets(present: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subsets that each row can show: rows (k,), masks (k, M), and which of them are whole rows (k,).

    A subset of which a row lacks something shows what is left; every row shows a mask once, and none that is empty.

    Parameters
    ----------
    present : (n, M) bool
    columns : (K, M) bool
        The first is the whole.
    """
    shown = present[:, None, :] & columns[None]  # (n, K, M)
    codes = shown @ (1 << np.arange(columns.shape[1]))
    kept = codes > 0
    for k in range(1, codes.shape[1]):
        kept[:, k] &= (codes[:, :k] != codes[:, [k]]).all(axis=1)
    rows, which = np.nonzero(kept)
    return rows, shown[rows, which], which == 0
