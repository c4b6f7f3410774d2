"""What can be read from disk (tables, images, prompt sets) and what is drawn (phantoms)."""
