"""Options of the flux scale."""

from pydantic import Field

from contimg_assets.radio.options import Options


class FluxScaleOptions(Options):
    """From which measurements groups and beam are scaled."""

    least_sigma: float = Field(default=20.0, ge=5)
    """Sources over this many times their error."""
    least_beam: float = Field(default=0.2, gt=0, lt=1)
    """… where the beam is at least this; beyond it the beam is not corrected."""
    tie_scatter: float = Field(default=0.2, gt=0)
    """How far one source may be from its survey flux density (natural logarithm): beams, spectra,
    variability.  It fixes the scale as a whole, its slope along a strip of part of a day, and no more."""
    floor: float = Field(default=0.002, ge=0)
    """Relative error that every measurement has besides its noise: bright sources scatter by as much."""
    least_sources: int = Field(default=5, ge=2)
    """A group with fewer has no scale."""
