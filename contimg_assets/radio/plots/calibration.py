"""The picture of a calibration set, as people look at one."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from contimg_assets.radio.caltables.solutions import read_table
from contimg_assets.radio.plots.figures import figure, save

_HANDS = ("XX", "YY")


def plot_set(path: Path, bandpass: Path, sidecar: dict[str, Any]) -> None:
    """Bandpass amplitude and phase, phases against time, and each antenna's numbers.

    Top: amplitudes and phases of XX over the band, one line an antenna, and phases of the
    antennas through the scan. Below: delays, signal-to-noise ratio, flagged fraction and χ²
    by antenna, XX and YY; and where in the band solutions are flagged.
    """
    solutions = read_table(bandpass)
    n_channels = solutions.values.shape[1]
    frequency = np.linspace(sidecar["channel_low_hz"], sidecar["channel_high_hz"], n_channels) / 1e6
    values = np.where(solutions.flags, np.nan, solutions.values)[..., 0]
    made, axes = figure(3, 3, (14, 9))
    amplitude, phase, time, delay, snr, flagged, chi, scatter, occupancy = axes
    for line in values[np.isfinite(values).any(axis=1)]:
        amplitude.plot(frequency, np.abs(line), lw=0.4, alpha=0.7)
        phase.plot(frequency, np.rad2deg(np.angle(line)), ".", ms=0.8, alpha=0.7)
    amplitude.set(title="bandpass amplitude, XX", xlabel="MHz")
    phase.set(title="bandpass phase, XX", xlabel="MHz", ylabel="deg", ylim=(-180, 180))
    for line in sidecar["phases_deg"].values():
        time.plot(line, lw=0.5, alpha=0.7)
    time.set(title="phase about its mean", xlabel="integration", ylabel="deg")
    antennas = sidecar["antenna_quality"]
    names = list(antennas)
    _by_antenna(delay, names, antennas, "delay_ns", "delay, ns")
    _by_antenna(snr, names, antennas, "snr", "S/N of a channel's solution")
    _by_antenna(flagged, names, antennas, "flagged", "flagged part of the bandpass")
    _by_antenna(chi, names, antennas, "chi_squared", "χ² of corrected − model")
    chi.axhline(1.0, color="0.5", lw=0.8)
    _by_antenna(scatter, names, antennas, "phase_scatter_deg", "phase scatter of a channel, deg")
    solved = ~solutions.flags.all(axis=(1, 2))
    occupancy.plot(frequency, 100 * _occupancy(solutions.flags[solved]), lw=0.8)
    occupancy.set(title="flagged solutions", xlabel="MHz", ylabel="% of the antennas solved")
    made.suptitle(
        f"{sidecar['calibrator']}  {sidecar['group']}   reference antenna {sidecar['refant']}   "
        f"χ² {sidecar['quality']['chi_squared']:.3f}"
    )
    save(made, path, dpi=80)


def _occupancy(flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(flags.mean(axis=(0, 2)) if len(flags) else np.ones(flags.shape[1]))


def _by_antenna(axes: Axes, names: list[str], antennas: dict[str, Any], key: str, title: str) -> None:
    places = np.arange(len(names))
    for p, hand in enumerate(_HANDS):
        axes.plot(places, [antennas[name][key][p] for name in names], ".", ms=3, label=hand)
    step = max(1, len(names) // 16)
    axes.set_xticks(places[::step], names[::step], fontsize=7)
    axes.set(title=title, xlabel="antenna")
    axes.legend(fontsize=6)
