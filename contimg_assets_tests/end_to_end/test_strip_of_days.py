"""From visibilities to light curves: a strip of the sky on three sidereal days, two variables, a new source.

Files are simulated, ``contimg process`` makes images and measurements of them, the sensor of days asks
for the daily job, and the new source is measured backwards in images of before it was known.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from astropy.time import Time
from dagster import DagsterInstance, SensorResult, SkipReason

from contimg_assets.archive import Archive
from contimg_assets.definitions import build_defs
from contimg_assets.partitions import SIDEREAL_DAY
from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.light_curves.corrections import counting
from contimg_assets.radio.sky import REFERENCE_HZ, Source
from contimg_assets.sensors.days import days_due
from contimg_assets.settings import get_settings
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.night import transit_start
from contimg_assets.simulation.observation import Observation, simulate
from contimg_assets.simulation.population import random_sky
from contimg_assets.simulation.presets import PRESETS, Corruption
from contimg_assets.station.flux_scales import corrections
from contimg_assets_tests.assets.test_sensors import tick

pytestmark = pytest.mark.long

DECLINATION_DEG, CALIBRATOR, PRESET = 16.27, "3C454.3", PRESETS["demo"]
N_DAYS, N_GROUPS = 3, 4
#: Targets of a day begin so long after the calibrator's transit.
AFTER_S = 1500.0
#: East and north of the strip's middle, deg; flux densities on the three days, Jy; index.
CHANGING: dict[str, tuple[float, float, tuple[float, float, float], float]] = {
    "falls and rises": (-0.5, 0.35, (0.8, 0.56, 1.04), -0.6),
    "rises and falls": (0.6, -0.4, (0.5, 0.75, 0.4), 0.2),
    "is new": (0.15, -0.75, (0.0, 0.0, 0.4), 0.3),
}
NEW = "is new"
#: Calibration of 47 antennas leaves half a per cent, and the survey's sky a group's scale.
RELATIVE = 0.008


@dataclass(frozen=True)
class Strip:
    """What was simulated, and the home in which it was processed."""

    home: Path
    environment: dict[str, str]
    constant: list[Source]
    changing: dict[str, Source]

    def contimg(self, *arguments: object) -> str:
        """A command, as a person types it."""
        command = [sys.executable, "-m", "contimg_assets.cli", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make_days(self) -> list[str]:
        """Run the daily job as often as its sensor asks for it; the days that it made."""
        made: list[str] = []
        definition = build_defs().resolve_job_def("day_products")
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            while not isinstance(asked := tick(days_due, instance), SkipReason):
                assert isinstance(asked, SensorResult)
                (request,) = asked.run_requests or []
                day = str(request.partition_key)
                instance.add_dynamic_partitions(SIDEREAL_DAY, [day])
                done = definition.execute_in_process(
                    instance=instance, partition_key=day, tags=dict(request.tags), run_config=quiet
                )
                assert done.success
                assert len(made) < 2 * N_DAYS, "the sensor asks for the same days again and again"
                made.append(day)
        return made

    def rows(self, name: str) -> pandas.DataFrame:
        """A source's measurements that count, with ``day`` (0, 1, 2)."""
        table = counting(Archive(self.home).light_curve(name).table)
        return table.assign(day=np.floor(table["mjd"] - FIRST.mjd + 0.2).astype(int))


FIRST = transit_start(
    named_calibrator(CALIBRATOR),
    Time("2025-06-01T00:00:00", scale="utc"),
    PRESET.n_integrations * telescope.INTEGRATION_S,
)


def starts_of(day: int) -> list[Time]:
    """Of a day: the calibrator's transit, and groups on the grid that the recorders keep."""
    length = PRESET.n_integrations * telescope.INTEGRATION_S
    transit = transit_start(
        named_calibrator(CALIBRATOR), Time(FIRST.jd + 0.997 * day - 0.1, format="jd"), length
    )
    first = np.ceil((transit.unix + AFTER_S) / telescope.GROUP_S)
    grid = np.round((first + np.arange(N_GROUPS)) * telescope.GROUP_S)
    return [transit, *(Time(float(at), format="unix", scale="utc") for at in grid)]


def middle_of_strip() -> tuple[float, float]:
    """ICRS, deg."""
    at = starts_of(0)[1:]
    jd = (at[0].jd + at[-1].jd) / 2
    ra, dec = phasing.meridian_centre(jd, np.deg2rad(DECLINATION_DEG))
    return float(np.rad2deg(ra)), float(np.rad2deg(dec))


def sky() -> tuple[list[Source], dict[str, Source]]:
    """Constant sources, and those that change, whose flux density is the days' mean."""
    ra, dec = middle_of_strip()
    changing = {
        name: Source(name, ra + east / np.cos(np.deg2rad(dec)), dec + north, float(np.mean(jy)), index)
        for name, (east, north, jy, index) in CHANGING.items()
    }
    around = random_sky(ra, dec, 3.2, 5, brighter_than_jy=0.08, minimum_separation_arcsec=400.0)
    constant = [
        source
        for source in around
        if all(
            np.hypot((source.ra_deg - one.ra_deg) * np.cos(np.deg2rad(dec)), source.dec_deg - one.dec_deg)
            > 0.12
            for one in changing.values()
        )
    ]
    return constant, changing


def simulate_days(folder: Path, constant: list[Source], changing: dict[str, Source]) -> None:
    """All files of three days."""
    calibrator, declination = named_calibrator(CALIBRATOR), np.deg2rad(DECLINATION_DEG)
    for day in range(N_DAYS):
        now = [
            replace(changing[name], flux_jy=jy[day]) for name, (_, _, jy, _) in CHANGING.items() if jy[day]
        ]
        transit, *targets = starts_of(day)
        night = {"night_seed": day + 1, "night_epoch_jd": float(transit.jd)}
        for number, start in enumerate([transit, *targets]):
            sources = [calibrator] if number == 0 else [*constant, *now]
            seed = 100 * (day + 1) + number
            simulate(
                Observation(PRESET, start, declination, sources, Corruption(rfi=False), seed=seed, **night),
                folder,
            )


@pytest.fixture(scope="module")
def strip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strip]:
    """Simulated and processed, not merged yet."""
    folder = tmp_path_factory.mktemp("strip")
    home, incoming = folder / "home", folder / "incoming"
    home.mkdir()
    constant, changing = sky()
    simulate_days(incoming, constant, changing)
    known = [*constant, *(source for name, source in changing.items() if name != NEW)]
    (folder / "nvss.dat").write_text("".join(f"{nvss_line(source)}\n" for source in known))
    (home / "watched.csv").write_text("name,ra_deg,dec_deg\n")
    own = {
        "CONTIMG_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "CONTIMG_PHOTOMETRY__WATCHED": str(home / "watched.csv"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("CONTIMG_", "DAGSTER_"))]:
            patch.delenv(name)
        for name, value in own.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        made = Strip(home, dict(os.environ), constant, changing)
        made.contimg("catalogs", "import", folder / "nvss.dat")
        made.contimg("process", incoming)
        yield made
    get_settings.cache_clear()


def named(source: Source) -> str:
    """As the survey names it."""
    return f"NVSS J{nvss_line(source).split()[3]}"


def true_jy(source: Source, jy: float, rows: pandas.DataFrame) -> Any:
    """On the sky, at the images' frequency."""
    return jy * (rows["frequency_mhz"] * 1e6 / REFERENCE_HZ) ** source.spectral_index


def test_three_days_of_a_strip(strip: Strip) -> None:
    """In one test, since each part goes on with what the one before made."""
    days = strip.make_days()
    assert len(days) == N_DAYS
    archive = Archive(strip.home)
    scales = corrections(archive.engine, archive.store)
    assert np.isfinite(scales["log_scale"]).sum() >= N_DAYS * (N_GROUPS - 1)
    _constant_sources(strip)
    for name, source in strip.changing.items():
        if name != NEW:
            _changing_source(strip, source, named(source), CHANGING[name][2])
    varying = Archive(strip.home).survey_sources(limit=1000)
    varying = set(varying.index[varying["variable"].fillna(False).astype(bool)])
    assert varying == {named(source) for name, source in strip.changing.items() if name != NEW}
    # The new source is seen on the last day, by no lasting name.
    new = strip.changing[NEW]
    seen = archive.measurements(new.ra_deg, new.dec_deg, 60 / 3600)
    seen = seen[seen["kind"].astype(str) == "blind"]
    assert len(seen) >= 2
    assert (seen["mjd"] > FIRST.mjd + 1.5).all()
    ra, dec = float(seen["ra_deg"].mean()), float(seen["dec_deg"].mean())
    assert np.hypot((ra - new.ra_deg) * np.cos(np.deg2rad(dec)), dec - new.dec_deg) * 3600 < 8
    # … and is measured in all images from there on, and backwards.
    strip.contimg("watch", "add", NEW, ra, dec)
    told = json.loads(strip.contimg("watch", "measure", NEW, "--json"))
    assert len(told["groups"]) >= N_DAYS * (N_GROUPS - 1)
    assert json.loads(strip.contimg("watch", "measure", NEW, "--json"))["groups"] == []
    assert sorted(strip.make_days()) == sorted(days)
    rows = strip.rows(NEW)
    before = rows[rows["day"] < 2]
    assert set(before["day"]) == {0, 1}
    pulls = before["flux_jy"] / before["flux_error_jy"]
    print(f"new source before: {len(before)} measurements, pulls {pulls.round(2).tolist()}")
    assert abs(pulls.mean()) < 3 / np.sqrt(len(pulls))
    assert (np.abs(pulls) < 4).all()
    assert before["upper_limit_jy"].notna().sum() >= len(before) - 1
    _changing_source(strip, new, NEW, CHANGING[NEW][2])


def _constant_sources(strip: Strip) -> None:
    """Flux densities on the sky, with errors of noise, scale and calibration: right and as scattered."""
    pulls, etas = [], []
    known = Archive(strip.home).survey_sources(limit=1000).index
    for source in [one for one in strip.constant if named(one) in known]:
        rows = strip.rows(named(source))
        if len(rows) < 5:
            continue
        true = true_jy(source, source.flux_jy, rows)
        error = np.hypot(rows["flux_error_jy"], RELATIVE * true)
        pulls += ((rows["flux_jy"] - true) / error).tolist()
        etas.append(
            float((((rows["flux_jy"] - rows["flux_jy"].mean()) / error) ** 2).sum() / (len(rows) - 1))
        )
    print(
        f"constant: {len(etas)} sources, {len(pulls)} measurements, pulls {np.median(pulls):.2f} "
        f"± {np.std(pulls):.2f}, eta {np.median(etas):.2f}"
    )
    assert len(etas) >= 10
    assert abs(np.median(pulls)) < 1.0
    assert np.median(etas) < 1.5


def _changing_source(strip: Strip, source: Source, name: str, jy: tuple[float, ...]) -> None:
    """Each day's mean is the day's flux density, to three errors."""
    rows = strip.rows(name)
    for day, own in rows.groupby("day"):
        true = true_jy(source, jy[int(str(day))], own)
        weight = own["flux_error_jy"] ** -2
        mean = float((own["flux_jy"] * weight).sum() / weight.sum())
        error = float(np.hypot(weight.sum() ** -0.5, RELATIVE * true.mean()))
        print(f"{name}, day {day}: {len(own)} measurements, {mean:.4f} ± {error:.4f}, true {true.mean():.4f}")
        assert abs(mean - true.mean()) < 3 * error
    assert len(rows.groupby("day")) == N_DAYS
