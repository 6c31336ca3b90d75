"""Visibilities of a CLEAN model, through the beam as it drifts.

Belongs here: from a model image to what each integration should have seen.
Does not belong here: models of catalogued sources (``model.py``).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing
from contimg_assets.radio.imaging.beam_image import power_towards
from contimg_assets.radio.imaging.minor import Plane
from contimg_assets.radio.imaging.predict import Predictor, components
from contimg_assets.radio.measurement_set import GroupShape

#: Accuracy relative to the model: far below what gains are solved to.
_ACCURACY = 1e-4


def predict_field(
    shape: GroupShape, model: NDArray[np.float32], cell_rad: float, factor: int, threads: int
) -> NDArray[np.complex64]:
    """Predict a model image into averaged visibilities.

    An image of a group shows each source through the beam's mean over the
    group; every integration is given its own part of that mean (at band
    centre).  Channels are averaged after prediction, as the data's are, so
    that what averaging smears is smeared alike in both.

    Parameters
    ----------
    shape : GroupShape
    model : ndarray, shape (n_pixels, n_pixels)
        Jy/pixel, [north, −east], phase centre at n // 2.
    cell_rad : float
        Pixel, as a difference of direction cosines.
    factor : int
        Channels to average into one.
    threads : int

    Returns
    -------
    ndarray, complex64, shape (n_times, n_cross, n_channels / factor)
    """
    l, m, mean_flux = components(model, cell_rad)
    local = np.stack([l, m, np.sqrt(1.0 - l**2 - m**2)], axis=-1)
    axes = shape.axes()
    power = power_towards(shape, local, np.array([shape.frequencies_hz.mean()]))[..., 0]
    share = power / power.mean(axis=0)
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    baselines = (positions[shape.antenna_2] - positions[shape.antenna_1])[shape.cross]
    out = np.empty((shape.n_times, len(baselines), shape.n_channels // factor), np.complex64)
    per_metre = shape.frequencies_hz / SPEED_OF_LIGHT
    for t in range(shape.n_times):
        uvw = ((baselines @ axes[t].T)[:, None] * per_metre[:, None]).reshape(-1, 3)
        plane = Plane.fit(uvw, np.ones(len(uvw), np.float32))
        flux = (mean_flux * share[t]).astype(np.float32)
        seen = Predictor.of(uvw, plane, threads)(l, m, flux, _ACCURACY)
        out[t] = seen.reshape(len(baselines), -1, factor).mean(axis=-1)
    return out
