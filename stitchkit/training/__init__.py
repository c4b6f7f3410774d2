"""Recipes that end in a source model."""
