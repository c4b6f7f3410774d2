"""Downstream tasks as data, and the exam: one set of tasks, splits and measures for every encoder."""
