"""Detections and known sources: the de Ruiter radius, and how often it errs.

Belongs here: matching.  Does not belong here: finding sources (``images/source_finding.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Positions:
    """ICRS positions and their standard errors."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    east_error_arcsec: NDArray[np.float64]
    north_error_arcsec: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ra_deg)


@dataclass(frozen=True)
class Matches:
    """Which known source each detection is."""

    index: NDArray[np.int64]
    """Of the known source; −1 if it is none."""
    radius: NDArray[np.float64]
    """De Ruiter radius to it; NaN if it is none."""
    missed_fraction: float
    """True pairs that are farther apart than the limit, if errors are what they are said to be."""
    expected_false: float
    """Chance pairs in all, from the density of known sources around."""


def match(
    found: Positions, known: Positions, *, limit: float, systematic_arcsec: float, area_deg2: float
) -> Matches:
    """Match detections to known sources by the smallest de Ruiter radius, one to one.

    Parameters
    ----------
    found, known : Positions
    limit : float
        Greatest de Ruiter radius.
    systematic_arcsec : float
        Error that all positions have beside their own, of one set against the other.
    area_deg2 : float
        In which the known sources lie.
    """
    index, radius = np.full(len(found), -1), np.full(len(found), np.nan)
    missed = float(np.exp(-(limit**2) / 2))
    if not len(found) or not len(known):
        return Matches(index, radius, missed, 0.0)
    widest = np.hypot(
        max(found.east_error_arcsec.max(), found.north_error_arcsec.max()),
        max(known.east_error_arcsec.max(), known.north_error_arcsec.max()),
    )
    reach = limit * float(np.hypot(widest, systematic_arcsec))
    near = cKDTree(_unit(known)).query_ball_point(_unit(found), 2 * np.sin(np.deg2rad(reach / 3600) / 2))
    false = 0.0
    density = len(known) / area_deg2 / 3600**2
    for i, candidates in enumerate(near):
        east_error = _total(found.east_error_arcsec[i], known.east_error_arcsec, systematic_arcsec)
        north_error = _total(found.north_error_arcsec[i], known.north_error_arcsec, systematic_arcsec)
        false += density * np.pi * limit**2 * float(np.median(east_error * north_error))
        if not candidates:
            continue
        j = np.array(candidates)
        east = (found.ra_deg[i] - known.ra_deg[j] + 180) % 360 - 180
        east = 3600 * east * np.cos(np.deg2rad(found.dec_deg[i]))
        north = 3600 * (found.dec_deg[i] - known.dec_deg[j])
        distance = np.hypot(east / east_error[j], north / north_error[j])
        best = int(distance.argmin())
        if distance[best] <= limit:
            index[i], radius[i] = j[best], distance[best]
    # Of several detections that want the same source the nearest is it.
    order = np.argsort(radius, kind="stable")
    taken, first = np.unique(index[order], return_index=True)
    kept = np.zeros(len(found), bool)
    kept[order[first[taken >= 0]]] = True
    index[~kept], radius[~kept] = -1, np.nan
    return Matches(index, radius, missed, false)


def _total(own: float, other: NDArray[np.float64], systematic: float) -> NDArray[np.float64]:
    return np.sqrt(own**2 + other**2 + systematic**2)


def _unit(at: Positions) -> NDArray[np.float64]:
    ra, dec = np.deg2rad(at.ra_deg), np.deg2rad(at.dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
