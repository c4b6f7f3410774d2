"""Held-out pairs: ranks, comparison of solvers, gates, learning curves."""
