"""Studies: the demo, and grids of experiments to come."""
