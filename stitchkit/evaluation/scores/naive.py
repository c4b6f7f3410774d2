"""The naive baseline of a stitch: a head on vectors of another space, cut or padded to its width."""

from __future__ import annotations

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.heads import LinearHead
from stitchkit.core.scores import Scores

NAIVE = "naive (cut to width)"


def naive_scores(vectors: Embeddings, head: LinearHead) -> Scores:
    """Scores (n, c) of ``head`` on ``vectors`` (n, d) cut, or filled with zeros, to its width: no map."""
    width = head.space.dim
    kept = np.asarray(vectors.vectors)[:, :width]
    kept = np.pad(kept, ((0, 0), (0, width - kept.shape[1])))
    return head.scores(Embeddings(kept, vectors.ids, head.space))
