"""The same verbs on many processes: torch.distributed ranks and Ray tasks. Nothing distributed is written by hand."""
