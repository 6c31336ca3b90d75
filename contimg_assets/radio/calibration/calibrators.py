"""Which source calibrates a group, and how bright it is there.

The project's own short table (``calibrators.csv``) holds the calibrators near
the usual declinations: J2000 positions, 20 cm flux densities as NRAO lists them
(3C454.3, which varies, at 12.5 Jy) and spectral indices between bands; primary
calibrators follow Perley & Butler (2017).  A user's copy of the VLA list adds
to it.  No flux density, no use.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.calibration.flux_densities import at_time, may_vary, read_measurements
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.catalogues.vla_calibrators import read_vla_calibrators
from contimg_assets.radio.errors import NoCalibratorError
from contimg_assets.radio.sky import PERLEY_BUTLER_2017, Source, perley_butler

#: A calibrator below this power of the beam hangs more on the beam's model than
#: on its own flux density.
LEAST_POWER = 0.5
#: Two entries nearer than this are one source, deg.
_SAME_SOURCE_DEG = 0.01


@dataclass(frozen=True)
class CalibratorScan:
    """A calibrator in the beam of one group."""

    source: Source
    apparent_jy: float
    """Flux density at band centre through the beam, averaged over the group."""
    separation_deg: float
    """From the pointing at mid-group."""

    @property
    def name(self) -> str:
        """Name of the calibrator."""
        return self.source.name


@lru_cache(maxsize=4)
def calibrators(extra_list: Path | None = None) -> tuple[Source, ...]:
    """All calibrators known: the project's own, then those of the user's list."""
    path = resources.files("contimg_assets.radio.calibration") / "calibrators.csv"
    with path.open() as handle:
        own = [
            Source(
                row["name"],
                float(row["ra_deg"]),
                float(row["dec_deg"]),
                float(row["flux_jy"]),
                float(row["spectral_index"]),
                row["scale_name"] or None,
            )
            for row in csv.DictReader(handle)
        ]
    return tuple(own if extra_list is None else merged(own, read_vla_calibrators(extra_list)))


def calibrators_at(settings: CalibrationOptions, mjd: float) -> tuple[Source, ...]:
    """All calibrators known, with the flux densities that they had at a time where those were measured."""
    return tuple(as_measured(source, settings, mjd) for source in calibrators(settings.calibrator_list))


def as_measured(source: Source, settings: CalibrationOptions, mjd: float) -> Source:
    """A calibrator with the flux density that it had at a time, if the user's file tells it."""
    if settings.flux_densities is None:
        return source
    return at_time(source, read_measurements(settings.flux_densities), mjd)


def merged(own: Sequence[Source], others: Sequence[Source]) -> list[Source]:
    """Our sources, then those of another list that are not the same as one of ours."""
    known = np.array([[s.ra_deg, s.dec_deg] for s in own])
    more = []
    for source in others:
        offset = known - [source.ra_deg, source.dec_deg]
        # Right ascensions on either side of 0h are neighbours.
        offset[:, 0] = (offset[:, 0] + 180.0) % 360.0 - 180.0
        offset[:, 0] *= np.cos(np.deg2rad(source.dec_deg))
        if np.min(np.hypot(offset[:, 0], offset[:, 1])) > _SAME_SOURCE_DEG:
            more.append(source)
    return [*own, *more]


def find_calibrator(
    declination_deg: float, mid_mjd: float, settings: CalibrationOptions
) -> CalibratorScan | None:
    """The brightest usable calibrator in a group's beam, if there is one.

    Parameters
    ----------
    declination_deg : float
        Apparent declination of the pointing.
    mid_mjd : float
        Middle of the group, UTC.
    settings : CalibrationOptions
        Least flux density, and where a longer list lies.

    Returns
    -------
    CalibratorScan or None
    """
    known = calibrators_at(settings, mid_mjd)
    power, apparent = beam_weighted(known, declination_deg, mid_mjd)
    apparent = np.where(power >= LEAST_POWER, apparent, 0.0)
    best = int(np.argmax(apparent))
    if apparent[best] < settings.backup_calibrator_jy:
        return None
    source = known[best]
    direction = phasing.apparent_vectors(
        [mid_mjd + phasing.JD_OF_MJD_0], np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg)
    )[0, 0]
    cosine = float(direction @ phasing.pointing_vector(np.deg2rad(declination_deg)))
    return CalibratorScan(source, float(apparent[best]), float(np.rad2deg(np.arccos(min(cosine, 1.0)))))


def beam_weighted(
    sources: Sequence[Source], declination_deg: float, mid_mjd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power of the drifting beam towards sources, and their flux densities through it.

    Parameters
    ----------
    sources : sequence of Source
    declination_deg : float
        Apparent declination of the pointing.
    mid_mjd : float
        Middle of the group, UTC.

    Returns
    -------
    power, apparent_jy : ndarray, shape (n_sources,)
        At band centre, averaged over the group.
    """
    half = telescope.GROUP_S / 2 / 86400.0
    times = mid_mjd + phasing.JD_OF_MJD_0 + np.array([-half, -half / 2, 0.0, half / 2, half])
    directions = phasing.apparent_vectors(
        times, np.deg2rad([s.ra_deg for s in sources]), np.deg2rad([s.dec_deg for s in sources])
    )
    centre_hz = np.array([float(telescope.band_frequencies().mean())])
    power = beam.drifting_power(directions, np.deg2rad(declination_deg), centre_hz)[..., 0].mean(axis=0)
    return power, power * np.array([float(s.flux(centre_hz)[0]) for s in sources])


def named_calibrator(name: str, extra_list: Path | None = None) -> Source:
    """A calibrator by name.

    Raises
    ------
    NoCalibratorError
        If no list has it with a flux density.
    """
    for source in calibrators(extra_list):
        if source.name.upper() == name.upper():
            return source
    raise NoCalibratorError(
        f"no calibrator named {name!r} with a 20 cm flux density; known: "
        + ", ".join(s.name for s in calibrators(None))
        + (f" and those of {extra_list}" if extra_list else "")
    )


def flux_model(source: Source) -> dict[str, object]:
    """What is taken for the calibrator's spectrum, and from where."""
    if source.scale_name is not None:
        return {
            "source": "Perley & Butler 2017",
            "coefficients": list(PERLEY_BUTLER_2017[source.scale_name]),
            "flux_jy_at_1.4ghz": float(perley_butler(source.scale_name, 1.4e9)),
        }
    measured = source.measured_days is not None
    return {
        "source": "measured, with dates" if measured else "calibrator table, 20 cm",
        "flux_jy_at_1.4ghz": source.flux_jy,
        "spectral_index": source.spectral_index,
        **({"days_from_measurement": source.measured_days} if measured else {}),
        "may_vary": may_vary(source),
    }
