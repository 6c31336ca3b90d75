"""The plane in which the array nearly lies, and the coordinates in which it takes w away.

At one instant the array lies in a plane, so its w is a·u + b·v and a source at
(l, m) has the phase of one at (l + a(n−1), m + b(n−1)) on an array without w: in its
*sheared* coordinates (Cornwell & Perley 1992, ASP Conf. Ser. 6, 243).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.grid import ImageGrid


@dataclass(frozen=True)
class Plane:
    """w = a·u + b·v, as nearly as the visibilities have it."""

    a: float
    b: float

    @classmethod
    def fit(cls, uvw: NDArray[np.float64], weights: NDArray[np.float32]) -> "Plane":
        """Least squares over weighted visibilities, uvw of shape (n, 3)."""
        weighted = uvw[:, :2].T * weights
        normal = weighted @ uvw[:, :2]
        if np.linalg.matrix_rank(normal) < 2:
            return cls(0.0, 0.0)
        a, b = np.linalg.solve(normal, weighted @ uvw[:, 2])
        return cls(float(a), float(b))

    def shear(
        self, ys: NDArray[np.int64], xs: NDArray[np.int64], grid: ImageGrid
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sheared rows and columns of pixels, in pixels from the phase centre."""
        l, m = grid.directions(xs, ys)
        n1 = np.sqrt(1.0 - l * l - m * m) - 1.0
        return (
            ((m + self.b * n1) / grid.cell_rad).astype(np.float32),
            (-(l + self.a * n1) / grid.cell_rad).astype(np.float32),
        )

    def margin(self, grid: ImageGrid) -> int:
        """Pixels by which two pixels' sheared distance can exceed their distance."""
        corner = np.sqrt(2.0) * grid.n_pixels / 2 * grid.cell_rad
        shift = max(abs(self.a), abs(self.b)) * (1.0 - np.sqrt(1.0 - corner**2))
        return int(np.ceil(2.0 * shift / grid.cell_rad)) + 4
