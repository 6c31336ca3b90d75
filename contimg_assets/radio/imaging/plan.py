"""What an image will be, before a visibility is read: averaging, pixels, memory.

Belongs here: what follows from the group's geometry and the options alone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.grid import ARCSEC, ImageGrid
from contimg_assets.radio.imaging.integration_sums import slots
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.visibilities import StokesI, channels_to_average, unflagged
from contimg_assets.radio.imaging.weights import Weights, imaging_weights
from contimg_assets.radio.measurement_set import GroupShape

#: Peak memory of a process with our own engine: libraries and compiled code, …
_BASE_BYTES = 340_000_000
#: … and, of each averaged visibility and each pixel, what gridding and prediction hold, …
_PREDICTION_BYTES = (95, 50)
#: … or what restoring and the products do; whichever is more (measured, tiny to full, quick and full).
_PRODUCTS_BYTES = (53, 90)


def image_size(field_deg: float, cell_arcsec: float) -> int:
    """Smallest multiple of ten with factors 2, 3 and 5 only that covers the field, in pixels.

    CASA pads an image by 1.2 to the next even number of such factors, but computes its
    w-projection kernels for 1.2 exactly. Only a multiple of ten makes the two the same; at
    2592 pixels the kernels miss 5 % of w, 1.7" at 1.8° from the centre.
    """
    n = 10 * int(np.ceil(field_deg * 3600.0 / cell_arcsec / 10.0))
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 10


@dataclass(frozen=True)
class Plan:
    """What an image will be, before a visibility is read."""

    factors: NDArray[np.int64]
    """Channels of each baseline to average into one."""
    grid: ImageGrid
    n_visibilities: int
    """After averaging."""
    memory_bytes: int
    """Peak of the whole process, for our own engine."""


def plan(shape: GroupShape, options: ImagingOptions) -> Plan:
    """Averaging, pixels and memory of an image, from the group's geometry alone.

    The cell follows from the dirty beam that unflagged data would have, of
    every eighth integration: the array turns little in between.
    """
    factors = averaging(shape, options)
    if not factors.any():
        lengths = (options.shortest_wavelengths, options.longest_wavelengths)
        raise ImagingError(f"{shape.path}: no baseline has a length of {lengths} wavelengths")
    data = unflagged(replace(shape, times_jd=shape.times_jd[::8]), factors)
    weights = weigh(shape, data, options)
    narrowest = weights.narrowest_beam_rad / ARCSEC
    cell = float(max(0.1, np.floor(narrowest / options.samples_per_beam * 10) / 10))
    grid = ImageGrid(image_size(options.field_deg, cell), cell)
    n_visibilities = int(np.sum(slots(shape, factors))) * shape.n_times
    return Plan(
        factors,
        grid,
        n_visibilities,
        _BASE_BYTES
        + max(v * n_visibilities + p * grid.n_pixels**2 for v, p in (_PREDICTION_BYTES, _PRODUCTS_BYTES)),
    )


def averaging(shape: GroupShape, options: ImagingOptions) -> NDArray[np.int64]:
    """Channels of each cross-correlation to average into one; 0 for those that the options leave out."""
    half_power = shape.beam.half_power_radius(shape.frequencies_hz.mean())
    lengths = (options.shortest_wavelengths, options.longest_wavelengths)
    return channels_to_average(shape, half_power, uv_range=lengths)


def weigh(shape: GroupShape, data: StokesI, options: ImagingOptions) -> Weights:
    """Imaging weights as the options ask for them."""
    lengths = (options.shortest_wavelengths, options.longest_wavelengths)
    return imaging_weights(
        shape, data, options.weighting, options.robust, np.deg2rad(options.field_deg), lengths
    )
