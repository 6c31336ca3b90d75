"""Reading our Measurement Sets: their regular shape, their geometry, their columns.

A group's MS is regular: integrations in order of time, each with the same
baselines in the same order.  Belongs here: that shape and what hangs on it.
Does not belong here: writing one (``conversion/``).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.errors import ConversionError, MissingInputError

#: Keyword of the main table with the array's beam; without it, it is the assumed one.
_BEAM = "CONTIMG_BEAM"
#: Rows read at once, bytes of one column.
_SLAB_BYTES = 64 * 2**20


@dataclass(frozen=True)
class GroupShape:
    """Axes of a group's Measurement Set."""

    path: Path
    times_jd: NDArray[np.float64]
    """Centres of the integrations, UTC, shape (n_times,)."""
    integration_s: float
    antenna_1: NDArray[np.int32]
    """Shape (n_baselines,), zero-based ids."""
    antenna_2: NDArray[np.int32]
    antenna_names: tuple[str, ...]
    """Names of all rows of the ANTENNA table; index = id."""
    antenna_positions: NDArray[np.float64]
    """ECEF, shape (n_antennas_telescope, 3), m."""
    frequencies_hz: NDArray[np.float64]
    channel_width_hz: float
    n_polarisations: int
    centre: tuple[float, float]
    """ICRS phase centre, rad."""
    declination_rad: float
    """Apparent declination of the pointing, from POINTING."""
    beam: Beam = ASSUMED
    """The array's, as the calibration says that was applied; the assumed one where none was."""

    @property
    def n_times(self) -> int:
        """Integrations."""
        return len(self.times_jd)

    @property
    def n_baselines(self) -> int:
        """Baselines, autocorrelations included."""
        return len(self.antenna_1)

    @property
    def n_channels(self) -> int:
        """Channels."""
        return len(self.frequencies_hz)

    @property
    def cross(self) -> NDArray[np.bool_]:
        """True for the baselines that are not autocorrelations."""
        return self.antenna_1 != self.antenna_2

    @property
    def antennas(self) -> NDArray[np.int64]:
        """Ids of the antennas that have data, ascending."""
        return np.unique(np.concatenate([self.antenna_1, self.antenna_2])).astype(np.int64)

    @property
    def data_shape(self) -> tuple[int, int, int, int]:
        """(n_times, n_baselines, n_channels, n_polarisations)."""
        return self.n_times, self.n_baselines, self.n_channels, self.n_polarisations

    def axes(self) -> NDArray[np.float64]:
        """u, v, w unit vectors of each integration, meridian frame, shape (n_times, 3, 3)."""
        return phasing.uvw_axes(self.times_jd, *self.centre)


def read_shape(ms: Path) -> GroupShape:
    """Read the axes of a Measurement Set and hold it to the regular shape.

    Raises
    ------
    MissingInputError
        If there is no Measurement Set.
    ConversionError
        If its rows are not integrations of the same baselines.
    """
    from casacore.tables import table

    if not (ms / "table.dat").exists():
        raise MissingInputError(f"{ms}: found no Measurement Set; expected one")
    with table(str(ms), ack=False) as main:
        times, index, counts = np.unique(main.getcol("TIME"), return_index=True, return_counts=True)
        one, two = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        n_baselines = int(counts[0])
        regular = np.all(counts == n_baselines) and np.all(index == n_baselines * np.arange(len(times)))
        if regular:
            grid_one, grid_two = one.reshape(-1, n_baselines), two.reshape(-1, n_baselines)
            regular = bool(np.all(grid_one == grid_one[0]) and np.all(grid_two == grid_two[0]))
        if not regular:
            raise ConversionError(
                f"{ms}: found {len(one)} rows of {len(times)} times in irregular order; "
                "expected integrations in order of time, each with the same baselines"
            )
        interval = float(main.getcell("INTERVAL", 0))
        n_polarisations = main.getcell("DATA", 0).shape[1]
        told = main.getkeyword(_BEAM) if _BEAM in main.keywordnames() else None
    with table(f"{ms}::ANTENNA", ack=False) as antennas:
        names, positions = tuple(antennas.getcol("NAME")), antennas.getcol("POSITION")
    with table(f"{ms}::SPECTRAL_WINDOW", ack=False) as window:
        frequencies, width = window.getcell("CHAN_FREQ", 0), float(window.getcell("CHAN_WIDTH", 0)[0])
    with table(f"{ms}::FIELD", ack=False) as field:
        centre = field.getcell("PHASE_DIR", 0)[0]
    with table(f"{ms}::POINTING", ack=False) as pointing:
        azimuth, elevation = pointing.getcell("DIRECTION", 0)[0]
    return GroupShape(
        path=ms,
        times_jd=times / 86400.0 + phasing.JD_OF_MJD_0,
        integration_s=interval,
        antenna_1=one[:n_baselines],
        antenna_2=two[:n_baselines],
        antenna_names=names,
        antenna_positions=positions,
        frequencies_hz=frequencies,
        channel_width_hz=width,
        n_polarisations=n_polarisations,
        centre=(float(centre[0]), float(centre[1])),
        declination_rad=phasing.declination_of_elevation(azimuth, elevation),
        beam=ASSUMED if told is None else Beam.from_json(json.loads(told)),
    )


def write_beam(ms: Path, beam: Beam) -> None:
    """Say in a Measurement Set that is being built through which beam it was seen."""
    from casacore.tables import table

    with table(str(ms), readonly=False, ack=False) as main:
        main.putkeyword(_BEAM, json.dumps(beam.as_json()))


def read_column(shape: GroupShape, column: str) -> NDArray[Any]:
    """Read a data-shaped column whole, in slabs.

    Returns
    -------
    ndarray, shape ``shape.data_shape``
    """
    from casacore.tables import table

    n_rows = shape.n_times * shape.n_baselines
    with table(str(shape.path), ack=False) as main:
        first = main.getcell(column, 0)
        out = np.empty((n_rows, *first.shape), first.dtype)
        step = max(1, _SLAB_BYTES // max(1, first.nbytes))
        for start in range(0, n_rows, step):
            n = min(step, n_rows - start)
            main.getcolnp(column, out[start : start + n], start, n)
    return out.reshape(shape.data_shape)


def write_column(shape: GroupShape, column: str, values: NDArray[Any]) -> None:
    """Write a data-shaped column whole, in slabs, into an MS that is being built."""
    from casacore.tables import table

    flat = values.reshape(-1, *values.shape[2:])
    step = max(1, _SLAB_BYTES // max(1, flat[0].nbytes))
    with table(str(shape.path), readonly=False, ack=False) as main:
        for start in range(0, len(flat), step):
            main.putcol(column, flat[start : start + step], start, min(step, len(flat) - start))


def add_data_column(ms: Path, column: str) -> None:
    """Add a complex column like DATA, with the same tiles, to an MS that is being built.

    ``addImagingColumns`` leaves its cells without an array, on which CASA's
    applycal fails; a column added here is written whole by its maker.
    """
    from casacore.tables import table

    with table(str(ms), readonly=False, ack=False) as main:
        if column not in main.colnames():
            add_column_like_data(main, column)


def add_column_like_data(main: Any, column: str) -> None:
    """The same with an open table.

    Whoever writes the column before the table is closed saves that its tiles
    are filled with zeros first.
    """
    from casacore.tables import maketabdesc

    description = main.getcoldesc("DATA")
    description["comment"] = column
    managers = main.getdminfo("DATA")
    managers["NAME"] = f"Tiled{column}"
    main.addcols(maketabdesc([{"name": column, "desc": description}]), managers)
