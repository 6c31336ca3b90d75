"""The model of a whole group at once, which nothing but tests holds in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.model_visibilities import SkyModel
from contimg_assets.radio.sky import Source


def model_visibilities(shape: GroupShape, sources: Sequence[Source]) -> NDArray[np.complex64]:
    """Visibilities of sources, shape (n_times, n_baselines, n_channels); see :class:`SkyModel`."""
    model = SkyModel.of(shape, sources)
    return np.stack([model.integration(t) for t in range(shape.n_times)])
