"""The tab Analyse: one image, one approach."""
