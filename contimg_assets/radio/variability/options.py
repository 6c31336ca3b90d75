"""Options of what light curves say."""

from pydantic import Field

from contimg_assets.radio.options import Options


class VariabilityOptions(Options):
    """What counts as variable, and which events are looked for."""

    relative_error: float = Field(default=0.004, ge=0)
    """Relative error of every measurement besides noise and scale: sources over 200 σ scatter by as much."""
    cut_sigma: float = Field(default=2.0, gt=0)
    """Sources are variable beyond so many standard deviations of log η and log V of a tile's sources."""
    pair_sigma: float = Field(default=4.3, gt=0)
    """… or with a pair of measurements whose Vs is over this …"""
    pair_modulation: float = Field(default=0.26, gt=0)
    """… and whose m is over this (Mooley and others, 2016)."""
    least_epochs: int = Field(default=5, ge=2)
    """Sources with fewer measurements have no statistics."""
    event_sigma: float = Field(default=20.0, ge=5)
    """Extreme scattering events are looked for in sources over this many errors of a day …"""
    window_days: int = Field(default=730, ge=60)
    """… in so many days before the newest."""
    false_per_1e4_years: float = Field(default=1.0, gt=0)
    """Dips are candidates from the significance on that rises reach less often than this in 10 000
    source-years."""
