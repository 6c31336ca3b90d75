"""Reading one subband file: the telescope's layout is understood, and every fault is named."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.uvh5 import check_data, file_stamp, group_key, ignore_reason, read_header
from contimg_assets_tests.radio.subband_files import ORDER, START, contents, file_name, first_time_jd, write


def test_telescope_layout_is_read(tmp_path: Path) -> None:
    """Each field of the header means what the file table says."""
    header = read_header(write(tmp_path / file_name(3), contents(3)))
    assert header.subband == 3
    assert header.group_key == "2026-01-15T03:00:00"
    assert header.times_jd.tolist() == np.unique(contents(3)["Header/time_array"]).tolist()
    assert header.n_integrations == 2
    assert header.integration_s == telescope.INTEGRATION_S
    assert header.start_mjd == pytest.approx(61055.125, abs=1e-9)
    assert (header.end_mjd - header.start_mjd) * 86400 == pytest.approx(2 * telescope.INTEGRATION_S, abs=1e-3)
    np.testing.assert_array_equal(header.frequencies_hz, telescope.subband_frequencies(3, 4))
    assert header.channel_width_hz == pytest.approx(2929687.5)
    assert header.polarisations == (-5, -6)
    assert (header.n_baselines, header.n_antennas, header.n_antennas_telescope) == (10, 4, 117)
    assert header.antennas == tuple(sorted(ORDER))
    assert header.antenna_names[:2] == ("1", "2")
    assert header.antenna_numbers[:2] == (0, 1)
    assert header.antenna_positions_m.shape == (117, 3)
    assert header.declination_deg == pytest.approx(54.57)
    assert header.telescope_name == "OVRO_MMA"
    assert header.data_dtype == np.complex64
    check_data(header.path, header)


@pytest.mark.parametrize("n_channels", [1, 4, 8, 48])
@pytest.mark.parametrize("polarisations", [(-5, -6), (-5, -7, -8, -6)])
def test_sizes_and_polarisations(tmp_path: Path, n_channels: int, polarisations: tuple[int, ...]) -> None:
    """Channel and polarisation counts are the file's own; a short last file is fine."""
    options = {"n_channels": n_channels, "polarisations": polarisations, "n_times": 1}
    header = read_header(write(tmp_path / file_name(15), contents(15, **options)))
    assert (header.n_channels, header.polarisations, header.n_integrations) == (n_channels, polarisations, 1)


def test_other_writings_of_the_same_values(tmp_path: Path) -> None:
    """Variable-length strings, (N,) and ascending frequencies, unknown fields: all understood."""
    datasets = contents(0)
    datasets |= {
        "Header/telescope_name": "OVRO_MMA",
        "Header/phase_type": "drift",
        "Header/freq_array": datasets["Header/freq_array"][0, ::-1],
        "Header/something_new": np.arange(5),
        "Header/extra_keywords/another": "text",
    }
    names = [name.decode() for name in datasets.pop("Header/antenna_names")]
    path = write(tmp_path / file_name(0), datasets)
    with h5py.File(path, "r+") as file:
        file.create_dataset("Header/antenna_names", data=names, dtype=h5py.string_dtype())
    header = read_header(path)
    assert header.telescope_name == "OVRO_MMA"
    assert header.antenna_names == tuple(names)
    assert header.frequencies_hz[0] < header.frequencies_hz[-1]


def _with(name: str, index: Any, value: Any, dtype: Any = None) -> dict[str, Any]:
    """A change of single elements of a dataset of subband 0."""
    array = np.array(contents(0)[name], dtype=dtype)
    array[index] = value
    return {name: array}


_BASELINES = 10
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no visdata": ({"Data/visdata": None}, "Data/visdata: found nothing"),
    "no times": ({"Header/time_array": None}, "Header/time_array: found nothing"),
    "no declination": ({"Header/phase_center_app_dec": None}, "phase_center_app_dec: found nothing"),
    "no counts": ({"Header/Nblts": None}, "Header/Nblts: found nothing"),
    "visdata of another shape": (
        {"Data/visdata": np.zeros((20, 1, 3, 2), np.complex64)},
        "Data/visdata shape",
    ),
    "flags of another shape": ({"Data/flags": np.zeros((19, 1, 4, 2), bool)}, "Data/flags shape"),
    "nsamples of another shape": ({"Data/nsamples": np.zeros((20, 4, 2), np.float32)}, "Data/nsamples shape"),
    "visdata not complex": ({"Data/visdata": np.zeros((20, 1, 4, 2), np.float32)}, "Data/visdata type"),
    "uvw of another shape": ({"Header/uvw_array": np.zeros((20, 2), np.float32)}, "uvw_array shape"),
    "counts that disagree": ({"Header/Ntimes": 3}, "Nblts: found 20, expected Nbls × Ntimes = 10 × 3"),
    "a negative count": ({"Header/Nbls": -10}, "Nbls: found -10, expected a positive number"),
    "a count that is text": ({"Header/Nblts": np.bytes_("20")}, "Nblts type"),
    "more channels than there are": ({"Header/Nfreqs": 385}, "Nfreqs: found 385"),
    "times too short": ({"Header/time_array": np.full(19, first_time_jd(START))}, "time_array shape"),
    "time NaN": (_with("Header/time_array", 5, np.nan), "time_array: found 1 of 20 values NaN"),
    "time of no integration": (
        _with("Header/time_array", 5, 2461055.7),
        "different times in one integration",
    ),
    "time of another age": ({"Header/time_array": np.zeros(20)}, "JD 0.0 to 0.0, expected within"),
    "times that fall": (
        {"Header/time_array": contents(0)["Header/time_array"][::-1]},
        "expected increasing times",
    ),
    "integration time NaN": (_with("Header/integration_time", 0, np.nan), "integration_time: found 1 of 20"),
    "integration times differ": (_with("Header/integration_time", 0, 1.0), "expected one length"),
    "integration time of another step": ({"Header/integration_time": np.full(20, 6.4)}, "6.400000 s"),
    "declination NaN": (
        {"Header/phase_center_app_dec": np.nan},
        "phase_center_app_dec: found 1 of 1 values NaN",
    ),
    "declination over the pole": ({"Header/phase_center_app_dec": 54.57}, "expected within ±90°"),
    "positions NaN": (_with("Header/antenna_positions", (7, 1), np.nan), "antenna_positions: found 1 of 351"),
    "an antenna far away": (
        _with("Header/antenna_positions", (7, 1), -2e4),
        "antenna_positions: found 20000 m, expected ≤ 10000 m from the site",
    ),
    "another site": ({"Header/latitude": 34.0}, "Header/latitude: found 34.0, expected 37.23"),
    "another height": ({"Header/altitude": 1e308}, "Header/altitude: found 1e+308, expected 1188.0"),
    "frequency NaN": (_with("Header/freq_array", (0, 1), np.nan), "freq_array: found 1 of 4 values NaN"),
    "frequency repeated": (
        _with("Header/freq_array", (0, 1), contents(0)["Header/freq_array"][0, 0]),
        "expected strictly rising or falling",
    ),
    "channels not uniform": (
        _with("Header/freq_array", (0, 1), contents(0)["Header/freq_array"][0, 1] + 1e5),
        "expected steps of channel_width",
    ),
    "channel width not the step": (
        {"Header/channel_width": 1e6},
        "expected steps of channel_width, 1000000.0 Hz",
    ),
    "frequencies of another subband": (
        {"Header/freq_array": telescope.subband_frequencies(5, 4)[None]},
        "those of sb05, expected 1488.511 to 1497.300 MHz, as sb00 in the name says",
    ),
    "frequencies of no subband": (
        {"Header/freq_array": contents(0)["Header/freq_array"] + 5e9},
        "of no subband",
    ),
    "frequencies of shape (N, 1)": (
        {"Header/freq_array": contents(0)["Header/freq_array"].T},
        "freq_array shape: found (4, 1), expected (1, 4) or (4,)",
    ),
    "baseline order changes": (_with("Header/ant_1_array", _BASELINES, 4), "ant_1_array: found an order"),
    "a baseline twice": (
        {"Header/ant_1_array": np.full(20, 4), "Header/ant_2_array": np.full(20, 12)},
        "baselines: found 1 different ones, expected Nbls = 10",
    ),
    "antennas without a table": (
        {"Header/antenna_numbers": np.arange(117) + 5},
        "antennas in the data: found [4], expected numbers in",
    ),
    "another antenna count": (
        {"Header/Nants_data": 5},
        "antennas in the data: found 4, expected Nants_data = 5",
    ),
    "an antenna number twice": (_with("Header/antenna_numbers", 3, 4), "antenna_numbers: found 116"),
    "an antenna name twice": (_with("Header/antenna_names", 3, b"5", "S4"), "antenna_names: found 116"),
    "no text at all": ({"Header/antenna_names": np.array([b"\xff\xfe"] * 117)}, "antenna_names"),
    "circular feeds": (
        {"Header/polarization_array": np.array([-1, -2])},
        "polarization_array: found [-1, -2]",
    ),
    "phased to a source": ({"Header/phase_type": np.bytes_("phased")}, "phase_type: found 'phased'"),
    "stopped off the meridian": (
        {"Header/extra_keywords/ha_phase_center": 0.1},
        "ha_phase_center: found 0.1 rad",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    """A fault is refused with the file's name, what was found and what was expected."""
    changes, message = FAULTS[fault]
    datasets = {name: value for name, value in (contents(0) | changes).items() if value is not None}
    path = write(tmp_path / file_name(0), datasets)
    with pytest.raises(BadSubbandFileError) as caught:
        read_header(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "found " in text
    assert ", expected " in text


def test_times_not_uniform(tmp_path: Path) -> None:
    """A gap within a file is refused: its length would not be what its count says."""
    datasets = contents(0, n_times=3)
    datasets["Header/time_array"][20:] += 5 / 86400
    with pytest.raises(BadSubbandFileError, match="expected uniform steps"):
        read_header(write(tmp_path / file_name(0), datasets))


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file(tmp_path: Path, kept: float) -> None:
    """A file cut off anywhere is refused, not crashed on."""
    path = write(tmp_path / file_name(0), contents(0))
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    with pytest.raises(BadSubbandFileError, match=r"sb00\.hdf5: .*expected a complete HDF5 file"):
        read_header(path)


def test_what_is_no_subband_file(tmp_path: Path) -> None:
    """Text, a file that is gone, a folder and a foreign name are refused in the same way."""
    text = tmp_path / file_name(0)
    text.write_text("not HDF5")
    folder = tmp_path / file_name(1)
    folder.mkdir()
    foreign = write(tmp_path / "foreign.hdf5", contents(0))
    for path in (text, folder, foreign, tmp_path / file_name(2)):
        with pytest.raises(BadSubbandFileError, match=path.name):
            read_header(path)


def test_a_damaged_shape_reserves_no_memory(tmp_path: Path) -> None:
    """A header that declares terabytes is refused before they are asked for."""
    n = 10**12
    datasets = contents(0) | {"Header/Nblts": n, "Header/Nbls": n // 2}
    huge = {"Header/time_array": "f8", "Header/uvw_array": "f4", "Data/visdata": "c8"}
    huge |= {"Data/flags": "?", "Data/nsamples": "f4"}
    path = write(tmp_path / file_name(0), {k: v for k, v in datasets.items() if k not in huge})
    with h5py.File(path, "r+") as file:
        for name, dtype in huge.items():
            tail = {"Header/time_array": (), "Header/uvw_array": (3,)}.get(name, (1, 4, 2))
            file.create_dataset(name, (n, *tail), dtype, chunks=(10, *tail))
    with pytest.raises(BadSubbandFileError, match="time_array bytes: found 8000000000000, expected ≤"):
        read_header(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("Data/visdata", np.nan), ("Data/visdata", 1j * np.inf)],
        *[("Data/nsamples", np.nan), ("Data/nsamples", -1.0), ("Data/nsamples", 0.0)],
    ],
)
def test_a_file_that_is_mostly_of_no_use_is_refused(tmp_path: Path, name: str, value: complex) -> None:
    """Half of the values may be NaN, infinite or without samples; flagged ones are nobody's concern."""
    datasets = contents(2)
    flat = datasets[name].reshape(-1)
    half = flat.size // 2
    flat[:half] = value
    path = write(tmp_path / file_name(2), datasets)
    header = read_header(path)
    check_data(path, header)
    flat[half] = value
    write(path, datasets)
    with pytest.raises(BadSubbandFileError, match=f"found {half + 1} of {flat.size} values NaN, infinite"):
        check_data(path, header)
    datasets["Data/flags"].reshape(-1)[: half + 1] = True
    check_data(path, read_header(write(path, datasets)))


def test_uvw_must_be_finite(tmp_path: Path) -> None:
    """uvw cannot be flagged, so none may be NaN."""
    path = write(tmp_path / file_name(2), contents(2) | _with("Header/uvw_array", (3, 1), np.nan))
    with pytest.raises(BadSubbandFileError, match="uvw_array: found 1 values"):
        check_data(path, read_header(path))


def test_data_of_a_file_that_changed(tmp_path: Path) -> None:
    """A file that no longer has its header's shape is refused."""
    path = write(tmp_path / file_name(2), contents(2))
    header = read_header(path)
    write(path, contents(2, n_times=3))
    with pytest.raises(BadSubbandFileError, match="Data/visdata shape"):
        check_data(path, header)


def test_data_are_read_in_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory follows the slab, not the file, and all of them count."""
    datasets = contents(2, n_times=400, n_channels=48)
    values = datasets["Data/visdata"].reshape(-1)
    values[values.size // 2 - 1 :] = np.nan
    path = write(tmp_path / file_name(2), datasets)
    header = read_header(path)
    monkeypatch.setattr("contimg_assets.radio.uvh5._SLAB_BYTES", 2**18)
    tracemalloc.start()
    with pytest.raises(BadSubbandFileError, match=f"found {values.size // 2 + 1} of"):
        check_data(path, header)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 < datasets["Data/visdata"].nbytes


@pytest.mark.parametrize(
    ("offset_s", "key"),
    [
        (0.0, "2026-01-15T03:00:00"),
        (0.49, "2026-01-15T03:00:00"),
        (0.51, "2026-01-15T03:00:01"),
        (-0.49, "2026-01-15T03:00:00"),
        (-3 * 3600 - 0.51, "2026-01-14T23:59:59"),
        (-3 * 3600 - 0.49, "2026-01-15T00:00:00"),
    ],
)
def test_group_key_is_the_nearest_second(offset_s: float, key: str) -> None:
    """The key is the first integration's start, rounded (not cut) to the second, over midnight too."""
    first = first_time_jd(START + timedelta(seconds=offset_s))
    assert group_key(first, telescope.INTEGRATION_S) == key


def test_file_stamp() -> None:
    """Name, stamp and subband; None for what is not a subband file's name."""
    stamp = datetime(2026, 1, 15, 3, 0, 7, tzinfo=UTC)
    assert file_stamp(Path("/x/2026-01-15T03:00:07_sb09.hdf5")) == (stamp, 9)
    assert file_stamp("2026-01-15T03:00:07_sb16.hdf5") is None
    assert file_stamp("2026-02-30T03:00:07_sb00.hdf5") is None
    assert file_stamp("2026-01-15T03:00:07_sb00.hdf5\n") is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2026-01-15T03:00:07_sb09.hdf5", None),
        ("2026-01-15T03:00:07_sb09_incomplete.hdf5", "still writing"),
        (".2026-01-15T03:00:07_sb09.hdf5.Xy12", "hidden"),
        ("2026-01-15T03:00:07_sb09_spl.hdf5", "spl"),
        ("2026-01-15T03:00:07_sb16.hdf5", "subband 16"),
        ("2026-13-15T03:00:07_sb01.hdf5", "no time of any calendar"),
        ("2026-01-15T03:00:07_sb1.hdf5", "not named"),
        ("２026-01-15T03:00:07_sb01.hdf5", "not named"),
        ("notes.txt", "not named"),
    ],
)
def test_ignored_names(name: str, reason: str | None) -> None:
    """Each kind of foreign name has its own reason."""
    found = ignore_reason(name)
    assert (found is None) if reason is None else (found is not None and reason in found)
