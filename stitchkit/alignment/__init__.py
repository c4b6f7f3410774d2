"""Embeddings and anchors to moments to a chosen alignment."""

from stitchkit.alignment.fitting import align

__all__ = ["align"]
