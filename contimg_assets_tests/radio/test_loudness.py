"""Loudness of dishes from the power of a scan, feed by feed, whatever one baseline holds."""

import numpy as np
import pytest

from contimg_assets.radio.calibration.loudness import loudness, on_baselines
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets_tests.radio.test_system_noise import N_ANTENNAS, shape_of


@pytest.mark.parametrize("n_polarisations", [1, 2, 4])
def test_feeds_that_are_louder_or_fainter(n_polarisations: int) -> None:
    """Ten times and a third, each feed by itself, to 3 %; 1 for an antenna that is flagged."""
    shape = shape_of(n_polarisations)
    rng = np.random.default_rng(4)
    true = np.ones((N_ANTENNAS, 2))
    true[2], true[8, 1] = 10.0, 0.3
    loud = np.ones((len(shape.antenna_names), 2))
    loud[shape.antennas] = true
    factors = on_baselines(loud, shape).astype(np.float64)
    one, two = (
        np.searchsorted(shape.antennas, ids[shape.cross]) for ids in (shape.antenna_1, shape.antenna_2)
    )
    count = np.full((1, len(one), shape.n_channels, n_polarisations), 24, np.int16)
    count[:, (one == 11) | (two == 11)] = 0
    power = count * factors[None, :, None] ** 2 * rng.uniform(0.9, 1.1, count.shape)
    power[:, (one == 0) & (two == 1)] *= 1e4
    nothing = np.zeros(0)
    found = loudness(shape, ScanSums([], nothing, nothing, power, count, nothing, nothing))  # type: ignore[arg-type]
    told = np.arange(N_ANTENNAS) != 11
    for feed in range(min(2, n_polarisations)):
        assert np.allclose(found[shape.antennas[told], feed], true[told, feed], rtol=0.03)
    assert np.all(found[shape.antennas[11]] == 1.0)


def test_products_of_feeds() -> None:
    """XX, XY, YX, YY of antennas with feeds of 2 and 3, and of 5 and 7."""
    shape = shape_of(4)
    loud = np.ones((len(shape.antenna_names), 2))
    loud[shape.antennas[0]], loud[shape.antennas[1]] = (2, 3), (5, 7)
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    row = np.flatnonzero((one == shape.antennas[0]) & (two == shape.antennas[1]))[0]
    assert on_baselines(loud, shape)[row].tolist() == [10, 14, 15, 21]
    assert on_baselines(loud, shape_of(2))[row].tolist() == [10, 21]
