"""Known sources, measured in the visibilities of a group."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.components import Points
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.point_sums import MOST_POINTS, baselines_of, subtract_points
from contimg_assets.radio.imaging.prepared import Prepared
from contimg_assets.radio.imaging.start_model import apparent_sources
from contimg_assets.radio.sky import Source

#: Passes that tell flux densities at known places: the first leaves a sidelobe, the second its square.
_MEASURING_PASSES = 2


def measured_ratios(imaging: Prepared, sources: Sequence[Source]) -> NDArray[np.float64]:
    """Measure sources in the visibilities, over what they should have there.

    Parameters
    ----------
    imaging : Prepared
    sources : sequence of Source
        Of different names.

    Returns
    -------
    ndarray, shape (n_sources,)
        Measured over given flux density; NaN of one that is not in the sky then, or one too many.
    """
    apparent = apparent_sources(imaging.shape, imaging.weights, sources)
    measured = _measure_points(imaging.data.values, imaging.drift, apparent.points)
    # Of what is measured, averaging has taken its part.
    ratios = measured / (apparent.flux * imaging.smearing(apparent.l, apparent.m))
    known = dict(zip(apparent.names, ratios, strict=True))
    return np.array([known.get(source.name, np.nan) for source in sources])


def _measure_points(visibilities: NDArray[np.complex64], drift: Drift, points: Points) -> NDArray[np.float32]:
    """Mean flux densities towards places, all together, whatever is there.

    Parameters
    ----------
    visibilities : ndarray, complex64, shape (n_visibilities,)
        Not changed.
    drift : Drift
    points : Points
        The places, and about what is there; no more than 256 of the brightest are measured.

    Returns
    -------
    ndarray, shape (n_points,)
        As an image has them, Jy; NaN of those that are not measured.
    """
    measured = np.full(len(points[0]), np.nan, np.float32)
    brightest = np.argsort(-points[2])[:MOST_POINTS]
    if not len(brightest):
        return measured
    now = np.stack(points)[:, brightest].astype(np.float64)
    residuals, baselines = np.empty_like(visibilities), baselines_of(drift)
    for _ in range(_MEASURING_PASSES):
        short, long, short_total, long_total, *_ = subtract_points(
            visibilities, residuals, drift, baselines, now
        )
        now[2] += (short + long) / (short_total + long_total)
    measured[brightest] = now[2]
    return measured
