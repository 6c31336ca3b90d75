"""One observation group, from sky to files and truth."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.prediction import Averaging, point_source_visibilities
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.corruption import (
    Gains,
    Interference,
    dish_noise_jy,
    no_gains,
    random_gains,
    random_interference,
)
from contimg_assets.simulation.presets import Corruption, Preset
from contimg_assets.simulation.writer import SubbandContent, truncate, write_subband

#: Largest scatter of a file name's stamp about the true start, s.
STAMP_JITTER_S = 20.0


@dataclass(frozen=True)
class Observation:
    """What to simulate."""

    preset: Preset
    start: Time
    """Start of the first integration, UTC."""
    declination_rad: float
    """Apparent pointing declination."""
    sources: list[Source]
    corruption: Corruption
    seed: int = 1
    """Seed of noise, interference and stamps."""
    night_seed: int = 1
    """Seed of the gains: the same for groups of one night."""
    night_epoch_jd: float | None = None
    """Time at which the gains have not drifted; None: the start."""
    n_polarisations: int = 2
    smearing: bool = True
    """Averages over integrations and channels; without, their middles."""

    @property
    def times_jd(self) -> NDArray[np.float64]:
        """Centres of the integrations, UTC Julian dates."""
        seconds = (np.arange(self.preset.n_integrations) + 0.5) * telescope.INTEGRATION_S
        return np.asarray(float(self.start.utc.jd) + seconds / 86400.0, dtype=np.float64)

    @property
    def key(self) -> str:
        """Key of the group."""
        return (self.start.utc.to_datetime() + timedelta(seconds=0.5)).strftime("%Y-%m-%dT%H:%M:%S")


def correlator_baselines(
    antennas: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Antenna pairs in the correlator's order, which is not sorted by number.

    Returns
    -------
    antenna_1, antenna_2 : ndarray, shape (n (n + 1) / 2,)
        For i in order, for j ≤ i: (order[j], order[i]); autocorrelations are in.
    """
    order = np.random.default_rng(seed).permutation(antennas)
    i, j = np.tril_indices(len(order))
    return order[j], order[i]


def simulate(observation: Observation, folder: Path) -> Path:
    """Write a group's files and their truth.

    Parameters
    ----------
    observation : Observation
    folder : Path
        Where the files go; made if it is not there.

    Returns
    -------
    Path
        The truth file, ``<key without colons>.truth.json`` in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preset, corruption = observation.preset, observation.corruption
    rng = np.random.default_rng(observation.seed)
    times = observation.times_jd
    antennas = preset.antennas
    antenna_1, antenna_2 = correlator_baselines(antennas, seed=96)
    positions = phasing.to_meridian_frame(telescope.stations().positions)
    index_of = np.full(len(positions), -1)
    index_of[antennas] = np.arange(len(antennas))
    pair = index_of[antenna_1], index_of[antenna_2]
    baselines = positions[antenna_2] - positions[antenna_1]
    directions = phasing.apparent_vectors(
        times,
        np.deg2rad([s.ra_deg for s in observation.sources]),
        np.deg2rad([s.dec_deg for s in observation.sources]),
    )
    offsets = directions - phasing.pointing_vector(observation.declination_rad)
    averaging = Averaging.of(offsets, telescope.INTEGRATION_S) if observation.smearing else None
    gains = _gains_of(observation)
    drift = gains.drift(times)
    band = telescope.band_frequencies(preset.n_channels)
    interference = _interference_of(observation)
    live = _liveness(antennas, corruption)
    stamps = {}
    mean_flux = np.zeros(len(observation.sources))
    for subband in range(telescope.N_SUBBANDS):
        frequencies = telescope.subband_frequencies(subband, preset.n_channels)
        power = beam.drifting_power(directions, observation.declination_rad, frequencies)
        flux = np.array([s.flux(frequencies) for s in observation.sources]).reshape(-1, preset.n_channels)
        amplitude = power * flux[None]
        mean_flux += amplitude.mean(axis=(0, 2)) / telescope.N_SUBBANDS
        stamp = _wall_clock(observation, rng)
        if subband in corruption.missing_subbands:
            continue
        sky = point_source_visibilities(baselines, offsets, frequencies, amplitude, averaging)
        visibilities = _observe(
            sky.reshape(len(times), len(baselines), -1),
            pair,
            gains.bandpass(frequencies),
            drift,
            live,
            _emission(interference, np.searchsorted(band, frequencies - 1.0), pair),
            frequencies,
            corruption.noise,
            rng,
        )
        uvw = _uvw_at_meridian(baselines, observation.declination_rad)
        content = SubbandContent(
            *(times, frequencies, antenna_1, antenna_2, uvw, visibilities),
            observation.declination_rad,
            telescope.INTEGRATION_S,
        )
        name = f"{stamp.strftime('%Y-%m-%dT%H:%M:%S')}_sb{subband:02d}.hdf5"
        write_subband(folder / name, content)
        stamps[f"{subband:02d}"] = name
        if subband in corruption.truncated_subbands:
            truncate(folder / name)
    path = folder / f"{observation.key.replace(':', '')}.truth.json"
    path.write_text(json.dumps(_truth(observation, stamps, mean_flux, gains, interference), indent=1))
    return path


def _wall_clock(observation: Observation, rng: np.random.Generator) -> datetime:
    """Of one node, as it opens its file."""
    jitter_s = float(rng.uniform(-STAMP_JITTER_S, STAMP_JITTER_S))
    return observation.start.utc.to_datetime() + timedelta(seconds=jitter_s)


def _interference_of(observation: Observation) -> Interference | None:
    if not observation.corruption.rfi:
        return None
    n_band = len(telescope.band_frequencies(observation.preset.n_channels))
    n_times, n_antennas = len(observation.times_jd), len(observation.preset.antennas)
    return random_interference(n_times, n_band, n_antennas, observation.seed + 1)


def _gains_of(observation: Observation) -> Gains:
    """Gains of the night, at their epoch."""
    epoch = observation.night_epoch_jd
    epoch = float(observation.times_jd[0]) if epoch is None else epoch
    shape, corruption = (
        (len(observation.preset.antennas), observation.n_polarisations),
        observation.corruption,
    )
    if not corruption.gains:
        return no_gains(*shape, epoch)
    return random_gains(*shape, epoch, observation.night_seed, corruption.delay_sigma_ns)


def _truth(
    observation: Observation,
    files: dict[str, str],
    mean_flux_jy: NDArray[np.float64],
    gains: Gains,
    interference: Interference | None,
) -> dict[str, Any]:
    """What was put in, as plain values."""
    return {
        "format": 1,
        "group": observation.key,
        "times_jd": observation.times_jd.tolist(),
        "declination_deg": float(np.rad2deg(observation.declination_rad)),
        "files": files,
        "antennas": [telescope.stations().names[a] for a in observation.preset.antennas],
        "sources": [
            asdict(source) | {"mean_apparent_jy": float(apparent)}
            for source, apparent in zip(observation.sources, mean_flux_jy, strict=True)
        ],
        "corruption": asdict(observation.corruption),
        "gains": gains.truth(),
        "interference": interference.truth() if interference else [],
        "sefd_jy": telescope.SEFD_JY,
    }


def _uvw_at_meridian(baselines: NDArray[np.float64], declination_rad: float) -> NDArray[np.float64]:
    sin, cos = np.sin(declination_rad), np.cos(declination_rad)
    axes = np.array([[0.0, 1.0, 0.0], [-sin, 0.0, cos], [cos, 0.0, sin]])
    return baselines @ axes.T


def _liveness(antennas: NDArray[np.int64], corruption: Corruption) -> dict[str, NDArray[np.bool_]]:
    names = np.array([telescope.stations().names[a] for a in antennas])
    return {
        "dead": np.isin(names, corruption.dead_antennas),
        "zero": np.isin(names, corruption.zero_antennas),
    }


def _emission(
    interference: Interference | None, channels: NDArray[np.int64], pair: tuple[NDArray, NDArray]
) -> list[tuple[NDArray[np.float64], NDArray[np.complex128]]]:
    """Each emitter as (strength over time × these channels, response over baselines)."""
    if interference is None:
        return []
    found = []
    for cells, strength, response in zip(
        interference.cells, interference.strength_jy, interference.response, strict=True
    ):
        here = cells[:, channels]
        if here.any():
            found.append((here * strength, np.conj(response[pair[0]]) * response[pair[1]]))
    return found


def _observe(
    sky: NDArray[np.complex64],
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
    bandpass: NDArray[np.complex128],
    drift: NDArray[np.complex128],
    live: dict[str, NDArray[np.bool_]],
    emission: list[tuple[NDArray[np.float64], NDArray[np.complex128]]],
    frequencies: NDArray[np.float64],
    noise: bool,
    rng: np.random.Generator,
) -> NDArray[np.complex64]:
    """Voltages' products as the correlator gives them: conj(V₁) V₂ in its own units."""
    n_times, n_baselines, n_channels = sky.shape
    n_polarisations = bandpass.shape[2]
    one, two = pair
    auto = one == two
    width = abs(float(frequencies[1] - frequencies[0]))
    sigma, sigma_auto = dish_noise_jy(width, telescope.INTEGRATION_S)
    heard = np.where(auto, True, ~(live["dead"][one] | live["dead"][two]))[:, None]
    out = np.empty((n_times, n_baselines, n_channels, n_polarisations), np.complex64)
    for p in range(n_polarisations):
        gain_1, gain_2 = bandpass[one, :, p], bandpass[two, :, p]
        product = (np.conj(gain_1) * gain_2).astype(np.complex64)
        for t in range(n_times):
            jansky = sky[t] * heard
            for strength, response in emission:
                if strength[t].any():
                    jansky = jansky + (response[:, None] * strength[t][None]).astype(np.complex64)
            if noise:
                parts = rng.standard_normal((n_baselines, n_channels, 2), dtype=np.float32)
                thermal = parts.view(np.complex64)[..., 0] * np.float32(sigma)
                thermal[auto] = telescope.SEFD_JY + parts[auto, :, 0] * np.float32(sigma_auto)
                # Thermal noise has no phase, so turning it with the gains does no harm.
                jansky = jansky + thermal
            change = (np.conj(drift[t, one, p]) * drift[t, two, p]).astype(np.complex64)
            out[t, :, :, p] = jansky * product * change[:, None]
    silent = live["zero"][one] | live["zero"][two]
    out[:, silent] = 0
    return out.reshape(n_times * n_baselines, n_channels, n_polarisations)
