"""The images to click: simulated ones and held-out ones of a data set."""
