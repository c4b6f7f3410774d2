"""Two spaces before a map: what they share, and which layers."""
