"""Tests of ``contimg_assets.simulation``."""
