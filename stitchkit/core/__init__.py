"""The values that flow through stitchkit: spaces, embeddings, anchors, moments, maps, alignments, scores."""
