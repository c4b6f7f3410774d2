"""What unpaired vectors of both spaces add to a few pairs, and what can be had without any pair."""
