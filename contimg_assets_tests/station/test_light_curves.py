"""Which measurements count, and a source's light curve from them, on both databases."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from click.testing import CliRunner
from sqlalchemy import Engine

from contimg_assets.cli.lightcurve import lightcurve
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.flags import Flag
from contimg_assets.radio.photometry.table import COLUMNS, FILE, HEALPIX, write_measurements
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.light_curves import light_curve
from contimg_assets.station.measured import unmerged
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import record_verdict, registration

KEYS = [f"2026-01-{day:02d}T03:00:00" for day in (15, 16, 17)]
#: Name, right ascension, declination, and apparent flux densities on the three days, Jy.
SOURCES = {
    "bright": (128.0, -3.5, (0.10, 0.11, 0.10)),
    "new": (128.1, -3.4, (0.0, 0.0, 0.05)),
}
BEAM, ERROR_JY = 0.5, 0.002


class Groups:
    """Groups with an image each, and measurements of it."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self.records, self.store = StationRecords(engine), Store(home)
        for day, key in enumerate(KEYS):
            # Two turns of the sky are two days but 8 minutes; it is looked for only where a group looked.
            at = {"declination_deg": -3.5, "mid_mjd": 61055.3706 + day * 0.99727}
            self.records.register(registration(key, home, **at), ready=True)
            self.image(key)
            self.measure(key, day)

    def image(self, key: str) -> None:
        number = len([v for v in self.records.performance(key) if v.product == "image"])
        self.records.record_product(key, "image", PurePosixPath(f"products/{key}/image-{number}"), {})

    def measure(self, key: str, day: int, factor: float = 1.0) -> None:
        image = self.records.product(key, "image")
        number = len([v for v in self.records.performance(key) if v.product == "photometry"])
        path = PurePosixPath(f"products/{key}/photometry-{number}")
        folder = self.store.absolute(str(path))
        folder.mkdir(parents=True)
        names = list(SOURCES)
        values: dict[str, Any] = {
            name: np.full(len(names), 1.0) if kind != "text" else np.full(len(names), "survey")
            for name, (kind, _, _) in COLUMNS.items()
            if name != HEALPIX
        }
        flux = np.array([SOURCES[name][2][day] for name in names]) * factor
        values |= {
            "source": np.array(names),
            "group": np.full(len(names), key),
            "ra_deg": np.array([SOURCES[name][0] for name in names]),
            "dec_deg": np.array([SOURCES[name][1] for name in names]),
            "mjd": np.full(len(names), 61055.125 + day),
            "apparent_jy": flux,
            "apparent_error_jy": np.full(len(names), ERROR_JY),
            "beam": np.full(len(names), BEAM),
            "flags": np.where(flux < 3 * ERROR_JY, Flag.LIMIT.value, 0),
        }
        write_measurements(folder / FILE, values, {"group": key})
        self.records.record_product(key, "photometry", path, {}, inputs=[image.id])

    def condemn(self, key: str, product: str, check: str) -> None:
        told: dict[str, Any] = {"status": "ERROR", "value": 9.0, "soft": 1.0, "hard": 2.0}
        record_verdict(self.records, key, product, check, limits_version="1", **told)

    def live(self) -> list[str]:
        """Groups with measurements that count."""
        found = unmerged(self.records.engine, self.store)
        return [one.group for one in found if one.version is not None]


@pytest.fixture
def groups(engine: Engine, tmp_path: Path) -> Groups:
    return Groups(engine, tmp_path)


def test_a_light_curve_by_name_and_by_a_place_near_it(groups: Groups) -> None:
    engine, store = groups.records.engine, groups.store
    found = light_curve(engine, store, name="new")
    assert found.table["group"].tolist() == KEYS
    assert found.table["flux_jy"].tolist() == pytest.approx([0, 0, 0.1], abs=1e-6)
    assert found.table["flux_error_jy"].tolist() == pytest.approx([0.004] * 3, rel=1e-6)
    # Of two days a limit, of the third a measurement.
    assert found.table["upper_limit_jy"].tolist() == pytest.approx([0.012, 0.012, np.nan], nan_ok=True)
    assert found.statistics.n == 3
    # With 0.4 % of the mean in quadrature, as the lists of sources have it.
    error = np.hypot(0.004, 0.004 * 0.1 / 3)
    assert found.statistics.pair_sigma == pytest.approx(0.1 / np.hypot(error, error), rel=1e-5)
    near = light_curve(engine, store, position=(128.1, -3.4 + 5 / 3600))
    assert near.source == "new"
    assert near.table.equals(found.table)
    with pytest.raises(MissingInputError, match=r"a source within 20″ of 128\.2, -3\.4"):
        light_curve(engine, store, position=(128.2, -3.4))
    with pytest.raises(MissingInputError, match="counts of a source 'old'"):
        light_curve(engine, store, name="old")


def test_a_group_that_is_made_again_has_its_rows_once(groups: Groups) -> None:
    groups.measure(KEYS[1], 1, factor=2.0)
    found = light_curve(groups.records.engine, groups.store, name="bright")
    assert found.table["flux_jy"].tolist() == pytest.approx([0.2, 0.44, 0.2])
    versions = [groups.records.product(key, "photometry").id for key in KEYS]
    assert found.table["version"].tolist() == versions


def test_measurements_of_an_image_that_is_not_the_current_one_are_out_until_it_is_measured(
    groups: Groups,
) -> None:
    groups.image(KEYS[1])
    assert groups.live() == [KEYS[0], KEYS[2]]
    groups.measure(KEYS[1], 1)
    assert groups.live() == KEYS


@pytest.mark.parametrize(
    ("product", "check"), [("image_qa", "rms_ratio"), ("photometry", "chi_squared_median")]
)
def test_a_verdict_of_error_takes_a_group_out(groups: Groups, product: str, check: str) -> None:
    groups.condemn(KEYS[2], product, check)
    assert groups.live() == KEYS[:2]


def test_the_command_tells_people_and_programs(settings: Settings) -> None:
    """By a declination below zero too, which is no option."""
    initialise(settings)
    Groups(Installation(settings).engine, settings.home)
    shown = CliRunner().invoke(lightcurve, ["bright"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "220.000" in shown.output
    assert "3 count: mean 206.667 ± 2.358 mJy" in shown.output
    told = CliRunner().invoke(lightcurve, ["128.1", "-3.4", "--json"], catch_exceptions=False)
    report = json.loads(told.output)
    assert (report["source"], len(report["measurements"])) == ("new", 3)
    assert report["measurements"][2]["upper_limit_jy"] is None
    table = CliRunner().invoke(lightcurve, ["128.1", "-3.4", "--csv"], catch_exceptions=False)
    assert table.output.splitlines()[0].startswith("_healpix_29,source,kind,ra_deg")
    assert len(table.output.splitlines()) == 4
    files = ["--votable", str(settings.home / "c.vot"), "--plot", str(settings.home / "c.png")]
    assert CliRunner().invoke(lightcurve, ["bright", *files], catch_exceptions=False).exit_code == 0
    written = Table.read(settings.home / "c.vot", format="votable")
    assert written["flux_jy"].unit == units.Jy
    assert written["group"].tolist() == KEYS
    assert (settings.home / "c.png").read_bytes().startswith(b"\x89PNG")
    absent = CliRunner().invoke(lightcurve, ["nobody", "--json"])
    assert absent.exit_code == 3
