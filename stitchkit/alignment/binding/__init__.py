"""Many modalities in one space, bound through text."""
