"""Which numbers of a calibrator scan's solutions are judged."""

from contimg_assets.checks.bands import band_checks
from contimg_assets.partitions import calibrator_scan

METRICS = (
    "failed_solution_fraction",
    "gain_amplitude_scatter",
    "phase_scatter_deg",
    "chi_squared_excess",
    "closure_phase_deg",
)

calibration_checks = band_checks(
    "calibration_qa",
    METRICS,
    calibrator_scan,
    # The verdicts make the registered set active, or failed.
    judged=lambda database, key: database.registry().settle(key),
)
