"""Sources: counts, places, shapes, spectra; and the points that stand for them.

Counts are the sixth-order fit of Hopkins et al. (2003, AJ 125, 465) at 1.4 GHz,
``log10(S^2.5 dN/dS) = Σ a_i (log10 S/mJy)^i`` in Jy^1.5/sr, good from 0.05 mJy to 1 Jy.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from contimg_assets.simulation.independent.instrument import CENTRE_HZ, LIGHT_M_S
from contimg_assets.simulation.independent.options import SkyOptions

_HOPKINS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
#: Frequency of a source's ``flux_jy``, Hz: that of the surveys and of the counts.
REFERENCE_HZ = 1.4e9
#: Perley & Butler (2017, ApJS 230, 7): log10 S[Jy] = Σ a_i (log10 ν[GHz])^i.
_PERLEY_BUTLER = {
    "3C286": (1.2481, -0.4507, -0.1798, 0.0357),
    "3C48": (1.3253, -0.7553, -0.1914, 0.0498),
    "3C147": (1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
    "3C138": (1.0088, -0.4981, -0.1552, -0.0102, 0.0223),
    "3C196": (1.2872, -0.8530, -0.1534, -0.0200, 0.0201),
    "3C295": (1.4701, -0.7658, -0.2780, -0.0347, 0.0399),
    "3C123": (1.8017, -0.7884, -0.1035, -0.0248, 0.0090),
    "CygA": (3.3498, -1.0022, -0.2246, 0.0227, 0.0425),
}
#: Largest error of a Gaussian's visibility when it is made of points.
_SHAPE_ERROR = 1e-3
_ARCSEC = np.deg2rad(1.0 / 3600.0)
_FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))
#: Scatter of ln size; range of axis ratios of Gaussians.
_SIZE_SCATTER, _AXIS_RATIO = 0.4, (0.3, 1.0)


@dataclass(frozen=True)
class Source:
    """One source; the first six fields are those of the other simulator's truth."""

    name: str
    ra_deg: float
    dec_deg: float
    """ICRS; of a double its middle."""
    flux_jy: float
    """At 1.4 GHz, all of it, mean of the feeds."""
    spectral_index: float = 0.0
    scale_name: str | None = None
    """Name on the Perley–Butler scale, in place of flux density and index."""
    shape: str = "point"
    """point, gaussian or double (two equal points)."""
    major_arcsec: float = 0.0
    """Full width at half maximum, or separation."""
    minor_arcsec: float = 0.0
    angle_deg: float = 0.0
    """Of the major axis, north through east."""
    polarisation: float = 0.0
    """q: X sees (1 + q) of the flux density, Y (1 − q)."""
    kind: str = "listed"
    """calibrator, listed (kept apart) or population (anywhere)."""

    def flux(self, frequency_hz: ArrayLike) -> NDArray[np.float64]:
        """Flux density, Jy."""
        frequency = np.asarray(frequency_hz, dtype=np.float64)
        if self.scale_name is None:
            return self.flux_jy * (frequency / REFERENCE_HZ) ** self.spectral_index
        log = np.log10(frequency / 1e9)
        return 10.0 ** np.polynomial.polynomial.polyval(log, _PERLEY_BUTLER[self.scale_name])


def fluxes(sources: list[Source], frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flux densities, shape (n_sources, n_frequencies), Jy."""
    plain = np.array([s.flux_jy for s in sources])[:, None]
    index = np.array([s.spectral_index for s in sources])[:, None]
    found = plain * (frequency_hz / REFERENCE_HZ) ** index
    for row, source in enumerate(sources):
        if source.scale_name is not None:
            found[row] = source.flux(frequency_hz)
    return found


def calibrator(name: str, polarisation: float = 0.0) -> Source:
    """A source of the project's calibrator table (``radio/calibration/calibrators.csv``, read as data).

    Raises
    ------
    KeyError
        If the table has no such name.
    """
    path = resources.files("contimg_assets") / "radio" / "calibration" / "calibrators.csv"
    for row in csv.DictReader(path.read_text().splitlines()):
        if row["name"] == name:
            ra, dec, flux, index = (float(row[k]) for k in ("ra_deg", "dec_deg", "flux_jy", "spectral_index"))
            scale = row["scale_name"] or None
            return Source(name, ra, dec, flux, index, scale, polarisation=polarisation, kind="calibrator")
    raise KeyError(f"{name!r} is not in the table of calibrators")


def counts_per_deg2(faintest_jy: float, brightest_jy: float) -> tuple[NDArray, NDArray]:
    """Flux densities, and how many sources a square degree has between each and the brightest.

    Returns
    -------
    flux_jy, number : ndarray, shape (2001,)
        Rising flux densities, falling numbers.
    """
    log = np.linspace(np.log10(faintest_jy), np.log10(brightest_jy), 2001)
    flux = 10.0**log
    polynomial = np.polynomial.polynomial.polyval(log + 3.0, _HOPKINS)
    # dN/d(log10 S) = S ln 10 · dN/dS, per square degree.
    density = 10.0**polynomial * flux**-1.5 * np.log(10.0) * np.deg2rad(1.0) ** 2
    steps = (density[1:] + density[:-1]) / 2.0 * np.diff(log)
    return flux, np.append(np.cumsum(steps[::-1])[::-1], 0.0)


def random_field(
    centre_deg: tuple[float, float],
    options: SkyOptions,
    population_to_jy: float | None,
    power: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> list[Source]:
    """Random sources in a disc.

    Parameters
    ----------
    centre_deg : tuple of float
        ICRS.
    options : SkyOptions
    population_to_jy : float or None
        Least apparent flux density of the faint population, if there is to be one.
    power : callable
        Power of the beam towards ICRS places (deg) in the middle of the group.
    seed : int

    Returns
    -------
    list of Source
        Listed ones, brightest apparent first; then the population.
    """
    rng = np.random.default_rng([seed, 3])
    lowest = min(options.faintest_apparent_jy, population_to_jy or np.inf)
    grid, number = counts_per_deg2(lowest, options.brightest_jy)
    n = rng.poisson(number[0] * np.pi * options.radius_deg**2)
    flux = np.interp(rng.random(n) * number[0], number[::-1], grid[::-1])
    ra, dec = _in_disc(centre_deg, options.radius_deg * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n))
    index = options.spectral_index + options.spectral_scatter * rng.standard_normal(n)
    apparent = flux * power(ra, dec)
    order = np.argsort(-apparent)
    listed = order[apparent[order] >= options.faintest_apparent_jy]
    listed = listed[_apart(ra[listed], dec[listed], options.separation_arcsec)]
    sources = [
        Source(
            f"S{k:04d}", float(ra[i]), float(dec[i]), float(flux[i]), float(index[i]), **_shape(options, rng)
        )
        for k, i in enumerate(listed)
    ]
    if population_to_jy is not None:
        faint = (apparent < options.faintest_apparent_jy) & (apparent >= population_to_jy)
        for k, i in enumerate(np.flatnonzero(faint)):
            place = float(ra[i]), float(dec[i]), float(flux[i]), float(index[i])
            sources.append(Source(f"P{k:05d}", *place, kind="population"))
    return sources


def _in_disc(
    centre_deg: tuple[float, float], radius_deg: NDArray[np.float64], angle: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places at a distance and angle (north through east) from a centre, deg."""
    ra0, dec0 = np.deg2rad(centre_deg)
    r = np.deg2rad(radius_deg)
    sin_dec = np.sin(dec0) * np.cos(r) + np.cos(dec0) * np.sin(r) * np.cos(angle)
    turn = np.arctan2(np.sin(angle) * np.sin(r) * np.cos(dec0), np.cos(r) - np.sin(dec0) * sin_dec)
    return np.rad2deg(ra0 + turn) % 360.0, np.rad2deg(np.arcsin(sin_dec))


def _apart(ra_deg: NDArray, dec_deg: NDArray, separation_arcsec: float) -> NDArray[np.bool_]:
    """Which sources have no earlier one within the separation."""
    keep = np.ones(len(ra_deg), bool)
    if len(ra_deg) < 2 or separation_arcsec == 0:
        return keep
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    unit = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    pairs = sorted(cKDTree(unit).query_pairs(separation_arcsec * _ARCSEC))
    for first, second in pairs:
        if keep[first]:
            keep[second] = False
    return keep


def _shape(options: SkyOptions, rng: np.random.Generator) -> dict:
    """Shape of one source; the same draws for a point, so that the others do not change."""
    extended, double, angle = rng.random(3)
    size = options.extended_arcsec * np.exp(_SIZE_SCATTER * rng.standard_normal())
    ratio = rng.uniform(*_AXIS_RATIO)
    if extended >= options.extended_fraction:
        return {}
    shape = "double" if double < options.double_fraction else "gaussian"
    return {
        "shape": shape,
        "major_arcsec": float(size),
        "minor_arcsec": 0.0 if shape == "double" else float(size * ratio),
        "angle_deg": float(180.0 * angle),
    }


@dataclass(frozen=True)
class Points:
    """Points that stand for sources."""

    ra_rad: NDArray[np.float64]
    dec_rad: NDArray[np.float64]
    part: NDArray[np.float64]
    """Of the source's flux density, shape (n_points,)."""
    source: NDArray[np.int64]
    """Index of the source, shape (n_points,)."""


@cache
def _gauss_hermite(reach: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (in σ) and weights that follow exp(−x²/2) for x up to ``reach`` / 4."""
    x = np.linspace(0.0, reach / 4.0, 100)
    for n in range(1, 40):
        offset, weight = np.polynomial.hermite_e.hermegauss(n)
        weight = weight / weight.sum()
        if np.abs(np.cos(np.outer(x, offset)) @ weight - np.exp(-(x**2) / 2)).max() < _SHAPE_ERROR:
            return offset, weight
    raise ValueError(f"a Gaussian is resolved {reach / 4:.1f}-fold: too large for points")


def points(sources: list[Source], longest_m: float) -> Points:
    """Break sources into points: Gauss–Hermite nodes for Gaussians, two points for doubles.

    Parameters
    ----------
    sources : list of Source
    longest_m : float
        Longest baseline: the nodes follow a Gaussian's visibility that far, to 1e-3.
    """
    ra, dec, part, owner = [], [], [], []
    for index, source in enumerate(sources):
        along, across, weight = _nodes(source, longest_m)
        angle = np.deg2rad(source.angle_deg)
        east = (along * np.sin(angle) + across * np.cos(angle)) * _ARCSEC
        north = (along * np.cos(angle) - across * np.sin(angle)) * _ARCSEC
        ra0, dec0 = np.deg2rad([source.ra_deg, source.dec_deg])
        ra.append(ra0 + east / np.cos(dec0))
        dec.append(dec0 + north)
        part.append(weight)
        owner.append(np.full(len(weight), index))
    if not sources:
        return Points(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    return Points(np.concatenate(ra), np.concatenate(dec), np.concatenate(part), np.concatenate(owner))


def _nodes(source: Source, longest_m: float) -> tuple[NDArray, NDArray, NDArray]:
    """Offsets along and across the major axis, arcsec, and weights."""
    if source.shape == "point":
        return np.zeros(1), np.zeros(1), np.ones(1)
    if source.shape == "double":
        return np.array([-0.5, 0.5]) * source.major_arcsec, np.zeros(2), np.full(2, 0.5)
    rules = []
    for width in (source.major_arcsec, source.minor_arcsec):
        sigma = width * _FWHM_TO_SIGMA
        # 7 % above the band's centre is its top.
        reach = 2 * np.pi * sigma * _ARCSEC * longest_m * 1.07 * CENTRE_HZ / LIGHT_M_S
        offset, weight = _gauss_hermite(int(np.ceil(4 * reach)))
        rules.append((sigma * offset, weight))
    (along, w1), (across, w2) = rules
    weight = np.outer(w1, w2).ravel()
    # The outermost nodes weigh next to nothing: left out as long as all of them do not matter.
    order = np.argsort(weight)
    kept = np.sort(order[np.cumsum(weight[order]) > _SHAPE_ERROR / 2])
    part = weight[kept] / weight[kept].sum()
    return np.repeat(along, len(across))[kept], np.tile(across, len(along))[kept], part


def population_limit_jy(options: SkyOptions, image_noise_jy: float) -> float | None:
    """Least apparent flux density of the population, of whichever option is given."""
    if options.population_to_noise is not None:
        return options.population_to_noise * image_noise_jy
    return options.population_to_jy
