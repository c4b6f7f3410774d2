"""The demo on phantoms."""
