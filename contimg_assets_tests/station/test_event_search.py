"""An extreme scattering event among hundreds of sources of a strip: searched by the day, with its colour."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine

from contimg_assets.radio.healpix import tile_key, tiles_of
from contimg_assets.radio.light_curves.files import joined, with_version, write_rows
from contimg_assets.radio.photometry.table import COLUMNS, HEALPIX
from contimg_assets.settings import Settings
from contimg_assets.simulation.strip import Instrument, StripSimulator, strip_sky
from contimg_assets.station.database import transaction
from contimg_assets.station.scattering_events import candidates, search_day
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import SurveySource, TileDay
from contimg_assets.station.survey_versions import TILE, Built, publish_together
from contimg_assets.station.tile_merge import PRODUCT
from contimg_assets_tests.station.survey_home import DECLINATION_DEG

pytestmark = pytest.mark.long

BEGIN, N_DAYS = date(2026, 1, 10), 80
#: Days of the event, and how deep it is at the middle of the band; as (ν/ν0)^−2.
FROM_DAY, LENGTH, DEPTH = 30, 25, 0.3


def as_table(frame: pandas.DataFrame) -> pyarrow.Table:
    """As the file of a group has them: what is not a number stays so."""
    columns = {
        name: frame[name].astype(str).tolist() if kind == "text" else frame[name].to_numpy()
        for name, (kind, _, _) in COLUMNS.items()
    }
    return pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})


def fill(store: Store, engine: Engine, simulator: StripSimulator) -> str:
    """All days' rows as files of tiles, as merging would have made them; the last day."""
    days = [str(BEGIN + timedelta(days=n)) for n in range(N_DAYS)]
    rows = joined([with_version(as_table(simulator.day(day).rows), 1) for day in days])
    tiles = tiles_of(rows[HEALPIX].to_numpy())
    for number in np.unique(tiles):
        key = tile_key(int(number))
        own = rows.filter(pyarrow.array(tiles == number))
        with store.staging(key, PRODUCT) as staging:
            (staging / "built").mkdir()
            write_rows(staging / "built" / "2026.parquet", own)
            publish_together(engine, store, [Built(TILE, key, PRODUCT, staging / "built", {}, None)])
        places = own.select(["source", "ra_deg", "dec_deg"]).to_pandas().drop_duplicates("source")
        with transaction(engine) as session:
            session.add_all(
                SurveySource(name=str(name), kind="survey", ra_deg=float(ra), dec_deg=float(dec), tile=key)
                for name, ra, dec in places.itertuples(index=False)
            )
            session.add(TileDay(day=days[-1], tile=key, n_rows=1))
    return days[-1]


def test_an_event_is_on_the_list_with_its_colour_and_no_quiet_source_is(
    engine: Engine, tmp_path: Path
) -> None:
    """A lens bends low frequencies more: the index rises by 2 × 0.3 / 0.7 in the dip."""
    sky = strip_sky(DECLINATION_DEG, (30.0, 42.0), 12.0, 5e-3, seed=4)
    near = np.abs(sky.dec_deg - DECLINATION_DEG) < 0.5
    near &= np.abs(sky.ra_deg - 36) < 3
    star = int(np.flatnonzero(near)[np.argmin(np.abs(sky.jy[near] - 0.05))])
    first = 61050.0 + FROM_DAY

    def inside(mjd: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (which == star) & (mjd >= first) & (mjd < first + LENGTH)

    simulator = StripSimulator(
        sky,
        DECLINATION_DEG,
        Instrument(),
        curve=lambda mjd, which: np.where(inside(mjd, which), 1 - DEPTH, 1.0),
        index=lambda mjd, which: np.where(inside(mjd, which), -0.7 + 2 * DEPTH / (1 - DEPTH), -0.7),
    )
    store = Store(tmp_path)
    day = fill(store, engine, simulator)
    version = search_day(engine, store, day, Settings().variability)
    print(version.numbers)
    assert version.numbers["n_searched"] >= 100
    of_day, found = candidates(engine, store)
    assert of_day == day
    assert [one.values["source"] for one in found] == [str(sky.names[star])]
    event = found[0].values
    print(event)
    assert event["begin_mjd"] == pytest.approx(first, abs=2)
    assert event["length_days"] == pytest.approx(LENGTH, abs=3)
    assert event["depth"] == pytest.approx(DEPTH, abs=0.03)
    assert event["index"] == pytest.approx(-0.7, abs=4 * event["index_error"])
    change, error = event["index_change"], event["index_change_error"]
    assert change == pytest.approx(2 * DEPTH / (1 - DEPTH), abs=4 * error)
    assert error < 0.2
