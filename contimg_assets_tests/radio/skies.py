"""Sources at chosen offsets from a group's centre, and observations of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.images.components import Points
from contimg_assets.radio.imaging.drift import Drift, response
from contimg_assets.radio.imaging.visibilities import unflagged
from contimg_assets.radio.imaging.weights import imaging_weights
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.observation import Observation, simulate
from contimg_assets.simulation.presets import PRESETS, Corruption, Preset

#: Start of most simulated groups.
START = Time("2025-06-01T14:06:27", scale="utc")
TINY = PRESETS["tiny"]


def centre_of(start: Time, dec_deg: float, preset: Preset = TINY) -> tuple[float, float]:
    """ICRS phase centre that conversion gives a group, rad."""
    middle = start.jd + preset.n_integrations * telescope.INTEGRATION_S / 2 / 86400.0
    return phasing.meridian_centre(middle, np.deg2rad(dec_deg))


def around(
    start: Time, dec_deg: float, offsets: Iterable[tuple[float, ...]], preset: Preset = TINY
) -> list[Source]:
    """Sources at (east deg, north deg, Jy[, spectral index]) from a group's centre."""
    centre = SkyCoord(*centre_of(start, dec_deg, preset), unit="rad", frame="icrs")
    sources = []
    for number, (east, north, flux, *index) in enumerate(offsets):
        place = centre.spherical_offsets_by(east * u.deg, north * u.deg)
        sources.append(
            Source(f"P{number}", float(place.ra.deg), float(place.dec.deg), flux, index[0] if index else 0.0)
        )
    return sources


def observe(
    sources: list[Source],
    dec_deg: float,
    corruption: Corruption,
    start: Time = START,
    preset: Preset = TINY,
    **options: Any,
) -> Observation:
    """An observation of a group."""
    return Observation(preset, start, float(np.deg2rad(dec_deg)), sources, corruption, **options)


def unflagged_drift(observation: Observation, folder: Path, weighting: str, field_deg: float) -> Drift:
    """Geometry, beam and imaging weights of an observation, every channel for itself and none flagged."""
    simulate(observation, folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    shape = read_shape(folder / "group.ms")
    data = unflagged(shape, np.ones(int(shape.cross.sum()), np.int64))
    weights = imaging_weights(shape, data, weighting, 0.0, np.deg2rad(field_deg), (0.0, np.inf))
    return Drift(shape, data, weights)


def kept_in_time(drift: Drift, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of a source at (l, m, n − 1) that each visibility keeps: phases at both ends of an integration."""
    shape = drift.shape
    axes = shape.axes()
    source = (direction + np.array([0.0, 0.0, 1.0])) @ axes
    offset = source - phasing.pointing_vector(shape.declination_rad)
    turned = []
    for angle in np.array([-0.5, 0.5]) * 7.292115e-5 * shape.integration_s:
        cos, sin = np.cos(angle), np.sin(angle)
        x, y, z = offset.T
        turned.append(np.stack([x * cos + y * sin, y * cos - x * sin, z], axis=-1))
    change = np.einsum("tij,tj->ti", axes, turned[1] - turned[0])
    return np.sinc(
        np.einsum("tni,ti->tn", drift.data.uvw.reshape(drift.data.n_times, -1, 3), change)
    ).reshape(-1)


def drifting_points(drift: Drift, points: Points) -> NDArray[np.complex64]:
    """Visibilities of points that drift through the beam, each integration and channel for itself.

    Flux densities are those of the image: averaging has taken its part of them.
    """
    total = np.zeros(len(drift.data.uvw), complex)
    for l, m, flux in zip(*(np.asarray(p)[:, None] for p in points), strict=True):
        index = np.array([-0.7])
        shares = response(drift.shape, l, m, drift.data.frequencies_hz, drift.reference_hz, index)[0]
        shares /= drift.mean_response(l, m, index)[0]
        direction = np.array([l[0], m[0], np.sqrt(1 - l[0] ** 2 - m[0] ** 2) - 1])
        turns = drift.data.uvw @ direction
        # A channel is an average.
        width = float(np.diff(drift.data.frequencies_hz[:2])[0])
        turns_across = turns * np.tile(width / drift.data.frequencies_hz, drift.data.n_times)
        kept = np.sinc(turns_across) * kept_in_time(drift, direction) / drift.smearing(l[0], m[0])
        total += flux[0] * shares.reshape(-1) * kept * np.exp(2j * np.pi * turns)
    return total.astype(np.complex64)


def over_thermal(shape: GroupShape, values: NDArray[np.complex64]) -> float:
    """Variance of a column's cross-correlations over that of the thermal noise."""
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    return float(np.mean(np.abs(values[:, shape.cross]) ** 2)) / (2 * sigma**2)
