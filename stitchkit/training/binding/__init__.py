"""Training of the encoders of a bound space by low-rank adapters."""
