"""Encoders and anchors to fitted models."""
