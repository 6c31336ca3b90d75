"""Known sources, measured in the visibilities of a group."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.bright_points import measure_points
from contimg_assets.radio.imaging.prepared import Prepared
from contimg_assets.radio.imaging.start_model import apparent_sources
from contimg_assets.radio.sky import Source


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
    measured = measure_points(imaging.data.values, imaging.drift, apparent.points)
    # Of what is measured, averaging has taken its part.
    ratios = measured / (apparent.flux * imaging.smearing(apparent.l, apparent.m))
    known = dict(zip(apparent.names, ratios, strict=True))
    return np.array([known.get(source.name, np.nan) for source in sources])
