"""Which numbers of a Measurement Set are judged."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import observation_group

METRICS = (
    "flagged_fraction",
    "zero_fraction",
    "not_finite_fraction",
    "uvw_error_mm",
    "baseline_length_error_mm",
    "channel_step_error_khz",
    "time_step_error_s",
    "centre_offset_arcsec",
    "n_dead_antennas",
    "n_dark_subbands",
)

measurement_set_checks = band_checks("measurement_set_qa", METRICS, observation_group)
