"""Whether ``sk.align`` chooses as well as the best single solver would: on synthetic families, and on small nets."""
