"""Values on disk: folders, tensors, tables and settings that check themselves."""
