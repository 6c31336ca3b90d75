"""How loud each dish is: its feeds' amplitudes over the array's, which solving divides out and puts back.

A dish with ten times the gain of the others has ten times their noise as well, and least squares over all
baselines then fit its own alone: the errors of all others grow fivefold.

Belongs here: telling it from a scan, and putting it back into a bandpass.  Does not belong here: the average
that is solved (``scan.py``).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.robust import factors_of_products


def loudness(shape: GroupShape, sums: ScanSums) -> NDArray[np.float64]:
    """Amplitude of each antenna's feeds over the median, from the power of its baselines.

    Returns
    -------
    ndarray, shape (n_antennas_telescope, 2)
        1 for those without data.
    """
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    antennas = np.unique(np.concatenate([one, two]))
    first, second = np.searchsorted(antennas, one), np.searchsorted(antennas, two)
    power, count = sums.power.sum(axis=(0, 2)), sums.count.sum(axis=(0, 2), dtype=np.int64)
    out = np.ones((len(shape.antenna_names), 2))
    for feed, hand in enumerate((0, shape.n_polarisations - 1)):
        products = np.full((len(antennas), len(antennas)), np.nan)
        known = (count[:, hand] > 0) & (power[:, hand] > 0)
        products[first[known], second[known]] = power[known, hand] / count[known, hand]
        products[second[known], first[known]] = products[first[known], second[known]]
        told = np.flatnonzero(np.isfinite(products).any(axis=1))
        if len(told):
            amplitude = np.sqrt(factors_of_products(products[np.ix_(told, told)]))
            out[antennas[told], feed] = amplitude / np.median(amplitude)
    return out


def on_baselines(loud: NDArray[np.float64], shape: GroupShape) -> NDArray[np.float32]:
    """Products of loudness for each cross-correlation and polarisation, (n_cross, n_polarisations)."""
    one, two = loud[shape.antenna_1[shape.cross]], loud[shape.antenna_2[shape.cross]]
    if shape.n_polarisations == 4:
        return (one[:, [0, 0, 1, 1]] * two[:, [0, 1, 0, 1]]).astype(np.float32)
    return (one * two)[:, : shape.n_polarisations].astype(np.float32)


def put_back(bandpass: Path, loud: NDArray[np.float64]) -> None:
    """Multiply a bandpass that was solved without loudness by it, in place."""
    from casacore.tables import table

    with table(str(bandpass), readonly=False, ack=False) as rows:
        rows.putcol("CPARAM", rows.getcol("CPARAM") * loud[rows.getcol("ANTENNA1")][:, None])
