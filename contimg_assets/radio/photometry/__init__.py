"""Flux densities of known places in an image, with errors that hold."""
