"""Many images: which files there are, and a row for each."""
