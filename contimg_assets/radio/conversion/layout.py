"""The tables of a new Measurement Set: columns, storage managers, sub-tables.

Belongs here: what a set looks like before any visibility is in it.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope

#: Bytes of a tile of a column.  A tile holds whole rows (all channels and polarisations), so
#: that readers of rows and of integrations read what they want and little else.
_TILE_BYTES = 512 * 2**10
#: Codes of polarisation products in Measurement Sets, by AIPS code.
CORRELATION_TYPES = {-5: 9, -7: 10, -8: 11, -6: 12}
#: Receptors of each hand of a correlation type.
_RECEPTORS = {9: (0, 0), 10: (0, 1), 11: (1, 0), 12: (1, 1)}
#: Columns that hold one value over many rows.
_CONSTANT = (
    *("ARRAY_ID", "DATA_DESC_ID", "EXPOSURE", "FEED1", "FEED2", "FIELD_ID", "FLAG_ROW", "INTERVAL"),
    *("OBSERVATION_ID", "PROCESSOR_ID", "SCAN_NUMBER", "STATE_ID", "TIME", "TIME_CENTROID"),
)
#: Code of topocentric frequencies.
_TOPOCENTRIC = 5
_MJD_OF_UNIX_0 = 40587


@dataclass(frozen=True)
class Layout:
    """What all rows of the new set share."""

    times_s: NDArray[np.float64]
    """Centres of the integrations, MJD seconds UTC."""
    integration_s: float
    site: NDArray[np.float64]
    """Reference point of the array, ECEF, m, shape (3,)."""
    antenna_names: tuple[str, ...]
    antenna_positions: NDArray[np.float64]
    """ECEF, m, shape (n_antennas_telescope, 3)."""
    dish_diameters: NDArray[np.float64]
    """m, shape (n_antennas_telescope,)."""
    frequencies_hz: NDArray[np.float64]
    """Ascending."""
    channel_width_hz: float
    correlation_types: tuple[int, ...]
    centre: tuple[float, float]
    """ICRS, rad."""
    history: str


#: Tiles of an integration (57 MB of DATA for 96 antennas) stay in memory until they are full: a smaller cache
#: writes them half full and reads them again.
_CACHE_BYTES = 2**27
#: Rows of WEIGHT_SPECTRUM in a bucket, if they all differ.
_WEIGHT_ROWS = 64


@contextmanager
def create(
    ms: Path, layout: Layout, antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64]
) -> Iterator[Any]:
    """Make the set with all of its sub-tables.

    To be filled in: UVW, DATA, FLAG, WEIGHT_SPECTRUM, WEIGHT, SIGMA, integration after integration, the rows
    of each added just before.  Rows that were there before, all at once, would be written as zeros, read
    again and written a second time.

    Parameters
    ----------
    ms : Path
    layout : Layout
    antenna_1, antenna_2 : ndarray, shape (n_baselines,)
        Ids.

    Yields
    ------
    casacore.tables.table
        The main table, writable, without rows; its other columns are filled when the caller is done.
    """
    from casacore import tables

    n_channels, n_polarisations = len(layout.frequencies_hz), len(layout.correlation_types)
    description = tables.required_ms_desc("MAIN")
    for name, kind, comment in (
        ("DATA", "complex", "The data column"),
        ("WEIGHT_SPECTRUM", "float", "Weight for each data point"),
    ):
        column = tables.makearrcoldesc(name, 0.0, valuetype=kind, ndim=2, comment=comment)
        description.update(tables.maketabdesc(column))
    managers: dict[str, Any] = {}

    def manage(kind: str, name: str, columns: list[str], **spec: Any) -> None:
        managers[f"*{len(managers) + 1}"] = {"TYPE": kind, "NAME": name, "COLUMNS": columns, "SPEC": spec}

    spectrum, hands = [n_channels, n_polarisations], [n_polarisations]
    for name, cell, bits in (
        ("DATA", spectrum, 64),
        ("WEIGHT_SPECTRUM", spectrum, 32),
        ("FLAG", spectrum, 1),
        ("WEIGHT", hands, 32),
        ("SIGMA", hands, 32),
        ("UVW", [3], 64),
    ):
        # Fixed shape, stored directly.
        description[name].update(shape=np.array(cell, np.int32), ndim=len(cell), option=5)
        if name == "WEIGHT_SPECTRUM":
            # A row that is like the one before takes no room: samples are hardly ever lost.
            manage("IncrementalStMan", name, [name], BUCKETSIZE=_WEIGHT_ROWS * bits // 8 * int(np.prod(cell)))
            continue
        n_rows = max(1, 8 * _TILE_BYTES // (bits * int(np.prod(cell))))
        tile = np.array([*reversed(cell), n_rows], np.int32)
        manage("TiledColumnStMan", f"Tiled{name}", [name], DEFAULTTILESHAPE=tile)
    description["FLAG_CATEGORY"]["keywords"] = {"CATEGORY": np.array([""])}
    manage("TiledShapeStMan", "TiledFlagCategory", ["FLAG_CATEGORY"], DEFAULTTILESHAPE=np.ones(4, np.int32))
    for name in _CONSTANT:
        manage("IncrementalStMan", name, [name])
    manage("StandardStMan", "Antennas", ["ANTENNA1", "ANTENNA2"])
    with tables.default_ms(str(ms), description, managers) as main:
        main.putcolkeyword("DATA", "QuantumUnits", "uncalib")
        # pyuvdata's note on which antenna comes first: uvw are antenna 2 less antenna 1.
        main.putkeyword("pyuvdata_flip_conj", False)
        _instrument(ms, layout)
        _sky(ms, layout)
        _course(ms, layout)
        for name in ("DATA", "FLAG"):
            main.setmaxcachesize(name, _CACHE_BYTES)
        yield main
        _fill_rows(main, layout, antenna_1, antenna_2)


def _fill_rows(main: Any, layout: Layout, antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64]) -> None:
    """Columns that hold one value a row, or one of few."""
    n_times, n_baselines = len(layout.times_s), len(antenna_1)
    main.putcol("ANTENNA1", np.tile(antenna_1.astype(np.int32), n_times))
    main.putcol("ANTENNA2", np.tile(antenna_2.astype(np.int32), n_times))
    times = np.repeat(layout.times_s, n_baselines)
    lengths = np.full(len(times), layout.integration_s)
    for name, values in (("TIME", times), ("INTERVAL", lengths)):
        main.putcol(name, values)
    for name, values in (("TIME_CENTROID", times), ("EXPOSURE", lengths)):
        main.putcol(name, values)
    main.putcol("SCAN_NUMBER", np.ones(len(times), np.int32))


def _fill(ms: Path, name: str, n_rows: int, **columns: Any) -> None:
    """Append rows to a sub-table; single values are repeated."""
    from casacore.tables import table

    with table(f"{ms}::{name}", readonly=False, ack=False) as rows:
        rows.addrows(n_rows)
        for column, value in columns.items():
            if isinstance(value, list | dict | np.ndarray):
                rows.putcol(column, value)
            else:
                rows.putcol(column, [value] * n_rows if isinstance(value, str) else np.repeat(value, n_rows))


def _instrument(ms: Path, layout: Layout) -> None:
    from casacore.tables import table

    n_antennas = len(layout.antenna_names)
    names = list(layout.antenna_names)
    middle_s = float(np.mean(layout.times_s[[0, -1]]))
    _fill(
        ms,
        "ANTENNA",
        n_antennas,
        NAME=names,
        STATION=names,
        MOUNT="alt-az",
        POSITION=layout.antenna_positions,
        OFFSET=np.zeros((n_antennas, 3)),
        DISH_DIAMETER=layout.dish_diameters,
    )
    _fill(
        ms,
        "FEED",
        n_antennas,
        ANTENNA_ID=np.arange(n_antennas, dtype=np.int32),
        NUM_RECEPTORS=np.int32(2),
        BEAM_ID=np.int32(-1),
        INTERVAL=np.finfo(float).max,
        TIME=middle_s,
        POSITION=np.zeros((n_antennas, 3)),
        BEAM_OFFSET=np.zeros((n_antennas, 2, 2)),
        RECEPTOR_ANGLE=np.zeros((n_antennas, 2)),
        POLARIZATION_TYPE={"shape": [n_antennas, 2], "array": ["X", "Y"] * n_antennas},
    )
    with table(f"{ms}::FEED", readonly=False, ack=False) as feed:
        # To pyuvdata: the feeds are nominal, not measured.
        feed.putkeyword("pyuvdata_has_feed", False)
    receptors = np.array([[_RECEPTORS[code] for code in layout.correlation_types]], np.int32)
    _fill(
        ms,
        "POLARIZATION",
        1,
        NUM_CORR=np.int32(len(layout.correlation_types)),
        CORR_TYPE=np.array([layout.correlation_types], np.int32),
        CORR_PRODUCT=receptors,
    )
    widths = np.full((1, len(layout.frequencies_hz)), layout.channel_width_hz)
    _fill(
        ms,
        "SPECTRAL_WINDOW",
        1,
        NAME="SPW0",
        NUM_CHAN=np.int32(len(layout.frequencies_hz)),
        CHAN_FREQ=layout.frequencies_hz[None],
        CHAN_WIDTH=widths,
        EFFECTIVE_BW=widths,
        RESOLUTION=widths,
        REF_FREQUENCY=layout.frequencies_hz[0],
        TOTAL_BANDWIDTH=widths.sum(),
        MEAS_FREQ_REF=np.int32(_TOPOCENTRIC),
    )
    _fill(ms, "DATA_DESCRIPTION", 1)


def _sky(ms: Path, layout: Layout) -> None:
    """FIELD and SOURCE."""
    from casacore import tables

    middle_s = float(np.mean(layout.times_s[[0, -1]]))
    name = phasing.centre_name(*layout.centre)
    centre = np.array(layout.centre)
    directions = dict.fromkeys(("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"), centre[None, None])
    with tables.table(f"{ms}::FIELD", readonly=False, ack=False) as field:
        for column in directions:
            keywords = field.getcolkeywords(column)
            keywords["MEASINFO"] = {"type": "direction", "Ref": "ICRS"}
            field.putcolkeywords(column, keywords)
    _fill(ms, "FIELD", 1, NAME=name, SOURCE_ID=np.int32(0), TIME=middle_s, **directions)
    description = tables.complete_ms_desc("SOURCE")
    # Columns that say nothing about a field of the sky stay out.
    for column in ("POSITION", "PULSAR_ID", "REST_FREQUENCY", "SOURCE_MODEL", "SYSVEL", "TRANSITION"):
        del description[column]
    with (
        tables.default_ms_subtable("SOURCE", f"{ms}/SOURCE", description) as source,
        tables.table(str(ms), readonly=False, ack=False) as main,
    ):
        main.putkeyword("SOURCE", f"Table: {source.name()}")
    _fill(
        ms,
        "SOURCE",
        1,
        NAME=name,
        SOURCE_ID=np.int32(0),
        SPECTRAL_WINDOW_ID=np.int32(-1),
        TIME=middle_s,
        INTERVAL=np.finfo(float).max,
        DIRECTION=centre[None],
        PROPER_MOTION=np.zeros((1, 2)),
    )


def _course(ms: Path, layout: Layout) -> None:
    """POINTING, OBSERVATION and HISTORY: what the telescope did, and what was done to its data."""
    from casacore import tables

    n_antennas, n_times = len(layout.antenna_names), len(layout.times_s)
    times = np.repeat(layout.times_s, n_antennas)
    description = tables.required_ms_desc("POINTING")
    for name in ("DIRECTION", "TARGET"):
        # Of fixed shape: a cell of any shape is written with all that came before it, 0.9 GB for 96 antennas.
        description[name].update(shape=np.array([1, 2], np.int32), ndim=2, option=5)
    shutil.rmtree(ms / "POINTING")
    tables.default_ms_subtable("POINTING", f"{ms}/POINTING", description).close()
    _fill(
        ms,
        "POINTING",
        n_times * n_antennas,
        ANTENNA_ID=np.tile(np.arange(n_antennas, dtype=np.int32), n_times),
        TIME=times,
        TIME_ORIGIN=times,
        INTERVAL=layout.integration_s,
        DIRECTION=np.zeros((len(times), 1, 2)),
        TARGET=np.zeros((len(times), 1, 2)),
    )
    with tables.table(f"{ms}::OBSERVATION", readonly=False, ack=False) as observation:
        # pyuvdata's own column: without it, it asks the network where the telescope is.
        place = tables.makearrcoldesc("TELESCOPE_LOCATION", 0.0, shape=[3], valuetype="double")
        observation.addcols(tables.maketabdesc(place))
    _fill(
        ms,
        "OBSERVATION",
        1,
        TELESCOPE_NAME=telescope.TELESCOPE_NAME,
        TELESCOPE_LOCATION=layout.site[None],
    )
    _fill(
        ms,
        "HISTORY",
        1,
        TIME=time.time() + _MJD_OF_UNIX_0 * 86400.0,
        APPLICATION="contimg",
        ORIGIN="contimg convert",
        PRIORITY="INFO",
        OBSERVATION_ID=np.int32(0),
        MESSAGE=layout.history,
        APP_PARAMS={"shape": [1, 1], "array": [""]},
        CLI_COMMAND={"shape": [1, 1], "array": [""]},
    )
