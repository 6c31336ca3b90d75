"""An image's sources against a survey: flux scale, astrometry, completeness, reliability, spectra, counts."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg_assets.radio.catalogues.formats import Rows
from contimg_assets.radio.catalogues.surveys import Survey
from contimg_assets.radio.images.faint_sources import faint_numbers
from contimg_assets.radio.images.source_finding import Found, ImagePlane
from contimg_assets.radio.robust import mad_sigma

#: Sources from this signal-to-noise ratio on tell the flux scale and the astrometry.
SCALE_SIGMA = 20.0
#: … completeness and reliability.
COUNT_SIGMA = 7.0
#: Fewer sources than these give no median worth a verdict, and no slope.
_LEAST, _LEAST_SLOPE = 5, 10
#: A deviation counts as far as it is beyond so many times its error.
_SURE = 2.0
#: A neighbour nearer than this (in beams of the coarser of the two) with a tenth of the flux
#: density spoils a comparison.
_ISOLATED_BEAMS, _ISOLATED_PART = 1.5, 0.1
#: Above this ratio of frequencies, flux densities tell spectra rather than the scale.
_SAME_BAND = 1.2
#: Bins of the source counts, with equally many of the survey's sources.
_COUNT_BINS = 6


@dataclass(frozen=True)
class Comparison:
    """What a survey says about an image."""

    survey: str
    numbers: dict[str, float]
    """Metrics; one that too few sources tell is left out."""
    matched: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    """Columns for pictures: ``ratio``, ``radius_deg``, ``snr``, ``east``, ``north`` of comparable sources."""
    names: dict[int, tuple[str, float]] = dataclasses.field(default_factory=dict)
    """Survey name and flux density (at the image's frequency, Jy) by index of the source."""


def compare_with_survey(
    sources: list[Found],
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    rows: Rows,
    survey: Survey,
    *,
    frequency_hz: float,
    typical_index: float,
    least_power: float,
    half_power_deg: float,
) -> Comparison:
    """Match sources to a survey and measure what follows.

    Parameters
    ----------
    sources : list of Found
    plane : ImagePlane
        Before correction for the beam.
    power, noise : ndarray
        Same shape.
    rows : ndarray of ROW
        The survey's sources in the field.
    survey : Survey
    frequency_hz : float
        Of the image.
    typical_index : float
        Spectral index where a row has none.
    least_power : float
        Where the beam is at least this, survey sources are looked for; the source list may go farther out.
    half_power_deg : float
        Radius at which the flux ratio's slope is stated.
    """
    index = np.where(np.isnan(rows["spectral_index"]), typical_index, rows["spectral_index"])
    expected = rows["flux_jy"] * (frequency_hz / survey.frequency_hz) ** index
    field, everywhere = _in_field(plane, power, noise, rows, expected, least_power)
    if not len(field.rows):
        return Comparison(survey.title, {})
    cell = 3600 * float(np.abs(plane.wcs.wcs.cdelt[1]))
    coarser = max(plane.major_pixels, survey.beam_arcsec / cell)
    found_at = np.array([[s.point.x, s.point.y] for s in sources]).reshape(-1, 2)
    snr = np.array([s.signal_to_noise for s in sources])
    flux = np.array([s.flux_jy for s in sources])
    numbers: dict[str, float] = {}

    deep = field.expected > 2 * survey.complete_jy
    bright = field.snr >= COUNT_SIGMA
    if bright.any():
        nearest = (
            cKDTree(found_at).query(field.places[bright])[0]
            if len(found_at)
            else np.full(bright.sum(), np.inf)
        )
        numbers["completeness_7sigma"] = float((nearest <= coarser / 2).mean())
        numbers["n_expected_7sigma"] = float(bright.sum())
    ours = (snr >= COUNT_SIGMA) & (flux > 2 * survey.complete_jy) if len(sources) else np.zeros(0, bool)
    if ours.any():
        nearest = cKDTree(everywhere).query(found_at[ours])[0]
        numbers["reliability_7sigma"] = float((nearest <= coarser / 2).mean())

    names, comparable = _matches(field, found_at, snr, max(plane.major_pixels / 2, 2.0), coarser)
    matched = _columns(plane, field, comparable, found_at, flux, snr, cell) if comparable else {}
    if comparable:
        numbers |= _scale(matched, survey, frequency_hz, half_power_deg, typical_index)
    if _is_same_band(survey, frequency_hz):
        single = deep & _stand_alone(field, coarser)
        numbers |= faint_numbers(plane, power, noise, field.places[single], field.expected[single])
    # Of ours those where the survey's are counted: the source list goes farther out.
    counted = np.array([s.power >= least_power for s in sources], bool)
    numbers |= _counts(flux[counted], snr[counted], field.expected[deep], field.snr[deep])
    return Comparison(survey.title, numbers, matched, names)


@dataclass(frozen=True)
class _Field:
    """The survey's sources within the image, where the beam tells how bright they appear."""

    rows: Rows
    places: NDArray[np.float64]
    """Zero-based pixels x and y, shape (n, 2)."""
    expected: NDArray[np.float64]
    """Flux densities at the image's frequency, Jy."""
    snr: NDArray[np.float64]
    """Expected signal-to-noise ratios."""


def _in_field(
    plane: ImagePlane,
    power: NDArray[np.float32],
    noise: NDArray[np.float32],
    rows: Rows,
    expected: NDArray[np.float64],
    least_power: float,
) -> tuple[_Field, NDArray[np.float64]]:
    """Sources within the image, and the pixels of all, whatever the beam there.

    A source of ours is real if the survey has it anywhere.
    """
    with np.errstate(invalid="ignore"):
        x, y = plane.wcs.all_world2pix(rows["ra_deg"], rows["dec_deg"], 0)
    everywhere = np.stack([x, y], axis=1)[np.isfinite(x)]
    ny, nx = plane.pixels.shape
    rim = plane.major_pixels
    inside = np.isfinite(x) & (x > rim) & (x < nx - 1 - rim) & (y > rim) & (y < ny - 1 - rim)
    at = (
        np.where(inside, np.nan_to_num(np.rint(y)), 0).astype(int),
        np.where(inside, np.nan_to_num(np.rint(x)), 0).astype(int),
    )
    response, local = power[at], noise[at]
    inside &= response >= least_power
    snr = expected[inside] * response[inside] / local[inside]
    places = np.stack([x[inside], y[inside]], axis=1)
    return _Field(rows[inside], places, expected[inside], snr), everywhere


def _is_same_band(survey: Survey, frequency_hz: float) -> bool:
    """Whether ratios of flux densities tell the scale; else they tell spectra."""
    return abs(np.log(frequency_hz / survey.frequency_hz)) <= np.log(_SAME_BAND)


def _stand_alone(field: _Field, coarser: float) -> NDArray[np.bool_]:
    """Survey sources whose neighbours have less than a tenth of their flux density, shape (n,)."""
    near = cKDTree(field.places).query_ball_point(field.places, _ISOLATED_BEAMS * coarser)
    others = np.array([field.expected[around].sum() for around in near]) - field.expected
    return others < _ISOLATED_PART * field.expected


#: Index of a source, flux density that the survey expects of it, index of its brightest counterpart.
_Match = tuple[int, float, int]


def _matches(
    field: _Field, found_at: NDArray[np.float64], snr: NDArray[np.float64], reach: float, coarser: float
) -> tuple[dict[int, tuple[str, float]], list[_Match]]:
    """Survey name and flux density of each source that has a counterpart, and those that can be compared."""
    tree = cKDTree(field.places)
    comparable: list[_Match] = []
    names: dict[int, tuple[str, float]] = {}
    for i, near in enumerate(tree.query_ball_point(found_at, reach) if len(found_at) else ()):
        if not near:
            continue
        best = max(near, key=lambda k: field.expected[k])
        # Components that we do not resolve are one source to us.
        total = float(field.expected[near].sum())
        names[i] = (bytes(field.rows["name"][best]).decode(), total)
        around = tree.query_ball_point(field.places[best], _ISOLATED_BEAMS * coarser)
        others = float(field.expected[around].sum()) - total
        alone = np.hypot(*(found_at - found_at[i]).T) < _ISOLATED_BEAMS * coarser
        if snr[i] >= SCALE_SIGMA and others < _ISOLATED_PART * total and alone.sum() == 1:
            comparable.append((i, total, best))
    return names, comparable


def _columns(
    plane: ImagePlane,
    field: _Field,
    comparable: list[_Match],
    found_at: NDArray[np.float64],
    flux: NDArray[np.float64],
    snr: NDArray[np.float64],
    cell_arcsec: float,
) -> dict[str, NDArray[np.float64]]:
    """Columns for pictures, of comparable sources."""
    who = np.array([i for i, _, _ in comparable])
    match = np.array([best for _, _, best in comparable])
    step = found_at[who] - field.places[match]
    centre = plane.wcs.wcs.crpix - 1
    return {
        "ratio": flux[who] / np.array([total for _, total, _ in comparable]),
        "radius_deg": np.hypot(*(found_at[who] - centre).T) * cell_arcsec / 3600,
        "snr": snr[who],
        "east": -step[:, 0] * cell_arcsec,
        "north": step[:, 1] * cell_arcsec,
        "flux_jy": flux[who],
    }


def _scale(
    matched: dict[str, NDArray[np.float64]],
    survey: Survey,
    frequency_hz: float,
    half_power_deg: float,
    typical_index: float,
) -> dict[str, float]:
    """Flux ratio, its scatter and slope, offsets."""
    ratio, n = matched["ratio"], len(matched["ratio"])
    numbers: dict[str, float] = {"n_compared": float(n)}
    if n < _LEAST:
        return numbers
    east, north = float(np.median(matched["east"])), float(np.median(matched["north"]))
    numbers |= {
        "offset_east_arcsec": east,
        "offset_north_arcsec": north,
        "astrometric_offset_arcsec": float(np.hypot(east, north)),
        "position_scatter_arcsec": float(
            np.median(np.hypot(matched["east"] - east, matched["north"] - north))
        ),
    }
    octaves = np.log(frequency_hz / survey.frequency_hz)
    if not _is_same_band(survey, frequency_hz):
        # Ratios were to the typical index; what they say is how far from it the spectra are.
        numbers["median_spectral_index"] = typical_index + float(np.log(np.median(ratio)) / octaves)
        return numbers
    scatter = mad_sigma(ratio)
    middle = float(np.median(ratio))
    error = float(1.2533 * _least_scatter(scatter, matched["snr"]) / np.sqrt(n))
    numbers |= {
        "flux_ratio": middle,
        "flux_ratio_error": error,
        "flux_ratio_scatter": scatter,
        "flux_ratio_deviation": abs(middle - 1),
    }
    if n >= _LEAST_SLOPE:
        numbers["flux_ratio_excess"] = max(0.0, abs(middle - 1) - _SURE * error)
    within = matched["radius_deg"] <= 1.2 * half_power_deg
    if within.sum() >= _LEAST_SLOPE:
        radius = matched["radius_deg"][within] / half_power_deg
        slope = ratio_slope(radius, ratio[within])
        error = _slope_error(radius, ratio[within], matched["snr"][within])
        numbers["flux_ratio_slope"] = slope
        numbers["flux_ratio_slope_error"] = error
        numbers["flux_ratio_trend"] = abs(slope)
        numbers["flux_ratio_trend_excess"] = max(0.0, abs(slope) - _SURE * error)
    return numbers


def _least_scatter(scatter: float, snr: NDArray[np.float64]) -> float:
    """A scatter, or what the image's own noise makes it, if that is more: few ratios may agree by chance."""
    return max(scatter, float(np.median(1.0 / snr)))


def _slope_error(radius: NDArray[np.float64], ratio: NDArray[np.float64], snr: NDArray[np.float64]) -> float:
    """Standard error of the slope."""
    line = np.polyval(np.polyfit(radius, ratio, 1), radius)
    scatter = _least_scatter(mad_sigma(ratio - line), snr)
    return float(scatter / (np.std(radius) * np.sqrt(len(radius))))


def ratio_slope(radius: NDArray[np.float64], ratio: NDArray[np.float64]) -> float:
    """Slope of flux ratios with radius; outliers (variable or extended sources) count for a tenth.

    Parameters
    ----------
    radius, ratio : ndarray, shape (n_sources,)
        The radius in half-power radii of the beam, say.
    """
    far = np.abs(ratio - np.median(ratio)) > 3 * max(mad_sigma(ratio), 1e-3)
    return float(np.polyfit(radius, ratio, 1, w=np.where(far, 0.1, 1.0))[0])


def _counts(
    flux: NDArray[np.float64],
    snr: NDArray[np.float64],
    expected: NDArray[np.float64],
    expected_snr: NDArray[np.float64],
) -> dict[str, float]:
    """Reduced χ² of the counts against the survey's own sources, over 10σ in both."""
    seen, there = flux[snr >= 10], expected[expected_snr >= 10]
    if len(there) < _LEAST:
        return {}
    low, high = np.quantile(there, [0, 1])
    edges = np.quantile(there, np.linspace(0, 1, _COUNT_BINS + 1))
    edges[0], edges[-1] = low * 0.999, high * 3
    observed, wanted = np.histogram(seen, edges)[0], np.histogram(there, edges)[0]
    return {"count_chi2": float(((observed - wanted) ** 2 / np.maximum(wanted, 1)).mean())}
