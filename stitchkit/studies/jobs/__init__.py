"""The cells of a study, one module for each kind of study."""
