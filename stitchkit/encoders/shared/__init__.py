"""The shared encoder of images and texts."""
