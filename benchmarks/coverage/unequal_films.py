"""Samples of films of patients of whom one holds a stated share of the positives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.coverage.films import ALIKE, IMAGES, Films, Sample


@dataclass(frozen=True)
class Held(Films):
    """A population of films of one class, of which all images of a positive patient are positive.

    Parameters
    ----------
    held
        Share of the positive images that one patient has; the others have 1 to 6 images.
    """

    held: float = 0.5

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample."""
        sizes, ill = rng.permutation(np.resize(np.arange(1, IMAGES + 1), self.patients)), self._ill(rng)
        most, *others = np.flatnonzero(ill[:, 0])
        sizes[most] = round(self.held / (1 - self.held) * sizes[others].sum())
        groups = np.repeat(np.arange(self.patients), sizes)
        labels, shared = ill[groups], self._field(rng, groups)
        scores = [self._scores(shared, labels, self.auroc)]
        if self.less is not None:
            own = [self._field(rng, groups) for _ in range(2)]
            scores = [
                self._scores(np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * one, labels, value)
                for one, value in zip(own, (self.auroc, self.auroc - self.less), strict=True)
            ]
        return Sample(labels.astype(float), tuple(scores), groups, None)
