"""Numbers to pictures and one self-contained HTML page."""
