"""A subband's file, field by field as the telescope's writer makes it (UVH5 with its peculiarities).

float32 uvw of hour angle 0, (1, N) falling frequencies, scalar channel width, phase type
``drift``, correlator's antenna order, fixed-length strings, ``_incomplete`` until closed.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent import instrument


@dataclass(frozen=True)
class Subband:
    """Content of one file."""

    times_jd: NDArray[np.float64]
    """Middles of the integrations, UTC."""
    frequencies_hz: NDArray[np.float64]
    """Falling."""
    antenna_1: NDArray[np.int64]
    """Station numbers less one, shape (n_baselines,)."""
    antenna_2: NDArray[np.int64]
    uvw_m: NDArray[np.float64]
    """antenna 2 less antenna 1 at hour angle 0, shape (n_baselines, 3)."""
    visibilities: NDArray[np.complex64]
    """Shape (n_integrations, n_baselines, n_channels, 2)."""
    samples: NDArray[np.float32]
    """Correlator samples of each integration, shape (n_integrations,)."""
    declination_rad: float
    applied_delays_ns: NDArray[np.float64]
    """Shape (n_antennas, 2)."""


def write(path: Path, content: Subband) -> None:
    """Write a file under its ``_incomplete`` name and rename it when it is closed."""
    unfinished = path.with_name(f"{path.stem}_incomplete.hdf5")
    n_times, n_baselines, n_channels, n_feeds = content.visibilities.shape
    shape = (n_times * n_baselines, 1, n_channels, n_feeds)
    chunks = (n_baselines, 1, n_channels, n_feeds)
    with h5py.File(unfinished, "w") as file:
        for name, value in _header(content).items():
            file[f"Header/{name}"] = value
        data = content.visibilities.reshape(shape)
        file.create_dataset("Data/visdata", data=data, chunks=chunks)
        file.create_dataset("Data/flags", data=np.zeros(shape, bool), chunks=chunks)
        samples = np.broadcast_to(np.repeat(content.samples, n_baselines)[:, None, None, None], shape)
        file.create_dataset("Data/nsamples", data=samples, dtype=np.float32, chunks=chunks)
    unfinished.rename(path)


def _header(content: Subband) -> dict[str, object]:
    n_times, n_baselines, n_channels, n_feeds = content.visibilities.shape
    stations = instrument.station_positions()
    names = [str(k + 1) for k in range(len(stations))]
    n_rows = n_times * n_baselines
    return {
        "latitude": np.rad2deg(instrument.LATITUDE_RAD),
        "longitude": np.rad2deg(instrument.LONGITUDE_RAD),
        "altitude": instrument.HEIGHT_M,
        "telescope_name": np.bytes_("OVRO_MMA"),
        "instrument": np.bytes_("DSA"),
        "object_name": np.bytes_("search"),
        "history": np.bytes_("contimg simulate --independent"),
        "phase_type": np.bytes_("drift"),
        "phase_center_app_dec": content.declination_rad,
        "Nants_data": len(np.unique([content.antenna_1, content.antenna_2])),
        "Nants_telescope": len(stations),
        "Nbls": n_baselines,
        "Nblts": n_rows,
        "Ntimes": n_times,
        "Nfreqs": n_channels,
        "Npols": n_feeds,
        "Nspws": 1,
        "antenna_names": np.array(names, dtype="S4"),
        "antenna_numbers": np.arange(len(stations)),
        "antenna_positions": stations - instrument.site_position(),
        "antenna_diameters": np.full(len(stations), instrument.DISH_M),
        "ant_1_array": np.tile(content.antenna_1, n_times),
        "ant_2_array": np.tile(content.antenna_2, n_times),
        "uvw_array": np.tile(content.uvw_m.astype(np.float32), (n_times, 1)),
        "time_array": np.repeat(content.times_jd, n_baselines),
        "integration_time": np.full(n_rows, instrument.INTEGRATION_S),
        "freq_array": content.frequencies_hz[None],
        "channel_width": instrument.channel_width_hz(n_channels),
        "spw_array": np.array([1]),
        "polarization_array": np.array([-5, -6]),
        "extra_keywords/phase_center_dec": content.declination_rad,
        "extra_keywords/ha_phase_center": 0.0,
        "extra_keywords/phase_center_epoch": "HADEC",
        "extra_keywords/fs_table": np.bytes_("none"),
        "extra_keywords/applied_delays_ns": content.applied_delays_ns,
    }
