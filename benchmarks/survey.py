"""A year of a strip's measurements: fetching a light curve and a cone, and merging a day.

Makes a strip's rows by the simulator of strips' rules (light curves of ``simulation/epochs.py``, errors
that hold; no images), in tiles at the density of the sky that the telescope sees, and a station that
knows them.  A light curve and a cone read the files of one to four tiles, so that a few tiles as
full as a year makes them tell what a whole strip would (67 tiles at 16° declination, 2.4e8 rows).

    python benchmarks/survey.py FOLDER [--tiles 4] [--sources 2700] [--days 365] [--a-day 4]
"""

import argparse
import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import ducc0
import numpy as np
import pyarrow

from contimg_assets.radio.flux_scale.beam_terms import N_TERMS
from contimg_assets.radio.flux_scale.table import COLUMNS as SCALES
from contimg_assets.radio.flux_scale.table import schema, write_scales
from contimg_assets.radio.healpix import FINEST, TILE_ORDER, nested, tile_key
from contimg_assets.radio.light_curves.files import rows_schema, write_rows
from contimg_assets.radio.light_curves.periods import build
from contimg_assets.radio.photometry.table import HEALPIX
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.population import table_of
from contimg_assets.simulation.epochs import variable
from contimg_assets.station import database
from contimg_assets.station.database import transaction
from contimg_assets.station.flux_scales import CORRECTIONS
from contimg_assets.station.light_curves import light_curve, rows_in, sources_near
from contimg_assets.station.scattering_events import daily_means
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import SurveySource, TileDay
from contimg_assets.station.survey_versions import (
    SURVEY,
    TILE,
    WHOLE,
    Built,
    current_versions,
    publish_together,
)
from contimg_assets.station.tile_merge import PRODUCT, ROWS
from contimg_assets.station.variable_sources import counting_rows

CENTRE, NOISE_JY, LEAST_JY = (128.0, 16.3), 2.5e-4, 6e-4
#: The year ends in the last year's February: a file of a year, one of a month, and days.
BEGIN = date(2025, 3, 1)


def tiles_around(n: int) -> list[int]:
    """The n tiles nearest to the centre."""
    base = ducc0.healpix.Healpix_Base(1 << TILE_ORDER, "NEST")
    at = base.ang2pix(np.deg2rad([[90 - CENTRE[1], CENTRE[0]]]))[0]
    there = base.pix2vec(np.arange(12 * 4**TILE_ORDER))
    away = there @ there[at]
    return [int(tile) for tile in np.argsort(-away)[:n]]


def sky(tile: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Right ascension, declination and flux density of sources of a tile, in the order of HEALPix."""
    number = (tile << 2 * (FINEST - TILE_ORDER)) + rng.integers(0, 1 << 2 * (FINEST - TILE_ORDER), n)
    angle = ducc0.healpix.Healpix_Base(1 << FINEST, "NEST").pix2ang(np.sort(number))
    ra, dec = np.rad2deg(angle[:, 1]), 90 - np.rad2deg(angle[:, 0])
    return np.stack([ra, dec, np.minimum(LEAST_JY / rng.uniform(1e-4, 1, n), 2)])


def moved(table: pyarrow.Table, tile: int, places: np.ndarray) -> pyarrow.Table:
    """The same rows at another tile's sources: a strip is made in minutes, and no file is like another."""
    n = places.shape[1]
    source = table["source"].combine_chunks()
    at = source.indices.to_numpy()
    names = pyarrow.array([f"{tile:04d}-{i:05d}" for i in range(n)])
    changed = {
        HEALPIX: pyarrow.array(nested(places[0], places[1])[at]),
        "source": pyarrow.DictionaryArray.from_arrays(source.indices, names),
        "ra_deg": pyarrow.array(places[0][at]),
        "dec_deg": pyarrow.array(places[1][at]),
    }
    for name, column in changed.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
    return table


def scales(options: argparse.Namespace) -> pyarrow.Table:
    """Corrections of all groups of the year, 279 a day."""
    moments = [f"{4 + part:02d}:00:00" for part in range(options.a_day)]
    moments += [f"{part // 12:02d}:{5 * (part % 12):02d}:01" for part in range(279 - options.a_day)]
    groups = [f"{BEGIN + timedelta(days=d)}T{at}" for d in range(options.days) for at in moments]
    n, rng = len(groups), np.random.default_rng(3)
    values = {"log_scale": rng.normal(0, 0.03, n), "log_scale_error": np.full(n, 0.002)}
    values |= {"axis_ra_deg": np.full(n, CENTRE[0]), "axis_dec_deg": np.full(n, CENTRE[1])}
    values["reach_deg"] = np.full(n, 9.0)
    columns = [pyarrow.array(values.get(name, np.ones(n))) for name in SCALES]
    beam = pyarrow.FixedSizeListArray.from_arrays(rng.normal(0, 1e-3, n * N_TERMS), N_TERMS)
    return pyarrow.Table.from_arrays([pyarrow.array(groups), *columns, beam], schema=schema())


def rows(
    tile: int, places: np.ndarray, days: list[int], a_day: int, rng: np.random.Generator
) -> pyarrow.Table:
    """Rows of some days, numbered from the first one."""
    n, epochs = places.shape[1], len(days) * a_day
    day = np.repeat(days, a_day)
    part = np.tile(np.arange(a_day), len(days))
    mjd = 61041.1 + 0.99727 * day + part * 309.24 / 86400
    walk = variable(mjd, 1.0, 0.03, 10.0, rng)
    beam = np.tile([0.2, 0.6, 0.95, 0.5, 0.3, 0.15][:a_day], len(days)).astype(np.float32)
    error = (NOISE_JY * rng.uniform(1, 1.1, (n, epochs))).astype(np.float32)
    jy = (
        places[2][:, None] * np.where(rng.random(n) < 0.1, 1.0, 0.0)[:, None] * (walk - 1)
        + places[2][:, None]
    )
    apparent = (jy * beam + error * rng.standard_normal((n, epochs), np.float32)).astype(np.float32)
    sigma = np.maximum(apparent / error, 1.0)
    known = sigma > 10

    def spread(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, epochs)

    def few(values: np.ndarray) -> np.ndarray:
        return np.where(known, values, np.nan).astype(np.float32).ravel()

    names = pyarrow.array([f"{tile:04d}-{i:05d}" for i in range(n)])
    keys = pyarrow.array(
        [f"{BEGIN + timedelta(days=int(d))}T{4 + p:02d}:00:00" for d, p in zip(day, part, strict=True)]
    )
    group = np.tile(np.arange(epochs, dtype=np.int32), n)
    noise = rng.standard_normal((2, n, epochs), np.float32)
    columns = {
        HEALPIX: spread(nested(places[0], places[1])),
        "source": pyarrow.DictionaryArray.from_arrays(spread(np.arange(n, dtype=np.int32)), names),
        "kind": pyarrow.DictionaryArray.from_arrays(
            np.zeros(n * epochs, np.int32), pyarrow.array(["survey"])
        ),
        "ra_deg": spread(places[0]),
        "dec_deg": spread(places[1]),
        "group": pyarrow.DictionaryArray.from_arrays(group, keys),
        "mjd": np.tile(mjd, n),
        "frequency_mhz": np.full(n * epochs, 1405, np.float32),
        "apparent_jy": apparent.ravel(),
        "apparent_error_jy": error.ravel(),
        "beam": np.tile(beam, n) * spread(rng.uniform(0.8, 1, n)).astype(np.float32),
        "noise_jy_beam": (error / np.float32(1.03)).ravel(),
        "chi_squared": (1 + 0.6 * rng.standard_normal(n * epochs, np.float32)),
        "east_arcsec": few(19 / sigma * noise[0]),
        "north_arcsec": few(19 / sigma * noise[1]),
        "east_error_arcsec": few(19 / sigma),
        "north_error_arcsec": few(19 / sigma),
        "free_apparent_jy": few(apparent + error * 0.1 * noise[0]),
        "free_apparent_error_jy": few(error),
        "slope_jy": few(-0.7 * apparent + 25.6 * error * noise[0]),
        "slope_error_jy": few(25.6 * error),
        "detected_apparent_jy": few(apparent + error * 0.1 * noise[1]),
        "de_ruiter_radius": few(np.hypot(*noise)),
        "survey_jy": spread(places[2]).astype(np.float32),
        "n_joint": np.ones(n * epochs, np.int16),
        "flags": np.where(apparent < 3 * error, 64, 0).astype(np.int32).ravel(),
        "version": 1 + group,
    }
    wanted = rows_schema()
    arrays = [
        pyarrow.array(columns[name]) if isinstance(columns[name], np.ndarray) else columns[name]
        for name in wanted.names
    ]
    return pyarrow.Table.from_arrays(arrays, names=wanted.names).cast(wanted)


def fill(folder: Path, options: argparse.Namespace) -> tuple[database.Engine, Store, dict[str, np.ndarray]]:
    """A station with all but the last day of the year merged: months, and days of the last one."""
    url = f"sqlite:///{folder / 'catalogue.sqlite'}"
    database.upgrade(url)
    engine, store = database.create(url), Store(folder)
    skies, first = {}, {}
    with store.staging(SURVEY, CORRECTIONS) as staging:
        (staging / "built").mkdir()
        write_scales(staging / "built" / "2025.parquet", scales(options))
        publish_together(engine, store, [Built(WHOLE, SURVEY, CORRECTIONS, staging / "built", {}, None)])
    for tile in tiles_around(options.tiles):
        key, rng = tile_key(tile), np.random.default_rng(tile)
        skies[key] = places = sky(tile, options.sources, rng)
        periods: dict[str, list[int]] = {}
        last = str(BEGIN + timedelta(days=options.days - 1))
        for d in range(options.days - 1):
            at = str(BEGIN + timedelta(days=d))
            period = at[:4] if at[:4] < last[:4] else at[:7] if at[:7] < last[:7] else at
            periods.setdefault(period, []).append(d)
        with store.staging(key, PRODUCT) as staging:
            (staging / "built").mkdir()
            for period, days in periods.items():
                if period not in first:
                    first[period] = rows(tile, places, days, options.a_day, rng)
                write_rows(staging / "built" / f"{period}.parquet", moved(first[period], tile, places))
            built = Built(TILE, key, PRODUCT, staging / "built", {}, None)
            publish_together(engine, store, [built])
        with transaction(engine) as session:
            session.add_all(
                SurveySource(
                    name=f"{tile:04d}-{i:05d}", kind="survey", ra_deg=float(a), dec_deg=float(d), tile=key
                )
                for i, (a, d) in enumerate(places[:2].T)
            )
            session.add(TileDay(day=str(BEGIN), tile=key, n_rows=1))
    return engine, store, skies


def timed(what: str, call: Callable[[], object], turns: int = 7) -> None:
    """Print the median time of a call, and its time of CPU."""
    walls, cpus = [], []
    for _ in range(turns):
        began, cpu = time.perf_counter(), time.process_time()
        result = call()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
    size = len(getattr(result, "table", result)) if result is not None else 0  # type: ignore[arg-type]
    print(
        f"{what:58} {1e3 * np.median(cpus):8.1f} ms of CPU {1e3 * np.median(walls):8.1f} ms {size:9d} rows",
        flush=True,
    )


def merge_a_day(
    store: Store, engine: database.Engine, places: np.ndarray, key: str, options: argparse.Namespace
) -> None:
    """Build a tile's next version with one day more, and drop it; then such that end a month, and a year."""
    rng = np.random.default_rng(5)
    at = BEGIN + timedelta(days=options.days - 1)
    new = rows(int(key[4:]), places, [options.days - 1], options.a_day, rng)
    before = store.absolute(current_versions(engine, TILE, PRODUCT, [key])[key].path)
    for name, source, newest, turns in (
        ("without days before", None, str(at), 7),
        ("with a year before", before, str(at), 7),
        ("… that makes the month one file", before, f"{at + timedelta(days=28)}", 3),
        ("… that makes two months a year's file", before, f"{at.year + 1}-02-28", 3),
    ):

        def one(source: Path | None = source, newest: str = newest) -> object:
            with store.staging(key, PRODUCT) as staging:
                build(source, staging / "built", {str(at): new}, ROWS, newest=newest, turn=int(key[4:]))
            return None

        timed(f"a day's {len(new)} rows of a tile {name}", one, turns)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name, value in (("tiles", 4), ("sources", 2700), ("days", 365), ("a-day", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    began = time.perf_counter()
    engine, store, skies = fill(options.folder, options)
    files = list(store.products.glob("hp4-*/*/*.parquet"))
    size = sum(path.stat().st_size for path in {path.resolve() for path in files})
    n = options.tiles * options.sources * (options.days - 1) * options.a_day
    print(
        f"{n:.3g} rows in {options.tiles} tiles, {size / n:.1f} bytes a row, "
        f"made in {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}"
    )
    key = next(iter(skies))
    name = f"{int(key[4:]):04d}-{options.sources // 2:05d}"
    middle = tuple(float(x) for x in skies[key][:2, options.sources // 2])
    corner = (middle[0], middle[1])
    timed("one light curve, by name, all columns", lambda: light_curve(engine, store, name=name))
    others = [f"{int(other[4:]):04d}-{options.sources // 3:05d}" for other in skies]
    turn = iter(others * 2)
    timed(
        f"one of other tiles, {len(others)} in turn",
        lambda: light_curve(engine, store, name=next(turn)),
        len(others),
    )
    timed("one light curve, by place", lambda: light_curve(engine, store, position=corner))
    timed("sources in a cone of 1°", lambda: sources_near(engine, corner, 1.0))
    timed(
        "measurements in a cone of 1°, on the flux scale",
        lambda: rows_in(engine, store, corner, 1.0, columns=()),
        3,
    )
    merge_a_day(store, engine, skies[key], key, options)
    version = current_versions(engine, TILE, PRODUCT, [key])[key]
    settings = VariabilityOptions()
    timed("a tile's rows, for its numbers", lambda: counting_rows(engine, store, version), 3)
    counted = counting_rows(engine, store, version)
    timed("… numbers of its sources", lambda: table_of(counted, settings), 3)
    timed("… daily means of its sources", lambda: daily_means(counted, settings.relative_error), 3)


if __name__ == "__main__":
    main()
