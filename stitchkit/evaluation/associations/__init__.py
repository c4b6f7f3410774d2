"""Scores of findings by association with findings that anchors mention."""
