"""Training objectives side by side: phantoms with reports of several sentences, and real images."""
