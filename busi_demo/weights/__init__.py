"""`weights/`: how it is read, written, downloaded and calibrated, and which images it knows."""
