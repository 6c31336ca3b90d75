"""What every imaging engine hands back, and what those of others share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import Points, join
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.restore import fit_beam, restore

#: Full width at half maximum of CASA's and WSClean's shapes over what they call the scale.
_WIDTH_OF_SCALE = 0.44


def scale_pixels(widths_arcsec: tuple[float, ...], cell_arcsec: float) -> list[int]:
    """Scales as CASA and WSClean count them: whole pixels across all of a shape."""
    return [round(width / _WIDTH_OF_SCALE / cell_arcsec) for width in widths_arcsec]


@dataclass(frozen=True)
class Spectrum:
    """What a bright source's spectrum was found to be."""

    l: float
    """Direction cosines from the phase centre."""
    m: float
    apparent_jy: float
    """Mean over the group."""
    index: float
    error: float
    """Thermal, one standard deviation."""


@dataclass(frozen=True)
class Slopes:
    """What components leave of their sources' spectra."""

    left_jy: NDArray[np.float64]
    """At each component: flux density times (spectral index less that it was subtracted with), of all that
    is there."""
    noise_jy: float
    """Of one, thermal."""


def part_of_band(
    band_hz: tuple[float, float], n_parts: int, frequencies_hz: NDArray[np.float64]
) -> NDArray[np.int64]:
    """In which of a band's equal parts frequencies lie."""
    return np.searchsorted(np.linspace(*band_hz, n_parts + 1)[1:-1], frequencies_hz)


@dataclass(frozen=True)
class OutlierPoints:
    """Points of outlier sources, as they were subtracted."""

    names: tuple[str, ...]
    """Source of each; some have more than one."""
    l: NDArray[np.float64]
    """Direction cosines from the phase centre, shape (n,)."""
    m: NDArray[np.float64]
    amplitude_jy: NDArray[np.float64]
    """Apparent flux densities by integration and part of the band, shape (n, n_times, n_parts)."""
    band_hz: tuple[float, float]
    """The parts, all alike, go from the one to the other."""

    def at(self, t: int, frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apparent flux densities in an integration, Jy, shape (n, n_frequencies)."""
        part = part_of_band(self.band_hz, self.amplitude_jy.shape[2], frequencies_hz)
        return self.amplitude_jy[:, t, part]


def restored(
    model: NDArray[np.float32],
    residual: NDArray[np.float32],
    psf: NDArray[np.float32],
    grid: ImageGrid,
    threads: int = 1,
) -> tuple[NDArray[np.float32], RestoringBeam]:
    """Image and restoring beam of another engine, by the rule by which ours has them.

    CASA fits its beam to the dirty beam above 0.35, plateau and all; WSClean to a box about it.  Either
    has the flux densities of faint sources hang on how deep CLEAN went.
    """
    beam = fit_beam(psf, grid.cell_arcsec)
    return restore(model, join(), residual, beam, grid, threads), beam


@dataclass(frozen=True)
class EngineImages:
    """Images of one deconvolution; pixels [north, −east], Jy/beam (model: Jy/pixel)."""

    image: NDArray[np.float32]
    residual: NDArray[np.float32]
    model: NDArray[np.float32]
    psf: NDArray[np.float32]
    mask: NDArray[np.bool_]
    """Where CLEAN was allowed to look."""
    beam: RestoringBeam
    n_iterations: int
    n_major_cycles: int
    components: Points | None = None
    """The model as it was subtracted, points between pixels; None: the pixels of the model."""
    indices: NDArray[np.float64] | None = None
    """Spectral indices of the components as they were subtracted; None: the typical one."""
    spectra: tuple[Spectrum, ...] = ()
    """Of bright sources."""
    slopes: Slopes | None = None
    """Of all components; None: not measured."""
    outlier_sources: tuple[dict[str, Any], ...] = ()
    """What was subtracted of each outlier source."""
    outlier_points: OutlierPoints | None = None
    """Their points, as they are to be predicted."""
    dish_offsets: dict[str, list[Any]] | None = None
    """Where each antenna points beside the array's mean; empty where no source tells."""
