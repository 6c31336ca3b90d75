"""What is about a source: neighbours, counterparts in surveys, and images in which it can be looked at.

Belongs here: choosing them, for pages and programs alike.  Does not belong here: light
curves (``light_curves.py``), reading pixels (``radio/images/cutouts.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine

from contimg_assets.radio.catalogues.store import installed
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.images.planes import find_plane
from contimg_assets.radio.light_curves.corrections import SPOILT
from contimg_assets.radio.sidereal_day import day_of_group
from contimg_assets.station.light_curves import separation_deg, sources_near
from contimg_assets.station.models import GROUP
from contimg_assets.station.store import Store
from contimg_assets.station.survey_versions import current_versions

if TYPE_CHECKING:
    import pandas

#: Neighbours are looked for within this: half a dozen beams.
NEIGHBOURS_ARCMIN = 5.0
#: Newest days whose image is looked for; images of long ago are gone from the disk.
_DAYS_TRIED = 60
IMAGE, PLANE = "image", "pbcor"


@dataclass(frozen=True)
class Neighbour:
    """Another source near by."""

    name: str
    away_arcsec: float
    mean_jy: float | None
    """None: it has no statistics yet."""


@dataclass(frozen=True)
class Counterpart:
    """What a survey has at the place."""

    survey: str
    name: str
    away_arcsec: float
    frequency_mhz: float
    flux_jy: float
    flux_error_jy: float | None


@dataclass(frozen=True)
class Epoch:
    """The best measurement of a day, and its image."""

    day: str
    """Sidereal day."""
    group: str
    flux_jy: float
    flux_error_jy: float
    beam: float


def neighbours(
    engine: Engine, name: str, position: tuple[float, float], radius_arcmin: float = NEIGHBOURS_ARCMIN
) -> list[Neighbour]:
    """Other sources with lasting names within a radius, the nearest first."""
    return [
        Neighbour(row.name, 3600 * away, row.mean_jy)
        for away, row in sources_near(engine, position, radius_arcmin / 60)
        if row.name != name
    ]


def counterparts(catalogues: Path, position: tuple[float, float], beam_arcsec: float) -> list[Counterpart]:
    """What each installed survey has within half the wider of its beam and ours.

    Raises
    ------
    CatalogueError
        If an installed catalogue cannot be read.
    """
    found = []
    for one in installed(catalogues):
        radius = max(beam_arcsec, one.survey.beam_arcsec) / 2 / 3600
        rows = one.cone(*position, radius)
        away = separation_deg(rows["ra_deg"], rows["dec_deg"], *position)
        for i in np.argsort(away):
            error = float(rows["flux_error_jy"][i])
            found.append(
                Counterpart(
                    one.survey.title,
                    bytes(rows["name"][i]).decode(),
                    3600 * float(away[i]),
                    one.survey.frequency_hz / 1e6,
                    float(rows["flux_jy"][i]),
                    error if np.isfinite(error) else None,
                )
            )
    return found


def epochs_with_images(engine: Engine, store: Store, table: "pandas.DataFrame", most: int) -> Sequence[Epoch]:
    """Of each of the newest days the measurement with the largest beam, where its image is on the disk.

    Parameters
    ----------
    engine, store
        Of the station.
    table : pandas.DataFrame
        Of a light curve.
    most : int
        Days at most.

    Returns
    -------
    sequence of Epoch
        The newest first.
    """
    good = table[table["flux_jy"].notna() & ((table["flags"] & SPOILT) == 0)]
    days = good["group"].map(day_of_group)
    best = good.assign(day=days).sort_values("beam").drop_duplicates("day", keep="last")
    best = best.sort_values("mjd", ascending=False).head(_DAYS_TRIED)
    images = current_versions(engine, GROUP, IMAGE, best["group"].tolist())
    found: list[Epoch] = []
    for row in best.to_dict("records"):
        version = images.get(row["group"])
        if version is not None and find_plane(store.absolute(version.path), slug(row["group"]), PLANE):
            told = (float(row[name]) for name in ("flux_jy", "flux_error_jy", "beam"))
            found.append(Epoch(row["day"], row["group"], *told))
        if len(found) == most:
            break
    return found
