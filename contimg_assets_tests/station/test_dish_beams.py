"""Beams of dishes over calibration sets and images: by both databases, the command and the API's view."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.settings import Settings
from contimg_assets.station.antenna_views import antenna_in_sets
from contimg_assets.station.database import transaction
from contimg_assets.station.dish_beams import dish_beams
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import ProductVersion
from contimg_assets_tests.fake_stages import registration, solutions, write_tables

KEYS = ("2026-01-15T01:00:00", "2026-01-15T09:00:00")


def dish(east: float) -> dict[str, float]:
    """What a set says of a dish."""
    return {"east_deg": east, "east_error_deg": 0.01, "width": 1.05, "width_error": 0.004, "walk": 0.0}


@pytest.fixture
def station(settings: Settings, tmp_path: Path) -> Installation:
    """Two active sets, one that failed, an image with offsets and one without."""
    settings.home.mkdir(parents=True, exist_ok=True)
    station = Installation(settings)
    for key in KEYS:
        station.records.register(registration(key, tmp_path), ready=True)
    for number, (key, east, status) in enumerate(
        [(KEYS[0], 0.11, []), (KEYS[1], 0.09, []), (KEYS[1], 5.0, ["bad"])]
    ):
        built = tmp_path / str(number)
        tables = write_tables(built, str(number))
        told: dict[str, Any] = {"used": {}, "dishes": {"7": dish(east)}}
        set_id = station.registry.register(solutions(key, tables=tables, antennas=["7"], beam=told), built)
        station.registry.conclude(set_id, status)
    north = {
        "7": {"north_deg": -0.2, "north_error_deg": 0.02},
        "12": {"north_deg": 0.1, "north_error_deg": 0.02},
    }
    columns = {"antennas": [*north], **{k: [told[k] for told in north.values()] for k in north["7"]}}
    with transaction(station.engine) as session:
        for key, numbers in zip(KEYS, ({"dish_offsets": columns}, {"dish_offsets": {}}), strict=True):
            session.add(
                ProductVersion(
                    key=key, product="image", version="a", path="none", numbers=numbers, settings={}, run=None
                )
            )
    return station


def test_beams_are_means_over_sets_and_images(station: Installation) -> None:
    """East and width from active sets, north from images; the spread of two is in the error."""
    seven, twelve = dish_beams(station)
    assert (seven.antenna, twelve.antenna) == ("7", "12")
    assert seven.east_deg is not None
    assert (seven.east_deg.value, seven.east_deg.n) == (pytest.approx(0.1), 2)
    assert seven.east_deg.error == pytest.approx(0.01)
    assert seven.width is not None
    assert seven.width.value == pytest.approx(1.05)
    assert seven.north_deg is not None
    assert seven.north_deg.value == pytest.approx(-0.2)
    assert seven.valid_from_mjd is not None
    assert seven.valid_to_mjd is not None
    assert seven.valid_to_mjd - seven.valid_from_mjd >= 1.0
    assert twelve.east_deg is None
    # Of one antenna, set by set: the one that failed, too.
    assert [each.east_deg for each in antenna_in_sets(station, "7", 5)] == [5.0, 0.09, 0.11]


def test_the_command_shows_them(station: Installation) -> None:
    """As a table and as JSON."""
    assert dish_beams(station)
    table = CliRunner().invoke(main, ["antennas"])
    assert table.exit_code == 0, table.output
    assert "0.100 ± 0.010" in table.output
    assert "-0.200 ± 0.020" in table.output
    told = json.loads(CliRunner().invoke(main, ["antennas", "--json"]).stdout)
    assert [each["antenna"] for each in told["antennas"]] == ["7", "12"]
