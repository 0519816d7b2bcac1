"""The tab 'How good is it?'."""
