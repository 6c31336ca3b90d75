"""Numbers about a calibration set, and its grade.

The numbers were taken when the set was solved, while the data were at hand
(``calibration/assess.py``); here they are gathered, and graded by the limits.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.caltables.solutions import read_table
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.limits import judge, worst
from contimg_assets.radio.plots.calibration import plot_set

Grade = Literal["excellent", "good", "marginal", "poor"]
#: Numbers that an antenna has of its own, and the limit that each is graded by.
_OF_ANTENNA = {
    "flagged": "failed_solution_fraction",
    "amplitude_scatter": "gain_amplitude_scatter",
    "phase_scatter_deg": "phase_scatter_deg",
}


def grade(numbers: Mapping[str, float]) -> Grade:
    """Grade by the worst of some numbers of ``calibration_qa`` that have a limit (all: above is bad).

    PASS within half the soft limits: excellent; PASS: good; WARN: marginal; ERROR: poor.
    """
    judged = [found for found in judge("calibration_qa", numbers) if found.metric in numbers]
    status = worst(found.status for found in judged)
    if status == "ERROR":
        return "poor"
    if status == "WARN":
        return "marginal"
    within_half = all(numbers[found.metric] <= found.limit.soft / 2 for found in judged)
    return "excellent" if within_half else "good"


def calibration_numbers(set_folder: Path, out: Path) -> dict[str, Any]:
    """Look a set of solutions over.

    Scatter is that between neighbouring channels of the bandpass, which the
    instrument changes slowly and noise does not; of all antennas, the median.

    Raises
    ------
    MissingInputError
        If the folder is not that of a calibration set.
    """
    sidecar_path = set_folder / SIDECAR
    if not sidecar_path.exists():
        raise MissingInputError(f"{sidecar_path}: found no sidecar; expected that of a calibration set")
    sidecar = json.loads(sidecar_path.read_text())
    quality, antennas = sidecar["quality"], sidecar["antenna_quality"]
    gain = read_table(set_folder / "G.cal")
    good_gain = np.abs(gain.values[~gain.flags])
    judged = {
        "failed_solution_fraction": quality["failed_solution_fraction"],
        "gain_amplitude_scatter": _median(antennas, "amplitude_scatter"),
        "phase_scatter_deg": _median(antennas, "phase_scatter_deg"),
        "chi_squared_excess": abs(quality["chi_squared"] - 1.0),
        "closure_phase_deg": quality["closure_phase_deg"],
    }
    for numbers in antennas.values():
        numbers["grade"] = [
            grade({limit: numbers[own][p] for own, limit in _OF_ANTENNA.items()}) for p in range(2)
        ]
    plot_set(out / "thumbnail.png", set_folder / "B.cal", sidecar)
    delays = np.array([numbers["delay_ns"] for numbers in antennas.values()])
    return {
        **judged,
        "grade": grade(judged),
        "n_antennas_poor": sum("poor" in numbers["grade"] for numbers in antennas.values()),
        "n_antennas_solved": quality["n_antennas_solved"],
        "median_snr": quality["median_snr"],
        "chi_squared": quality["chi_squared"],
        "closure_excess": quality["closure_excess"],
        "phase_wander_deg": _median(antennas, "phase_wander_deg"),
        "bandpass_ripple": _median(antennas, "ripple"),
        "gain_offset": float(np.median(good_gain) - 1.0) if good_gain.size else float("nan"),
        "delay_scatter_ns": _scatter(delays),
        "calibrator_flux_jy": float(sidecar["flux_model"]["flux_jy_at_1.4ghz"]),
        "reference_antenna": sidecar["refant"],
        "reference_reason": sidecar["refant_reason"],
        "delays": sidecar["delays"],
        "antennas": antennas,
    }


def _median(antennas: Mapping[str, Mapping[str, list[float]]], name: str) -> float:
    values = np.array([numbers[name] for numbers in antennas.values()], float)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def _scatter(by_hand: NDArray[np.float64]) -> float:
    """Standard deviation over antennas, mean of XX and YY, each relative to its own reference."""
    columns = [column[np.isfinite(column)] for column in by_hand.T]
    found = [float(np.std(column)) for column in columns if column.size]
    return float(np.mean(found)) if found else float("nan")
