"""A calibrator transit and a target of one night: what the main job needs at least."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.time import Time

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.observation import Observation, simulate
from contimg_assets.simulation.population import random_sky
from contimg_assets.simulation.presets import Corruption, Preset

#: Sources are simulated to this angle from the pointing's track, deg.
SKY_RADIUS_DEG = 2.6
#: Simulated calibrator and target fields hold sources down to this, Jy.
FAINTEST_JY = 0.02
#: Rotation of the Earth to a sidereal degree, s.
_SECONDS_PER_DEG = 239.345


def transit_start(source: Source, after: Time, length_s: float) -> Time:
    """Start of the group in whose middle the source crosses the meridian."""
    middle = after
    # The hour angle falls to zero within micro-degrees after two steps.
    for _ in range(3):
        vector = phasing.apparent_vectors([middle.jd], np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg))[
            0, 0
        ]
        hour_angle = np.rad2deg(np.arctan2(-vector[1], vector[0]))
        if middle is after:
            hour_angle = -np.mod(-hour_angle, 360.0)
        middle = Time(middle.jd - hour_angle * _SECONDS_PER_DEG / 86400.0, format="jd", scale="utc")
    # Whole seconds, as the telescope's recorders start.
    start = Time(middle.jd - length_s / 2 / 86400.0, format="jd", scale="utc")
    return Time(np.round(start.unix), format="unix", scale="utc")


def field_of(
    preset: Preset, start: Time, declination_rad: float, seed: int, faintest_jy: float
) -> list[Source]:
    """Random sources around the meridian point at the middle of a group."""
    length = preset.n_integrations * telescope.INTEGRATION_S
    ra, dec = phasing.meridian_centre(start.jd + length / 2 / 86400.0, declination_rad)
    return random_sky(
        float(np.rad2deg(ra)),
        float(np.rad2deg(dec)),
        SKY_RADIUS_DEG,
        seed,
        brighter_than_jy=faintest_jy,
        minimum_separation_arcsec=90.0,
    )


def simulate_pair(
    folder: Path,
    preset: Preset,
    calibrator: str = "3C454.3",
    declination_deg: float = 16.27,
    *,
    after: str = "2025-06-01T00:00:00",
    target_offset_s: float = 1800.0,
    seed: int = 1,
    faintest_jy: float = FAINTEST_JY,
    corruption: Corruption | None = None,
) -> list[Path]:
    """Simulate a calibrator transit and, later that night, a target.

    Parameters
    ----------
    folder : Path
        Where the files go.
    preset : Preset
    calibrator : str
        A name of the project's calibrator table.
    declination_deg : float
        Apparent pointing declination of both groups.
    after : str
        The transit is the first after this time, UTC.
    target_offset_s : float
        From the calibrator's start to the target's.
    seed : int
    faintest_jy : float
        Faintest source of the sky.
    corruption : Corruption, optional
        Of the target; the calibrator has the same but for missing and broken files.

    Returns
    -------
    list of Path
        Truth files: calibrator, target.
    """
    corruption = corruption or Corruption()
    source = named_calibrator(calibrator)
    length = preset.n_integrations * telescope.INTEGRATION_S
    declination = np.deg2rad(declination_deg)
    start = transit_start(source, Time(after, scale="utc"), length)
    later = Time(start.jd + target_offset_s / 86400.0, format="jd", scale="utc")
    healthy = replace(corruption, missing_subbands=(), truncated_subbands=())
    calibrator_group = Observation(
        preset,
        start,
        declination,
        [source, *field_of(preset, start, declination, seed + 10, faintest_jy)],
        healthy,
        seed=seed,
        night_seed=seed,
        night_epoch_jd=float(start.jd),
    )
    target_group = Observation(
        preset,
        later,
        declination,
        field_of(preset, later, declination, seed + 11, faintest_jy),
        corruption,
        seed=seed + 1,
        night_seed=seed,
        night_epoch_jd=float(start.jd),
    )
    return [simulate(calibrator_group, folder), simulate(target_group, folder)]
