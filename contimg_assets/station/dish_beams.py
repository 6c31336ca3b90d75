"""Where each dish points and how wide its beam is, as calibration sets and images have found it.

Belongs here: gathering it over sets and groups, with the time that it is from.  Does not belong here:
measuring it (``radio/calibration/transit_beams.py``, ``radio/imaging/dish_offsets.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from contimg_assets.station.calibration_views import solver_sidecar
from contimg_assets.station.database import reading
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GROUP, ProductVersion

#: Product and name of its number with offsets from an image's sources.
IMAGE, OFFSETS = "image", "dish_offsets"
#: The newest calibration sets and images that are looked at.
SETS, IMAGES = 20, 50


@dataclass(frozen=True)
class Measured:
    """The mean of several measurements."""

    value: float
    error: float
    """Of the mean; larger than its parts say where these differ by more than their errors."""
    n: int


@dataclass(frozen=True)
class DishBeam:
    """The beam of one antenna."""

    antenna: str
    east_deg: Measured | None
    """Where it points, east of the meridian point: from transits of calibrators."""
    width: Measured | None
    """Of its beam along hour angle, over the pattern's: likewise."""
    north_deg: Measured | None
    """North of where the array points in the mean, which no image tells: from the sources of images."""
    valid_from_mjd: float | None
    """Of the oldest of the sets, …"""
    valid_to_mjd: float | None
    """… and of the newest: when their solutions hold."""


def dish_beams(station: Installation, n_sets: int = SETS, n_images: int = IMAGES) -> list[DishBeam]:
    """The beams of all antennas that the newest active sets, or the newest images, have.

    Parameters
    ----------
    station : Installation
    n_sets, n_images : int
        How many of them, at most.
    """
    sets = [
        (found, told)
        for found in station.registry.list("active")[::-1][:n_sets]
        if (told := (solver_sidecar(found, station.store.home).get("beam") or {}).get("dishes"))
    ]
    images = _offsets(station, n_images)
    names = {name for _, told in sets for name in told} | {name for told in images for name in told}
    beams: list[DishBeam] = []
    for name in sorted(names, key=lambda each: (len(each), each)):
        own = [(found, told[name]) for found, told in sets if name in told]
        beams.append(
            DishBeam(
                name,
                _mean(_pairs((told for _, told in own), "east_deg", "east_error_deg")),
                _mean(_pairs((told for _, told in own), "width", "width_error")),
                _mean(
                    _pairs((told[name] for told in images if name in told), "north_deg", "north_error_deg")
                ),
                min((found.valid_from_mjd for found, _ in own), default=None),
                max((found.valid_to_mjd for found, _ in own), default=None),
            )
        )
    return beams


def _offsets(station: Installation, n_images: int) -> list[dict[str, dict[str, Any]]]:
    """What the newest images say of each antenna, without those that say nothing."""
    statement = (
        select(ProductVersion.numbers)
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == IMAGE,
            ProductVersion.superseded_at.is_(None),
        )
        .order_by(ProductVersion.key.desc())
        .limit(n_images)
    )
    with reading(station.engine) as session:
        columns = [numbers[OFFSETS] for numbers in session.scalars(statement) if numbers.get(OFFSETS)]
    return [
        {name: {key: told[key][k] for key in told} for k, name in enumerate(told["antennas"])}
        for told in columns
    ]


def _pairs(told: Iterable[dict[str, Any]], value: str, error: str) -> list[tuple[float, float]]:
    """Values with errors, of those that have both."""
    return [
        (float(each[value]), float(each[error]))
        for each in told
        if each.get(value) is not None and each.get(error)
    ]


def _mean(pairs: list[tuple[float, float]]) -> Measured | None:
    """Mean by inverse variances, its error stretched by the scatter."""
    if not pairs:
        return None
    weights = [1 / error**2 for _, error in pairs]
    mean = sum(w * value for w, (value, _) in zip(weights, pairs, strict=True)) / sum(weights)
    chi_squared = sum(w * (value - mean) ** 2 for w, (value, _) in zip(weights, pairs, strict=True))
    stretch = max(1.0, chi_squared / (len(pairs) - 1)) if len(pairs) > 1 else 1.0
    return Measured(mean, (stretch / sum(weights)) ** 0.5, len(pairs))
