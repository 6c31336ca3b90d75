"""Which numbers of an image are judged: all that have a limit."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import observation_group
from contimg_assets.radio.limits import load_limits

METRICS = tuple(load_limits().limits["image_qa"])

image_checks = band_checks("image_qa", METRICS, observation_group)
