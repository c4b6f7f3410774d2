"""Scores of classes against labels: measures, probes, calibration, thresholds, metadata."""
