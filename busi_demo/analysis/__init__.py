"""Analysis of one answer: checks, measurements, the figure and the report."""
