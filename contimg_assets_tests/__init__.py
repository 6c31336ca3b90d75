"""Tests of contimg_assets, laid out as the package is."""
