"""Subbands whose antennas are not all those of their group: what is shared is used, bit for bit."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import ConversionError
from contimg_assets.radio.grouping import find_groups
from contimg_assets.radio.measurement_set import read_shape
from contimg_assets.simulation.presets import PRESETS
from contimg_assets_tests.radio.test_conversion import small_group

pytestmark = pytest.mark.usefixtures("casa_data")
PRESET = PRESETS["tiny"]


def leave_out(path: Path, antenna: int) -> None:
    """Write a file as the correlator writes it without an antenna."""
    with h5py.File(path, "r+") as file:
        ends = [np.asarray(file[f"Header/ant_{n}_array"]) for n in (1, 2)]
        kept = (ends[0] != antenna) & (ends[1] != antenna)
        for name in ("ant_1_array", "ant_2_array", "time_array", "integration_time", "uvw_array"):
            values = np.asarray(file[f"Header/{name}"])[kept]
            del file[f"Header/{name}"]
            file[f"Header/{name}"] = values
        for name in ("visdata", "flags", "nsamples"):
            values = np.asarray(file[f"Data/{name}"])[kept]
            del file[f"Data/{name}"]
            file[f"Data/{name}"] = values
        n_times = int(np.asarray(file["Header/Ntimes"]))
        for name, value in {
            "Nblts": kept.sum(),
            "Nbls": kept.sum() // n_times,
            "Nants_data": int(np.asarray(file["Header/Nants_data"])) - 1,
        }.items():
            file[f"Header/{name}"][...] = value  # type: ignore[index]


def columns(ms: Path) -> dict[str, NDArray]:
    from casacore.tables import table

    with table(str(ms), ack=False) as main:
        names = ("DATA", "FLAG", "WEIGHT_SPECTRUM", "UVW", "ANTENNA1", "ANTENNA2")
        return {name: main.getcol(name) for name in names}


def of_subband(files: list[Path], subband: int) -> Path:
    (path,) = [path for path in files if path.name.endswith(f"_sb{subband:02d}.hdf5")]
    return path


def test_a_subband_without_a_dish_keeps_its_other_baselines(tmp_path: Path) -> None:
    """The lowest file of the group lacks an antenna: its baselines are flagged in that subband, no more."""
    files = small_group(tmp_path / "in", PRESET)
    convert(files, tmp_path / "whole.ms")
    antenna = int(PRESET.antennas[5])
    leave_out(of_subband(files, 0), antenna)
    (group,) = find_groups(tmp_path / "in")
    assert group.status == "complete"
    result = convert(files, tmp_path / "cut.ms")
    name = read_shape(tmp_path / "cut.ms").antenna_names[antenna]
    assert result["other_antennas"] == [f"sb00 lacks antenna {name}"]
    assert result["n_antennas"] == len(PRESET.stations)
    before, now = columns(tmp_path / "whole.ms"), columns(tmp_path / "cut.ms")
    # Subband 0 is the highest.
    there = np.zeros_like(before["FLAG"])
    rows = (before["ANTENNA1"] == antenna) | (before["ANTENNA2"] == antenna)
    there[np.flatnonzero(rows), -PRESET.n_channels :] = True
    assert now["FLAG"][there].all()
    assert not now["DATA"][there].any()
    for column in ("DATA", "FLAG", "WEIGHT_SPECTRUM"):
        assert np.array_equal(now[column][~there], before[column][~there]), column
    for column in ("UVW", "ANTENNA1", "ANTENNA2"):
        assert np.array_equal(now[column], before[column]), column


def test_a_dish_that_only_one_subband_has_is_left_out(tmp_path: Path) -> None:
    """Fifteen files lack an antenna: the group is without it, and so is its sixteenth file."""
    files = small_group(tmp_path / "in", PRESET)
    convert(files, tmp_path / "whole.ms")
    antenna = int(PRESET.antennas[5])
    for subband in range(1, 16):
        leave_out(of_subband(files, subband), antenna)
    result = convert(files, tmp_path / "cut.ms")
    assert result["n_antennas"] == len(PRESET.stations) - 1
    assert [told.split()[:3] for told in result["other_antennas"]] == [["sb00", "has", "besides"]]
    before, now = columns(tmp_path / "whole.ms"), columns(tmp_path / "cut.ms")
    rows = (before["ANTENNA1"] != antenna) & (before["ANTENNA2"] != antenna)
    for column, values in now.items():
        assert np.array_equal(values, before[column][rows]), column


def test_the_reference_writer_says_what_it_does_not_take(tmp_path: Path) -> None:
    files = small_group(tmp_path / "in", PRESET)
    leave_out(of_subband(files, 3), int(PRESET.antennas[5]))
    with pytest.raises(ConversionError, match=r"_sb03\.hdf5: antennas: found 23, lacking numbers \[17\]"):
        convert(files, tmp_path / "cut.ms", writer="pyuvdata")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
