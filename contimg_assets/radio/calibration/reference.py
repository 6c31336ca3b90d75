"""The reference antenna of a solution, chosen from the data or by name.

Its phase is taken for zero, so whatever it does everybody else seems to do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.measurement_set import GroupShape

#: An antenna is passed over whose flagged fraction is this much above the least, …
_FLAGGED_MARGIN = 0.05
#: … or whose phase wanders more than this many times the median antenna's.
_UNSTABLE = 2.0


@dataclass(frozen=True)
class Reference:
    """A reference antenna, and why it."""

    name: str
    reason: str


def choose_reference(
    shape: GroupShape,
    flagged: NDArray[np.float64],
    wander_rad: NDArray[np.float64] | None = None,
) -> str:
    """Name of the reference antenna: little flagged, steady, and near the array's middle.

    Of the antennas that are neither flagged nor unsteady, the one with the
    least median distance to the others; so never an outrigger while one of the
    arms will do, since its long baselines resolve what the model lacks.

    Parameters
    ----------
    shape : GroupShape
    flagged : ndarray, shape (n_cross,)
        Flagged fraction of each baseline.
    wander_rad : ndarray, shape (n_antennas,), optional
        Phase scatter of each antenna, from :func:`scatter`.
    """
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    by_antenna = np.array([flagged[(one == a) | (two == a)].mean() for a in shape.antennas])
    good = by_antenna <= by_antenna.min() + _FLAGGED_MARGIN
    if wander_rad is not None and np.isfinite(wander_rad[good]).any():
        good &= ~(wander_rad > _UNSTABLE * np.nanmedian(wander_rad[good]))
    ids = shape.antennas[good]
    positions = shape.antenna_positions[ids]
    distance = np.median(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    return shape.antenna_names[ids[int(np.argmin(distance))]]


def scatter(phases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scatter in time of each antenna's phase about its mean over the scan, rad.

    Parameters
    ----------
    phases : ndarray, shape (n_times, n_antennas)
        Of :func:`antenna_phases`.

    Returns
    -------
    ndarray, shape (n_antennas,)
        NaN without data.
    """
    known = np.isfinite(phases)
    mean_square = np.where(known, phases, 0.0) ** 2
    n_known = known.sum(axis=0)
    return np.where(n_known > 0, np.sqrt(mean_square.sum(axis=0) / np.maximum(n_known, 1)), np.nan)


def antenna_phases(shape: GroupShape, sums: ScanSums) -> NDArray[np.float64]:
    """Phase of each antenna at each integration about its mean, rad, shape (n_times, n_antennas).

    It is that of the sum over its baselines, each turned by its own mean: what the other antennas do
    averages out.
    """
    turned = (sums.by_time * np.conj(sums.by_time.sum(axis=0))).sum(axis=(1, 3))
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    out = np.full((shape.n_times, len(shape.antennas)), np.nan)
    for n, antenna in enumerate(shape.antennas):
        total = turned[:, one == antenna].sum(axis=1) + np.conj(turned[:, two == antenna]).sum(axis=1)
        out[:, n] = np.where(total != 0, np.angle(total), np.nan)
    return out


def reference_antenna(shape: GroupShape, sums: ScanSums, wanted: str | None) -> Reference:
    """The antenna that the user names, or the best one.

    One that is named and dead in this scan is replaced, and the reason says so:
    a night's calibration does not fail for it.

    Raises
    ------
    CalibrationError
        If no antenna has that name, or nothing is left of the scan.
    """
    flagged = sums.flagged
    if np.all(flagged >= 1.0):
        raise CalibrationError(
            f"{shape.path}: every visibility of the scan is flagged; expected some to be left"
        )
    best = choose_reference(shape, flagged, scatter(antenna_phases(shape, sums)))
    if wanted is None:
        return Reference(best, "chosen from the data: unflagged, steady, central")
    try:
        index = telescope.antenna_index(wanted, list(shape.antenna_names))
    except KeyError as error:
        raise CalibrationError(f"{shape.path}: reference antenna: {error.args[0]}") from error
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    theirs = (one == index) | (two == index)
    if not theirs.any() or np.all(flagged[theirs] >= 1.0):
        return Reference(best, f"{wanted}, the user's choice, has no unflagged data; {best} took its place")
    return Reference(wanted, "the user's choice")
