"""Example images of the page: simulated ones, and held-out ones of a data set."""
