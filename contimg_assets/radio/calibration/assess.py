"""How good a calibration set is, from its tables and the sums it was solved on.

Belongs here: numbers.  Does not belong here: which of them are good enough
(``quality/limits.toml``), or pictures.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.calibration.reference import scatter
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


def assess(
    shape: GroupShape, sums: ScanSums, tables: dict[str, Path], phases_rad: NDArray[np.float64]
) -> Assessment:
    """Hold solutions against the data that they were solved on.

    Parameters
    ----------
    shape : GroupShape
    sums : ScanSums
    tables : dict
        Path of the tables K, BA and GA (keys as in ``caltables.set_files.TABLES``).
    phases_rad : ndarray, shape (n_times, n_antennas)
        Of :func:`reference.antenna_phases`.

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
    hands = np.array([0, shape.n_polarisations - 1])
    parts = (len(one), telescope.N_SUBBANDS, 2)
    residual, count = np.zeros((len(one), 2)), np.zeros((len(one), 2), np.int64)
    corrected, weight = np.zeros(parts, np.complex128), np.zeros(parts)
    found = residual, count, corrected, weight
    _compare(sums.product, sums.model, sums.power, sums.count, gains, one, two, hands, *found)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    # Of 2 n real data, two parameters for each antenna, channel and interval.
    freedom = int(count.sum()) - np.count_nonzero(gains)
    reduced = residual.sum() / (2 * sigma**2)
    closure, expected = _closure(shape.antennas, one, two, corrected, weight, sigma)
    band, delay = read_table(tables["BA"]), read_table(tables["K"])
    wander, phases = np.rad2deg(scatter(phases_rad)), np.rad2deg(phases_rad)
    antennas = {}
    for n, a in enumerate(shape.antennas):
        theirs = (one == a) | (two == a)
        number = count[theirs].sum(axis=0)
        antennas[shape.antenna_names[a]] = {
            **_of_bandpass(band.values[a], band.flags[a], band.snr[a]),
            "delay_ns": _listed(np.where(delay.flags[a, 0], np.nan, delay.values[a, 0].real)),
            "phase_wander_deg": [float(wander[n])] * 2,
            "chi_squared": _listed(
                residual[theirs].sum(axis=0) / (2 * sigma**2) / np.where(number > 0, number, np.nan)
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


@numba.njit(cache=True, parallel=True)
def _compare(
    product: NDArray[np.complex64],
    model: NDArray[np.float32],
    power: NDArray[np.float64],
    count: NDArray[np.int16],
    gains: NDArray[np.complex64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    hands: NDArray[np.int64],
    residual: NDArray[np.float64],
    number: NDArray[np.int64],
    corrected: NDArray[np.complex128],
    weight: NDArray[np.float64],
) -> None:
    """Σ|V/G − M|² and samples, shape (n_cross, 2); Σ V M*/G and Σ|M|² in parts of the band."""
    n_intervals, n_rows, n_channels, _ = product.shape
    per_part = n_channels // corrected.shape[1]
    for b in numba.prange(n_rows):
        for k in range(n_intervals):
            for f in range(n_channels):
                part = f // per_part
                for p in range(len(hands)):
                    hand = hands[p]
                    gain = gains[k, one[b], f, p] * gains[k, two[b], f, p].conjugate()
                    size = np.float64(gain.real) ** 2 + np.float64(gain.imag) ** 2
                    if size == 0:
                        continue
                    v, m = np.complex128(product[k, b, f, hand]), model[k, b, f, hand]
                    left = power[k, b, f, hand] - 2 * (v * gain.conjugate()).real + size * m
                    residual[b, p] += left / size
                    number[b, p] += count[k, b, f, hand]
                    corrected[b, part, p] += v / gain
                    weight[b, part, p] += m


def _closure(
    antennas: NDArray[np.int64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    corrected: NDArray[np.complex128],
    weight: NDArray[np.float64],
    sigma: float,
) -> tuple[float, float]:
    """Robust scatter of closure phases of the corrected scan, and what noise gives, rad."""
    n = len(antennas)
    # Both directions of each baseline, by its antennas.
    total = np.zeros((n, n, *corrected.shape[1:]), np.complex128)
    weights = np.zeros(total.shape)
    i, j = np.searchsorted(antennas, one), np.searchsorted(antennas, two)
    total[i, j], total[j, i] = corrected, np.conj(corrected)
    weights[i, j] = weights[j, i] = weight
    rng = np.random.default_rng(0)
    a, b, c = np.argsort(rng.random((_N_TRIANGLES, n)), axis=1)[:, :3].T
    sides = [(a, b), (b, c), (c, a)]
    known = np.all([weights[side] > 0 for side in sides], axis=0)
    if not known.any():
        return float("nan"), float("nan")
    phases = np.angle(np.prod([total[side] for side in sides], axis=0))[known]
    variance = np.sum([sigma**2 / np.maximum(weights[side], 1e-12) for side in sides], axis=0)
    return MAD_TO_SIGMA * float(np.median(np.abs(phases))), float(np.median(np.sqrt(variance[known])))


def _of_bandpass(
    values: NDArray[Any], flags: NDArray[np.bool_], snr: NDArray[np.float32]
) -> dict[str, list[float]]:
    """Numbers of one antenna's bandpass, each for XX and YY."""
    found: dict[str, list[float]] = {
        name: [] for name in ("snr", "flagged", "amplitude_scatter", "phase_scatter_deg", "ripple")
    }
    for p in range(2):
        good = ~flags[:, p]
        pairs = good[1:] & good[:-1] & (values[:-1, p] != 0)
        ratio = values[1:, p][pairs] / values[:-1, p][pairs]
        starts = np.linspace(0, len(good), min(_RIPPLE_PARTS, len(good)), endpoint=False).astype(int)
        n_good = np.add.reduceat(good, starts, dtype=np.int64)
        parts = (
            np.add.reduceat(np.where(good, np.abs(values[:, p]), 0), starts)[n_good > 0] / n_good[n_good > 0]
        )
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
        found["ripple"].append(float(np.std(parts) / np.mean(parts)) if len(parts) else float("nan"))
    return found


def _listed(values: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in values]
