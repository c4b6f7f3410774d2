"""Speed and memory against peers, in one process and one run; see ``python -m benchmarks --help``."""
