"""The conversion by streaming: integration by integration, from all files into one set.

The files hold one integration in a piece, and so does the Measurement Set.  A
thread reads and re-phases an integration while the one before is written, so
two integrations are in memory, however many there are.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.conversion.layout import CORRELATION_TYPES, Layout, create
from contimg_assets.radio.conversion.rephase import median_weights, rephase
from contimg_assets.radio.conversion.shared_rows import SharedRows, shared_rows
from contimg_assets.radio.group_members import usual_header
from contimg_assets.radio.hdf5 import Hdf5Reader, library_errors, open_hdf5
from contimg_assets.radio.prefetch import prefetch
from contimg_assets.radio.uvh5 import SubbandHeader, refuse_unusable


def refusal(headers: dict[int, SubbandHeader]) -> str | None:
    """Why this writer does not take a group; None if it does.

    It takes what the telescope writes: single-precision visibilities, both
    parallel hands or all four products, antennas numbered from zero.
    """
    for header in headers.values():
        if header.data_dtype != np.complex64:
            return f"{header.path}: found visibilities of type {header.data_dtype}; expected complex64"
        if header.antenna_numbers != tuple(range(header.n_antennas_telescope)):
            return f"{header.path}: found antenna numbers that do not count from 0; expected 0, 1, 2, …"
        if not {-5, -6} <= set(header.polarisations) or header.n_polarisations == 3:
            return f"{header.path}: found polarisations {header.polarisations}; expected XX, YY or all four"
    return None


@dataclass(frozen=True)
class _Baselines:
    """Baselines in the order of the files, with the higher antenna first.

    pyuvdata and CASA want one order throughout; with this one uvw are antenna 2
    less antenna 1, and the sign of phases is that of the files.
    """

    antenna_1: NDArray[np.int64]
    antenna_2: NDArray[np.int64]
    conjugated: NDArray[np.bool_]
    """Those that the files name the other way round."""
    vectors_m: NDArray[np.float64]
    """antenna 2 less antenna 1, meridian frame, shape (n_baselines, 3)."""


@dataclass(frozen=True)
class _Block:
    """One integration of the new set, shape (n_baselines, n_band, n_polarisations)."""

    data: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    weights: NDArray[np.float32]
    row_weights: NDArray[np.float32]
    """Medians over the band, shape (n_baselines, n_polarisations)."""


@dataclass(frozen=True)
class _Subband:
    """One open file."""

    header: SubbandHeader
    reader: Hdf5Reader
    visibilities: h5py.Dataset
    flags: h5py.Dataset
    samples: h5py.Dataset
    shared: SharedRows | None
    """Where its antennas are not all the group's."""


def convert_group(
    headers: dict[int, SubbandHeader], out: Path, centre: tuple[float, float], history: str
) -> float:
    """Write a group as a Measurement Set.

    Parameters
    ----------
    headers : dict of int to SubbandHeader
        By subband number.
    out : Path
        The Measurement Set to make.
    centre : tuple of float
        ICRS phase centre, rad.
    history : str
        A line for the HISTORY table.

    Returns
    -------
    float
        Part of the files' values that is of no use and was not flagged: it is now.

    Raises
    ------
    BadSubbandFileError
        If too much of a file is of no use (:func:`uvh5.refuse_unusable`), or it cannot be read.
    """
    template = usual_header(headers.values())
    with ExitStack() as stack:
        usual = stack.enter_context(open_hdf5(template.path))
        pairs = _pairs(template, usual)
        files = [stack.enter_context(_open(header, pairs)) for header in headers.values()]
        baselines = _baselines(template, pairs)
        layout = _layout(template, usual, _band(headers), centre, history)
        main = stack.enter_context(create(out, layout, baselines.antenna_1, baselines.antenna_2))
        axes = phasing.uvw_axes(template.times_jd, *centre)
        uvw = np.einsum("tij,bj->tbi", axes, baselines.vectors_m)
        # The files are phased to the meridian at the pointing's declination.
        meridian = phasing.pointing_vector(np.deg2rad(template.declination_deg))
        path_m = uvw[..., 2] - baselines.vectors_m @ meridian
        delays_s = np.where(baselines.conjugated, -path_m, path_m) / SPEED_OF_LIGHT
        return _stream(main, template, files, baselines.conjugated, delays_s, uvw)


@contextmanager
def _open(header: SubbandHeader, usual: NDArray[np.int64]) -> Iterator[_Subband]:
    n_rows = header.n_baselines * header.n_integrations
    shape = (n_rows, 1, header.n_channels, header.n_polarisations)
    with open_hdf5(header.path) as reader:
        uvw = reader.array("Header/uvw_array", "f", (n_rows, 3))
        reader.need(np.isfinite(uvw).all(), "Header/uvw_array", "NaN or infinite values", "finite values")
        yield _Subband(
            header,
            reader,
            reader.dataset("Data/visdata", "c", (shape,)),
            reader.dataset("Data/flags", "b", (shape,)),
            reader.dataset("Data/nsamples", "f", (shape,)),
            shared_rows(header, _pairs(header, reader), usual),
        )


def _pairs(header: SubbandHeader, reader: Hdf5Reader) -> NDArray[np.int64]:
    """Antennas of a file's baselines, in its order, shape (n_baselines, 2)."""
    n_rows = header.n_baselines * header.n_integrations
    ends = [
        reader.array(f"Header/{name}", "iu", (n_rows,))[: header.n_baselines].astype(np.int64)
        for name in ("ant_1_array", "ant_2_array")
    ]
    return np.stack(ends, axis=1)


def _baselines(header: SubbandHeader, pairs: NDArray[np.int64]) -> _Baselines:
    first, second = pairs.T
    antenna_1, antenna_2 = np.maximum(first, second), np.minimum(first, second)
    positions = phasing.to_meridian_frame(header.antenna_positions_m)
    return _Baselines(antenna_1, antenna_2, first < second, positions[antenna_2] - positions[antenna_1])


def _band(headers: dict[int, SubbandHeader]) -> NDArray[np.float64]:
    """Frequencies of all subbands, ascending; missing ones stand where they would be."""
    n_channels = headers[min(headers)].n_channels
    subbands = [
        headers[k].frequencies_hz if k in headers else telescope.subband_frequencies(k, n_channels)
        for k in range(telescope.N_SUBBANDS)
    ]
    return np.sort(np.concatenate(subbands))


def _layout(
    header: SubbandHeader,
    reader: Hdf5Reader,
    frequencies_hz: NDArray[np.float64],
    centre: tuple[float, float],
    history: str,
) -> Layout:
    place = EarthLocation.from_geodetic(*(reader.number(n) for n in ("longitude", "latitude", "altitude")))
    site = np.array([x.to_value("m") for x in place.geocentric])
    return Layout(
        times_s=(header.times_jd - phasing.JD_OF_MJD_0) * 86400.0,
        integration_s=header.integration_s,
        site=site,
        antenna_names=header.antenna_names,
        antenna_positions=header.antenna_positions_m + site,
        dish_diameters=reader.floats("antenna_diameters", (header.n_antennas_telescope,)),
        frequencies_hz=frequencies_hz,
        channel_width_hz=header.channel_width_hz,
        correlation_types=tuple(sorted(CORRELATION_TYPES[code] for code in header.polarisations)),
        centre=centre,
        history=history,
    )


class _Reader:
    """Reads one integration of every file, re-phased, into a block."""

    def __init__(
        self,
        header: SubbandHeader,
        files: list[_Subband],
        conjugated: NDArray[np.bool_],
        delays_s: NDArray[np.float64],
    ) -> None:
        self.files, self.conjugated, self.delays_s = files, conjugated, delays_s
        shape = (header.n_baselines, 1, header.n_channels, header.n_polarisations)
        self.n_unusable = dict.fromkeys((file.header.subband for file in files), 0)
        """So far, by subband."""
        self.visibilities = np.empty(shape, np.complex64)
        self.flags = np.empty(shape, bool)
        self.samples = np.empty(shape, np.float32)
        codes = [CORRELATION_TYPES[code] for code in header.polarisations]
        # The products of a baseline named the other way round: XY becomes YX.
        turned = [{10: 11, 11: 10}.get(code, code) for code in codes]
        self.hands = np.array([[of.index(code) for code in sorted(codes)] for of in (codes, turned)])

    def new_block(self) -> _Block:
        """An empty block: zero and flagged, as missing subbands stay."""
        n_baselines, _, n_channels, n_polarisations = self.visibilities.shape
        shape = (n_baselines, n_channels * telescope.N_SUBBANDS, n_polarisations)
        return _Block(
            np.zeros(shape, np.complex64),
            np.ones(shape, bool),
            np.zeros(shape, np.float32),
            np.empty((n_baselines, n_polarisations), np.float32),
        )

    def read(self, integration: int, block: _Block) -> _Block:
        """Fill the block."""
        for file in self.files:
            header = file.header
            with library_errors(header.path, f"integration {integration}"):
                self._read(file, integration)
            self.n_unusable[header.subband] += rephase(
                self.visibilities[:, 0],
                self.flags[:, 0],
                self.samples[:, 0],
                self.delays_s[integration],
                float(header.frequencies_hz.min()),
                float(np.ptp(header.frequencies_hz)) / max(1, header.n_channels - 1),
                bool(header.frequencies_hz[0] > header.frequencies_hz[-1]),
                self.conjugated,
                self.hands,
                (telescope.N_SUBBANDS - 1 - header.subband) * header.n_channels,
                block.data,
                block.flags,
                block.weights,
            )
            n_values = file.visibilities.size
            refuse_unusable(header.path, self.n_unusable[header.subband], n_values)
        median_weights(block.weights, block.row_weights)
        return block

    def _read(self, file: _Subband, integration: int) -> None:
        """One integration of a file, in the group's order of baselines."""
        n_baselines = len(self.conjugated)
        rows = np.s_[integration * n_baselines : (integration + 1) * n_baselines]
        for dataset, into, missing in (
            (file.visibilities, self.visibilities, 0),
            (file.flags, self.flags, True),
            (file.samples, self.samples, 0),
        ):
            if file.shared is None:
                dataset.read_direct(into, rows)
            else:
                file.shared.read(dataset, integration, into, missing)


def _stream(
    main: Any,
    template: SubbandHeader,
    files: list[_Subband],
    conjugated: NDArray[np.bool_],
    delays_s: NDArray[np.float64],
    uvw: NDArray[np.float64],
) -> float:
    """Write all integrations; the part of the files' values that is of no use and was not flagged."""
    n_times, n_baselines = delays_s.shape
    reader = _Reader(template, files, conjugated, delays_s)
    blocks = [reader.new_block() for _ in range(min(2, n_times))]
    for t, block in enumerate(prefetch(n_times, lambda t: reader.read(t, blocks[t % 2]))):
        weights = block.row_weights
        columns = {
            "UVW": uvw[t],
            "DATA": block.data,
            "FLAG": block.flags,
            "WEIGHT_SPECTRUM": block.weights,
            "WEIGHT": weights,
            "SIGMA": np.divide(1, np.sqrt(weights), where=weights > 0, out=np.zeros_like(weights)),
        }
        main.addrows(n_baselines)
        for name, values in columns.items():
            main.putcol(name, values, t * n_baselines, n_baselines)
    n_values = sum(file.visibilities.size for file in files)
    return sum(reader.n_unusable.values()) / n_values
