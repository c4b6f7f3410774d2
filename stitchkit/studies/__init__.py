"""Studies: the demo, grids of maps between encoders, and arms of training."""
