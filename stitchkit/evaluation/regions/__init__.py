"""Pointing: the place in an image that a sentence resembles most, against the region that it is about."""
