"""Scales of CLEAN: points, and Gaussians for what is resolved.

At each scale the residual is smoothed with the Gaussian that is looked for
(Cornwell 2008, IEEE JSTSP 2, 793) and divided by a norm with which
noise is the same at all scales, and the highest pixel of all is the component
that takes most off the sum of squares: so no bias between scales has to be chosen.

Belongs here: what scales make of the dirty beam, of the residual and of a component.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg_assets.radio.imaging.gridder import Gridder

#: A Gaussian goes this many standard deviations far.
_REACH = 4.0
#: Dirty beams of smooth components are kept at this many pixels a standard deviation:
#: between them, linearly, they are good to a hundredth.
_SAMPLES = 3.0
#: Visibilities that a Gaussian attenuates below this do not see it.
_UNSEEN = 1e-6


@dataclass(frozen=True)
class Scales:
    """Widths of components, and how they show."""

    sigmas: tuple[float, ...]
    """Standard deviations, pixels; the first is zero, a point."""
    halves: tuple[NDArray[np.float32], ...]
    """Correlation of a component of scale s (slow) with one of scale t (fast) at each offset, 1 at none
    for s = t; each the half of it that the other mirrors, as ``Gridder.psf_half`` makes it."""
    steps: NDArray[np.int64]
    """Image pixels per pixel of each."""
    norms: NDArray[np.float64]
    """Root of what a component of 1 Jy shows through its own Gaussian, per scale."""

    @classmethod
    def of(cls, gridder: Gridder, sigmas: tuple[float, ...], point: NDArray[np.float32]) -> "Scales":
        """Scales of an image.

        Parameters
        ----------
        gridder : Gridder
        sigmas : tuple of float
            Standard deviations, pixels, the first zero.
        point : ndarray, shape (2 n, n)
            Half of the dirty beam.
        """
        if len(sigmas) == 1:
            return cls(sigmas, (point,), np.ones(1, np.int64), np.ones(1))
        square = np.sum(gridder.uvw[:, :2] ** 2, axis=1) * (2 * np.pi**2 * gridder.grid.cell_rad**2)
        halves, steps, totals = [], [], []
        for one in sigmas:
            for other in sigmas:
                width = one**2 + other**2
                weights = (gridder.weights * np.exp(-width * square)).astype(np.float32)
                weights[weights < _UNSEEN * gridder.weights] = 0
                kept = weights > 0
                step = max(1, int(np.sqrt(width) / _SAMPLES))
                n = -(-point.shape[1] // step) + 2
                tapered = replace(
                    gridder,
                    uvw=gridder.uvw[kept],
                    weights=weights[kept],
                    grid=replace(gridder.grid, cell_arcsec=step * gridder.grid.cell_arcsec),
                )
                steps.append(step)
                totals.append(tapered.total / gridder.total)
                halves.append(point if width == 0 else tapered.psf_half(n + n % 2, n + n % 2))
        norms = np.sqrt(np.array(totals).reshape(len(sigmas), -1).diagonal())
        for k, total in enumerate(totals):
            if k:
                halves[k] *= np.float32(total / (norms[k // len(sigmas)] * norms[k % len(sigmas)]))
        return cls(sigmas, tuple(halves), np.array(steps), norms)

    def smoothed(self, residual: NDArray[np.float32], threads: int) -> list[NDArray[np.float32]]:
        """The residual at each scale, Jy/beam, with the noise of the residual in each."""
        smoothed = [residual]
        if len(self.sigmas) > 1:
            n = len(residual)
            transform = fft.rfft2(residual, workers=threads)
            square = fft.fftfreq(n)[:, None] ** 2 + fft.rfftfreq(n)[None, :] ** 2
            for sigma, norm in zip(self.sigmas[1:], self.norms[1:], strict=True):
                product = transform * (np.exp(-2 * np.pi**2 * sigma**2 * square) / norm).astype(np.float32)
                smoothed.append(fft.irfft2(product, s=residual.shape, workers=threads, overwrite_x=True))
        return smoothed

    def add_components(
        self,
        model: NDArray[np.float32],
        scale: int,
        ys: NDArray[np.int64],
        xs: NDArray[np.int64],
        heights: NDArray[np.float32],
    ) -> None:
        """Add components to a model image, Jy/pixel, from their heights in the smoothed residual."""
        flux = heights / np.float32(self.norms[scale])
        if scale == 0:
            model[ys, xs] += flux
            return
        sigma = self.sigmas[scale]
        reach = int(np.ceil(_REACH * sigma))
        profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        stamp = (np.outer(profile, profile) / profile.sum() ** 2).astype(np.float32)
        n = len(model)
        for y, x, f in zip(ys, xs, flux, strict=True):
            top, left = max(y - reach, 0), max(x - reach, 0)
            bottom, right = min(y + reach + 1, n), min(x + reach + 1, n)
            rows = slice(top - y + reach, bottom - y + reach)
            columns = slice(left - x + reach, right - x + reach)
            model[top:bottom, left:right] += f * stamp[rows, columns]
