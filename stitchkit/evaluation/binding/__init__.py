"""Bound modalities, judged together."""
