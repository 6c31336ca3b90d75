"""How good a calibration set is, from its tables and the sums it was solved on.

Belongs here: numbers.  Does not belong here: which of them are good enough
(``quality/limits.toml``), or pictures.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.calibration.reference import antenna_phases, phase_wander
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.caltables.jones import read_jones
from contimg_assets.radio.caltables.solutions import read_table
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.robust import MAD_TO_SIGMA

#: Triangles whose closure phase is looked at: plenty for a scatter.
_N_TRIANGLES = 4000
#: Channels averaged before a bandpass's ripple is measured, as a part of the band.
_RIPPLE_PARTS = 48


@dataclass(frozen=True)
class Assessment:
    """Numbers of a set."""

    numbers: dict[str, float]
    antennas: dict[str, dict[str, list[float]]]
    """By antenna name: each number for XX and YY."""
    phases_deg: dict[str, list[float]]
    """By antenna name: phase at each integration about the mean over the scan."""


def assess(shape: GroupShape, sums: ScanSums, tables: dict[str, Path]) -> Assessment:
    """Hold solutions against the data that they were solved on.

    Parameters
    ----------
    shape : GroupShape
    sums : ScanSums
    tables : dict
        Path of the tables K, BA and GA (keys as in ``caltables.set_files.TABLES``).

    Returns
    -------
    Assessment
        ``chi_squared``: |corrected − model|² over twice the variance that the
        system's noise gives a part, per degree of freedom; ``gain_power``: mean
        |gain|², correlator units over Jy; ``closure_excess``:
        scatter of closure phases over what noise gives them, less one.
    """
    gains = _gains(shape, sums, tables)
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    hands = [0, shape.n_polarisations - 1]
    residual, count = _residuals(sums, gains, one, two, hands)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    # Of 2 n real data, two parameters for each antenna, channel and interval.
    freedom = int(count.sum()) - np.count_nonzero(gains)
    reduced = residual.sum() / (2 * sigma**2)
    closure, expected = _closure(shape, sums, gains, one, two, hands, sigma)
    band, delay = read_table(tables["BA"]), read_table(tables["K"])
    wander = np.rad2deg(phase_wander(shape, sums))
    phases = np.rad2deg(antenna_phases(shape, sums))
    antennas = {}
    for n, a in enumerate(shape.antennas):
        theirs = (one == a) | (two == a)
        number = count[theirs].sum(axis=(0, 1))
        antennas[shape.antenna_names[a]] = {
            **_of_bandpass(band.values[a], band.flags[a], band.snr[a]),
            "delay_ns": _listed(np.where(delay.flags[a, 0], np.nan, delay.values[a, 0].real)),
            "phase_wander_deg": [float(wander[n])] * 2,
            "chi_squared": _listed(
                residual[theirs].sum(axis=(0, 1)) / (2 * sigma**2) / np.where(number > 0, number, np.nan)
            ),
        }
    return Assessment(
        {
            "chi_squared": float(reduced / freedom) if freedom > 0 else float("nan"),
            "gain_power": float(np.sum(np.abs(gains) ** 2) / max(1, np.count_nonzero(gains))),
            "closure_phase_deg": float(np.rad2deg(closure)),
            "closure_excess": closure / expected - 1.0 if expected > 0 else float("nan"),
        },
        antennas,
        {shape.antenna_names[a]: _listed(phases[:, n]) for n, a in enumerate(shape.antennas)},
    )


def _gains(shape: GroupShape, sums: ScanSums, tables: dict[str, Path]) -> NDArray[np.complex64]:
    """Gain of every antenna in every interval, zero without; (n_intervals, n_antennas, n_channels, 2)."""
    jones = read_jones(list(tables.values()), shape)
    middle = [jones.solution[times[len(times) // 2]] for times in sums.intervals]
    inverse = jones.inverse[middle]
    return np.divide(1, inverse, where=inverse != 0, out=np.zeros_like(inverse))


def _residuals(
    sums: ScanSums,
    gains: NDArray[np.complex64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    hands: list[int],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Σ|V/G − M|² and the number of samples, shapes (n_cross, n_channels, 2)."""
    shape = (*sums.product.shape[1:3], 2)
    total, number = np.zeros(shape), np.zeros(shape, np.int64)
    for k in range(len(sums.intervals)):
        gain = gains[k][one] * np.conj(gains[k][two])
        size = np.abs(gain) ** 2
        product, model, power = (a[k][..., hands] for a in (sums.product, sums.model, sums.power))
        solved = size > 0
        left = power - 2 * np.real(np.conj(gain) * product) + size.astype(np.float64) * model
        total += np.divide(left, size, where=solved, out=np.zeros(shape))
        number += np.where(solved, sums.count[k][..., hands], 0)
    return total, number


def _closure(
    shape: GroupShape,
    sums: ScanSums,
    gains: NDArray[np.complex64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    hands: list[int],
    sigma: float,
) -> tuple[float, float]:
    """Robust scatter of closure phases of the corrected scan, and what noise gives, rad."""
    n_parts = telescope.N_SUBBANDS
    total = np.zeros((len(one), n_parts, 2), np.complex128)
    weight = np.zeros((len(one), n_parts, 2))
    for k in range(len(sums.intervals)):
        gain = gains[k][one] * np.conj(gains[k][two])
        solved = np.abs(gain) > 0
        corrected = np.divide(
            sums.product[k][..., hands], gain, where=solved, out=np.zeros(gain.shape, np.complex64)
        )
        total += corrected.reshape(len(one), n_parts, -1, 2).sum(axis=2)
        weight += np.where(solved, sums.model[k][..., hands], 0).reshape(len(one), n_parts, -1, 2).sum(axis=2)
    where = {(int(a), int(b)): n for n, (a, b) in enumerate(zip(one, two, strict=True))}
    rng = np.random.default_rng(0)
    scores, widths = [], []
    for _ in range(_N_TRIANGLES):
        corners = sorted(rng.choice(shape.antennas, 3, replace=False).tolist())
        i, j, k = corners
        sides = [_side(where, total, a, b) for a, b in ((i, j), (j, k), (k, i))]
        rows = [row for row, _ in sides]
        known = np.all(weight[rows] > 0, axis=0)
        phase = np.angle(np.prod([value for _, value in sides], axis=0))[known]
        scores.append(phase)
        widths.append(np.sqrt((sigma**2 / np.maximum(weight[rows], 1e-12)).sum(axis=0))[known])
    phases, noise = np.concatenate(scores), np.concatenate(widths)
    if phases.size == 0:
        return float("nan"), float("nan")
    return MAD_TO_SIGMA * float(np.median(np.abs(phases))), float(np.median(noise))


def _side(
    where: dict[tuple[int, int], int], total: NDArray[np.complex128], a: int, b: int
) -> tuple[int, NDArray[np.complex128]]:
    """Row of a baseline and its visibility from a to b."""
    if (a, b) in where:
        return where[a, b], total[where[a, b]]
    return where[b, a], np.conj(total[where[b, a]])


def _of_bandpass(
    values: NDArray[Any], flags: NDArray[np.bool_], snr: NDArray[np.float32]
) -> dict[str, list[float]]:
    """Numbers of one antenna's bandpass, each for XX and YY."""
    found: dict[str, list[float]] = {
        name: [] for name in ("snr", "flagged", "amplitude_scatter", "phase_scatter_deg", "ripple")
    }
    for p in range(2):
        good = ~flags[:, p]
        line = np.where(good, values[:, p], np.nan)
        pairs = good[1:] & good[:-1] & (values[:-1, p] != 0)
        ratio = values[1:, p][pairs] / values[:-1, p][pairs]
        parts = [np.nanmean(np.abs(c)) for c in np.array_split(line, _RIPPLE_PARTS) if np.isfinite(c).any()]
        found["flagged"].append(float(1.0 - good.mean()))
        found["snr"].append(float(np.median(snr[good, p])) if good.any() else float("nan"))
        # A difference of two has √2 the scatter of one; the median is robust.
        size = MAD_TO_SIGMA / np.sqrt(2)
        found["amplitude_scatter"].append(
            float(size * np.median(np.abs(np.abs(ratio) - 1))) if ratio.size else float("nan")
        )
        found["phase_scatter_deg"].append(
            float(np.rad2deg(size * np.median(np.abs(np.angle(ratio))))) if ratio.size else float("nan")
        )
        found["ripple"].append(float(np.std(parts) / np.mean(parts)) if parts else float("nan"))
    return found


def _listed(values: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in values]
