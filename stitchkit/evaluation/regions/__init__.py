"""Where in an image a sentence points, against the region that it is about."""
