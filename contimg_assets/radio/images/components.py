"""Points on the sky, and the pixels of a model image."""

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.grid import ImageGrid

#: Direction cosines l and m and flux densities, Jy, each of shape (n,).
Points = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]


def components(model: NDArray[np.float32], grid: ImageGrid) -> Points:
    """Direction cosines l and m and flux densities of a model image's components, each of shape (n,)."""
    ys, xs = np.nonzero(model)
    return *grid.directions(xs, ys), model[ys, xs]


def join(*parts: Points) -> Points:
    """The points of all parts, which may be none."""
    none: Points = np.zeros(0), np.zeros(0), np.zeros(0, np.float32)
    l, m, flux = (np.concatenate(own) for own in zip(none, *parts, strict=True))
    return l, m, flux


def offsets_from_centre(l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions less that of the phase centre: (l, m, n − 1), shape (n, 3)."""
    return np.stack([l, m, np.sqrt(1.0 - l * l - m * m) - 1.0], axis=-1)


def points_image(points: Points, grid: ImageGrid) -> NDArray[np.float32]:
    """Model image, Jy/pixel.

    A point between pixels is spread over the 4 × 4 nearest with the weights
    of cubic interpolation, so that its visibilities are those of its place:
    to 0.2 % where the dirty beam is 4 pixels wide, 2 % on the longest baselines.
    All have to lie within the grid's edge.
    """
    l, m, flux = points
    image = np.zeros((grid.n_pixels, grid.n_pixels), np.float32)
    (x, wx), (y, wy) = (_spread(at) for at in grid.pixels(l, m))
    values = flux[:, None, None] * wy[:, :, None] * wx[:, None, :]
    np.add.at(image, (y[:, :, None], x[:, None, :]), values.astype(np.float32))
    return image


def values_at(
    image: NDArray[np.float32], l: NDArray[np.float64], m: NDArray[np.float64], grid: ImageGrid
) -> NDArray[np.float64]:
    """An image between its pixels, by cubic interpolation, shape (n,)."""
    (x, wx), (y, wy) = (_spread(at) for at in grid.pixels(l, m))
    last = grid.n_pixels - 1
    around = image[np.clip(y, 0, last)[:, :, None], np.clip(x, 0, last)[:, None, :]]
    return np.einsum("ny,nyx,nx->n", wy, around.astype(np.float64), wx)


def _spread(at: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The four pixels around places, and Lagrange's cubic weights, both of shape (n, 4)."""
    first = np.floor(at).astype(np.int64)
    f = at - first
    weights = [
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    ]
    return first[:, None] + np.arange(-1, 3), np.stack(weights, axis=1)
