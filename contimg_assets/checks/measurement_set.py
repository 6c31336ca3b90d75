"""Which numbers of a Measurement Set are judged."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import observation_group

METRICS = ("flagged_fraction", "zero_fraction", "uvw_error_mm", "n_dead_antennas")

measurement_set_checks = band_checks("measurement_set_qa", METRICS, observation_group)
