"""The grid of an image: which direction cosines a pixel has, and which pixel a direction.

Pixels are [y, x] = [north, −east] as in a FITS image: m rises with the row, l falls
with the column, and the phase centre is the middle of pixel n // 2 of either axis.

Belongs here: this convention, and nothing that needs the sky's own coordinates (``fits.py``).
"""

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

#: A second of arc, rad.
ARCSEC = np.pi / 180 / 3600
#: Points between pixels are spread over pixels around them, so they lie this far within the image.
_EDGE_PIXELS = 3


@dataclass(frozen=True)
class ImageGrid:
    """A square image's pixels."""

    n_pixels: int
    """Along either axis; even."""
    cell_arcsec: float
    """Pixel, as a difference of direction cosines, in units of 1″."""

    @property
    def cell_rad(self) -> float:
        """Pixel, as a difference of direction cosines."""
        return self.cell_arcsec * ARCSEC

    @property
    def centre(self) -> int:
        """Zero-based pixel of the phase centre, of either axis."""
        return self.n_pixels // 2

    @property
    def edge_rad(self) -> float:
        """Points of a model lie within this of the phase centre, in l and in m."""
        return (self.centre - _EDGE_PIXELS) * self.cell_rad

    def contains(self, l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which directions a point of the model may have, shape (n,)."""
        return np.maximum(np.abs(l), np.abs(m)) <= self.edge_rad

    @overload
    def directions(self, x: float, y: float) -> tuple[float, float]: ...
    @overload
    def directions(
        self, x: NDArray[Any], y: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def directions(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Direction cosines l and m of zero-based pixels, which need not be whole."""
        return -self.cell_rad * (x - self.centre), self.cell_rad * (y - self.centre)

    @overload
    def pixels(self, l: float, m: float) -> tuple[float, float]: ...
    @overload
    def pixels(self, l: NDArray[Any], m: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def pixels(self, l: Any, m: Any) -> tuple[Any, Any]:
        """Zero-based pixels x and y of direction cosines, not rounded."""
        return self.centre - l / self.cell_rad, self.centre + m / self.cell_rad

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Direction cosine l of each column (falling) and m of each row (rising), shape (n_pixels,) both."""
        pixels = np.arange(self.n_pixels)
        return self.directions(pixels, pixels)
