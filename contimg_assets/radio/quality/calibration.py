"""Numbers about a calibration set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.calibration.solutions import read_table
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.plots.calibration import plot_solutions


def calibration_numbers(set_folder: Path, out: Path) -> dict[str, Any]:
    """Look a set of solutions over.

    Scatter is that between neighbouring channels of the bandpass, which the
    instrument changes slowly and noise does not.

    Raises
    ------
    MissingInputError
        If the folder is not that of a calibration set.
    """
    sidecar_path = set_folder / "solutions.json"
    if not sidecar_path.exists():
        raise MissingInputError(f"{sidecar_path}: found no sidecar; expected that of a calibration set")
    sidecar = json.loads(sidecar_path.read_text())
    band = read_table(set_folder / "B.cal")
    delay = read_table(set_folder / "K.cal")
    gain = read_table(set_folder / "G.cal")
    quality = sidecar["quality"]
    amplitude, phase = _neighbour_scatter(np.where(band.flags, np.nan, band.values))
    good_gain = np.abs(gain.values[~gain.flags])
    plot_solutions(out / "thumbnail.png", set_folder / "B.cal", sidecar)
    return {
        "failed_solution_fraction": quality["failed_solution_fraction"],
        "n_antennas_solved": quality["n_antennas_solved"],
        "median_snr": quality["median_snr"],
        "gain_amplitude_scatter": amplitude,
        "phase_scatter_deg": phase,
        "gain_offset": float(np.median(good_gain) - 1.0) if good_gain.size else float("nan"),
        "delay_scatter_ns": float(np.std(delay.values[~delay.flags]))
        if (~delay.flags).any()
        else float("nan"),
        "calibrator_flux_jy": float(sidecar["flux_model"]["flux_jy_at_1.4ghz"]),
    }


def _neighbour_scatter(values: NDArray[np.complex64]) -> tuple[float, float]:
    """Relative amplitude and phase (deg) scatter of single solutions, from differences."""
    ratio = values[:, 1:] / values[:, :-1]
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size == 0:
        return float("nan"), float("nan")
    # A difference of two has √2 the scatter of one; the median is robust, 1.4826 makes it σ.
    amplitude = 1.4826 * np.median(np.abs(np.abs(ratio) - 1.0)) / np.sqrt(2)
    phase = 1.4826 * np.median(np.abs(np.angle(ratio))) / np.sqrt(2)
    return float(amplitude), float(np.rad2deg(phase))
