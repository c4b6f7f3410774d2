"""Solvers that use unpaired vectors of both spaces, beside a few pairs or without any."""
