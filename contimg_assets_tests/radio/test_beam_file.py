"""A measured beam in place of the Airy pattern: what a file may be, and what comes of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from contimg_assets.radio.beam import ASSUMED, Beam, airy_power, half_power_radius
from contimg_assets.radio.beam_file import read_pattern
from contimg_assets.radio.errors import BeamError, MissingInputError

MHZ = (1311.0, 1405.0, 1499.0)


def airy_table(step_deg: float = 0.05) -> Table:
    """The Airy pattern as a file has it."""
    radius = np.arange(0.0, 7.0 + step_deg / 2, step_deg)
    mhz, at = (a.ravel() for a in np.meshgrid(MHZ, radius, indexing="ij"))
    power = airy_power(np.sin(np.deg2rad(at)), mhz * 1e6)
    return Table(
        {"frequency_mhz": mhz, "radius_deg": at, "power": power}, meta={"version": "airy by numbers"}
    )


def written(path: Path, table: Table) -> Path:
    """As a file."""
    table.write(path, format="ascii.ecsv")
    return path


def test_a_pattern_from_a_file_is_what_it_says(tmp_path: Path) -> None:
    """The Airy pattern in steps of 0.05° is itself to 1e-5, between its rows too; then JSON and back."""
    pattern = read_pattern(written(tmp_path / "beam.ecsv", airy_table()))
    assert pattern.version == "airy by numbers"
    sine = np.sin(np.deg2rad(np.linspace(0, 6.5, 400)))[:, None]
    hz = np.array([1.311e9, 1.35e9, 1.42e9, 1.499e9])
    assert np.abs(pattern(sine, hz) - airy_power(sine, hz)).max() < 1e-5
    assert pattern(np.sin(np.deg2rad(8.0)), 1.4e9) == 0
    beam = Beam(pattern, 1.05, 0.1, -0.2)
    again = Beam.from_json(json.loads(json.dumps(beam.as_json())))
    assert again.version == "airy by numbers"
    assert (again.power(sine, hz) == beam.power(sine, hz)).all()
    assert beam.half_power_radius(1.4e9) == pytest.approx(1.05 * half_power_radius(1.4e9), rel=2e-3)


def test_one_frequency_is_scaled_with_the_wavelength(tmp_path: Path) -> None:
    """Of a pattern measured at 1405 MHz, the one at 1311 MHz is wider."""
    table = airy_table()
    pattern = read_pattern(written(tmp_path / "beam.ecsv", table[table["frequency_mhz"] == 1405.0]))
    sine = np.sin(np.deg2rad(np.linspace(0, 5.0, 100)))
    assert np.abs(pattern(sine, 1.311e9) - airy_power(sine, 1.311e9)).max() < 1e-5


def test_a_beam_points_where_it_is_said_to() -> None:
    """1 towards its own axis; a source to the east of the meridian is nearer to a beam that points east."""
    beam = Beam(east_deg=0.3, north_deg=-0.2)
    declination, hz = np.deg2rad(16.27), np.array([1.4e9])
    assert beam.drifting_power(beam.axis(declination), declination, hz)[0] == pytest.approx(1, abs=1e-12)
    away = np.rad2deg(np.arccos(beam.axis(declination) @ ASSUMED.axis(declination)))
    assert away == pytest.approx(np.hypot(0.3, 0.2), rel=1e-3)
    east = np.array(
        [np.cos(declination) * np.cos(0.01), np.cos(declination) * np.sin(0.01), np.sin(declination)]
    )
    west = east * [1, -1, 1]
    assert beam.drifting_power(east, declination, hz)[0] > beam.drifting_power(west, declination, hz)[0]
    wide = Beam(width=1.05)
    assert wide.power(1.05 * np.sin(0.02), 1.4e9) == pytest.approx(airy_power(np.sin(0.02), 1.4e9), rel=1e-12)


def _without(table: Table) -> Table:
    table.meta = {}
    return table


def _cut(table: Table) -> Table:
    return table[table["radius_deg"] < 3.0]


def _zero_on_axis(table: Table) -> Table:
    table["power"][table["radius_deg"] == 0] = 0.0
    return table


def _in_hz(table: Table) -> Table:
    table["frequency_mhz"] *= 1e6
    return table


def _holes(table: Table) -> Table:
    return table[1:]


def _nan(table: Table) -> Table:
    table["power"][5] = np.nan
    return table


def _other_columns(table: Table) -> Table:
    table.rename_column("power", "gain")
    return table


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without, "version"),
        (_cut, "5 deg"),
        (_zero_on_axis, "on the axis"),
        (_in_hz, "expected MHz"),
        (_holes, "same radii"),
        (_nan, "finite"),
        (_other_columns, "power"),
    ],
)
def test_what_is_no_pattern_is_refused(tmp_path: Path, spoil: Callable[[Table], Table], told: str) -> None:
    """Each message names the file and says what is wrong."""
    path = written(tmp_path / "beam.ecsv", spoil(airy_table(0.1)))
    with pytest.raises(BeamError, match=told) as error:
        read_pattern(path)
    assert str(path) in str(error.value)


def test_no_file_and_no_table_are_told_apart(tmp_path: Path) -> None:
    """A file that is not there, and one that is something else."""
    with pytest.raises(MissingInputError, match="found no file"):
        read_pattern(tmp_path / "none.ecsv")
    other = tmp_path / "other.ecsv"
    other.write_text("a picture")
    with pytest.raises(BeamError, match="found no ECSV table"):
        read_pattern(other)
