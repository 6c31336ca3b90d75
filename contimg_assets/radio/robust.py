"""Statistics that outliers do not mislead."""

import numpy as np
from numpy.typing import NDArray

#: σ of a normal distribution over its median absolute deviation.
MAD_TO_SIGMA = 1.4826


def mad_sigma(values: NDArray[np.floating]) -> float:
    """Robust standard deviation; NaN where nothing is finite."""
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))
