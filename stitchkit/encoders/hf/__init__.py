"""Encoders of transformers and sentence-transformers checkpoints."""
