"""The real chain, from files to image, with nothing replaced."""
