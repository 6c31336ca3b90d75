"""From visibilities to pixels and back: ``ducc0``'s w-gridder in our conventions.

Pixels are [north, −east] as in a FITS image, the phase centre at n // 2; a point
source of 1 Jy has the visibility exp(2πi (ul + vm + w(n−1))).
"""

from dataclasses import dataclass

import ducc0
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.visibilities import StokesI


@dataclass(frozen=True)
class Gridder:
    """One geometry: data, weights and the image that they make."""

    data: StokesI
    weights: NDArray[np.float32]
    n_pixels: int
    cell_rad: float
    threads: int
    accuracy: float = 1e-5
    """Relative to the brightest thing gridded; far below any dynamic range reached."""

    def dirty(self, visibilities: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Dirty image of weighted visibilities, Jy/beam, shape (n_pixels, n_pixels)."""
        image = ducc0.wgridder.vis2dirty(
            uvw=self.data.uvw_m,
            freq=self.data.frequencies_hz,
            vis=visibilities,
            wgt=self.weights,
            npix_x=self.n_pixels,
            npix_y=self.n_pixels,
            pixsize_x=self.cell_rad,
            pixsize_y=self.cell_rad,
            epsilon=self.accuracy,
            do_wgridding=True,
            flip_v=True,
            divide_by_n=False,
            nthreads=self.threads,
        )
        return np.ascontiguousarray((image / self.total).T, dtype=np.float32)

    def predict(self, model: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Visibilities of a model image, Jy/pixel."""
        return ducc0.wgridder.dirty2vis(
            uvw=self.data.uvw_m,
            freq=self.data.frequencies_hz,
            dirty=np.ascontiguousarray(model.T, dtype=np.float32),
            wgt=None,
            mask=(self.weights > 0).astype(np.uint8),
            pixsize_x=self.cell_rad,
            pixsize_y=self.cell_rad,
            epsilon=self.accuracy,
            do_wgridding=True,
            flip_v=True,
            divide_by_n=False,
            nthreads=self.threads,
        )

    @property
    def total(self) -> float:
        """Sum of weights: the dirty beam's peak before it is set to one."""
        return float(self.weights.sum(dtype=np.float64))

    def psf(self) -> NDArray[np.float32]:
        """Dirty beam, peak 1."""
        return self.dirty(np.ones_like(self.data.values))
