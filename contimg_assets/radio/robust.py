"""Statistics that outliers do not mislead."""

import numpy as np
from numpy.typing import NDArray

#: Rounds in which factors are told from products; each halves what is left, in logarithm.
_ROUNDS = 25
#: No factor is less than what this part of the median product asks for.
_LEAST_PRODUCT = 1e-4
#: σ of a normal distribution over its median absolute deviation.
MAD_TO_SIGMA = 1.4826


def mad_sigma(values: NDArray[np.floating]) -> float:
    """Robust standard deviation; NaN where nothing is finite."""
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def factors_of_products(products: NDArray[np.floating]) -> NDArray[np.float64]:
    """Factors, one for each antenna, whose products those of baselines are; one bad baseline spoils none.

    Parameters
    ----------
    products : ndarray, shape (n, n)
        Symmetric, positive; NaN where a baseline tells nothing, and some of every row are numbers.

    Returns
    -------
    ndarray, shape (n,)
    """
    least = _LEAST_PRODUCT * np.nanmedian(products)
    factors = np.full(len(products), np.sqrt(np.nanmedian(products)))
    for _ in range(_ROUNDS):
        # Half of the step: all of it would only swap what two antennas have.
        factors = np.sqrt(factors * np.maximum(np.nanmedian(products / factors, axis=1), least))
    return factors
