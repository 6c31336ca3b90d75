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
    amplitude: NDArray[np.float64],
    autocorrelation: NDArray[np.float64],
) -> None:
    """Draw coverage, amplitude by antenna and frequency, and autocorrelations of both feeds.

    Parameters
    ----------
    path : Path
    shape : GroupShape
    uvw : ndarray, shape (n_times, n_baselines, 3)
    amplitude, autocorrelation : ndarray, shape (n_antennas_telescope, n_channels, n_polarisations)
    """
    made, axes = figure(2, 3, (15, 8))
    coverage, map_x, map_y, density, spectra_x, spectra_y = axes
    middle = uvw[shape.n_times // 2, shape.cross]
    for sign in (1, -1):
        coverage.plot(sign * middle[:, 0], sign * middle[:, 1], ",", color="C0")
    coverage.set(title="uv coverage, mid-group", xlabel="u, m", ylabel="v, m", aspect="equal")
    density.hist(np.hypot(middle[:, 0], middle[:, 1]), bins=60)
    density.set(title="projected baselines, mid-group", xlabel="m", ylabel="number")
    megahertz = shape.frequencies_hz / 1e6
    extent = (megahertz[0], megahertz[-1], 0, len(shape.antennas))
    for feed, name, by_antenna, spectra in ((0, "XX", map_x, spectra_x), (-1, "YY", map_y, spectra_y)):
        # A logarithm, since gains differ by more than a picture shows.
        with np.errstate(divide="ignore"):
            values = 20 * np.log10(amplitude[shape.antennas, :, feed])
        by_antenna.imshow(
            np.where(np.isfinite(values), values, np.nan),
            aspect="auto",
            origin="lower",
            extent=extent,
            cmap="viridis",
            interpolation="nearest",
        )
        by_antenna.set(title=f"mean amplitude, dB, {name}", xlabel="MHz", ylabel="antenna (in order)")
        present = autocorrelation[shape.antennas, :, feed]
        with np.errstate(divide="ignore"):
            decibels = 10 * np.log10(present)
        for line in np.where(present > 0, decibels, np.nan):
            spectra.plot(megahertz, line, lw=0.4)
        spectra.set(title=f"autocorrelations, {name}", xlabel="MHz", ylabel="dB of correlator units")
    save(made, path)
