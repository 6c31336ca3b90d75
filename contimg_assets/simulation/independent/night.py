"""A calibrator's transit and a target half an hour later, by one instrument under one sky."""

from pathlib import Path

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.simulation.independent import geometry, group, instrument, visibilities
from contimg_assets.simulation.independent.dishes import draw_dishes
from contimg_assets.simulation.independent.options import FaultOptions, GlitchOptions, Options
from contimg_assets.simulation.independent.scene import Observation
from contimg_assets.simulation.independent.sky import Source, calibrator, population_limit_jy, random_field

_DAY_S = 86400.0


def transit_start(source: Source, after: Time, length_s: float) -> Time:
    """Start, to a whole second, of the first group in whose middle a source is on the meridian."""
    ra, dec = np.deg2rad([source.ra_deg, source.dec_deg])
    middle = float(after.utc.jd)
    for step in range(3):
        angle = geometry.hour_angle(middle, ra, dec)
        # The first step goes forward; the others mend what the sky did meanwhile.
        wait = -angle % (2 * np.pi) if step == 0 else -angle
        middle += wait / instrument.EARTH_ROTATION_RAD_S / _DAY_S
    start = Time(middle - length_s / 2 / _DAY_S, format="jd", scale="utc")
    return Time(np.round(start.unix), format="unix", scale="utc")


def field(
    size: instrument.Size, start: Time, declination_rad: float, options: Options, seed: int, night_seed: int
) -> list[Source]:
    """Random sources about the meridian point at the middle of a group."""
    middle = float(start.utc.jd) + size.n_integrations * instrument.INTEGRATION_S / 2 / _DAY_S
    antennas = instrument.correlator_order(size)
    nominal = np.zeros((len(antennas), 3))
    dishes = draw_dishes(len(antennas), options.beam, night_seed)
    array = visibilities.Array(nominal, nominal, dishes, options.atmosphere.refractivity)

    def power(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        # The first dish stands for all: this decides which sources are simulated, not what they do.
        ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
        where = geometry.directions(np.array([middle]), np.zeros(1), ra, dec)[0, 0]
        centre = np.array([instrument.CENTRE_HZ])
        return array.dishes.voltages(0, declination_rad, where, centre)[0, :, 0] ** 2

    centre = np.rad2deg(geometry.meridian_icrs(middle, declination_rad))
    limit = population_limit_jy(options.sky, instrument.image_noise_jy(size))
    return random_field((float(centre[0]), float(centre[1])), options.sky, limit, power, seed)


def simulate_pair(
    folder: Path,
    size: instrument.Size,
    options: Options,
    calibrator_name: str = "3C454.3",
    declination_deg: float = 16.27,
    *,
    after: str = "2025-06-01T00:00:00",
    target_offset_s: float = 1800.0,
    seed: int = 1,
) -> list[Path]:
    """Simulate a calibrator's transit and a target of the same night.

    The calibrator's files have no faults of antennas and no glitches; dishes, receivers,
    atmosphere and interference are those of the night.

    Parameters
    ----------
    folder : Path
        Where the files go.
    size : Size
    options : Options
    calibrator_name : str
        In the project's table of calibrators.
    declination_deg : float
        Apparent, of both groups.
    after : str
        The transit is the first after this time, UTC.
    target_offset_s : float
        From the calibrator's start to the target's.
    seed : int

    Returns
    -------
    list of Path
        Truths of calibrator and target.
    """
    source = calibrator(calibrator_name, options.sky.calibrator_polarisation)
    declination = float(np.deg2rad(declination_deg))
    start = transit_start(source, Time(after, scale="utc"), size.n_integrations * instrument.INTEGRATION_S)
    later = Time(start.jd + target_offset_s / _DAY_S, format="jd", scale="utc")
    quiet = options.model_copy(update={"faults": FaultOptions(), "glitches": GlitchOptions()})
    around = [
        s
        for s in field(size, start, declination, quiet, seed + 10, seed)
        if s.kind != "listed" or not _near(s, source, options.sky.separation_arcsec)
    ]
    begin = float(start.jd)
    scan = Observation(size, start, declination, [source, *around], quiet, seed, seed, begin)
    sources = field(size, later, declination, options, seed + 11, seed)
    target = Observation(size, later, declination, sources, options, seed + 1, seed, begin, True)
    return [group.simulate(scan, folder), group.simulate(target, folder)]


def _near(one: Source, other: Source, arcsec: float) -> bool:
    east = (one.ra_deg - other.ra_deg + 180.0) % 360.0 - 180.0
    east *= np.cos(np.deg2rad(other.dec_deg))
    return bool(np.hypot(east, one.dec_deg - other.dec_deg) < arcsec / 3600.0)
