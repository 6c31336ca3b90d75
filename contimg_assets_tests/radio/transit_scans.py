"""Sums of a calibrator's transit through dishes that the test chooses, without files.

Beams are the independent simulator's; noise and gains are drawn here.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.independent.aperture import voltage_table
from contimg_assets.simulation.independent.dishes import Dishes
from contimg_assets.simulation.independent.options import BeamOptions

DECLINATION_RAD = float(np.deg2rad(16.27))
#: 3C454.3 is on the meridian in the middle of a full group that begins then (JD).
MIDDLE_JD = 2460828.0889


def scan_shape(n_antennas: int, n_times: int = telescope.N_INTEGRATIONS, beam: Beam = ASSUMED) -> GroupShape:
    """A group of one channel a subband."""
    one, two = np.triu_indices(n_antennas)
    away = (np.arange(n_times) - (n_times - 1) / 2) * telescope.INTEGRATION_S / 86400
    frequencies = telescope.band_frequencies(1)
    return GroupShape(
        path=Path("none"),
        times_jd=transit_jd() + away,
        integration_s=telescope.INTEGRATION_S,
        antenna_1=one.astype(np.int32),
        antenna_2=two.astype(np.int32),
        antenna_names=tuple(str(n + 1) for n in range(n_antennas)),
        antenna_positions=telescope.stations().positions[np.linspace(0, 116, n_antennas).astype(int)],
        frequencies_hz=frequencies,
        channel_width_hz=float(frequencies[1] - frequencies[0]),
        n_polarisations=2,
        centre=(6.0, DECLINATION_RAD),
        declination_rad=DECLINATION_RAD,
        beam=beam,
    )


def transit_jd() -> float:
    """When the calibrator is on the meridian."""
    middle = MIDDLE_JD
    source = calibrator()
    for _ in range(3):
        x, y, _ = phasing.apparent_vectors([middle], np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg))[
            0, 0
        ]
        middle += np.arctan2(-y, x) / -telescope.EARTH_ROTATION_RAD_S / 86400
    return float(middle)


def calibrator() -> Source:
    """The one that drifts."""
    return named_calibrator("3C454.3")


def dishes(
    east_deg: NDArray[np.float64],
    north_deg: NDArray[np.float64],
    width: NDArray[np.float64],
    options: BeamOptions | None = None,
) -> Dishes:
    """Dishes of the independent simulator."""
    options = options or BeamOptions()
    return Dishes(voltage_table(options.aperture), east_deg, north_deg, width, options)


def scan_sums(
    shape: GroupShape,
    array: Dishes,
    seed: int,
    noise: float = 1.0,
    walk: float = 0.0,
    loudness: NDArray[np.float64] | None = None,
) -> ScanSums:
    """Sums of a scan of the calibrator alone, one interval: as ``scan.sum_scan`` makes them."""
    rng = np.random.default_rng(seed)
    source, frequencies = calibrator(), shape.frequencies_hz
    n_antennas, n_times = len(shape.antenna_names), shape.n_times
    where = phasing.apparent_vectors(shape.times_jd, np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg))[
        :, 0
    ]
    # Directions of the independent simulator are fixed to the Earth.
    cos, sin = np.cos(telescope.SITE_LONGITUDE_RAD), np.sin(telescope.SITE_LONGITUDE_RAD)
    fixed = where @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    beams = np.stack(
        [array.voltages(p, shape.declination_rad, fixed, frequencies)[array.beam_of()] for p in (0, 1)],
        axis=-1,
    )
    gains = np.exp(
        0.15 * rng.standard_normal((n_antennas, 1, 1, 2)) + 2j * np.pi * rng.random((n_antennas, 1, 1, 2))
    )
    if loudness is not None:
        gains = gains * loudness[:, None, None, None]
    loud = np.abs(gains)
    gains = gains * np.exp(np.cumsum(walk * rng.standard_normal((n_antennas, n_times, 1, 2)), axis=1))
    flux = source.flux(frequencies)
    model = shape.beam.drifting_power(where, shape.declination_rad, frequencies) * flux
    cross = shape.cross
    one, two = shape.antenna_1[cross], shape.antenna_2[cross]
    voltage = gains * beams
    seen = voltage[one] * np.conj(voltage[two]) * flux[:, None]
    sigma = noise * telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    parts = rng.standard_normal((2, *seen.shape)) * sigma * loud[one] * loud[two]
    seen = (seen + parts[0] + 1j * parts[1]).swapaxes(0, 1)
    product = seen * model[:, None, :, None]
    square = np.broadcast_to((model**2)[:, None, :, None], product.shape)
    return ScanSums(
        intervals=[np.arange(n_times)],
        product=product.sum(axis=0, keepdims=True).astype(np.complex64),
        model=square.sum(axis=0, keepdims=True).astype(np.float32),
        power=(np.abs(seen) ** 2).sum(axis=0, keepdims=True),
        count=np.full((1, *seen.shape[1:]), n_times, np.int16),
        by_time=product.swapaxes(1, 2),
        model_by_time=square.swapaxes(1, 2).astype(np.float32),
    )
