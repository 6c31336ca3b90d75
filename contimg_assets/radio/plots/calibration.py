"""The picture of a calibration set: bandpass amplitudes and phases."""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_assets.radio.calibration.solutions import read_table
from contimg_assets.radio.plots.figures import figure, save


def plot_solutions(path: Path, bandpass: Path, sidecar: dict[str, Any]) -> None:
    """Amplitude and phase of the bandpass of every antenna, first polarisation."""
    solutions = read_table(bandpass)
    n_channels = solutions.values.shape[1]
    frequency = np.linspace(sidecar["channel_low_hz"], sidecar["channel_high_hz"], n_channels) / 1e6
    values = np.where(solutions.flags, np.nan, solutions.values)[..., 0]
    values = values[np.isfinite(values).any(axis=1)]
    made, (amplitude, phase) = figure(2, 1, (8, 6))
    for line in values:
        amplitude.plot(frequency, np.abs(line), lw=0.4, alpha=0.7)
        phase.plot(frequency, np.rad2deg(np.angle(line)), ".", ms=0.8, alpha=0.7)
    amplitude.set(
        title=f"{sidecar['calibrator']} {sidecar['group']}, reference antenna {sidecar['refant']}",
        ylabel="bandpass amplitude, XX",
    )
    phase.set(xlabel="MHz", ylabel="phase, deg", ylim=(-180, 180))
    save(made, path)
