"""Two pretrained encoders that were trained on, into one space."""
