"""Fitted values on disk: saved, loaded, and bundled with the files of their encoders."""
