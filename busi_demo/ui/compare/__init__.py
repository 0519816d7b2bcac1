"""The tab Compare: all approaches on one image."""
