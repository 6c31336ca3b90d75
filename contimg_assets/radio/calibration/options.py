"""Options of calibration: solving, and choosing among sets."""

from pathlib import Path

from pydantic import Field

from contimg_assets.radio.options import Options


class CalibrationOptions(Options):
    """Solving and choosing calibration."""

    minimum_calibrator_jy: float = Field(default=3.0, gt=0)
    """Beam-weighted flux density from which a scan's set is taken as a matter of course, Jy."""
    backup_calibrator_jy: float = Field(default=1.0, gt=0)
    """Beam-weighted flux density from which a group is solved, as a back-up below the former, Jy
    (S/N of 18 for one antenna in one channel)."""
    calibrator_list: Path | None = None
    """NRAO's VLA calibrator list in its text format; None: the project's own short table."""
    flux_densities: Path | None = None
    """CSV of calibrators' flux densities with dates (name, date, flux_jy at 1.4 GHz[, spectral_index]):
    compact sources vary.  Between two dates on a line, else the nearest; primary calibrators keep theirs."""
    beam_pattern: Path | None = None
    """ECSV file of the primary beam's power pattern, with which sets are solved and, as a part of these,
    images made; None: the Airy pattern of the dish."""
    sky_catalogue: Path | None = None
    """CSV of further sources (name, ra_deg, dec_deg, flux_jy[, spectral_index]) for the model of the
    calibrator's field."""
    image_field: bool = True
    """Without a ``sky_catalogue``: image the calibrator's scan, add the sources found to its model and solve
    again, twice, if the misfit falls by it."""
    reference_antenna: str | None = None
    """Name (1-based) of the reference antenna; None: chosen from the data."""
    minimum_snr: float = Field(default=3.0, gt=0)
    """Solutions below this signal-to-noise ratio are flagged."""
    minimum_uv_m: float = Field(default=0.0, ge=0)
    """Baselines shorter than this are not used in solving, m: the shortest see what the model lacks."""
    gain_interval_s: float | None = Field(default=None, gt=0)
    """Gains are solved for in intervals of this length, s; None: one for the scan.  In five minutes they
    drift less than the noise of a part of it.  Bandpass and delays always take the whole scan."""
    fast: bool = False
    """Quick look: gains in phase only, for a calibrator whose flux density is not to be trusted."""
    validity_hours: float = Field(default=12.0, gt=0)
    """A set is valid this long on either side of its mid-time, h."""
    warn_hours: float = Field(default=6.0, gt=0)
    """A set this far from its target is used with a warning, h."""
    strip_deg: float = Field(default=0.5, gt=0)
    """Declinations within this of each other are one strip, deg."""
    overlap_hours: float = Field(default=0.5, ge=0)
    """Sets whose distances in time differ by less than this are equally near: the better one is taken, h."""
    interpolate: bool = True
    """Take gains between the sets before and after a group, if both fit, in place of the nearest alone."""
    bandpass_hours: float = Field(default=36.0, gt=0)
    """A set this near gives its bandpass to a field that can calibrate its own gains, h."""
    earlier_days: float = Field(default=7.0, gt=0)
    """The oldest set of a strip that is used, with a warning, when nothing else is there, days."""
    deadline_hours: float = Field(default=14.0, ge=0)
    """A group waits this long for its calibration: ``validity_hours`` and time to solve, h."""
    self_calibrate: bool = False
    """Self-calibrate every target on its own field after the calibrator's tables."""
