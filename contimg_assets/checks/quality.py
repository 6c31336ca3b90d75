"""Which products are judged: each number of theirs that has a limit in ``radio/limits.toml``."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import calibrator_scan, observation_group

measurement_set_checks = band_checks("measurement_set_qa", observation_group)
calibration_checks = band_checks(
    "calibration_qa",
    calibrator_scan,
    # The verdicts make the registered set active, or failed.
    judged=lambda database, key: database.registry().settle(key),
)
image_checks = band_checks("image_qa", observation_group)
photometry_checks = band_checks("photometry", observation_group)
