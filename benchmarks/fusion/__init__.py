"""A fused head against its rivals on a real image set with a table, with each input missing."""
