"""Looking a new Measurement Set over: refusals before it is published, and numbers afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.conversion.convert import convert, one_group
from contimg_assets.radio.conversion.validate import validate
from contimg_assets.radio.errors import ConversionError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.limits import judge
from contimg_assets.radio.measurement_set import read_column, read_shape, write_column
from contimg_assets.radio.quality.measurement_set import measurement_set_numbers
from contimg_assets_tests.radio import subband_files

pytestmark = pytest.mark.usefixtures("casa_data")

ORDER = (30, 4, 101, 12, 77)
MISSING = (3, 15)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a group of real station positions, and their Measurement Set ``group.ms``."""
    folder = tmp_path_factory.mktemp("group")
    for k in range(telescope.N_SUBBANDS):
        values = subband_files.contents(k, order=ORDER, n_times=3)
        values["Header/antenna_positions"] = telescope.stations().positions
        values["Header/uvw_array"] *= 0
        if k not in MISSING:
            subband_files.write(folder / subband_files.file_name(k), values)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    return folder


def change(ms: Path, table_name: str, column: str, edit: Callable[[NDArray[Any]], None]) -> None:
    from casacore.tables import table

    with table(f"{ms}::{table_name}" if table_name else str(ms), readonly=False, ack=False) as rows:
        values = rows.getcol(column)
        edit(values)
        rows.putcol(column, values)


def moved(values: NDArray[Any]) -> None:
    values[30, 1] += 0.06


def scrambled(values: NDArray[Any]) -> None:
    values[0, :8] = values[0, [4, 5, 6, 7, 0, 1, 2, 3]]


def shifted(values: NDArray[Any]) -> None:
    values += 0.01


def exchanged(values: NDArray[Any]) -> None:
    values[:] = np.where(values == 4, 5, values)


DAMAGE = {
    "an antenna 6 cm off": ("ANTENNA", "POSITION", moved, r"POSITION: found antenna 31 0\.060 m off"),
    "channels out of order": ("SPECTRAL_WINDOW", "CHAN_FREQ", scrambled, "channels: found steps of"),
    "the band elsewhere": ("SPECTRAL_WINDOW", "CHAN_FREQ", lambda v: v.__iadd__(1e7), "lowest channel"),
    "times 10 ms late": ("", "TIME", shifted, r"TIME: found 0\.01"),
    "another antenna": ("", "ANTENNA2", exchanged, "antennas in the data"),
    "irregular rows": ("", "TIME", lambda v: v.__setitem__(0, v[-1]), "irregular order"),
    "two scans": ("", "SCAN_NUMBER", lambda v: v.__setitem__(-1, 2), "SCAN_NUMBER"),
    "another pointing": ("POINTING", "DIRECTION", shifted, "POINTING: found declination"),
    "another phase centre": ("FIELD", "PHASE_DIR", shifted, "PHASE_DIR"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_set_is_refused_by_name(group: Path, name: str, tmp_path: Path) -> None:
    """Each fault alone, in a set that passes without it; the message says what was found and expected."""
    table, column, edit, message = DAMAGE[name]
    headers = one_group(sorted(group.glob("*.hdf5"))).headers
    clone_tree(group / "group.ms", tmp_path / "x.ms")
    result = validate(tmp_path / "x.ms", headers)
    assert result["antenna_position_error_m"] < 1e-8
    change(tmp_path / "x.ms", table, column, edit)
    with pytest.raises(ConversionError, match=message):
        validate(tmp_path / "x.ms", headers)


def test_numbers_are_those_that_were_put_in(group: Path, tmp_path: Path) -> None:
    """Fractions of flags, zeros and NaN, a dead feed, a dark subband, all counted by numpy as well."""
    ms = tmp_path / "x.ms"
    clone_tree(group / "group.ms", ms)
    shape = read_shape(ms)
    data, flags = read_column(shape, "DATA"), read_column(shape, "FLAG").astype(bool)
    auto = {int(a): b for b, a in enumerate(shape.antenna_1) if not shape.cross[b]}
    data[:, ~shape.cross] = 1000.0
    # The feed Y of antenna "5" (id 4); a recorder of subband 7 that wrote nothing but rounding.
    data[:, auto[4], :, 1] = 10.0
    n = shape.n_channels // telescope.N_SUBBANDS
    dark = slice((15 - 7) * n, (16 - 7) * n)
    data[:, :, dark] *= 1e-3
    flags[0, 2] = True
    data[1, 3, 8:20, 0] = 0
    data[2, 7, 30, 1] = np.nan
    write_column(shape, "DATA", data)
    write_column(shape, "FLAG", flags)
    numbers = measurement_set_numbers(ms, tmp_path)
    cross = shape.cross
    used = ~flags[:, cross]
    size = used.size
    assert numbers["flagged_fraction"] == np.count_nonzero(~used) / size
    assert numbers["zero_fraction"] == np.count_nonzero((data[:, cross] == 0) & used) / size
    assert numbers["not_finite_fraction"] == np.count_nonzero(~np.isfinite(data[:, cross]) & used) / size
    assert numbers["not_finite_fraction"] > 0
    assert numbers["dead_antennas"] == ["5"]
    assert numbers["n_dark_subbands"] == 1
    assert [k for k, level in enumerate(numbers["amplitude_by_subband"]) if level is None] == list(MISSING)
    levels = numbers["autocorrelation_by_antenna"]
    assert levels["5"] == pytest.approx(0.01)
    assert levels["13"] == pytest.approx(1.0)
    assert (tmp_path / "thumbnail.png").stat().st_size > 1000


def test_a_good_set_passes_every_limit(group: Path, tmp_path: Path) -> None:
    """Nothing to warn of in what conversion makes, and every limit has its number."""
    numbers = measurement_set_numbers(group / "group.ms", tmp_path)
    assert numbers["n_scans"] == 1
    assert numbers["n_baselines"] == len(ORDER) * (len(ORDER) - 1) // 2
    judged = judge("measurement_set_qa", numbers)
    assert {found.metric: found.status for found in judged if found.value is None} == {}
    assert {found.metric: found.status for found in judged if found.status != "PASS"} == {}


def test_wrong_uvw_are_seen(group: Path, tmp_path: Path) -> None:
    """All uvw longer by 1e-4, and all turned by 10″: one shows in the lengths, both against measures."""
    for turn, scale, in_length in ((0.0, 1.0001, True), (np.deg2rad(10 / 3600), 1.0, False)):
        ms = tmp_path / f"{in_length}.ms"
        clone_tree(group / "group.ms", ms)
        rotation = np.array([[1, turn, 0], [-turn, 1, 0], [0, 0, 1]]) * scale

        def edit(values: NDArray[Any], rotation: NDArray[np.float64] = rotation) -> None:
            values[:] = values @ rotation.T

        change(ms, "", "UVW", edit)
        numbers = measurement_set_numbers(ms, tmp_path)
        assert (numbers["baseline_length_error_mm"] > 20) == in_length
        assert numbers["uvw_error_mm"] > 20
