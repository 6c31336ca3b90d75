"""Fields of the simulator of epochs, and photometry of them as the stage does it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.noise import noise_map
from contimg_assets.radio.images.restore import fit_beam
from contimg_assets.radio.photometry.autocorrelation import measure_correlation
from contimg_assets.radio.photometry.dirty_beam import DirtyBeam
from contimg_assets.radio.photometry.fit import Fits, Plane, Points, fit_places
from contimg_assets.simulation.epochs import EpochField, array_beam, epochs, gaussian_correlation

NOISE_JY = 1e-3
#: About the full width north to south, pixels, and its ratio to that east to west.
MAJOR, RATIO = 9.4, 2.35


@dataclass(frozen=True)
class Beam:
    """A dirty beam and the Gaussian that fits it."""

    psf: NDArray[np.float64]
    major: float
    minor: float
    angle_rad: float

    @property
    def dirty(self) -> DirtyBeam:
        return DirtyBeam.of(self.psf, self.major, self.minor, self.angle_rad)

    def correlation(self, scale: float | None) -> NDArray[np.float64]:
        """Of noise: the dirty beam's, or a Gaussian's of so many times the restoring beam."""
        if scale is None:
            return self.psf
        return gaussian_correlation(len(self.psf), scale * self.major, scale * self.minor, self.angle_rad)


@cache
def beam_of(n: int) -> Beam:
    """The beam of all tests, in an image of n pixels."""
    psf = array_beam(n, MAJOR, RATIO)
    fitted = fit_beam(psf.astype(np.float32), 1.0)
    return Beam(psf, fitted.major_arcsec, fitted.minor_arcsec, float(np.deg2rad(fitted.position_angle_deg)))


def lattice(n: int, step_x: int, step_y: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places on a loose lattice, none at a pixel's middle."""
    rng = np.random.default_rng(2)
    x, y = np.meshgrid(np.arange(40, n - 40, step_x), np.arange(40, n - 40, step_y))
    return tuple(at.ravel() + rng.uniform(-3, 3, at.size) for at in (x, y))  # type: ignore[return-value]


def field(n: int, scale: float | None, x: NDArray[np.float64], y: NDArray[np.float64]) -> EpochField:
    """A field whose CLEAN leaves nothing of sources, so that residuals are noise alone."""
    beam = beam_of(n)
    return EpochField(
        beam.psf, beam.correlation(scale), np.ones((n, n)), NOISE_JY, x, y, found_sigma=0.0, left_sigma=0.0
    )


def measure(made: EpochField, curves: NDArray[np.float64], seed: int = 1) -> Iterator[Fits]:
    """Photometry of all epochs, with noise and its correlation as each image shows them."""
    beam = beam_of(len(made.psf))
    dirty = beam.dirty
    for epoch, flux in zip(epochs(made, curves, seed), curves, strict=True):
        noise = noise_map(epoch.residual, beam.major)
        plane = Plane(
            epoch.residual,
            noise,
            Points(epoch.x, epoch.y, epoch.flux),
            dirty,
            measure_correlation(epoch.residual, noise, int(6 * beam.major)),
        )
        yield fit_places(plane, Points(made.x, made.y, flux), join_beams=3.0, offset_sigma=10.0)


@dataclass(frozen=True)
class Pulls:
    """Measured less true flux densities over their errors, shape (n_epochs, n_sources)."""

    values: NDArray[np.float64]
    free: NDArray[np.float64]
    """Of flux densities with the position free; NaN where it was not fitted."""
    east: NDArray[np.float64]
    chi2: NDArray[np.float64]

    @property
    def eta(self) -> NDArray[np.float64]:
        """Reduced χ² of each source about its mean: of equal weights, nearly."""
        return self.values.var(axis=0, ddof=1)


def pulls(made: EpochField, curves: NDArray[np.float64], seed: int = 1) -> Pulls:
    """All pulls of some epochs."""
    found = list(measure(made, curves, seed))
    return Pulls(
        np.array([(f.flux - s) / f.error for f, s in zip(found, curves, strict=True)]),
        np.array([(f.free_flux - s) / f.free_error for f, s in zip(found, curves, strict=True)]),
        np.array([f.dx / f.dx_error for f in found]),
        np.array([f.chi2 for f in found]),
    )
