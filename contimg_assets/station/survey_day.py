"""All that a sidereal day is due, in order: scales, files of tiles, numbers of light curves, events, truth.

Belongs here: the order, for the engine and the command line alike.  Does not belong
here: the parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.healpix import tile_number
from contimg_assets.radio.sidereal_day import span
from contimg_assets.settings import Settings
from contimg_assets.station.flux_scales import make_flux_scale
from contimg_assets.station.injected_truth import make_injected_truth
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.scattering_events import search_day
from contimg_assets.station.store import Store
from contimg_assets.station.survey_versions import TILE, current_versions
from contimg_assets.station.tile_merge import PRODUCT as LIGHT_CURVES
from contimg_assets.station.tile_merge import days_by_tile, merge_day
from contimg_assets.station.variable_sources import PRODUCT as VARIABILITY
from contimg_assets.station.variable_sources import make_variability

#: A tile's numbers are computed anew when its light curves have grown by this part of them (one in so many
#: days), each day while they are short: that takes as long as they are, and a day's share of it stays.
_GROWTH = 50


@dataclass
class Done:
    """What was made of a day."""

    day: str
    versions: list[ProductVersion] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What could not be made, and why."""


def make_day(
    engine: Engine,
    store: Store,
    settings: Settings,
    day: str,
    *,
    again: bool = False,
    run: str | None = None,
    tell: Callable[[ProductVersion], None] = lambda _version: None,
) -> Done:
    """Make all products that a day is due.

    Parameters
    ----------
    engine, store, settings
        Of the station.
    day : str
        Key of a sidereal day.
    again : bool
        Also where nothing has changed; all tiles' numbers too.
    run : str, optional
        Dagster's run.
    tell : callable, optional
        Is told of each product as it is made.

    Raises
    ------
    StateError
        If somebody else makes the same day.
    """
    done = Done(day)

    def made(make: Callable[[], ProductVersion]) -> None:
        try:
            version = make()
        except MissingInputError as error:
            # Too few sources for a scale, say: the rest does not wait for it.
            done.refused.append(str(error))
        else:
            done.versions.append(version)
            tell(version)

    made(lambda: make_flux_scale(engine, store, day, settings.flux_scale, run=run))
    merged = merge_day(engine, store, day, again=again, run=run)
    for version in current_versions(engine, TILE, LIGHT_CURVES, merged.tiles).values():
        done.versions.append(version)
        tell(version)
    known = current_versions(engine, TILE, VARIABILITY, merged.tiles)
    lengths = days_by_tile(engine, merged.tiles)
    for tile in merged.tiles:
        turn = max(1, lengths.get(tile, 0) // _GROWTH)
        if again or tile not in known or (span(day)[0].toordinal() - tile_number(tile)) % turn == 0:
            made(lambda tile=tile: make_variability(engine, store, tile, settings.variability, run=run))
    if merged.tiles:
        made(lambda: search_day(engine, store, day, settings.variability, run=run))
    if settings.photometry.injected and merged.tiles:
        made(lambda: make_injected_truth(engine, store, day, settings.variability, run=run))
    return done
