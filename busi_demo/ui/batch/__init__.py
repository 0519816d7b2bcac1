"""The tab Batch: many images."""
