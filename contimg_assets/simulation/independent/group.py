"""One group of files and their truth, from sky to disk.

Belongs here: the order in which sky, receivers, interference, noise and faults come
together.  What each of them is stands in its own module.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent import (
    faults,
    files,
    gains,
    geometry,
    glitches,
    instrument,
    interference,
    visibilities,
)
from contimg_assets.simulation.independent.scene import Observation, Scene, prepare
from contimg_assets.simulation.independent.truth import write_truth

#: Largest difference of a file name's stamp from the group's start, s.
_STAMP_SCATTER_S = 20.0
#: Channels of subbands whose sky is computed together: 340 MB a feed of full size.
_TOGETHER = 384


def sky_of(scene: Scene, subbands: list[int]) -> NDArray[np.complex64]:
    """What the sky alone gives, through the true beams, averaged as the correlator does.

    Parameters
    ----------
    scene : Scene
    subbands : list of int
        Neighbours in the band: computed together.

    Returns
    -------
    ndarray, complex64, shape (n_subbands, n_feeds, n_integrations, n_baselines, n_channels)
        Of both feeds, or of one if they see the same.
    """
    observation, n_channels = scene.observation, scene.observation.size.n_channels
    channels = np.concatenate([instrument.subband_hz(k, n_channels) for k in subbands])
    width = instrument.channel_width_hz(n_channels) * float(observation.options.smearing)
    plan = visibilities.plan(scene.array, scene.rows, channels, width)
    feeds = (0,) if scene.one_feed_does else (0, 1)
    shape = (len(subbands), len(feeds), len(scene.times_jd), len(scene.one), n_channels)
    out = np.empty(shape, np.complex64)
    for feed in feeds:
        for t in range(len(scene.times_jd)):
            found = visibilities.sky_visibilities(
                scene.array, scene.rows, observation.sources, feed, observation.declination_rad, t, plan
            )
            out[:, feed, t] = np.moveaxis(found.reshape(len(scene.one), len(subbands), n_channels), 1, 0)
    return out


def simulate_subband(
    scene: Scene, subband: int, sky: NDArray[np.complex64] | None = None
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Visibilities of one subband as the correlator gives them, and the samples of its integrations.

    Parameters
    ----------
    scene : Scene
    subband : int
    sky : ndarray, optional
        The subband's part of what ``sky_of`` gives; None: it is computed here.

    Returns
    -------
    visibilities : ndarray, complex64, shape (n_integrations, n_baselines, n_channels, 2)
    samples : ndarray, float32, shape (n_integrations,)
    """
    observation, size = scene.observation, scene.observation.size
    frequency = instrument.subband_hz(subband, size.n_channels)
    rng = np.random.default_rng([observation.seed, 6, subband])
    state = faults.state(scene.faults, scene.names, len(scene.times_jd), subband)
    bandpass = scene.receivers.bandpass(frequency)
    if observation.delays_changed:
        bandpass = bandpass * scene.receivers.delay_phases(frequency)
    shape = (len(scene.times_jd), len(scene.one), size.n_channels, 2)
    out = np.empty(shape, np.complex64)
    mine = [g for g in scene.glitches if g.subband == subband]
    partial = any(g.kind == "partial" for g in mine)
    extra = np.zeros(shape, np.complex64) if partial and observation.options.noise else None
    seen = sky_of(scene, [subband])[0] if sky is None else sky
    for t in range(len(scene.times_jd)):
        layer = gains.ionosphere_phases(scene.array.nominal_m, scene.shift_arcsec[t], frequency)
        for feed in (0, 1):
            voltage = bandpass[..., feed] * (scene.walk[t, :, feed] * state.gain[t, :, feed])[:, None] * layer
            correlated = seen[feed % len(seen), t] * _heard(scene, state, t, feed)[:, None]
            correlated += _emission(scene, state, t, feed, subband)
            response = (np.conj(voltage[scene.one]) * voltage[scene.two]).astype(np.complex64)
            noise = _noise(scene, state, t, feed, rng)
            response[state.zero[t, scene.one, feed] | state.zero[t, scene.two, feed]] = 0
            out[t, :, :, feed] = (correlated + noise) * response
            if extra is not None:
                extra[t, :, :, feed] = _noise(scene, state, t, feed, rng) * response
                extra[t, scene.one == scene.two, :, feed] = 0
    samples = np.full(len(scene.times_jd), instrument.SAMPLES, np.float32)
    glitches.apply_glitches(out, samples, mine, scene.one != scene.two, extra)
    return out, samples


def _heard(scene: Scene, state: faults.State, t: int, feed: int) -> NDArray[np.float32]:
    """Factor of the sky on each baseline; unlike feeds do not correlate."""
    signal, swapped = state.signal[t, :, feed], state.swapped[t]
    alike = swapped[scene.one] == swapped[scene.two]
    return (signal[scene.one] * signal[scene.two] * alike).astype(np.float32)


def _emission(
    scene: Scene, state: faults.State, t: int, feed: int, subband: int
) -> NDArray[np.complex64] | np.complex64:
    """All interference of one integration and subband, Jy, shape (n_baselines, n_channels)."""
    n = scene.observation.size.n_channels
    # Channels fall within a file, and subbands in number; over the band they count upwards.
    channels = instrument.N_SUBBANDS * n - 1 - (subband * n + np.arange(n))
    total: NDArray[np.complex64] | np.complex64 = np.complex64(0)
    for emitter in scene.emitters:
        there = interference.cells(emitter, t, channels)
        if there.any():
            voltage = emitter.response * state.signal[t, :, feed]
            product = emitter.strength_jy * np.conj(voltage[scene.one]) * voltage[scene.two]
            total = total + np.outer(product, there).astype(np.complex64)
    return total


def _noise(
    scene: Scene, state: faults.State, t: int, feed: int, rng: np.random.Generator
) -> NDArray[np.complex64] | np.complex64:
    """Thermal noise, Jy, and the system's power in autocorrelations."""
    if not scene.observation.options.noise:
        return np.complex64(0)
    n = scene.observation.size.n_channels
    factor = (state.noise[t, :, feed] * np.sqrt(scene.receivers.sefd_factor[:, feed])).astype(np.float32)
    pair = (factor[scene.one] * factor[scene.two])[:, None]
    sigma = np.float32(instrument.noise_jy(n))
    parts = rng.standard_normal((len(scene.one), n, 2), dtype=np.float32)
    noise = parts.view(np.complex64)[..., 0] * sigma
    auto = scene.one == scene.two
    noise[auto] = instrument.SEFD_JY + np.sqrt(np.float32(2)) * sigma * parts[auto, :, 0]
    return noise * pair


def simulate(observation: Observation, folder: Path) -> Path:
    """Write a group's files and their truth.

    Returns
    -------
    Path
        The truth, ``<key without colons>.truth.json`` in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scene = prepare(observation)
    baselines = scene.array.nominal_m[scene.two] - scene.array.nominal_m[scene.one]
    delays = scene.receivers.delay_change_ns * float(observation.delays_changed)
    rng = np.random.default_rng([observation.seed, 8])
    names = {}
    for subband in range(instrument.N_SUBBANDS):
        scatter = timedelta(seconds=float(rng.uniform(-_STAMP_SCATTER_S, _STAMP_SCATTER_S)))
        if subband in observation.options.glitches.missing_subbands:
            continue
        stamp = (observation.start.utc.to_datetime() + scatter).strftime("%Y-%m-%dT%H:%M:%S")
        names[f"{subband:02d}"] = f"{stamp}_sb{subband:02d}.hdf5"
    n_together = min(instrument.N_SUBBANDS, max(1, _TOGETHER // observation.size.n_channels))
    for first in range(0, instrument.N_SUBBANDS, n_together):
        together = [k for k in range(first, first + n_together) if f"{k:02d}" in names]
        if not together:
            continue
        for subband, sky in zip(together, sky_of(scene, together), strict=True):
            data, samples = simulate_subband(scene, subband, sky)
            content = files.Subband(
                scene.times_jd,
                instrument.subband_hz(subband, observation.size.n_channels),
                scene.antennas[scene.one],
                scene.antennas[scene.two],
                geometry.uvw_at_meridian(baselines, observation.declination_rad),
                data,
                samples,
                observation.declination_rad,
                delays,
            )
            files.write(folder / names[f"{subband:02d}"], content)
    return write_truth(scene, names, folder)
