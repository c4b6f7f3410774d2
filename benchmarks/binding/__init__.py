"""Many modalities bound through texts: real data, wrong links in the shared texts, renderings of phantoms."""
