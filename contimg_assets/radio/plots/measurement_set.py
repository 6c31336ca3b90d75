"""The picture of a Measurement Set: uv coverage, amplitudes, autocorrelation spectra."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.plots.figures import figure, save


def plot_measurement_set(
    path: Path,
    shape: GroupShape,
    uvw: NDArray[np.float64],
    amplitude: NDArray[np.float32],
    autocorrelation: NDArray[np.float64],
) -> None:
    """Draw coverage, amplitude by antenna and frequency, and autocorrelations."""
    made, (coverage, by_antenna, spectra) = figure(1, 3, (13, 4))
    cross = shape.cross
    middle = uvw[shape.n_times // 2, cross]
    for sign in (1, -1):
        coverage.plot(sign * middle[:, 0], sign * middle[:, 1], ",", color="C0")
    coverage.set(title="uv coverage, mid-group", xlabel="u, m", ylabel="v, m", aspect="equal")
    one, two = shape.antenna_1[cross], shape.antenna_2[cross]
    rows = np.array([amplitude[cross][(one == a) | (two == a)].mean(axis=0) for a in shape.antennas])
    extent = (shape.frequencies_hz[0] / 1e6, shape.frequencies_hz[-1] / 1e6, 0, len(rows))
    by_antenna.imshow(rows, aspect="auto", origin="lower", extent=extent, cmap="viridis")
    by_antenna.set(title="mean amplitude, XX", xlabel="MHz", ylabel="antenna (in order)")
    for line in autocorrelation:
        spectra.plot(shape.frequencies_hz / 1e6, line, lw=0.4)
    spectra.set(title="autocorrelations, XX", xlabel="MHz", ylabel="correlator units")
    save(made, path)
