"""Numbers about a Measurement Set; they judge nothing (``limits.toml`` does)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.measurement_set import GroupShape, read_column, read_shape
from contimg_assets.radio.measures import measures_uvw
from contimg_assets.radio.plots.measurement_set import plot_measurement_set

#: Longest baselines whose uvw are computed anew.
_CHECKED_BASELINES = 10
#: An autocorrelation below this part of the array's median is that of no receiver.
_LEAST_AUTOCORRELATION = 0.1


def measurement_set_numbers(ms: Path, out: Path) -> dict[str, Any]:
    """Look a converted Measurement Set over.

    Parameters
    ----------
    ms : Path
        Uncalibrated.
    out : Path
        Folder for ``thumbnail.png``.

    Returns
    -------
    dict
        Numbers with units in their names.
    """
    shape = read_shape(ms)
    data = read_column(shape, "DATA")
    flags = read_column(shape, "FLAG").astype(bool)
    cross = shape.cross
    zero = (data == 0) & ~flags
    bad = ~np.isfinite(data) & ~flags
    amplitude = np.abs(data[:, :, :, 0]).mean(axis=0)
    auto = amplitude[~cross].astype(float)
    gone = (flags | zero)[..., 0][:, ~cross].all(axis=0)
    auto_level = np.where(gone, 0.0, auto)
    level = np.median(auto_level, axis=1) / max(float(np.median(auto_level)), 1e-30)
    dead = [
        shape.antenna_names[a]
        for a, value in zip(shape.antenna_1[~cross], level, strict=True)
        if value < _LEAST_AUTOCORRELATION
    ]
    uvw = _uvw(shape)
    lengths = np.linalg.norm(uvw[0], axis=-1)
    steps = np.diff(shape.frequencies_hz)
    plot_measurement_set(out / "thumbnail.png", shape, uvw, amplitude, auto_level)
    return {
        "n_rows": shape.n_times * shape.n_baselines,
        "n_antennas": len(shape.antennas),
        "n_integrations": shape.n_times,
        "n_channels": shape.n_channels,
        "flagged_fraction": float(flags[:, cross].mean()),
        "zero_fraction": float(zero[:, cross].mean()),
        "not_finite_fraction": float(bad.mean()),
        "uvw_error_mm": _uvw_error_mm(shape, uvw),
        "uvw_longest_m": float(lengths.max()),
        "channel_step_error_khz": float(np.abs(steps - shape.channel_width_hz).max() / 1e3),
        "n_dead_antennas": len(dead),
        "dead_antennas": dead,
        "median_amplitude": float(np.median(amplitude[cross])),
        "declination_deg": float(np.rad2deg(shape.declination_rad)),
        "centre_offset_arcsec": _centre_offset_arcsec(shape),
    }


def _uvw(shape: GroupShape) -> NDArray[np.float64]:
    from casacore.tables import table

    with table(str(shape.path), ack=False) as main:
        return main.getcol("UVW").reshape(shape.n_times, shape.n_baselines, 3)


def _uvw_error_mm(shape: GroupShape, uvw: NDArray[np.float64]) -> float:
    """Largest difference from casacore's measures over the longest baselines, of every integration."""
    longest = np.argsort(-np.linalg.norm(uvw[0], axis=-1))[:_CHECKED_BASELINES]
    baselines = (
        shape.antenna_positions[shape.antenna_2[longest]] - shape.antenna_positions[shape.antenna_1[longest]]
    )
    seconds = (shape.times_jd - phasing.JD_OF_MJD_0) * 86400.0
    independent = measures_uvw(seconds, baselines, *shape.centre)
    return float(1e3 * np.abs(uvw[:, longest] - independent).max())


def _centre_offset_arcsec(shape: GroupShape) -> float:
    """Phase centre against the meridian point at mid-group."""
    middle = float(np.mean(shape.times_jd[[0, -1]]))
    centre = phasing.apparent_vectors([middle], shape.centre[0], shape.centre[1])[0, 0]
    offset = np.linalg.norm(centre - phasing.pointing_vector(shape.declination_rad))
    return float(np.rad2deg(offset) * 3600.0)
