"""Made-up sources of known light curves, measured in every image as real ones are.

One lies in each HEALPix pixel of order 6 (1.2 a square degree), always at the same
place, half of them constant, the others variable or with dips as extreme scattering
makes them.  They are put in as dirty beams through the assumed primary beam, where
CLEAN has been; no image on the disk and no measurement of a real source knows of them.

Belongs here: where they are and how bright at a time, and their measurement.  Does not belong
here: what days make of them (``station/injected_truth.py``).
"""

from dataclasses import dataclass, replace

import ducc0
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg_assets.radio.healpix import disc
from contimg_assets.radio.photometry.fit import Fits, Plane, Points, fit_places

#: Name of the file, beside the real measurements.
FILE = "injected.parquet"
#: Order of the pixels that have a source each, and the steps from it to the finest.
_ORDER = 6
_TO_FINEST = 2 * (29 - _ORDER)
_PREFIX = "made-up "
#: Flux densities, Jy, evenly in the logarithm.
_FAINTEST_JY, _BRIGHTEST_JY = 5e-3, 0.1
#: What each fourth one is.
CONSTANT, VARIABLE, DIPPING = "constant", "variable", "dipping"
_KINDS = (CONSTANT, VARIABLE, CONSTANT, DIPPING)
#: Standard deviation of variable ones, and how long their waves are, days.
_MODULATION, _WAVES_DAYS = (0.1, 0.3), (5.0, 60.0)
#: A dip: how deep, how long, and how often, days.
DIP_DEPTH, DIP_DAYS, _DIPS_APART_DAYS = 0.3, 30.0, 365.0
#: Real sources so near (in multiples of the distance that joins) are fitted along.
_ALONG = 2.0
_SEED = 20261126


@dataclass(frozen=True)
class InjectedSource:
    """One made-up source."""

    pixel: int
    ra_deg: float
    dec_deg: float
    mean_jy: float
    kind: str
    _phases: tuple[float, float]
    _modulation: float
    _wave_days: float

    @property
    def name(self) -> str:
        """Which no real source has."""
        return f"{_PREFIX}{self.pixel:05d}"

    def jy(self, mjd: float) -> float:
        """Flux density on the sky at a time."""
        if self.kind == VARIABLE:
            # Two waves whose lengths have no common multiple; the mean square of each is a half.
            turns = mjd / self._wave_days
            waves = np.sin(2 * np.pi * (turns + self._phases[0])) + np.sin(
                2 * np.pi * (turns / np.sqrt(2) + self._phases[1])
            )
            return float(self.mean_jy * (1 + self._modulation * waves))
        if self.kind == DIPPING and self.dip_begin(mjd) <= mjd:
            return self.mean_jy * (1 - DIP_DEPTH)
        return self.mean_jy

    def dip_begin(self, mjd: float) -> float:
        """When the dip begins that a time is in, or that ends next."""
        offset = self._phases[0] * _DIPS_APART_DAYS
        number = np.floor((mjd - DIP_DAYS - offset) / _DIPS_APART_DAYS) + 1
        return float(number * _DIPS_APART_DAYS + offset)


def injected_source(pixel: int) -> InjectedSource:
    """The source of a pixel: always the same."""
    rng = np.random.default_rng([_SEED, pixel])
    inside = (pixel << _TO_FINEST) + int(rng.integers(0, 1 << _TO_FINEST))
    theta, phi = ducc0.healpix.Healpix_Base(1 << 29, "NEST").pix2ang(np.array([inside]))[0]
    jy = _FAINTEST_JY * (_BRIGHTEST_JY / _FAINTEST_JY) ** rng.random()
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    return InjectedSource(
        pixel,
        float(np.rad2deg(phi)) % 360.0,
        float(90 - np.rad2deg(theta)),
        float(jy),
        kind,
        (float(rng.random()), float(rng.random())),
        float(rng.uniform(*_MODULATION)),
        float(rng.uniform(*_WAVES_DAYS)),
    )


def source_of_name(name: str) -> InjectedSource:
    """The source of a name."""
    return injected_source(int(name.removeprefix(_PREFIX)))


def sources_around(ra_deg: float, dec_deg: float, radius_deg: float) -> list[InjectedSource]:
    """Those of all pixels that a disc touches."""
    ranges = disc(ra_deg, dec_deg, radius_deg)
    spans = [np.arange(a >> _TO_FINEST, ((b - 1) >> _TO_FINEST) + 1) for a, b in ranges.tolist()]
    return [injected_source(int(pixel)) for pixel in np.unique(np.concatenate(spans))]


def fit_injected(plane: Plane, real: Points, made: Points, *, join_beams: float, offset_sigma: float) -> Fits:
    """Measure made-up sources as if they were in the image, with the real ones beside them.

    Parameters
    ----------
    plane : Plane
        The real image's.
    real : Points
        Real places.
    made : Points
        Made-up ones with their apparent flux densities.
    join_beams, offset_sigma : float
        As for :func:`fit_places`.

    Returns
    -------
    Fits
        Of the made-up ones first, then of real ones that are near.
    """
    near = np.zeros(0, np.int64)
    if len(real) and len(made):
        tree = cKDTree(plane.beam.in_beams(real.x, real.y))
        found = tree.query_ball_point(plane.beam.in_beams(made.x, made.y), _ALONG * join_beams)
        near = np.unique(np.concatenate([np.array(one, np.int64) for one in found]))

    def both(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([one, other])

    # A component is a dirty beam that CLEAN took out of the residual: the fit puts it back.
    own = plane.components
    components = Points(both(own.x, made.x), both(own.y, made.y), both(own.flux, made.flux))
    places = Points(*(both(getattr(made, name), getattr(real, name)[near]) for name in ("x", "y", "flux")))
    return fit_places(
        replace(plane, components=components), places, join_beams=join_beams, offset_sigma=offset_sigma
    )
