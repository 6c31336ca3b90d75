"""Sources at chosen offsets from a group's centre, and observations of them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.observation import Observation
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
