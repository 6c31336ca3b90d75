"""Tiny subband files in the exact layout of the telescope's, for tests of reading.

Written by hand from the file table, not by the simulator: so the reader is held
against the format, not against our own writer.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import SubbandHeader, group_key

#: Start of the first integration of most test groups.
START = datetime(2026, 1, 15, 3, 0, 0, tzinfo=UTC)
N_ANTENNAS_TELESCOPE = 117
#: Correlator order is not sorted, so ant_1 > ant_2 occurs.
ORDER = (30, 4, 101, 12)


def first_time_jd(start: datetime) -> float:
    """Centre of the first integration of a group that starts at ``start``, JD."""
    epoch = datetime(2000, 1, 1, 12, tzinfo=UTC)
    return 2451545.0 + ((start - epoch).total_seconds() + telescope.INTEGRATION_S / 2) / 86400.0


def times_jd(start: datetime, n_times: int) -> np.ndarray:
    """Centres of the integrations, JD."""
    return first_time_jd(start) + np.arange(n_times) * telescope.INTEGRATION_S / 86400.0


def file_name(subband: int, stamp: datetime = START) -> str:
    return f"{stamp:%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"


def contents(
    subband: int,
    *,
    start: datetime = START,
    n_times: int = 2,
    n_channels: int = 4,
    polarisations: tuple[int, ...] = (-5, -6),
    declination_deg: float = 54.57,
    order: tuple[int, ...] = ORDER,
    seed: int = 0,
) -> dict[str, Any]:
    """Every dataset of a valid file, by HDF5 path."""
    pairs = np.array([(order[j], order[i]) for i in range(len(order)) for j in range(i + 1)], np.int64)
    n_baselines = len(pairs)
    n_blts = n_baselines * n_times
    rng = np.random.default_rng(seed + 100 * subband)
    shape = (n_blts, 1, n_channels, len(polarisations))
    header: dict[str, Any] = {
        "latitude": np.rad2deg(telescope.SITE_LATITUDE_RAD),
        "longitude": np.rad2deg(telescope.SITE_LONGITUDE_RAD),
        "altitude": telescope.SITE_HEIGHT_M,
        "telescope_name": np.bytes_("OVRO_MMA"),
        "instrument": np.bytes_("DSA"),
        "object_name": np.bytes_("search"),
        "history": np.bytes_("a test"),
        "phase_type": np.bytes_("drift"),
        "phase_center_app_dec": np.deg2rad(declination_deg),
        "Nants_data": len(order),
        "Nants_telescope": N_ANTENNAS_TELESCOPE,
        "Nbls": n_baselines,
        "Nblts": n_blts,
        "Ntimes": n_times,
        "Nfreqs": n_channels,
        "Npols": len(polarisations),
        "Nspws": 1,
        "antenna_names": np.array([str(i + 1) for i in range(N_ANTENNAS_TELESCOPE)], dtype="S4"),
        "antenna_numbers": np.arange(N_ANTENNAS_TELESCOPE),
        "antenna_positions": np.random.default_rng(117).normal(0, 400, (N_ANTENNAS_TELESCOPE, 3)),
        "antenna_diameters": np.full(N_ANTENNAS_TELESCOPE, 4.65),
        "ant_1_array": np.tile(pairs[:, 0], n_times),
        "ant_2_array": np.tile(pairs[:, 1], n_times),
        "uvw_array": np.tile(rng.normal(0, 300, (n_baselines, 3)).astype(np.float32), (n_times, 1)),
        "time_array": np.repeat(times_jd(start, n_times), n_baselines),
        "integration_time": np.full(n_blts, telescope.INTEGRATION_S),
        "freq_array": telescope.subband_frequencies(subband, n_channels)[None, :],
        "channel_width": telescope.SUBBAND_BANDWIDTH_HZ / n_channels,
        "spw_array": np.array([1]),
        "polarization_array": np.array(polarisations),
        "extra_keywords/phase_center_dec": np.deg2rad(declination_deg),
        "extra_keywords/ha_phase_center": 0.0,
        "extra_keywords/phase_center_epoch": "HADEC",
        "extra_keywords/fs_table": np.bytes_("fs.npz"),
        "extra_keywords/applied_delays_ns": np.zeros((N_ANTENNAS_TELESCOPE, 2)),
    }
    data = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    return {f"Header/{name}": value for name, value in header.items()} | {
        "Data/visdata": data,
        "Data/flags": np.zeros(shape, bool),
        "Data/nsamples": np.full(shape, 96, np.float32),
    }


def write(path: Path, datasets: Mapping[str, Any]) -> Path:
    """Write a file; the data are chunked and uncompressed."""
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            chunks = True if name.startswith("Data/") and np.ndim(value) else None
            file.create_dataset(name, data=value, chunks=chunks)
    return path


def write_group(
    folder: Path,
    start: datetime = START,
    subbands: range | tuple[int, ...] = range(telescope.N_SUBBANDS),
    jitter_s: float = 0.0,
    **options: Any,
) -> list[Path]:
    """Write the files of one group; names drift by up to ``jitter_s`` over the subbands."""
    return [
        write(
            folder / file_name(k, start + timedelta(seconds=round(jitter_s * (k / 7.5 - 1)))),
            contents(k, start=start, **options),
        )
        for k in subbands
    ]


def memory_header(path: Path, start: datetime, n_times: int = 24, **changes: Any) -> SubbandHeader:
    """A header as ``read_header`` returns it, without a file."""
    times = times_jd(start, n_times)
    subband = int(path.stem[-2:])
    values: dict[str, Any] = {
        "path": path,
        "subband": subband,
        "group_key": group_key(float(times[0]), telescope.INTEGRATION_S),
        "start_mjd": float(times[0]) - 2400000.5 - telescope.INTEGRATION_S / 2 / 86400.0,
        "times_jd": times,
        "n_integrations": n_times,
        "integration_s": telescope.INTEGRATION_S,
        "frequencies_hz": telescope.subband_frequencies(subband, 4),
        "n_channels": 4,
        "channel_width_hz": telescope.SUBBAND_BANDWIDTH_HZ / 4,
        "polarisations": (-5, -6),
        "n_polarisations": 2,
        "n_baselines": 10,
        "n_antennas": 4,
        "n_antennas_telescope": 117,
        "antennas": tuple(sorted(ORDER)),
        "antenna_names": tuple(str(i + 1) for i in range(117)),
        "antenna_numbers": tuple(range(117)),
        "antenna_positions_m": np.zeros((117, 3)),
        "table_digest": "0",
        "order_digest": "0",
        "declination_deg": 54.57,
        "telescope_name": "OVRO_MMA",
        "data_dtype": np.dtype(np.complex64),
        "size_bytes": 1,
    }
    return SubbandHeader(**(values | changes))
