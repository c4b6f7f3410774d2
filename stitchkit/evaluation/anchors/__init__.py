"""Anchor sets: audit, choice, selection, cards."""
