"""Telescope data of the smallest size that the real stages make images of: for drills that need real groups.

Belongs here: simulating a night of them, and letting them arrive.  Does not belong here: what a
drill does.
"""

from pathlib import Path

import numpy as np
from astropy.time import Time

from contimg_assets.radio import telescope
from contimg_assets.simulation.night import field_of, simulate_pair
from contimg_assets.simulation.observation import Observation, simulate
from contimg_assets.simulation.presets import PRESETS, Corruption

#: Faintest source of the sky, Jy.
FAINTEST_JY = 0.15
_DECLINATION_DEG = 16.27
#: From the calibrator's start to the first target's, s.
_FIRST_S = 1800.0


def simulate_night(folder: Path, n_targets: int) -> list[str]:
    """Simulate a calibrator's transit and targets after it, one each five minutes.

    Parameters
    ----------
    folder : Path
        For files and their truths.
    n_targets : int

    Returns
    -------
    list of str
        Keys: the calibrator's scan, then the targets.
    """
    preset = PRESETS["tiny"]
    truths = simulate_pair(
        folder, preset, declination_deg=_DECLINATION_DEG, target_offset_s=_FIRST_S, faintest_jy=FAINTEST_JY
    )
    keys = [truth.name.removesuffix(".truth.json") for truth in truths]
    keys = [f"{key[:13]}:{key[13:15]}:{key[15:]}" for key in keys]
    scan = Time(keys[0], scale="utc")
    declination = float(np.deg2rad(_DECLINATION_DEG))
    for number in range(1, n_targets):
        seconds = _FIRST_S + number * round(telescope.GROUP_S)
        start = Time(scan.unix + seconds, format="unix", scale="utc")
        observation = Observation(
            preset,
            start,
            declination,
            field_of(preset, start, declination, 11 + number, FAINTEST_JY),
            Corruption(),
            seed=2 + number,
            night_seed=1,
            night_epoch_jd=float(scan.jd),
        )
        simulate(observation, folder)
        keys.append(observation.key)
    return keys


def truth_of(folder: Path, key: str) -> Path:
    """The truth of a group."""
    return folder / f"{key.replace(':', '')}.truth.json"


def files_of(folder: Path, keys: list[str]) -> dict[str, list[Path]]:
    """Files of groups: those whose names are nearest in time to a group's, which they scatter about."""
    starts = np.array([Time(key, scale="utc").unix for key in keys])
    found: dict[str, list[Path]] = {key: [] for key in keys}
    for path in sorted(folder.glob("*.hdf5")):
        stamp = Time(path.name[:19], scale="utc").unix
        found[keys[int(np.argmin(np.abs(starts - stamp)))]].append(path)
    return found


def arrive(files: list[Path], incoming: Path) -> None:
    """Let files arrive as the telescope's do: each appears whole."""
    incoming.mkdir(parents=True, exist_ok=True)
    for path in files:
        (incoming / path.name).hardlink_to(path)
