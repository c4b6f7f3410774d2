"""Pure functions from scores and labels to numbers."""
