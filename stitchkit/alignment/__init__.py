"""Alignments: the verbs, the search over solvers, its folds and criteria, and the record."""
