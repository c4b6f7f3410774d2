"""Alignments of few pairs, or none, with unpaired vectors of both spaces."""
