"""Small independent observations, for tests of what each option does."""

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.simulation.independent import geometry, group, instrument
from contimg_assets.simulation.independent.options import Options
from contimg_assets.simulation.independent.scene import Observation, Scene, prepare
from contimg_assets.simulation.independent.sky import Source

DECLINATION_RAD = float(np.deg2rad(16.27))
START = Time("2025-06-01T12:00:00", scale="utc")
#: Both arms and outriggers: baselines from 6 m to 2.5 km.
FEW = instrument.Size((1, 2, 24, 51, 69, 102, 116), 4, 4)


def centre(size: instrument.Size = FEW) -> tuple[float, float]:
    """ICRS place of the pointing at the middle of a group, deg."""
    middle = START.jd + size.n_integrations * instrument.INTEGRATION_S / 2 / 86400.0
    ra, dec = np.rad2deg(geometry.meridian_icrs(middle, DECLINATION_RAD))
    return float(ra), float(dec)


def source_at(east_deg: float, north_deg: float, flux_jy: float = 1.0, **fields) -> Source:
    """A flat source beside the pointing."""
    ra, dec = centre()
    return Source(
        "S", ra + east_deg / float(np.cos(np.deg2rad(dec + north_deg))), dec + north_deg, flux_jy, **fields
    )


def scene(sources: list[Source], options: Options, size: instrument.Size = FEW, **fields) -> Scene:
    """A prepared observation."""
    return prepare(Observation(size, START, DECLINATION_RAD, sources, options, **fields))


def perfect(**options) -> Options:
    """No noise, and what is given."""
    return Options(noise=False, **options)


def visibilities(
    sources: list[Source],
    options: Options,
    size: instrument.Size = FEW,
    subband: int = 7,
    **fields,
) -> NDArray[np.complex64]:
    """One subband, shape (n_integrations, n_baselines, n_channels, 2)."""
    return group.simulate_subband(scene(sources, options, size, **fields), subband)[0]
