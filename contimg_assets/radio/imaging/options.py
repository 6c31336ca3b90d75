"""Options of imaging and deconvolution."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from contimg_assets.radio.errors import SettingsError
from contimg_assets.radio.options import Options

#: Our own engine starts from sources of a catalogue that appear this many times the expected noise.
_START_SIGMA = 20.0


class ImagingOptions(Options):
    """The image and how it is deconvolved."""

    engine: Literal["wgridder", "tclean", "wsclean"] = "wgridder"
    """``wgridder``: our CLEAN on ducc0's Fourier sums; ``tclean``: CASA's, with w-projection; ``wsclean``:
    the system's program, with its w-gridder."""
    mode: Literal["full", "quick"] = "full"
    """``quick``: every image is a quick look, as with ``contimg image --quick``."""
    field_deg: float = Field(default=6.0, gt=0, le=8)
    """Width of the image, deg: to the beam's first null, since what lies outside leaves stripes."""
    samples_per_beam: float = Field(default=4.0, ge=3)
    """Pixels across the narrow side of the dirty beam."""
    weighting: Literal["natural", "uniform", "briggs"] = "briggs"
    """Visibility weighting."""
    robust: float = Field(default=0.0, ge=-2, le=2)
    """Briggs robustness: at 0.5 the dirty beam is 41″ × 20″ on a plateau that confuses neighbours,
    at 0 it is 33″ × 17″ for 12 % more noise."""
    shortest_wavelengths: float = Field(default=0.0, ge=0)
    """Shorter projected baselines are left out, wavelengths."""
    longest_wavelengths: float = Field(default=float("inf"), gt=0)
    """Longer projected baselines are left out, wavelengths."""
    iterations: int = Field(default=50_000, ge=0)
    """Most CLEAN components."""
    major_cycles: int = Field(default=15, ge=1)
    """Most major cycles of our own engine."""
    threshold_sigma: float = Field(default=3.0, gt=0)
    """CLEAN stops at this multiple of the noise, measured or expected, whichever is higher."""
    gain: float = Field(default=0.1, gt=0, le=1)
    """CLEAN loop gain."""
    scales_arcsec: tuple[float, ...] = (0.0,)
    """Full widths at half maximum of CLEAN's components, arcsec, from zero (points) upwards; ``[0, 60, 150]``
    for resolved sources.  These
    keep a part of their flux density in the residual unless a width comes near theirs."""
    seed_sigma: float | None = Field(default=None, ge=5)
    """CLEAN starts from the sources of the installed catalogue that appear this many times the expected
    noise (inf: from nothing); None: 20 with our own engine, which measures them in the visibilities and takes
    a third of the time less; inf with the others, which take them as they are."""
    outside_sigma: float | None = Field(default=30.0, ge=10)
    """Sources of the installed catalogue outside the image that should appear this many times the expected
    noise are looked for, and what is seen of them is taken away (our own engine only); None: only named."""
    spectra_sigma: float | None = Field(default=300.0, ge=30)
    """Sources of this many times the expected noise have their spectral indices measured and are subtracted
    with them (our own engine only); None: all are taken to have the typical one, and no slopes are
    measured."""
    inject: bool = False
    """Make a second image of the data with known sources added to the visibilities, and tell what of them
    CLEAN keeps (our own engine only; takes as long as an image)."""
    w_planes: int = Field(default=32, ge=1)
    """Planes of CASA's w-projection."""
    beam_cutoff: float = Field(default=0.1, gt=0, lt=1)
    """The beam-corrected image is blank where the beam is below this."""

    @property
    def start_sigma(self) -> float:
        """Sources that appear this many times the expected noise are CLEAN's start."""
        if self.seed_sigma is not None:
            return self.seed_sigma
        return _START_SIGMA if self.engine == "wgridder" else float("inf")

    @field_validator("scales_arcsec")
    @classmethod
    def _from_zero_upwards(cls, widths: tuple[float, ...]) -> tuple[float, ...]:
        if widths[:1] != (0.0,) or list(widths) != sorted(set(widths)):
            raise ValueError(f"found {widths}; expected widths that begin with 0 and rise")
        return widths

    def replaced(self, values: Mapping[str, Any]) -> "ImagingOptions":
        """The same with some options in their place, as JSON has them.

        Raises
        ------
        SettingsError
            If there is no such option, or it does not take the value; the message names it.
        """
        try:
            return ImagingOptions.model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise SettingsError(
                f"imaging options: {told}; expected some of {', '.join(ImagingOptions.model_fields)}"
            ) from None

    def quick(self) -> "ImagingOptions":
        """The same for a quick look: a beam of 85″ × 46″ and a shallow CLEAN of the main lobe's field."""
        return self.model_copy(
            update={
                "mode": "quick",
                "field_deg": min(self.field_deg, 4.5),
                "longest_wavelengths": min(self.longest_wavelengths, 5000.0),
                "major_cycles": min(self.major_cycles, 2),
                "threshold_sigma": max(self.threshold_sigma, 5.0),
            }
        )
