"""From visibilities to pixels: ``ducc0``'s w-gridder in our conventions.

Pixels are those of ``images/grid.py``; a point source of 1 Jy has the visibility
exp(2πi (ul + vm + w(n−1))).  The way back: ``predict.py``.
"""

from dataclasses import dataclass

import ducc0
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.images.grid import ImageGrid


@dataclass(frozen=True)
class Gridder:
    """One geometry: where visibilities lie, what they weigh, the image that they make."""

    uvw: NDArray[np.float64]
    """Wavelengths, shape (n_visibilities, 3)."""
    weights: NDArray[np.float32]
    """Shape (n_visibilities,), zero where flagged."""
    grid: ImageGrid
    threads: int
    accuracy: float = 1e-5
    """Largest error, root mean square over the image, relative to what is gridded."""

    def dirty(self, visibilities: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Dirty image of weighted visibilities, Jy/beam, shape (n_pixels, n_pixels)."""
        return self._image(visibilities, self.weights, self.total)

    def slopes(self, visibilities: NDArray[np.complex64], logs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Dirty image of what the visibilities change by over the band, shape (n_pixels, n_pixels).

        Parameters
        ----------
        visibilities : ndarray, complex64, shape (n_visibilities,)
        logs : ndarray, float32, shape (n_visibilities,)
            Logarithm of frequency, less its weighted mean.

        Returns
        -------
        ndarray
            Jy per unit of the logarithm: at a source, its flux density times its spectral index.
        """
        weights = self.weights * logs
        return self._image(visibilities, weights, float(np.dot(weights, logs.astype(np.float64))))

    def _image(
        self, visibilities: NDArray[np.complex64], weights: NDArray[np.float32], total: float
    ) -> NDArray[np.float32]:
        image = ducc0.wgridder.vis2dirty(
            vis=visibilities[:, None],
            wgt=weights[:, None],
            npix_x=self.grid.n_pixels,
            npix_y=self.grid.n_pixels,
            do_wgridding=True,
            **self._geometry,
        )
        return np.ascontiguousarray((image / np.float32(total)).T, dtype=np.float32)

    def psf_half(self, n_north: int, n_west: int) -> NDArray[np.float32]:
        """Dirty beam without its w term, the half that the other mirrors, peak 1.

        Parameters
        ----------
        n_north, n_west : int
            Even.  Pixels from −n_north to n_north − 1 (rows) and from 0 to
            n_west − 1 (columns) are made.

        Returns
        -------
        ndarray, float32, shape (2 n_north, n_west)
        """
        ones = np.ones((len(self.uvw), 1), np.complex64)
        half = np.empty((2 * n_north, n_west), np.float32)
        # Two tiles: the gridder's own grid is larger than what it makes.
        for start in (0, n_north):
            tile = ducc0.wgridder.vis2dirty(
                vis=ones,
                wgt=self.weights[:, None],
                npix_x=n_west,
                npix_y=n_north,
                center_x=n_west // 2 * self.grid.cell_rad,
                # A flipped v flips the centre with it.
                center_y=-(start - n_north // 2) * self.grid.cell_rad,
                do_wgridding=False,
                **self._geometry,
            )
            np.divide(tile.T, np.float32(self.total), out=half[start : start + n_north])
        return half

    @property
    def _geometry(self) -> dict[str, object]:
        return {
            "uvw": self.uvw,
            # Wavelengths: the frequency at which a metre is one.
            "freq": np.array([SPEED_OF_LIGHT]),
            "pixsize_x": self.grid.cell_rad,
            "pixsize_y": self.grid.cell_rad,
            "epsilon": self.accuracy,
            "flip_v": True,
            "divide_by_n": False,
            "nthreads": self.threads,
        }

    @property
    def total(self) -> float:
        """Sum of weights: the dirty beam's peak before it is set to one."""
        return float(self.weights.sum(dtype=np.float64))
