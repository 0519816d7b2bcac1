"""Read, write, download and calibrate the weights in `weights/`, and recognise images of their training."""
