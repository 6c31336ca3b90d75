"""The direct writer against the reference: the same files give the same Measurement Set."""

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.conversion.convert import Writer, convert
from contimg_assets.radio.conversion.rephase import median_weights
from contimg_assets.radio.errors import ConversionError
from contimg_assets_tests.radio import subband_files

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    # pyuvdata announces what the conversion does on purpose.
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

TWO, FOUR = (-5, -6), (-5, -7, -8, -6)
#: Sub-tables and columns in which the writers may differ: who wrote, and numbers that nobody uses.
DIFFERENT = {
    "HISTORY": {"APPLICATION", "ORIGIN", "TIME", "OBSERVATION_ID", "MESSAGE"},
    "FIELD": {"SOURCE_ID"},
    "SOURCE": {"SOURCE_ID"},
}


def write_files(folder: Path, seed: int, subbands: tuple[int, ...], **options: Any) -> list[Path]:
    """A group of random visibilities, flags and samples; flags follow no pattern."""
    folder.mkdir(parents=True)
    paths = []
    for subband in subbands:
        values = subband_files.contents(subband, seed=seed, **options)
        rng = np.random.default_rng((seed, subband))
        shape = values["Data/flags"].shape
        values["Data/flags"] = rng.random(shape) < 0.2
        values["Data/nsamples"] = rng.integers(0, 97, shape).astype(np.float32)
        # The site's real positions: lengths and so phases are those of the telescope.
        values["Header/antenna_positions"] = telescope.stations().positions
        paths.append(subband_files.write(folder / subband_files.file_name(subband), values))
    return paths


def columns_of(path: str) -> dict[str, Any]:
    """All columns of a table that hold anything, and its own and their keywords."""
    from casacore.tables import table

    found: dict[str, Any] = {}
    with table(path, ack=False) as rows:
        found["rows"] = rows.nrows()
        found["keywords"] = {k: v for k, v in rows.getkeywords().items() if not str(v).startswith("Table: ")}
        for name in rows.colnames():
            defined = rows.nrows() > 0 and rows.iscelldefined(name, 0)
            found[name] = rows.getcol(name) if defined and name != "SOURCE_MODEL" else None
            found[f"{name} keywords"] = rows.getcolkeywords(name)
    return found


def relative_errors(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    return np.abs(found.astype(complex) - expected) / np.maximum(np.abs(expected), 1e-30)


GROUPS = {
    "two polarisations": {},
    "four polarisations": {"polarisations": FOUR, "declination_deg": 16.27},
    "four in AIPS order": {"polarisations": (-5, -6, -7, -8)},
    "sorted antennas": {"order": (4, 12, 30, 101)},
    "antennas in falling order": {"order": (101, 30, 12, 4), "polarisations": FOUR},
    "one integration": {"n_times": 1},
    "seven integrations": {"n_times": 7, "order": (7,)},
    "one channel": {"n_channels": 1},
    "the telescope's channels": {"n_channels": 48, "order": (99, 3, 60)},
} | {
    f"random order {seed}": {
        "order": tuple(np.random.default_rng(seed).permutation(117)[:9].tolist()),
        "polarisations": FOUR if seed % 2 else TWO,
        "declination_deg": telescope.USUAL_DECLINATIONS_DEG[seed],
    }
    for seed in range(4)
}


#: One of these for each group in turn.
MISSING = ((), (0, 7, 15), (3,))


@pytest.mark.parametrize("name", GROUPS)
def test_the_direct_writer_writes_what_the_reference_writes(name: str, tmp_path: Path) -> None:
    """Every column and keyword of every table, whatever the group's size, hands, gaps and order.

    Visibilities to 3e-6 of each: three roundings of complex64, and what two computations of the
    same delay differ by in phase (measured: 1e-6).  uvw to 1 µm.  Everything else is equal.
    """
    missing = MISSING[list(GROUPS).index(name) % len(MISSING)]
    subbands = tuple(k for k in range(telescope.N_SUBBANDS) if k not in missing)
    files = write_files(tmp_path / "in", 3 + len(missing), subbands, **GROUPS[name])
    sets: list[Path] = []
    writers: tuple[Writer, ...] = ("direct", "pyuvdata")
    for writer in writers:
        result = convert(files, tmp_path / f"{writer}.ms", writer)
        assert result["writer"] == writer
        assert result["missing_subbands"] == list(missing)
        sets.append(tmp_path / f"{writer}.ms")
    direct, reference = (columns_of(str(ms)) for ms in sets)
    data, uvw = direct.pop("DATA"), direct.pop("UVW")
    assert data.dtype == np.complex64
    assert relative_errors(data, reference.pop("DATA")).max() < 3e-6
    assert np.abs(uvw - reference.pop("UVW")).max() < 1e-6
    tables = {"": (direct, reference)}
    tables |= {
        folder.name: (columns_of(str(folder)), columns_of(str(sets[1] / folder.name)))
        for folder in sets[0].iterdir()
        if folder.is_dir()
    }
    assert {folder.name for folder in sets[1].iterdir() if folder.is_dir()} == set(tables) - {""}
    for table, (ours, theirs) in tables.items():
        for column, value in ours.items():
            if column not in DIFFERENT.get(table, set()):
                np.testing.assert_equal(value, theirs.get(column), err_msg=f"{table} {column}")


def test_flags_and_samples_follow_their_visibility(tmp_path: Path) -> None:
    """Against the file itself: the products of a baseline that is turned round, XY and YX, change places.

    |V| is what phasing leaves; 1e-5 is complex64 rounding.
    """
    from casacore.tables import table

    files = write_files(tmp_path / "in", 1, tuple(range(16)), polarisations=FOUR)
    convert(files, tmp_path / "out.ms")
    with table(str(tmp_path / "out.ms"), ack=False) as main:
        one, two = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        data, flags, weights = (main.getcol(n) for n in ("DATA", "FLAG", "WEIGHT_SPECTRUM"))
    assert np.all(one >= two)
    for place, path in enumerate(reversed(files)):
        with h5py.File(path) as file:
            first, second = (np.asarray(file[f"Header/ant_{k}_array"]) for k in (1, 2))
            read = {n: np.asarray(file[f"Data/{n}"])[:, 0, ::-1] for n in ("visdata", "flags", "nsamples")}
        turned = first < second
        assert turned.any()
        assert not turned.all()
        for values in read.values():
            values[turned] = values[turned][:, :, [0, 2, 1, 3]]
        channels = np.s_[:, place * 4 : place * 4 + 4]
        without = ~read["flags"] & (read["nsamples"] == 0)
        assert np.array_equal(flags[channels], read["flags"] | without)
        assert np.array_equal(weights[channels], read["nsamples"])
        expected = np.where(without, 0, np.abs(read["visdata"]))
        np.testing.assert_allclose(np.abs(data[channels]), expected, rtol=1e-5)


def test_row_weights_are_medians() -> None:
    """With one usual value, and without."""
    rng = np.random.default_rng(5)
    weights = rng.integers(0, 4, (200, 11, 2)).astype(np.float32)
    weights[::2] = np.where(rng.random((100, 11, 2)) < 0.7, 96, weights[::2])
    out = np.empty((200, 2), np.float32)
    median_weights(weights, out)
    assert np.array_equal(out, np.median(weights, axis=1))


def test_auto_takes_the_reference_for_what_direct_refuses(tmp_path: Path) -> None:
    """Double-precision visibilities: ``direct`` says why not, ``auto`` converts them all the same."""
    files = write_files(tmp_path / "in", 1, tuple(range(16)))
    for path in files:
        with h5py.File(path, "r+") as file:
            values = np.asarray(file["Data/visdata"]).astype(np.complex128)
            del file["Data/visdata"]
            file["Data/visdata"] = values
    with pytest.raises(ConversionError, match="complex128; expected complex64"):
        convert(files, tmp_path / "direct.ms")
    assert convert(files, tmp_path / "auto.ms", "auto")["writer"] == "pyuvdata"
    assert not (tmp_path / "direct.ms").exists()


@pytest.mark.parametrize("writer", ["direct", "pyuvdata"])
@pytest.mark.parametrize(
    ("dataset", "value", "n"),
    [("Data/visdata", np.inf, None), ("Data/nsamples", -1.0, None), ("Header/uvw_array", np.nan, 1)],
)
def test_both_writers_leave_out_the_same_bad_files(
    writer: Writer, dataset: str, value: float, n: int | None, tmp_path: Path
) -> None:
    """More than half of the values are of no use and not flagged, or an uvw is: the rest is converted."""
    files = write_files(tmp_path / "in", 1, tuple(range(16)))
    with h5py.File(files[9], "r+") as file:
        file["Data/flags"][...] = False  # type: ignore[index]
        values = np.asarray(file[dataset])
        values.reshape(-1)[-(n or values.size // 2 + 1) :] = value
        file[dataset][...] = values  # type: ignore[index]
    result = convert(files, tmp_path / "out.ms", writer)
    assert result["missing_subbands"] == [9]
    (told,) = result["refused_files"]
    assert told.startswith(files[9].name)


@pytest.mark.parametrize("writer", ["direct", "pyuvdata"])
def test_what_is_of_no_use_is_flagged_and_nothing_else(writer: Writer, tmp_path: Path) -> None:
    """The last integration is NaN in all files, as at the end of a run; other values are few.

    Of each file one value has no samples, and one is infinite.
    """
    from casacore.tables import table

    files = write_files(tmp_path / "in", 1, tuple(range(16)), n_times=4)
    n_bad = 0
    for path in files:
        with h5py.File(path, "r+") as file:
            file["Data/flags"][...] = False  # type: ignore[index]
            visibilities, samples = (np.asarray(file[f"Data/{name}"]) for name in ("visdata", "nsamples"))
            n_baselines = len(visibilities) // int(file["Header/Ntimes"][()])  # type: ignore[index]
            visibilities[-n_baselines:] = np.nan
            samples[...] = 96.0
            samples[0, 0, 0, 0] = 0.0
            visibilities[1, 0, 1, 1] = np.inf
            file["Data/visdata"][...], file["Data/nsamples"][...] = visibilities, samples  # type: ignore[index]
            n_bad += visibilities[-n_baselines:].size + 2
            n_values = visibilities.size
    result = convert(files, tmp_path / "out.ms", writer)
    assert (result["missing_subbands"], result["refused_files"]) == ([], [])
    assert result["unusable_fraction"] == pytest.approx(n_bad / (16 * n_values))
    with table(str(tmp_path / "out.ms"), ack=False) as main:
        data, flags, weights = (main.getcol(name) for name in ("DATA", "FLAG", "WEIGHT_SPECTRUM"))
    assert np.count_nonzero(flags) == n_bad
    assert np.isfinite(data).all()
    assert not data[flags].any()
    assert not weights[flags].any()
    assert (weights[~flags] > 0).all()


def test_memory_does_not_grow_with_the_integrations(tmp_path: Path) -> None:
    """Two integrations are held, however many there are: eight times longer needs no more memory.

    A fifth is for headers and uvw, which are 0.1 % of a group's bytes; the data are eight times 0.6 MB.
    """
    peaks = []
    for n_times in (4, 32):
        options = {"n_times": n_times, "n_channels": 48, "order": tuple(range(12))}
        files = write_files(tmp_path / f"in{n_times}", 1, tuple(range(12)), **options)
        tracemalloc.start()
        convert(files, tmp_path / f"{n_times}.ms")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# -- who can read it -------------------------------------------------------------------------


def _written() -> int:
    """Bytes that this process has asked the system to write."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def test_every_byte_is_written_once(tmp_path: Path) -> None:
    """No table is filled with zeros first, and no sub-table is written row after row from its beginning: that
    was 2.3 GB of the 3.7 GB that a full group's set of 1.4 GB took."""
    order = tuple(range(60))
    files = write_files(tmp_path / "in", 5, tuple(range(16)), n_times=3, n_channels=8, order=order)
    before = _written()
    convert(files, tmp_path / "out.ms", "direct")
    written = _written() - before
    size = sum(path.stat().st_size for path in (tmp_path / "out.ms").rglob("*") if path.is_file())
    # Measured: 1.09, and 1.75 before.
    assert written < 1.3 * size


def test_dask_ms_reads_the_set(tmp_path: Path) -> None:
    """Main table and every sub-table as datasets with whole columns, values as casacore has them."""
    from daskms import xds_from_ms, xds_from_table

    convert(write_files(tmp_path / "in", 1, tuple(range(14))), tmp_path / "out.ms")
    (main,) = xds_from_ms(str(tmp_path / "out.ms"), chunks={"row": 7})
    direct = columns_of(str(tmp_path / "out.ms"))
    for name in ("DATA", "FLAG", "WEIGHT_SPECTRUM", "UVW", "TIME", "ANTENNA1"):
        assert np.array_equal(main[name].data.compute(), direct[name])
    for folder in sorted(path for path in (tmp_path / "out.ms").iterdir() if path.is_dir()):
        for dataset in xds_from_table(f"{tmp_path / 'out.ms'}::{folder.name}"):
            for variable in dataset.data_vars.values():
                variable.data.compute()


def test_casa_summarises_flags_and_lists_the_set(tmp_path: Path) -> None:
    """flagdata counts as many flags as the files have, and listobs finds field, state and antennas."""
    from casatasks import flagdata, listobs

    files = write_files(tmp_path / "in", 1, tuple(range(14)))
    convert(files, tmp_path / "out.ms")
    summary = flagdata(str(tmp_path / "out.ms"), mode="summary", flagbackup=False)
    expected = columns_of(str(tmp_path / "out.ms"))["FLAG"]
    assert summary["flagged"] == np.count_nonzero(expected)
    assert summary["total"] == expected.size
    listed = listobs(str(tmp_path / "out.ms"))
    assert listed["nfields"] == 1
    assert listed["numrecords"] == len(expected)
    assert listed["scan_1"]["0"]["FieldName"] == listed["field_0"]["name"]
