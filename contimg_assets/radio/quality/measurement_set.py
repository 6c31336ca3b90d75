"""Numbers about a Measurement Set; they judge nothing (``limits.toml`` does)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.casacore_uvw import measures_uvw
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.plots.measurement_set import plot_measurement_set
from contimg_assets.radio.prefetch import prefetch

#: Longest baselines whose uvw are computed anew.
_CHECKED_BASELINES = 10
#: Parts of the band that are looked at in parallel.
_PARTS = 8
#: An autocorrelation below this part of the array's median is that of no receiver.
_LEAST_AUTOCORRELATION = 0.1


def measurement_set_numbers(ms: Path, out: Path) -> dict[str, Any]:
    """Look a converted Measurement Set over, integration by integration.

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

    Raises
    ------
    ConversionError
        If its rows are not integrations of the same baselines.
    """
    shape = read_shape(ms)
    uvw, n_scans = _rows(shape)
    found = _survey(shape)
    cross = shape.cross
    n_values = shape.n_times * int(cross.sum()) * shape.n_channels * shape.n_polarisations
    lengths = np.linalg.norm(uvw, axis=-1)
    positions = shape.antenna_positions
    true_lengths = np.linalg.norm(positions[shape.antenna_2] - positions[shape.antenna_1], axis=-1)
    levels = _levels(found.autocorrelation[shape.antennas])
    names = [shape.antenna_names[a] for a in shape.antennas]
    dead = [name for name, level in zip(names, levels, strict=True) if level < _LEAST_AUTOCORRELATION]
    by_subband = _by_subband(found.amplitude[shape.antennas])
    in_band = by_subband / max(_median(by_subband), 1e-30)
    plot_measurement_set(out / "thumbnail.png", shape, uvw, found.amplitude, found.autocorrelation)
    return {
        "n_rows": shape.n_times * shape.n_baselines,
        "n_antennas": len(shape.antennas),
        "n_baselines": int(cross.sum()),
        "n_integrations": shape.n_times,
        "n_channels": shape.n_channels,
        "n_polarisations": shape.n_polarisations,
        "n_scans": n_scans,
        "flagged_fraction": found.n_flagged / n_values,
        "zero_fraction": found.n_zero / n_values,
        "not_finite_fraction": found.n_not_finite / n_values,
        "uvw_error_mm": _uvw_error_mm(shape, uvw),
        "baseline_length_error_mm": float(1e3 * np.abs(lengths - true_lengths).max()),
        "uvw_longest_m": float(lengths.max()),
        "uvw_shortest_m": float(lengths[:, cross].min()) if cross.any() else 0.0,
        "channel_step_error_khz": _step_error(shape.frequencies_hz, shape.channel_width_hz) / 1e3,
        "time_step_error_s": _step_error(shape.times_jd * 86400.0, shape.integration_s),
        "n_dead_antennas": len(dead),
        "dead_antennas": dead,
        "n_dark_subbands": int(np.count_nonzero(in_band < _LEAST_AUTOCORRELATION)),
        "median_amplitude": _median(found.amplitude[shape.antennas]),
        "amplitude_by_subband": [None if np.isnan(x) else float(x) for x in by_subband],
        "autocorrelation_by_antenna": dict(zip(names, levels.tolist(), strict=True)),
        "declination_deg": float(np.rad2deg(shape.declination_rad)),
        "centre_offset_arcsec": _centre_offset_arcsec(shape),
    }


@dataclass(frozen=True)
class _Survey:
    """What all values together say."""

    amplitude: NDArray[np.float64]
    """Mean over an antenna's unflagged cross-correlations; NaN without any; shape
    (n_antennas_telescope, n_channels, n_polarisations)."""
    autocorrelation: NDArray[np.float64]
    """The same of its autocorrelation; zero where all is flagged or zero."""
    n_flagged: int
    """Cross-correlations."""
    n_zero: int
    """Exact zeros among those not flagged."""
    n_not_finite: int
    """The same, NaN or infinite."""


@numba.njit(parallel=True, cache=True, nogil=True)
def _add(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    sums: NDArray[np.float64],
    numbers: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Add one integration, its channels and products on one axis.

    Axes of ``sums`` and ``numbers``: 0 cross-, 1 autocorrelations; antenna; sample.  Those of ``counts``: the
    same first one; flagged, zero, not finite; sample.
    """
    n_baselines, n = data.shape
    # Channels in parallel, so no two threads write to one place.
    block = max(1, (n + _PARTS - 1) // _PARTS)
    for part in numba.prange((n + block - 1) // block):
        first, last = part * block, min((part + 1) * block, n)
        for b in range(n_baselines):
            auto = 1 if antenna_1[b] == antenna_2[b] else 0
            line, flagged, own = data[b, first:last], flags[b, first:last], counts[auto, :, first:last]
            ones, of_ones = sums[auto, antenna_1[b], first:last], numbers[auto, antenna_1[b], first:last]
            twos, of_twos = sums[auto, antenna_2[b], first:last], numbers[auto, antenna_2[b], first:last]
            for k in range(last - first):
                amplitude = np.sqrt(np.float64(line[k].real) ** 2 + np.float64(line[k].imag) ** 2)
                # What is not finite, less itself, is no zero.
                used, finite = not flagged[k], amplitude - amplitude == 0
                own[0, k] += 0 if used else 1
                own[1, k] += 1 if used and amplitude == 0 else 0
                own[2, k] += 1 if used and not finite else 0
                # Without branches, so that the compiler can take several samples at once.
                more = amplitude if used and finite else 0.0
                ones[k] += more
                of_ones[k] += 1 if used and finite else 0
                if not auto:
                    twos[k] += more
                    of_twos[k] += 1 if used and finite else 0


def _survey(shape: GroupShape) -> _Survey:
    from casacore.tables import table

    n_baselines, n_samples = shape.n_baselines, shape.n_channels * shape.n_polarisations
    size = (2, len(shape.antenna_names), n_samples)
    sums, numbers, counts = np.zeros(size), np.zeros(size, np.int64), np.zeros((2, 3, n_samples), np.int64)
    one = shape.data_shape[1:]
    buffers = [(np.empty(one, np.complex64), np.empty(one, np.bool_)) for _ in range(2)]
    with table(str(shape.path), ack=False) as main:

        def integration(t: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
            data, flags = buffers[t % 2]
            main.getcolnp("DATA", data, t * n_baselines, n_baselines)
            main.getcolnp("FLAG", flags, t * n_baselines, n_baselines)
            return data, flags

        for data, flags in prefetch(shape.n_times, integration):
            lines = data.reshape(n_baselines, n_samples), flags.reshape(n_baselines, n_samples)
            _add(*lines, shape.antenna_1, shape.antenna_2, sums, numbers, counts)
    means = np.divide(sums, numbers, where=numbers > 0, out=np.full(size, np.nan))
    means = means.reshape(*size[:2], shape.n_channels, shape.n_polarisations)
    flagged, zero, not_finite = (int(n) for n in counts[0].sum(axis=1))
    return _Survey(means[0], np.nan_to_num(means[1]), flagged, zero, not_finite)


def _rows(shape: GroupShape) -> tuple[NDArray[np.float64], int]:
    """uvw, shape (n_times, n_baselines, 3), and how many scans there are."""
    from casacore.tables import table

    with table(str(shape.path), ack=False) as main:
        uvw = main.getcol("UVW").reshape(shape.n_times, shape.n_baselines, 3)
        return uvw, len(np.unique(main.getcol("SCAN_NUMBER")))


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0


def _levels(autocorrelation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each antenna's median autocorrelation over the array's, of the feed that has less.

    Channels in which no antenna has any (missing subbands) do not count.
    """
    hands = autocorrelation[:, :, [0, -1]]
    present = hands.any(axis=(0, 2))
    if not present.any():
        return np.zeros(len(hands))
    by_feed = np.median(hands[:, present], axis=1)
    return (by_feed / np.maximum(np.median(by_feed, axis=0), 1e-30)).min(axis=1)


def _by_subband(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median amplitude in each subband, from the highest frequency down; NaN without data."""
    parts = np.split(amplitude[:, :, [0, -1]], telescope.N_SUBBANDS, axis=1)[::-1]
    return np.array([np.median(x[np.isfinite(x)]) if np.isfinite(x).any() else np.nan for x in parts])


def _step_error(values: NDArray[np.float64], expected: float) -> float:
    return float(np.abs(np.diff(values) - expected).max(initial=0.0))


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
