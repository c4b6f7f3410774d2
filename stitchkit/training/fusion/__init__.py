"""Training of fused heads over frozen vectors: recipe, network, losses, choice of strength, and the verb ``fuse``."""
