"""Which numbers of an image are judged."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import observation_group

METRICS = ("rms_ratio", "flag_fraction", "dynamic_range", "beam_major_arcsec")

image_checks = band_checks("image_qa", METRICS, observation_group)
