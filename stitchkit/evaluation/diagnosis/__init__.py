"""Diagnosis of a fitted alignment."""
