"""Adapters for scikit-learn: an alignment as a transformer, zero-shot as a classifier. Both take plain arrays."""

from __future__ import annotations

from stitchkit.estimators.align_transformer import AlignTransformer
from stitchkit.estimators.zero_shot_classifier import ZeroShotClassifier

__all__ = ["AlignTransformer", "ZeroShotClassifier"]
