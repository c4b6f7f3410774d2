"""Judging: AUROC with patient-clustered intervals, baselines beside every number, leakage refused."""
