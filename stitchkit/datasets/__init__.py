"""Data from disk (tables, images, prompt sets) and drawn phantoms."""
