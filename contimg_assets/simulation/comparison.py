"""What an image shows against what the simulator put in."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from scipy.spatial import cKDTree

from contimg_assets.radio.beam import half_power_radius
from contimg_assets.radio.images.crossmatch import ratio_slope
from contimg_assets.radio.images.planes import image_name, plane_file
from contimg_assets.radio.images.source_finding import LEAST_POWER, fit_point, read_plane
from contimg_assets.radio.robust import mad_sigma

#: Sources to this radius, in half-power radii, tell the slope; there are at least this many of them.
_WITHIN, _LEAST_SLOPE = 1.2, 10
#: Edges of the bins of signal-to-noise ratio by which the bias of faint sources is told.
BINS = (5.0, 7.0, 10.0, 30.0, 50.0, float("inf"))


@dataclass(frozen=True)
class Match:
    """One true source and its measurement."""

    name: str
    true_jy: float
    measured_jy: float
    offset_arcsec: float
    signal_to_noise: float
    """True apparent flux density over the local noise."""
    half_powers: float
    """Distance from the image's centre, in half-power radii of the beam."""
    east_arcsec: float
    north_arcsec: float

    @property
    def ratio(self) -> float:
        """Measured over true flux density."""
        return self.measured_jy / self.true_jy


def compare(truth_file: Path, image: Path, beam: Path, noise: Path, n_sigma: float = 20.0) -> list[Match]:
    """Measure every true point source that is bright enough to be seen.

    Parameters
    ----------
    truth_file : Path
        From the simulator.
    image : Path
        Image before correction for the beam.
    beam : Path
        The beam's image: the measurement divided by it is compared with the truth.
    noise : Path
        The map of the local noise.
    n_sigma : float
        Sources whose true apparent flux density is above this many times the local noise.

    Returns
    -------
    list of Match
        Brightest first; a source that cannot be fitted has a NaN measurement.
    """
    truth: dict[str, Any] = json.loads(truth_file.read_text())
    plane, power = read_plane(image), read_plane(beam)
    local = read_plane(noise).pixels
    frequency_hz = plane.frequency_hz
    ny, nx = plane.pixels.shape
    centre = plane.sky(nx // 2, ny // 2)
    matches = []
    for source in truth["sources"]:
        # The restoring beam is fitted, which says nothing of a source that is no point.
        if source.get("shape", "point") != "point":
            continue
        x, y = plane.pixel(source["ra_deg"], source["dec_deg"])
        if not (0 <= x < nx - 1 and 0 <= y < ny - 1):
            continue
        snr = float(source["mean_apparent_jy"] / local[round(y), round(x)])
        if not snr >= n_sigma:
            continue
        true = _true_flux(source, frequency_hz)
        measured = fit_point(plane, x, y)
        response = float(power.pixels[round(y), round(x)])
        cosine = np.cos(np.deg2rad(source["dec_deg"]))
        east = north = flux = float("nan")
        if measured is not None:
            east = _wrapped(measured.ra_deg - source["ra_deg"]) * cosine * 3600.0
            north = (measured.dec_deg - source["dec_deg"]) * 3600.0
            flux = measured.flux_jy / response
        matches.append(
            Match(
                source["name"],
                true,
                flux,
                float(np.hypot(east, north)),
                snr,
                float(
                    np.hypot(_wrapped(source["ra_deg"] - centre[0]) * cosine, source["dec_deg"] - centre[1])
                    / np.rad2deg(half_power_radius(frequency_hz))
                ),
                float(east),
                float(north),
            )
        )
    return sorted(matches, key=lambda m: -m.signal_to_noise)


@dataclass(frozen=True)
class Bin:
    """Flux ratios of the sources between two signal-to-noise ratios."""

    low: float
    high: float
    n_sources: int
    median: float
    error: float
    """Standard error of the median."""
    scatter: float


def by_signal_to_noise(matches: list[Match]) -> list[Bin]:
    """Flux ratios in the bins of ``BINS`` that hold sources.

    Signal-to-noise ratios are true ones, so that no bin has more of the sources that noise made brighter.
    """
    snr, ratio = np.array([[m.signal_to_noise, m.ratio] for m in matches]).reshape(-1, 2).T
    found = []
    for low, high in itertools.pairwise(BINS):
        inside = ratio[(snr >= low) & (snr < high) & np.isfinite(ratio)]
        if len(inside) > 1:
            scatter = mad_sigma(inside)
            error = 1.2533 * scatter / np.sqrt(len(inside))
            found.append(Bin(low, high, len(inside), float(np.median(inside)), float(error), scatter))
    return found


@dataclass(frozen=True)
class Detections:
    """The source list against the truth."""

    n_listed: int
    n_false: int
    """Listed, and no true source within half a beam."""
    completeness: tuple[tuple[float, float, int, float], ...]
    """Bins of ``BINS``: low, high, true sources, part of them that is listed."""


def detections(truth_file: Path, folder: Path) -> Detections:
    """Hold an image's source list against the truth.

    Parameters
    ----------
    truth_file : Path
        From the simulator.
    folder : Path
        An image's products, the source list and the noise map among them.
    """
    stem = image_name(folder)
    plane, power, noise = (read_plane(plane_file(folder, stem, kind)) for kind in ("image", "pb", "noise"))
    listed = Table.read(folder / f"{stem}.sources.fits")
    at = np.stack([np.asarray(listed[k], np.float64) for k in ("x", "y")], axis=1)
    sources = json.loads(truth_file.read_text())["sources"]
    x, y = plane.wcs.all_world2pix([s["ra_deg"] for s in sources], [s["dec_deg"] for s in sources], 0)
    ny, nx = plane.pixels.shape
    rim = plane.major_pixels
    inside = (x > rim) & (x < nx - 1 - rim) & (y > rim) & (y < ny - 1 - rim)
    places = np.stack([x, y], axis=1)[inside]
    rows, columns = np.rint(places[:, 1]).astype(int), np.rint(places[:, 0]).astype(int)
    apparent = np.array([s["mean_apparent_jy"] for s in sources])[inside]
    # Where nothing is listed, nothing is missed.
    snr = np.where(power.pixels[rows, columns] >= LEAST_POWER, apparent / noise.pixels[rows, columns], 0.0)
    reach = plane.major_pixels / 2
    is_listed = (
        cKDTree(at).query(places, distance_upper_bound=reach)[0] < reach
        if len(at)
        else np.zeros(len(snr), bool)
    )
    is_real = cKDTree(places).query(at, distance_upper_bound=reach)[0] < reach
    bins = tuple(
        (low, high, int(chosen.sum()), float(is_listed[chosen].mean()))
        for low, high in itertools.pairwise(BINS)
        if (chosen := (snr >= low) & (snr < high)).any()
    )
    return Detections(len(at), int((~is_real).sum()), bins)


def _wrapped(degrees: float) -> float:
    """A difference of right ascensions, across 0h if need be."""
    return (degrees + 180.0) % 360.0 - 180.0


def _true_flux(source: dict[str, Any], frequency_hz: float) -> float:
    from contimg_assets.radio.sky import Source

    return float(
        Source(
            source["name"],
            source["ra_deg"],
            source["dec_deg"],
            source["flux_jy"],
            source["spectral_index"],
            source["scale_name"],
        ).flux(frequency_hz)
    )


def summary(matches: list[Match]) -> dict[str, float]:
    """Medians over the matches: flux ratio, its scatter, its change to half power, position offset."""
    ratio = np.array([m.ratio for m in matches])
    offset = np.array([m.offset_arcsec for m in matches])
    good = np.isfinite(ratio)
    if not good.any():
        return {"n_sources": float(len(matches)), "n_measured": 0.0}
    radius = np.array([m.half_powers for m in matches])
    within = good & (radius <= _WITHIN)
    found = {
        "n_sources": float(len(matches)),
        "n_measured": float(good.sum()),
        "median_flux_ratio": float(np.median(ratio[good])),
        "flux_ratio_scatter": mad_sigma(ratio[good]),
        "median_offset_arcsec": float(np.median(offset[good])),
        "largest_offset_arcsec": float(offset[good].max()),
    }
    if within.sum() >= _LEAST_SLOPE:
        found["flux_ratio_slope"] = ratio_slope(radius[within], ratio[within])
    return found
