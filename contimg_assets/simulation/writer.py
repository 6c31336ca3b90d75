"""One UVH5 file exactly as the telescope's software writes it, quirks and all.

float32 uvw computed once at hour angle 0, (1, N) descending frequencies, scalar
channel width, legacy ``drift`` phase, unsorted antenna order, fixed-length
strings, chunked uncompressed data, ``_incomplete`` name until closed.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope

#: AIPS numbers of the polarisations, as the correlator orders them.
POLARISATIONS = {2: (-5, -6), 4: (-5, -7, -8, -6)}


@dataclass(frozen=True)
class SubbandContent:
    """What goes into one file."""

    times_jd: NDArray[np.float64]
    """Centres of the integrations, UTC, shape (n_times,)."""
    frequencies_hz: NDArray[np.float64]
    """Descending, shape (n_channels,)."""
    antenna_1: NDArray[np.int64]
    """Zero-based antenna numbers, shape (n_baselines,)."""
    antenna_2: NDArray[np.int64]
    uvw_m: NDArray[np.float64]
    """antenna 2 less antenna 1 at hour angle 0, shape (n_baselines, 3)."""
    visibilities: NDArray[np.complex64]
    """Shape (n_times × n_baselines, n_channels, n_polarisations)."""
    declination_rad: float
    integration_s: float


def write_subband(path: Path, content: SubbandContent) -> None:
    """Write one subband file; the final name appears only when it is closed.

    Parameters
    ----------
    path : Path
        Final name, ``YYYY-MM-DDTHH:MM:SS_sbNN.hdf5``.
    content : SubbandContent
    """
    n_times, n_baselines = len(content.times_jd), len(content.antenna_1)
    n_blts, n_channels, n_polarisations = content.visibilities.shape
    stations = telescope.stations()
    antennas = np.unique(np.concatenate([content.antenna_1, content.antenna_2]))
    unfinished = path.with_name(path.stem + "_incomplete.hdf5")
    header: dict[str, object] = {
        "latitude": np.rad2deg(telescope.SITE_LATITUDE_RAD),
        "longitude": np.rad2deg(telescope.SITE_LONGITUDE_RAD),
        "altitude": telescope.SITE_HEIGHT_M,
        "telescope_name": np.bytes_(telescope.SITE_NAME),
        "instrument": np.bytes_("DSA"),
        "object_name": np.bytes_("search"),
        "history": np.bytes_("contimg simulate"),
        "phase_type": np.bytes_("drift"),
        "phase_center_app_dec": content.declination_rad,
        "Nants_data": len(antennas),
        "Nants_telescope": len(stations.names),
        "Nbls": n_baselines,
        "Nblts": n_blts,
        "Ntimes": n_times,
        "Nfreqs": n_channels,
        "Npols": n_polarisations,
        "Nspws": 1,
        "antenna_names": np.array(stations.names, dtype="S4"),
        "antenna_numbers": np.arange(len(stations.names)),
        "antenna_positions": stations.positions,
        "antenna_diameters": np.full(len(stations.names), telescope.DISH_DIAMETER_M),
        "ant_1_array": np.tile(content.antenna_1, n_times),
        "ant_2_array": np.tile(content.antenna_2, n_times),
        "uvw_array": np.tile(content.uvw_m.astype(np.float32), (n_times, 1)),
        "time_array": np.repeat(content.times_jd, n_baselines),
        "integration_time": np.full(n_blts, content.integration_s),
        "freq_array": content.frequencies_hz[None, :],
        "channel_width": abs(content.frequencies_hz[1] - content.frequencies_hz[0]),
        "spw_array": np.array([1]),
        "polarization_array": np.array(POLARISATIONS[n_polarisations]),
    }
    extra: dict[str, object] = {
        "phase_center_dec": content.declination_rad,
        "ha_phase_center": 0.0,
        "phase_center_epoch": "HADEC",
        "fs_table": np.bytes_("none"),
        "applied_delays_ns": np.zeros((len(antennas), n_polarisations)),
    }
    shape = (n_blts, 1, n_channels, n_polarisations)
    chunks = (n_baselines, 1, n_channels, n_polarisations)
    with h5py.File(unfinished, "w") as file:
        for name, value in header.items():
            file[f"Header/{name}"] = value
        for name, value in extra.items():
            file[f"Header/extra_keywords/{name}"] = value
        file.create_dataset("Data/visdata", data=content.visibilities.reshape(shape), chunks=chunks)
        file.create_dataset("Data/flags", data=np.zeros(shape, bool), chunks=chunks)
        samples = np.full(shape, telescope.SAMPLES_PER_INTEGRATION, np.float32)
        file.create_dataset("Data/nsamples", data=samples, chunks=chunks)
    unfinished.rename(path)


def truncate(path: Path) -> None:
    """Cut a file off in the middle, as a broken transfer does."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
