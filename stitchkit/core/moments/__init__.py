"""Moments of anchor pairs: counts, means and centred scatters, from chunks of rows."""
