"""A home with a survey for pages: three weeks of a small strip, variables, and a list of candidates."""

import numpy as np
import pandas
from numpy.typing import NDArray

from contimg_assets.settings import Settings
from contimg_assets.simulation.strip import Instrument, StripSimulator, strip_sky
from contimg_assets.station.installation import Installation
from contimg_assets.station.scattering_events import FILE, LIST_COLUMNS, PRODUCT
from contimg_assets.station.survey_day import make_day
from contimg_assets.station.survey_versions import DAY, Built, current_versions, publish_together
from contimg_assets_tests.station.survey_home import DECLINATION_DEG, SurveyHome

#: Days of which a month has more.
_DAYS = [f"2026-01-{day:02d}" for day in range(10, 31)]


def make_survey(settings: Settings, n_days: int = len(_DAYS)) -> tuple[SurveyHome, str]:
    """The home, and a source that is on the list of candidates.

    Parameters
    ----------
    settings : Settings
    n_days : int
        Fewer days take less time.
    """
    station = Installation(settings)
    sky = strip_sky(DECLINATION_DEG, (30.0, 36.0), 14.0, 6e-3)
    inside = np.abs(sky.dec_deg - DECLINATION_DEG) < 0.8
    inside &= (sky.ra_deg > 32) & (sky.ra_deg < 34)
    bright = np.flatnonzero(inside)[np.argsort(-sky.jy[inside])]
    dipping, varying = int(bright[2]), int(bright[1])

    def curve(mjd: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        day = mjd - 61051
        told = np.where((which == dipping) & (day > 6) & (day < 14), 0.65, 1.0)
        return np.where(which == varying, 1 + 0.25 * np.sin(day / 2), told)

    made = SurveyHome(
        station.engine,
        settings.home,
        StripSimulator(sky, DECLINATION_DEG, Instrument(gain_scatter=0.03), curve),
    )
    for day in _DAYS[:n_days]:
        made.observe(day)
        make_day(station.engine, station.store, settings, day)
    name = str(sky.names[dipping])
    _list(station, _DAYS[n_days - 1], [name, str(sky.names[varying])])
    return made, name


def _list(station: Installation, day: str, names: list[str]) -> None:
    """A list of candidates as a search of hundreds of sources would make it."""
    values = {
        "significance": [14.2, 8.9],
        "depth": [0.35, 0.21],
        "depth_error": [0.02, 0.02],
        "begin_mjd": [61057.0, 61062.0],
        "length_days": [8.0, 5.0],
        "shape": ["caustics", "gaussian"],
        "rise_significance": [3.1, 7.7],
        "walk_size": [0.04, 0.16],
        "walk_days": [10.0, 3.0],
        "median_jy": [0.098, 0.147],
        "max_deviation": [1.9, 2.1],
        "false_per_year": [3e-7, 6e-5],
        "index": [-0.71, np.nan],
        "index_error": [0.05, np.nan],
        "index_change": [0.92, np.nan],
        "index_change_error": [0.11, np.nan],
    }
    table = pandas.DataFrame({"source": names, **values})[list(LIST_COLUMNS)]
    own = current_versions(station.engine, DAY, PRODUCT, [day]).get(day)
    with station.store.staging(day, PRODUCT) as folder:
        (folder / "built").mkdir()
        table.to_parquet(folder / "built" / FILE, index=False)
        built = Built(DAY, day, PRODUCT, folder / "built", {}, own.id if own else None)
        publish_together(station.engine, station.store, [built])
