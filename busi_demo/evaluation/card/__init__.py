"""The model card, written from JSON alone."""
