"""One UVH5 subband file as the telescope writes it: its name, its header, its faults.

Belongs here: what a file's name says, reading and validating the header, and
looking through the data for what nobody flagged.  Every fault becomes a
``BadSubbandFileError`` that names the file, what was found and what was
expected.  Does not belong here: which files make up a group (``grouping.py``),
and what is done with the visibilities (``conversion/``).
"""

import hashlib
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.radio.hdf5 import Hdf5Reader, library_errors, open_hdf5

#: Name of a finished file: wall clock of the node at opening, subband.
_NAME_FORMAT = "YYYY-MM-DDTHH:MM:SS_sbNN.hdf5"
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})_sb(\d{2})\.hdf5", re.ASCII)
#: Most bytes of visibilities and their flags, weights and uvw that are looked through at once.
_SLAB_BYTES = 32 * 2**20
#: AIPS codes of linear feeds: XX, YY, XY, YX.
_LINEAR_POLARISATIONS = (-5, -6, -7, -8)
#: Times that a header may plausibly carry: years 2000 to 2100, JD.
_PLAUSIBLE_JD = (2451544.5, 2488069.5)
#: Longest plausible integration, s.
_MAX_INTEGRATION_S = 3600.0
#: Integrations are uniform to this, s (a JD in float64 is good to 40 µs).
_TIME_TOLERANCE_S = 1e-3
#: The site, to which the antennas' positions refer, and how far off a file's may be: deg, deg, m.
_SITE = {
    "latitude": (float(np.rad2deg(telescope.SITE_LATITUDE_RAD)), 0.01),
    "longitude": (float(np.rad2deg(telescope.SITE_LONGITUDE_RAD)), 0.01),
    "altitude": (telescope.SITE_HEIGHT_M, 100.0),
}
#: No station is farther from the site than this in any coordinate, m (the longest baseline is 2.7 km).
_MAX_POSITION_M = 10_000.0
#: Of a file's values, more than this part may not be of no use: what is left is hardly an observation.
MOST_UNUSABLE = 0.5
_JD_OF_MJD_0 = 2400000.5
#: Modified Julian Date 0, UTC.
MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class SubbandHeader:
    """What one valid file says about itself (small: no array grows with the baselines)."""

    path: Path
    subband: int
    """From the file's name, and held against the frequencies; 0 is the highest."""
    group_key: str
    """Start of the first integration, UTC, nearest second."""
    start_mjd: float
    """Start of the first integration, UTC, days."""
    times_jd: NDArray[np.float64]
    """Centres of the integrations, bit for bit as in the file, shape (n_integrations,)."""
    n_integrations: int
    integration_s: float
    frequencies_hz: NDArray[np.float64]
    """In the order of the file, shape (n_channels,)."""
    n_channels: int
    channel_width_hz: float
    """Positive."""
    polarisations: tuple[int, ...]
    """AIPS codes in the order of the file (−5 XX, −6 YY, −7 XY, −8 YX)."""
    n_polarisations: int
    n_baselines: int
    """Autocorrelations included."""
    n_antennas: int
    """Antennas in the data."""
    n_antennas_telescope: int
    """Antennas in the antenna table."""
    antennas: tuple[int, ...]
    """Numbers of the antennas in the data, ascending."""
    antenna_names: tuple[str, ...]
    """Of the antenna table, like the next two."""
    antenna_numbers: tuple[int, ...]
    antenna_positions_m: NDArray[np.float64]
    """ECEF less the site's, not rotated, shape (n_antennas_telescope, 3)."""
    table_digest: str
    """Hash of the antenna table."""
    order_digest: str
    """Hash of the baselines in their order."""
    declination_deg: float
    """Apparent declination of the pointing."""
    telescope_name: str
    data_dtype: np.dtype[Any]
    size_bytes: int

    @property
    def end_mjd(self) -> float:
        """End of the last integration, UTC, days."""
        return float(self.times_jd[-1] - _JD_OF_MJD_0) + self.integration_s / 2 / 86400.0


def ignore_reason(name: str) -> str | None:
    """Why a file of this name is none of ours; None for a subband file.

    Parameters
    ----------
    name : str
        File name without folder.
    """
    match = _NAME.fullmatch(name)
    if match is not None:
        if int(match[2]) >= telescope.N_SUBBANDS:
            return f"subband {int(match[2])}: there are 0 to {telescope.N_SUBBANDS - 1}"
        return None if _parse_stamp(match[1]) is not None else f"{match[1]} is no time of any calendar"
    if name.startswith("."):
        return "hidden file, as transfers in progress are"
    if "_incomplete" in name:
        return "the telescope is still writing it"
    if "spl" in name:
        return "'spl' product, not a subband file"
    return f"not named {_NAME_FORMAT}"


def file_stamp(path: Path | str) -> tuple[datetime, int] | None:
    """Wall-clock stamp (UTC) and subband that a file's name carries.

    Returns
    -------
    tuple of datetime and int, or None
        None if the name is not that of a subband file.
    """
    match = _NAME.fullmatch(path if isinstance(path, str) else path.name)
    if match is None or int(match[2]) >= telescope.N_SUBBANDS:
        return None
    stamp = _parse_stamp(match[1])
    return None if stamp is None else (stamp, int(match[2]))


def _parse_stamp(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def group_key(first_time_jd: float, integration_s: float) -> str:
    """Key of the group whose first integration is centred on ``first_time_jd`` (UTC)."""
    days, fraction = divmod(first_time_jd - _JD_OF_MJD_0, 1.0)
    seconds = np.floor(fraction * 86400.0 - integration_s / 2 + 0.5)
    return (MJD_EPOCH + timedelta(days=days, seconds=float(seconds))).strftime(KEY_FORMAT)


def read_header(path: Path) -> SubbandHeader:
    """Read and validate the header of one subband file; no visibility is read.

    Parameters
    ----------
    path : Path
        A file named ``YYYY-MM-DDTHH:MM:SS_sbNN.hdf5``.

    Returns
    -------
    SubbandHeader

    Raises
    ------
    BadSubbandFileError
        If the file is not a complete, self-consistent subband file of the
        telescope, or holds another subband than its name says.
    """
    stamp = file_stamp(path)
    if stamp is None:
        raise BadSubbandFileError(f"{path}: name: found {path.name!r}, expected {_NAME_FORMAT}")
    with open_hdf5(path) as reader, np.errstate(all="ignore"):
        n_blts, n_times, n_baselines = (reader.count(n) for n in ("Nblts", "Ntimes", "Nbls"))
        consistent = n_blts == n_baselines * n_times
        reader.need(consistent, "Header/Nblts", n_blts, f"Nbls × Ntimes = {n_baselines} × {n_times}")
        n_channels, n_polarisations = reader.count("Nfreqs"), reader.count("Npols")
        most = telescope.SUBBAND_CORRELATOR_CHANNELS
        reader.need(n_channels <= most, "Header/Nfreqs", n_channels, f"at most the correlator's {most}")
        dtype = _data_sets(reader, n_blts, n_channels, n_polarisations)[0].dtype
        phase_type = reader.texts("phase_type", (), (1,))[0]
        reader.need(phase_type == "drift", "Header/phase_type", repr(phase_type), "'drift'")
        # Everything downstream takes each integration to be fringe-stopped on the meridian.
        if reader.has("Header/extra_keywords/ha_phase_center"):
            hour_angle = reader.number("extra_keywords/ha_phase_center")
            reader.need(abs(hour_angle) < 1e-6, "ha_phase_center", f"{hour_angle} rad", "0, the meridian")
        for name, (value, tolerance) in _SITE.items():
            found = reader.number(name)
            reader.need(abs(found - value) <= tolerance, f"Header/{name}", found, f"{value} ± {tolerance}")
        times, integration_s = _times(reader, n_times, n_baselines)
        antennas, names, numbers, positions, digests = _array(reader, n_times, n_baselines)
        frequencies, width = _frequencies(reader, stamp[1], n_channels)
        declination = np.rad2deg(reader.number("phase_center_app_dec"))
        reader.need(abs(declination) <= 90, "Header/phase_center_app_dec", f"{declination}°", "within ±90°")
        telescope_name = reader.texts("telescope_name", (), (1,))[0]
        return SubbandHeader(
            path=path,
            subband=stamp[1],
            group_key=group_key(float(times[0]), integration_s),
            start_mjd=float(times[0] - _JD_OF_MJD_0) - integration_s / 2 / 86400.0,
            times_jd=times,
            n_integrations=n_times,
            integration_s=integration_s,
            frequencies_hz=frequencies,
            n_channels=n_channels,
            channel_width_hz=width,
            polarisations=_polarisations(reader, n_polarisations),
            n_polarisations=n_polarisations,
            n_baselines=n_baselines,
            n_antennas=len(antennas),
            n_antennas_telescope=len(names),
            antennas=antennas,
            antenna_names=names,
            antenna_numbers=numbers,
            antenna_positions_m=positions,
            table_digest=digests[0],
            order_digest=digests[1],
            declination_deg=float(declination),
            telescope_name=telescope_name,
            data_dtype=dtype,
            size_bytes=int(reader.file.id.get_filesize()),
        )


def has_room_for_all(path: Path) -> bool:
    """Whether every part of a file's data has its place in the file; no visibility is read.

    What a writer has not come to yet has none: HDF5 gives each chunk its place when
    it is written, and a dataset without chunks when the first of it is.

    Raises
    ------
    BadSubbandFileError
        If it is no complete HDF5 file.
    """
    with open_hdf5(path) as reader, library_errors(path, "Data"):
        for name in ("visdata", "flags", "nsamples"):
            item = reader.file["Data"][name]
            if item.chunks is None:
                if item.id.get_storage_size() < item.nbytes:
                    return False
                continue
            whole = math.prod(-(-n // step) for n, step in zip(item.shape, item.chunks, strict=True))
            if item.id.get_num_chunks() < whole:
                return False
    return True


def _data_sets(
    reader: Hdf5Reader, n_blts: int, n_channels: int, n_polarisations: int
) -> tuple[h5py.Dataset, h5py.Dataset, h5py.Dataset, h5py.Dataset]:
    """visdata, flags, nsamples and uvw, of the shapes that the counts ask for."""
    shape = (n_blts, 1, n_channels, n_polarisations)
    visdata = reader.dataset("Data/visdata", "c", (shape,))
    flags = reader.dataset("Data/flags", "b", (shape,))
    nsamples = reader.dataset("Data/nsamples", "f", (shape,))
    uvw = reader.dataset("Header/uvw_array", "f", ((n_blts, 3),))
    return visdata, flags, nsamples, uvw


def _times(reader: Hdf5Reader, n_times: int, n_baselines: int) -> tuple[NDArray[np.float64], float]:
    """Centres of the integrations (JD) and their length (s)."""
    shape = (n_times, n_baselines)
    rows = reader.floats("time_array", (n_times * n_baselines,)).reshape(shape)
    same = bool((rows == rows[:, :1]).all())
    reader.need(same, "Header/time_array", "different times in one integration", f"{n_baselines} rows each")
    times = rows[:, 0].copy()
    low, high = _PLAUSIBLE_JD
    good = low <= times.min() and times.max() <= high
    reader.need(good, "Header/time_array", f"JD {times.min()} to {times.max()}", f"within {low} to {high}")
    lengths = reader.floats("integration_time", (n_times * n_baselines,))
    integration_s = float(lengths[0])
    good = np.ptp(lengths) <= 1e-6 * abs(integration_s) and 0 < integration_s <= _MAX_INTEGRATION_S
    found = f"{lengths.min()} to {lengths.max()} s"
    reader.need(good, "Header/integration_time", found, f"one length within 0 to {_MAX_INTEGRATION_S} s")
    if n_times > 1:
        steps = np.diff(times) * 86400.0
        found = f"steps of {steps.min():.6f} to {steps.max():.6f} s"
        reader.need(steps.min() > 0, "Header/time_array", found, "increasing times")
        uniform = steps.max() - steps.min() <= _TIME_TOLERANCE_S
        reader.need(uniform, "Header/time_array", found, "uniform steps")
        fits = abs(np.median(steps) - integration_s) <= 0.01 * integration_s
        reader.need(fits, "Header/time_array", found, f"integration_time, {integration_s:.6f} s")
    return times, integration_s


def _array(
    reader: Hdf5Reader, n_times: int, n_baselines: int
) -> tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...], NDArray[np.float64], tuple[str, str]]:
    """Antennas in the data; names, numbers and positions of the table; hashes of table and baselines."""
    n_table = reader.count("Nants_telescope")
    names = reader.texts("antenna_names", (n_table,))
    numbers = reader.array("Header/antenna_numbers", "iu", (n_table,)).astype(np.int64)
    for label, values in (("antenna_names", names), ("antenna_numbers", numbers.tolist())):
        found = f"{len(set(values))} different ones"
        reader.need(len(set(values)) == n_table, f"Header/{label}", found, f"{n_table}")
    positions = reader.floats("antenna_positions", (n_table, 3))
    farthest = float(np.abs(positions).max())
    good = farthest <= _MAX_POSITION_M
    reader.need(good, "Header/antenna_positions", f"{farthest:g} m", f"≤ {_MAX_POSITION_M:g} m from the site")
    ends: list[NDArray[np.int64]] = []
    for name in ("ant_1_array", "ant_2_array"):
        rows = reader.array(f"Header/{name}", "iu", (n_times * n_baselines,)).astype(np.int64)
        rows = rows.reshape(n_times, n_baselines)
        same = bool((rows == rows[0]).all())
        reader.need(same, f"Header/{name}", "an order that changes", "one order in every integration")
        ends.append(rows[0])
    pairs = np.stack(ends, axis=1)
    antennas, index = np.unique(pairs, return_inverse=True)
    low, high = np.sort(index.reshape(pairs.shape), axis=1).T
    n_pairs = np.unique(low * len(antennas) + high).size
    reader.need(n_pairs == n_baselines, "baselines", f"{n_pairs} different ones", f"Nbls = {n_baselines}")
    strangers = np.setdiff1d(antennas, numbers).tolist()
    reader.need(not strangers, "antennas in the data", strangers, "numbers in Header/antenna_numbers")
    n_data = reader.count("Nants_data")
    reader.need(len(antennas) == n_data, "antennas in the data", len(antennas), f"Nants_data = {n_data}")
    table = hashlib.sha256("\n".join(names).encode())
    for values in (numbers, positions):
        table.update(np.ascontiguousarray(values).tobytes())
    digests = table.hexdigest(), hashlib.sha256(np.ascontiguousarray(pairs).tobytes()).hexdigest()
    return tuple(antennas.tolist()), names, tuple(numbers.tolist()), positions, digests


def _frequencies(reader: Hdf5Reader, subband: int, n_channels: int) -> tuple[NDArray[np.float64], float]:
    """Channel centres in the file's order and the channel width, Hz."""
    frequencies = reader.floats("freq_array", (1, n_channels), (n_channels,)).reshape(-1)
    widths = np.abs(reader.floats("channel_width", (), (1,), (n_channels,))).reshape(-1)
    width = float(widths[0])
    good = width > 0 and bool((widths == width).all())
    reader.need(good, "Header/channel_width", f"{widths.min()} to {widths.max()} Hz", "one width, not zero")
    steps = np.diff(frequencies)
    if n_channels > 1:
        found = f"steps of {steps.min()} to {steps.max()} Hz"
        monotonic = bool((steps > 0).all() or (steps < 0).all())
        reader.need(monotonic, "Header/freq_array", found, "strictly rising or falling frequencies")
        uniform = bool((np.abs(np.abs(steps) - width) <= 1e-3 * width).all())
        reader.need(uniform, "Header/freq_array", found, f"steps of channel_width, {width} Hz")
    if not _fits(frequencies, subband):
        owners = [f"sb{k:02d}" for k in range(telescope.N_SUBBANDS) if _fits(frequencies, k)]
        nominal = telescope.subband_frequencies(subband, n_channels)
        of_whom = f"those of {owners[0]}" if owners else "of no subband"
        expected = f"{_megahertz(nominal)}, as sb{subband:02d} in the name says"
        reader.refuse("Header/freq_array", f"{_megahertz(frequencies)}, {of_whom}", expected)
    return frequencies, width


def _fits(frequencies: NDArray[np.float64], subband: int) -> bool:
    """Whether both ends lie within half a channel of the subband's own."""
    nominal = telescope.subband_frequencies(subband, frequencies.size)
    half_a_channel = telescope.SUBBAND_BANDWIDTH_HZ / frequencies.size / 2
    low, high = frequencies.min() - nominal.min(), frequencies.max() - nominal.max()
    return bool(max(abs(low), abs(high)) < half_a_channel)


def _megahertz(frequencies: NDArray[np.float64]) -> str:
    return f"{frequencies.min() / 1e6:.3f} to {frequencies.max() / 1e6:.3f} MHz"


def _polarisations(reader: Hdf5Reader, n_polarisations: int) -> tuple[int, ...]:
    codes = reader.array("Header/polarization_array", "iu", (n_polarisations,)).astype(np.int64).tolist()
    good = len(set(codes)) == len(codes) and set(codes) <= set(_LINEAR_POLARISATIONS)
    reader.need(good, "Header/polarization_array", codes, f"different ones of {list(_LINEAR_POLARISATIONS)}")
    return tuple(codes)


def unusable(
    visibilities: NDArray[np.complex64], flags: NDArray[np.bool_], samples: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Values that nobody can use, and that the file has not flagged.

    A run's last integrations can be NaN (means of no frames), and an integration of which nothing was
    averaged has no samples.

    Parameters
    ----------
    visibilities, flags, samples : ndarray
        Of one shape, as in the file.

    Returns
    -------
    ndarray of bool
        Visibilities that are not finite; numbers of samples that are not finite, or not positive.
    """
    return ~flags & ~(np.isfinite(visibilities) & np.isfinite(samples) & (samples > 0))


def refuse_unusable(path: Path, n_unusable: int, n_values: int) -> None:
    """Refuse a file of which too much is of no use.

    Raises
    ------
    BadSubbandFileError
        If more than :data:`MOST_UNUSABLE` is.
    """
    if n_unusable > MOST_UNUSABLE * n_values:
        raise BadSubbandFileError(
            f"{path}: Data: found {n_unusable} of {n_values} values NaN, infinite or without samples, "
            f"and not flagged; expected at most {MOST_UNUSABLE:.0%}"
        )


def check_data(path: Path, header: SubbandHeader) -> None:
    """Look through the data for values that nobody flagged and nobody can use.

    Parameters
    ----------
    path : Path
        The file that ``header`` was read from.
    header : SubbandHeader

    Raises
    ------
    BadSubbandFileError
        If more of it is of no use than :data:`MOST_UNUSABLE`, if any uvw is not
        finite, if a part of the data cannot be read, or if the shapes are no
        longer the header's.
    """
    n_blts = header.n_baselines * header.n_integrations
    n_unusable = n_uvw = 0
    with open_hdf5(path) as reader:
        visdata, flags, nsamples, uvw = _data_sets(reader, n_blts, header.n_channels, header.n_polarisations)
        row_bytes = sum(d.nbytes for d in (visdata, flags, nsamples, uvw)) // n_blts
        step = max(1, _SLAB_BYTES // row_bytes)
        for first in range(0, n_blts, step):
            rows = slice(first, min(first + step, n_blts))
            with library_errors(path, f"rows {rows.start} to {rows.stop - 1}"):
                n_unusable += int(np.count_nonzero(unusable(visdata[rows], flags[rows], nsamples[rows])))
                n_uvw += int(np.count_nonzero(~np.isfinite(uvw[rows])))
        refuse_unusable(path, n_unusable, visdata.size)
        reader.need(
            not n_uvw, "Header/uvw_array", f"{n_uvw} values that are NaN or infinite", "finite values"
        )
