"""Files of rows: what is read of them is what was written, all of it or a part of the sky."""

from pathlib import Path

import numpy as np
import pyarrow
import pytest

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.healpix import disc, nested, tile_key, tile_number, tiles_of
from contimg_assets.radio.light_curves.files import joined, read_rows, rows_schema, with_version, write_rows
from contimg_assets.radio.light_curves.periods import Kind, build, holder, period_files
from contimg_assets.simulation.strip import StripSimulator, strip_sky

ROWS = Kind(read_rows, write_rows, lambda tables: joined(tables))


@pytest.fixture(scope="module")
def table() -> pyarrow.Table:
    """A day of a small strip."""
    simulator = StripSimulator(strip_sky(16.27, (30.0, 34.0), 40.0, 4e-3), 16.27)
    frame = simulator.day("2026-01-30").rows
    # What is not a number stays so; from_pandas would make it null.
    columns = {name: pyarrow.array(frame[name].to_numpy(), from_pandas=False) for name in frame}
    return with_version(pyarrow.table(columns), 7)


def test_rows_come_back_in_the_order_of_sky_and_time(table: pyarrow.Table, tmp_path: Path) -> None:
    write_rows(tmp_path / "x.parquet", table)
    found = read_rows(tmp_path / "x.parquet")
    assert found.schema.names == rows_schema().names
    assert len(found) == len(table) > 1000
    keys = list(zip(found["_healpix_29"].to_pylist(), found["mjd"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    both = [t.to_pandas().sort_values(["group", "source"], ignore_index=True) for t in (found, table)]
    for exact in ("apparent_jy", "beam", "mjd", "ra_deg", "flags", "version"):
        assert both[0][exact].tolist() == both[1][exact].tolist()
    # Others to 13 bits, with what is not a number as it was.
    for near in ("apparent_error_jy", "chi_squared", "east_arcsec"):
        np.testing.assert_allclose(both[0][near], both[1][near], rtol=1.3e-4)


def test_a_disc_is_what_lies_in_it_and_few_columns_are_those(table: pyarrow.Table, tmp_path: Path) -> None:
    write_rows(tmp_path / "x.parquet", table)
    ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
    away = np.hypot((ra - 32.0) * np.cos(np.deg2rad(16.27)), dec - 16.27)
    found = read_rows(tmp_path / "x.parquet", disc(32.0, 16.27, 0.5), ["source", "mjd"])
    assert found.schema.names == ["_healpix_29", "source", "mjd"]
    names = set(found["source"].to_pylist())
    assert set(np.array(table["source"].to_pylist())[away < 0.499]) <= names
    assert not set(np.array(table["source"].to_pylist())[away > 0.56]) & names
    nowhere = read_rows(tmp_path / "x.parquet", disc(200.0, 50.0, 0.5))
    assert len(nowhere) == 0
    with pytest.raises(MissingInputError, match=r"y\.parquet: cannot be read as measurements"):
        read_rows(tmp_path / "y.parquet")


def test_files_that_do_not_change_are_the_same_files(table: pyarrow.Table, tmp_path: Path) -> None:
    build(None, tmp_path / "1", {"2026-01-30": table}, ROWS, newest="2026-01-30")
    written = build(tmp_path / "1", tmp_path / "2", {"2026-01-31": table}, ROWS, newest="2026-01-31")
    assert written == ["2026-01-31"]
    first, second = (period_files(tmp_path / name)["2026-01-30"] for name in "12")
    assert first.stat().st_ino == second.stat().st_ino
    # A day without rows has no file, and taking out the only one leaves an empty folder.
    build(tmp_path / "1", tmp_path / "3", {"2026-01-30": joined([])}, ROWS, newest="2026-01-30")
    assert period_files(tmp_path / "3") == {}


def test_tiles_put_their_months_together_on_different_days(table: pyarrow.Table, tmp_path: Path) -> None:
    build(None, tmp_path / "0", {"2026-01-30": table}, ROWS, newest="2026-01-30")
    for turn, when in ((0, "02"), (25, "27")):
        before = f"2026-02-{int(when) - 1:02d}"
        build(tmp_path / "0", tmp_path / f"{turn}a", {before: table}, ROWS, newest=before, turn=turn)
        assert list(period_files(tmp_path / f"{turn}a")) == ["2026-01-30", before]
        day = f"2026-02-{when}"
        build(tmp_path / "0", tmp_path / f"{turn}b", {day: table}, ROWS, newest=day, turn=turn)
        assert list(period_files(tmp_path / f"{turn}b")) == ["2026-01", day]
    assert holder({"2025": 1, "2026-01": 1}, "2026-01-18b") == "2026-01"
    assert holder({"2025": 1}, "2025-07-01") == "2025"
    assert holder({}, "2025-07-01") == "2025-07-01"


def test_keys_of_tiles() -> None:
    tile = int(tiles_of(nested(128.0, 16.3))[0])
    assert tile_number(tile_key(tile)) == tile
    for wrong in ("hp4-9999", "hp5-0001", "hp4-12", "2026-01-15"):
        with pytest.raises(ValueError):
            tile_number(wrong)
