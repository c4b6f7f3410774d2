"""Coverage of the intervals in simulations with known truth; see ``python -m benchmarks.coverage --help``.

A family of intervals is a module with ``CELLS``, a tuple of :class:`benchmarks.coverage.cells.Cell`, and ``SOURCES``,
the files whose change makes its kept results stale. Its name stands in ``FAMILIES`` of ``__main__``; the module
of that name and ``_page`` has ``page``, which makes the short tables of ``docs/intervals.md`` from the results.
"""
