"""Watched sources in images that were made before they were watched: which are to be measured again.

Belongs here: that.  Does not belong here: running it (``operations.py``), or the list
(``watched_sources.py``).
"""

import numpy as np
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.table import read_measurements
from contimg_assets.settings import Settings
from contimg_assets.station.light_curves import separation_deg
from contimg_assets.station.make_again import Step
from contimg_assets.station.measured import Measured, measured_near
from contimg_assets.station.store import Store
from contimg_assets.station.watched_sources import watched

#: Only the measurements are made, of the image that stands.
STEP = Step(("photometry",))


def groups_without(
    engine: Engine, store: Store, settings: Settings, name: str, *, since: str = "", until: str = "9999"
) -> list[str]:
    """Groups whose image has a watched source, and whose measurements that count have not.

    Parameters
    ----------
    engine, store, settings
        Of the station.
    name : str
        Of the source, as the list has it.
    since, until : str
        Keys of groups from the first on, before the second.

    Returns
    -------
    list of str
        Their keys, the newest first.

    Raises
    ------
    MissingInputError
        If the source is not in the list.
    """
    found = [row for row in watched(settings) if row["name"] == name]
    if not found:
        raise MissingInputError(
            f"found no watched source {name!r}; expected one of the list: `contimg watch add` adds it"
        )
    place = float(found[0]["ra_deg"]), float(found[0]["dec_deg"])
    near = measured_near(engine, store, place, settings.imaging.field_deg / 2)
    return [one.group for one in near[::-1] if since <= one.group < until and not _has(one, name, place)]


def _has(group: Measured, name: str, place: tuple[float, float]) -> bool:
    """Whether its measurements have the source where it is now."""
    if group.path is None:
        return True
    table = read_measurements(group.path, source=name, columns=["ra_deg", "dec_deg"])
    ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
    return bool(np.any(separation_deg(ra, dec, *place) < 1e-6))
