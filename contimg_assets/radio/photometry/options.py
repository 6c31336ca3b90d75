"""Options of photometry."""

from pathlib import Path

from pydantic import Field

from contimg_assets.radio.options import Options


class PhotometryOptions(Options):
    """Which places are measured in every image, and how."""

    least_sigma: float = Field(default=3.0, ge=0)
    """Survey sources whose expected apparent flux density is over this many times the local noise are
    measured; watched sources always."""
    least_beam: float = Field(default=0.1, gt=0, le=1)
    """Survey sources are measured where the beam is at least this; others are flagged below it."""
    watched: Path | None = None
    """CSV with the columns name, ra_deg, dec_deg (ICRS): sources to be measured wherever they are in an
    image."""
    join_beams: float = Field(default=3.0, gt=0, le=5)
    """Sources nearer than this are fitted together, in full widths of the restoring beam."""
    offset_sigma: float = Field(default=10.0, ge=5)
    """Positions and spectra are measured from this signal-to-noise ratio on."""
    position_error_arcsec: float = Field(default=1.0, ge=0)
    """Systematic error of a position, added in quadrature where positions are compared."""
    match_radius: float = Field(default=5.68, gt=0)
    """Greatest de Ruiter radius at which a detection is a known source: true pairs are missed with
    exp(−r²/2), which is 1e-7 at 5.68."""
    injected: bool = False
    """Made-up sources of known light curves are measured too, in a file of their own; the daily job tells
    what becomes of them."""
