"""The exam on real images: cards, and the candidates that sit it."""
