"""Solutions of a calibration set as lines to be plotted, from its sidecars: no table is opened.

Belongs here: which numbers a plot has.  Does not belong here: drawing (``radio/plots``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contimg_assets.radio.caltables.arrays import read_arrays
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.calibration_views import solver_sidecar
from contimg_assets.station.models import CalibrationSet

PlotType = Literal["amp_vs_freq", "phase_vs_freq", "phase_vs_time", "delay", "snr"]
#: Numbers by antenna in the solver's sidecar, and what they are.
_BY_ANTENNA = {"delay": ("delay_ns", "delay, ns"), "snr": ("snr", "S/N of a channel's solution")}


@dataclass(frozen=True)
class Lines:
    """What a plot of solutions shows."""

    x: list[float] | list[str]
    x_label: str
    y_label: str
    series: dict[str, list[list[float | None]]]
    """By antenna: values along ``x`` for each feed; None where the solution is flagged."""


def solution_lines(found: CalibrationSet, home: Path, kind: PlotType, antenna: str | None = None) -> Lines:
    """Solutions of a set as lines.

    Parameters
    ----------
    found : CalibrationSet
    home : Path
    kind : str
    antenna : str, optional
        Only this one.

    Raises
    ------
    MissingInputError
        If the antenna has no solutions, or the set was made by a release that did not write them.
    """
    if antenna is not None and antenna not in found.antennas:
        raise MissingInputError(
            f"calibration set {found.id} has no solutions of antenna {antenna!r}; "
            f"it has {', '.join(found.antennas)}"
        )
    if kind in ("amp_vs_freq", "phase_vs_freq"):
        return _bandpass(found, home, kind, antenna)
    sidecar = solver_sidecar(found, home)
    source = "phases_deg" if kind == "phase_vs_time" else "antenna_quality"
    known: dict[str, Any] = sidecar.get(source) or {}
    if not known:
        raise MissingInputError(
            f"calibration set {found.id} has no {source}; "
            f"expected what its solver says in {home / found.path}"
        )
    chosen = {name: value for name, value in known.items() if antenna in (None, name)}
    if kind == "phase_vs_time":
        n = max((len(line) for line in chosen.values()), default=0)
        series = {name: [list(line)] for name, line in chosen.items()}
        return Lines([float(k) for k in range(n)], "integration", "phase about its mean, deg", series)
    name, label = _BY_ANTENNA[kind]
    return Lines(
        list(chosen), "antenna", label, {a: [[v] for v in value[name]] for a, value in chosen.items()}
    )


def _bandpass(found: CalibrationSet, home: Path, kind: str, antenna: str | None) -> Lines:
    import numpy as np

    arrays = read_arrays(home / found.path)
    values = arrays["bandpass"]
    shown = np.abs(values) if kind == "amp_vs_freq" else np.rad2deg(np.angle(values))
    shown = np.where(arrays["flags"] | ~np.isfinite(shown), np.nan, shown)
    series: dict[str, list[list[float | None]]] = {}
    for name, line in zip(arrays["antennas"].tolist(), shown, strict=True):
        if antenna in (None, name):
            series[name] = [[None if v != v else round(float(v), 6) for v in feed] for feed in line.T]
    label = "amplitude" if kind == "amp_vs_freq" else "phase, deg"
    return Lines((arrays["frequencies_hz"] / 1e6).tolist(), "frequency, MHz", label, series)
