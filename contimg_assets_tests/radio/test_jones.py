"""Our application of calibration tables against CASA's applycal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.caltables.jones import read_jones
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import CalibrationError, MissingInputError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.measurement_set import (
    GroupShape,
    add_data_column,
    read_column,
    read_shape,
    write_column,
)
from contimg_assets_tests.radio import subband_files

pytestmark = pytest.mark.usefixtures("casa_data")

TABLES = ("K.cal", "B.cal", "G.cal")
ORDER = (30, 4, 101, 12, 77)
#: Antennas by what is flagged of their solutions.
EDGES, ONE_FEED, ALL, ONE_CHANNEL = 4, 12, 30, 77


@dataclass(frozen=True)
class Applied:
    """A group of random visibilities, random tables, and what applycal made of them."""

    folder: Path
    shape: GroupShape
    data: NDArray[np.complex64]
    corrected: NDArray[np.complex64]
    flags: NDArray[np.bool_]


def edit(path: Path, **changes: Callable[[NDArray[Any]], None]) -> None:
    """Change columns of a table in place."""
    from casacore.tables import table

    with table(str(path), readonly=False, ack=False) as rows:
        for column, change in changes.items():
            values = rows.getcol(column)
            change(values)
            rows.putcol(column, values)


def repeat_in_time(path: Path, times_s: list[float]) -> None:
    """As many solutions as times, in place of one."""
    from casacore.tables import table

    with table(str(path), readonly=False, ack=False) as rows:
        n_rows = rows.nrows()
        columns = {name: rows.getcol(name) for name in rows.colnames() if name != "WEIGHT"}
        rows.addrows(n_rows * (len(times_s) - 1))
        for name, values in columns.items():
            for k, time_s in enumerate(times_s):
                values = np.full_like(values, time_s) if name == "TIME" else values
                rows.putcol(name, values, k * n_rows, n_rows)


@pytest.fixture(scope="module", params=[2, 4], ids=["2 products", "4 products"])
def applied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Applied:
    """CASA's result, with K, B and G solved on the noise itself and then overwritten."""
    from casatasks import applycal, bandpass, gaincal

    folder = tmp_path_factory.mktemp("jones")
    codes = (-5, -6) if request.param == 2 else (-5, -7, -8, -6)
    files = []
    for k in range(telescope.N_SUBBANDS):
        values = subband_files.contents(k, order=ORDER, n_times=6, polarisations=codes, seed=3)
        values["Header/antenna_positions"] = telescope.stations().positions
        values["Data/visdata"] += 5
        files.append(subband_files.write(folder / subband_files.file_name(k), values))
    convert(files, folder / "group.ms")
    shape = read_shape(folder / "group.ms")
    times_s = (shape.times_jd - phasing.JD_OF_MJD_0) * 86400
    shared: dict[str, Any] = {"vis": str(folder / "group.ms"), "refant": "31", "minsnr": 0, "minblperant": 1}
    gaincal(caltable=str(folder / "K.cal"), gaintype="K", solint="inf", **shared)
    bandpass(caltable=str(folder / "B.cal"), solint="inf", **shared)
    gaincal(caltable=str(folder / "G.cal"), gaintype="G", solint="inf", **shared)
    repeat_in_time(folder / "G.cal", [times_s[0], times_s[2] + 1, times_s[5]])
    rng = np.random.default_rng(8)

    def delays(values: NDArray[Any]) -> None:
        values[...] = rng.normal(0, 4, values.shape)

    def gains(values: NDArray[Any]) -> None:
        size = values.shape
        values[...] = rng.uniform(0.5, 2, size) * np.exp(1j * rng.uniform(-np.pi, np.pi, size))

    def bandpass_flags(flags: NDArray[Any]) -> None:
        flags[...] = False
        flags[EDGES, :5, 0] = flags[EDGES, 20:27, 0] = flags[EDGES, 60:, 1] = True
        flags[ONE_FEED, :, 1] = True
        flags[ALL] = True
        flags[ONE_CHANNEL, 1:, 0] = True

    def gain_flags(flags: NDArray[Any]) -> None:
        flags[...] = False
        # Of three times, one row each antenna: the second of EDGES, in one feed.
        flags[len(flags) // 3 + EDGES, 0, 1] = True

    def unflag(flags: NDArray[Any]) -> None:
        flags[...] = False

    edit(folder / "K.cal", FPARAM=delays, FLAG=unflag)
    edit(folder / "B.cal", CPARAM=gains, FLAG=bandpass_flags)
    edit(folder / "G.cal", CPARAM=gains, FLAG=gain_flags)
    clone_tree(folder / "group.ms", folder / "casa.ms")
    add_data_column(folder / "casa.ms", "CORRECTED_DATA")
    clone = read_shape(folder / "casa.ms")
    data = read_column(shape, "DATA")
    write_column(clone, "CORRECTED_DATA", data)
    applycal(
        vis=str(folder / "casa.ms"),
        gaintable=[str(folder / name) for name in TABLES],
        interp=["nearest", "nearest,linear", "nearest"],
        calwt=False,
        applymode="calflag",
        flagbackup=False,
        parang=False,
    )
    return Applied(folder, shape, data, read_column(clone, "CORRECTED_DATA"), read_column(clone, "FLAG"))


def unknown(applied: Applied, hands: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where neither a channel nor one of its neighbours has a bandpass, on either antenna."""
    from casacore.tables import table

    with table(str(applied.folder / "B.cal"), ack=False) as rows:
        good = np.zeros((len(applied.shape.antenna_names), *rows.getcol("FLAG").shape[1:]), bool)
        good[rows.getcol("ANTENNA1")] = ~rows.getcol("FLAG")
    near = good.copy()
    near[:, 1:] |= good[:, :-1]
    near[:, :-1] |= good[:, 1:]
    one, two = near[applied.shape.antenna_1], near[applied.shape.antenna_2]
    return ~(one[..., hands[:, 0]] & two[..., hands[:, 1]])


def test_applied_as_casa_applies(applied: Applied) -> None:
    """Values to 5e-6, which is CASA's own rounding of three products and of phases; flags as well,
    but for channels that have no solution near.

    Solutions at several times, bandpass channels flagged inside and at the ends, one feed and all
    of an antenna flagged, one channel left, one time of one gain flagged.
    """
    jones = read_jones([applied.folder / name for name in TABLES], applied.shape)
    far = unknown(applied, jones.hands)
    assert np.any(far & ~applied.flags[0])
    assert len(jones.inverse) == 3
    for t in range(applied.shape.n_times):
        nothing = np.zeros(applied.data[t].shape, bool)
        corrected, flags = jones.apply(t, applied.data[t], nothing)
        assert np.array_equal(flags, applied.flags[t] | far)
        used = ~flags
        error = np.abs(corrected - applied.corrected[t])[used] / np.abs(applied.corrected[t][used])
        assert error.max() < 5e-6
        assert not corrected[flags].any()
    assert 0.3 < applied.flags.mean() < 0.8
    assert np.mean(~(applied.flags | far)) > 0.2


def test_flags_of_the_data_stay(applied: Applied) -> None:
    """What was flagged stays flagged, whatever the solutions, and infinite values poison nothing."""
    jones = read_jones([applied.folder / name for name in TABLES], applied.shape)
    data = applied.data[0].copy()
    flags = np.random.default_rng(1).random(data.shape) < 0.3
    data[flags] = np.inf
    corrected, found = jones.apply(0, data, flags)
    assert np.array_equal(found, flags | applied.flags[0] | unknown(applied, jones.hands))
    assert np.all(np.isfinite(corrected[~found]))


def test_tables_that_are_not_a_set_are_refused(applied: Applied, tmp_path: Path) -> None:
    """Missing, empty, and of a type that we do not apply: each by name."""
    from casacore.tables import table

    with pytest.raises(MissingInputError, match=r"K\.cal"):
        read_jones([tmp_path / "K.cal"], applied.shape)
    with pytest.raises(CalibrationError, match="found a table of nothing"):
        read_jones([applied.folder / "group.ms"], applied.shape)
    with table(str(applied.folder / "G.cal"), ack=False) as rows:
        rows.query("ROWID() < 0").copy(str(tmp_path / "G.cal"), deep=True).close()
    with pytest.raises(CalibrationError, match="no solutions"):
        read_jones([tmp_path / "G.cal"], applied.shape)
