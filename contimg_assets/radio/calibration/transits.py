"""When calibrators cross the beam of a drift scan, and how well one would calibrate.

Belongs here: transit times of a day, beam-weighted flux densities, expected
signal-to-noise.  Does not belong here: which sources there are
(``calibrators.py``), or what has been observed (the catalogue).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.calibration.calibrators import LEAST_POWER, beam_weighted, calibrators_at
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.sky import Source
from contimg_assets.radio.strong_sources import StrongSource, strong_sources

#: A scan in whose sidelobes a strong source appears so bright, Jy, is a back-up: the Sun within 10°.
_SPOILED_JY = 1000.0
#: Rotation of the Earth against the apparent sky, rad a day (UTC): 2π × 366.2422 / 365.2422.
_RAD_PER_DAY = 2.0 * np.pi * 1.00273790935


@dataclass(frozen=True)
class Transit:
    """One crossing of the meridian by a usable calibrator."""

    source: Source
    mjd: float
    """Of the transit, UTC."""
    separation_deg: float
    """From the pointing, at the transit."""
    beam_power: float
    """Averaged over the group in whose middle the source transits, at band centre."""
    apparent_jy: float
    """Flux density times that power."""
    expected_snr: float
    """Of one antenna's gain in one channel and polarisation, from that group."""
    role: Literal["calibrator", "back-up"]
    """A back-up is fainter than ``minimum_calibrator_jy``, or near the Sun or its like."""
    strong: tuple[StrongSource, ...] = ()
    """The Sun and its like, as they may show in the dishes' sidelobes then."""


def expected_snr(apparent_jy: float, n_antennas: int = telescope.N_ACTIVE_ANTENNAS) -> float:
    """Signal-to-noise ratio of one antenna's gain in one channel of the telescope, over one group.

    ``S √(N − 1) / σ``, σ the noise of a visibility averaged over the group: the
    gain of one antenna is a mean over its N − 1 baselines.
    """
    width = telescope.SUBBAND_BANDWIDTH_HZ / telescope.SUBBAND_CHANNELS
    sigma = telescope.visibility_sigma_jy(width, telescope.GROUP_S)
    return float(apparent_jy * np.sqrt(n_antennas - 1) / sigma)


def transit_times(sources: Sequence[Source], start_mjd: float, end_mjd: float) -> list[NDArray[np.float64]]:
    """Times at which each source crosses the upper meridian, MJD UTC, within [start, end).

    A sidereal day is shorter than a civil one, so that a source may cross twice.
    """
    ra, dec = (np.deg2rad([getattr(s, name) for s in sources]) for name in ("ra_deg", "dec_deg"))
    found: list[NDArray[np.float64]] = []
    first = start_mjd + np.mod(-_hour_angles(np.array([start_mjd]), ra, dec)[0], 2 * np.pi) / _RAD_PER_DAY
    day = 2 * np.pi / _RAD_PER_DAY
    for index in range(len(sources)):
        # One sidereal day either side of the range, since the refined time may cross its ends.
        times = first[index] + day * np.arange(-1, np.ceil((end_mjd - start_mjd) / day) + 2)
        left = _hour_angles(times, ra[[index]], dec[[index]])[:, 0]
        times = times - (np.mod(left + np.pi, 2 * np.pi) - np.pi) / _RAD_PER_DAY
        found.append(times[(times >= start_mjd) & (times < end_mjd)])
    return found


def _hour_angles(
    times_mjd: NDArray[np.float64], ra_rad: NDArray[np.float64], dec_rad: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Apparent hour angles, rad, shape (n_times, n_sources)."""
    vectors = phasing.apparent_vectors(times_mjd + phasing.JD_OF_MJD_0, ra_rad, dec_rad)
    return np.arctan2(-vectors[..., 1], vectors[..., 0])


def transits(
    declination_deg: float, start_mjd: float, end_mjd: float, settings: CalibrationOptions
) -> list[Transit]:
    """Usable calibrators that cross the beam, brightest through the beam first, back-ups last.

    Parameters
    ----------
    declination_deg : float
        Apparent declination of the pointing.
    start_mjd, end_mjd : float
        Range of transit times, UTC.
    settings : CalibrationOptions
        Least flux densities, and where a longer list lies.

    Returns
    -------
    list of Transit
        Sources whose power is at least half and whose apparent flux density is
        at least ``backup_calibrator_jy``.
    """
    # A beam's half width leaves out most of a long list before its transits are worked out;
    # a degree more covers precession since J2000.
    near = [
        s
        for s in calibrators_at(settings, 0.5 * (start_mjd + end_mjd))
        if abs(s.dec_deg - declination_deg) < 2.5 and s.flux_jy >= settings.backup_calibrator_jy / 2
    ]
    found: list[Transit] = []
    if not near:
        return found
    pointing = phasing.pointing_vector(np.deg2rad(declination_deg))
    for source, times in zip(near, transit_times(near, start_mjd, end_mjd), strict=True):
        for mjd in times:
            power, apparent = (float(v[0]) for v in beam_weighted([source], declination_deg, float(mjd)))
            if power < LEAST_POWER or apparent < settings.backup_calibrator_jy:
                continue
            direction = phasing.apparent_vectors(
                [mjd + phasing.JD_OF_MJD_0], np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg)
            )[0, 0]
            separation = np.arctan2(np.linalg.norm(np.cross(direction, pointing)), direction @ pointing)
            found.append(
                Transit(
                    source,
                    float(mjd),
                    float(np.rad2deg(separation)),
                    power,
                    apparent,
                    expected_snr(apparent),
                    *_role(float(mjd), declination_deg, apparent, settings),
                )
            )
    return sorted(found, key=lambda transit: (transit.role == "back-up", -transit.apparent_jy))


def _role(
    mjd: float, declination_deg: float, apparent_jy: float, settings: CalibrationOptions
) -> tuple[Literal["calibrator", "back-up"], tuple[StrongSource, ...]]:
    """What a transit is good for, and the strong sources that it may show."""
    centre_hz = float(telescope.band_frequencies().mean())
    strong = tuple(strong_sources(mjd, np.deg2rad(declination_deg), centre_hz))
    bright = apparent_jy >= settings.minimum_calibrator_jy
    spoiled = bool(strong) and strong[0].apparent_jy >= _SPOILED_JY
    return "calibrator" if bright and not spoiled else "back-up", strong
