"""All sources of one image: from its products and its list of detections to a file of measurements.

Belongs here: the order of the work, and the numbers about it.  Does not belong here:
fitting (``fit.py``), choosing places (``places.py``), the file's schema (``table.py``).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.source_table import source_name
from contimg_assets.radio.photometry.colour import slopes_of
from contimg_assets.radio.photometry.fit import Fits, Plane, Points, fit_places
from contimg_assets.radio.photometry.flags import Flag, flags_of
from contimg_assets.radio.photometry.injected import FILE as INJECTED_FILE
from contimg_assets.radio.photometry.injected import fit_injected, sources_around
from contimg_assets.radio.photometry.match import Matches, Positions, match
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.radio.photometry.places import Places, joined, places, read_watched, survey_places
from contimg_assets.radio.photometry.products import ImageProducts, open_products
from contimg_assets.radio.photometry.table import FILE, write_measurements
from contimg_assets.radio.robust import mad_sigma

#: Survey sources over this many times the noise are fitted, so that they are in nobody's flux density, also
#: where they are too faint to be told of.
_NEIGHBOUR_SIGMA = 1.0
#: Flux densities are compared with the survey's from this signal-to-noise ratio on, …
_COMPARED_SIGMA = 20.0
#: … where none of these is set; fewer sources than these tell nothing.
_NOT_COMPARED = Flag.EDGE | Flag.BLANK | Flag.LOW_BEAM | Flag.BLENDED | Flag.MERGED | Flag.ARTEFACTS
_LEAST_COMPARED = 5


@dataclass(frozen=True)
class _Detections:
    """The list that quality control made of the image, in pixels of the image."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    peak: NDArray[np.float64]
    """Apparent, Jy/beam."""
    positions: Positions

    def as_places(self, which: NDArray[np.bool_]) -> Places:
        """Some of them as places of their own, named by position."""
        at = self.positions
        ra, dec = at.ra_deg[which], at.dec_deg[which]
        return places(
            "blind",
            [source_name(float(a), float(d)) for a, d in zip(ra, dec, strict=True)],
            ra,
            dec,
            np.full(len(ra), np.nan),
            np.hypot(at.east_error_arcsec, at.north_error_arcsec)[which],
        )


def measure_image(
    image: Path,
    sources: Path,
    out: Path,
    group: str,
    catalogues: Path,
    survey: CatalogueOptions,
    options: PhotometryOptions,
) -> dict[str, Any]:
    """Measure every known source of an image.

    Parameters
    ----------
    image : Path
        Folder of its products.
    sources : Path
        Its list of detections, ``sources.fits`` of ``image_qa``.
    out : Path
        Folder for ``photometry.parquet``.
    group : str
        Key of the observation group.
    catalogues : Path
        Folder of the installed catalogues.
    survey : CatalogueOptions
    options : PhotometryOptions

    Returns
    -------
    dict
        Numbers; those that too few sources tell are left out.

    Raises
    ------
    MissingInputError
        If a product is not there.
    CatalogueError
        If the list of watched sources cannot be read.
    """
    began = time.monotonic()
    products = open_products(image)
    plane = products.plane()
    detections = _read_detections(sources, products)
    measured = _places(products, detections, catalogues, survey, options)
    found, at, power = measured.places, measured.at, measured.power
    fits = fit_places(plane, at, join_beams=options.join_beams, offset_sigma=options.offset_sigma)
    slopes = slopes_of(
        *(at, fits, plane.components, products.spectra, plane.beam, products.noise_jy),
        least_sigma=options.offset_sigma,
    )
    columns = _columns(products, group, found, at, power, fits, options)
    columns |= {
        "slope_jy": slopes.value,
        "slope_error_jy": slopes.error,
        "detected_apparent_jy": measured.of_detection(detections.peak),
        "de_ruiter_radius": measured.of_detection(measured.matches.radius),
        "survey_jy": np.where(found.kind == "survey", found.expected_jy, np.nan),
    }
    # What is fitted only because it may be in its neighbours' flux densities is not told of.
    with np.errstate(invalid="ignore"):
        faint = (found.kind == "survey") & (at.flux < options.least_sigma * fits.noise)
    told = ~(faint & (measured.detection < 0))
    columns = {name: column[told] for name, column in columns.items()}
    meta = {
        "group": group,
        "image": products.stem,
        "survey": survey.comparison,
        "options": options.model_dump(mode="json"),
        "chi_squared_error": fits.chi2_error,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_measurements(out / FILE, columns, meta)
    if options.injected:
        injected = _injected_columns(products, plane, group, measured, options)
        write_measurements(out / INJECTED_FILE, injected, meta)
    return {
        **_numbers(columns, fits.alone_error[told], fits.chi2_error),
        **_match_numbers(measured),
        "wall_seconds": time.monotonic() - began,
    }


def _columns(
    products: ImageProducts,
    group: str,
    found: Places,
    at: Points,
    power: NDArray[np.float64],
    fits: Fits,
    options: PhotometryOptions,
) -> dict[str, NDArray[Any]]:
    """What the fit says of each place; of slopes, detections and surveys nothing."""
    flags = flags_of(
        fits,
        power,
        least_power=options.least_beam,
        noise_jy=products.noise_jy,
        systematic_pixels=options.position_error_arcsec / products.cell_arcsec,
    )
    unknown = ("slope_jy", "slope_error_jy", "detected_apparent_jy", "de_ruiter_radius", "survey_jy")
    return {
        **_constant(products, group, len(found)),
        **_position(products, found, at, fits),
        "source": found.name,
        "kind": found.kind,
        "apparent_jy": fits.flux,
        "apparent_error_jy": fits.error,
        "beam": power,
        "noise_jy_beam": fits.noise,
        "chi_squared": fits.chi2,
        "free_apparent_jy": fits.free_flux,
        "free_apparent_error_jy": fits.free_error,
        "n_joint": fits.n_joint,
        "flags": flags,
        **{name: np.full(len(found), np.nan) for name in unknown},
    }


def _injected_columns(
    products: ImageProducts, plane: Plane, group: str, measured: "_Measured", options: PhotometryOptions
) -> dict[str, NDArray[Any]]:
    """Rows of made-up sources; ``survey_jy`` is the flux density that was put in."""
    made = sources_around(*_middle(products))
    names, jy = [one.name for one in made], np.array([one.jy(products.mjd) for one in made])
    ra, dec = np.array([one.ra_deg for one in made]), np.array([one.dec_deg for one in made])
    x, y = products.pixels(ra, dec)
    power = products.response(x, y)
    with np.errstate(invalid="ignore"):
        use = np.isfinite(power) & (power >= options.least_beam)
    found = places("injected", names, ra, dec, jy, np.zeros(len(made)))[use]
    at = Points(x[use], y[use], (jy * power)[use])
    fits = fit_injected(
        plane, measured.at, at, join_beams=options.join_beams, offset_sigma=options.offset_sigma
    )
    columns = _columns(products, group, found, at, power[use], fits.first(len(found)), options)
    return {**columns, "survey_jy": found.expected_jy}


def _middle(products: ImageProducts) -> tuple[float, float, float]:
    """Right ascension and declination of an image's middle, and how far its corners are, deg."""
    side = products.residual.shape[0] * products.cell_arcsec / 3600
    return float(products.header["CRVAL1"]), float(products.header["CRVAL2"]), side * np.sqrt(0.5)


@dataclass(frozen=True)
class _Measured:
    """Places to measure, and which detection each of them is."""

    places: Places
    at: Points
    """Pixels, and the apparent flux densities that are expected; of what nobody knows, more than any."""
    power: NDArray[np.float64]
    """The beam there."""
    detection: NDArray[np.int64]
    """Index of the detection; −1 if there is none."""
    matches: Matches

    def of_detection(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A number of each place's detection; NaN where there is none."""
        none = self.detection < 0
        return np.where(none, np.nan, np.append(values, np.nan)[np.where(none, -1, self.detection)])


def _places(
    products: ImageProducts,
    detections: _Detections,
    catalogues: Path,
    survey: CatalogueOptions,
    options: PhotometryOptions,
) -> _Measured:
    """Sources of the survey that may show, watched ones in the image, and detections that are neither."""
    ra, dec, radius = _middle(products)
    listed = joined(
        read_watched(options.watched),
        survey_places(catalogues, survey, (ra, dec), radius, products.frequency_hz),
    )
    matches = match(
        detections.positions,
        listed.positions,
        limit=options.match_radius,
        systematic_arcsec=options.position_error_arcsec,
        area_deg2=np.pi * radius**2,
    )
    of_listed = np.full(len(listed), -1)
    is_known = matches.index >= 0
    of_listed[matches.index[is_known]] = np.flatnonzero(is_known)
    new = detections.as_places(~is_known)
    found = joined(listed, new)
    detection = np.concatenate([of_listed, np.flatnonzero(~is_known)])
    x, y = products.pixels(found.ra_deg, found.dec_deg)
    power, noise = products.response(x, y), products.local_noise(x, y)
    with np.errstate(invalid="ignore"):
        shows = (power >= options.least_beam) & (found.expected_jy * power >= _NEIGHBOUR_SIGMA * noise)
    use = np.isfinite(power) & ((found.kind != "survey") | shows | (detection >= 0))
    expected = np.where(np.isnan(found.expected_jy), np.inf, found.expected_jy * power)
    return _Measured(found[use], Points(x[use], y[use], expected[use]), power[use], detection[use], matches)


def _read_detections(path: Path, products: ImageProducts) -> _Detections:
    """The list that quality control made of the image; positions as the image has them, not corrected."""
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; expected the list of detections of image_qa")
    table = Table.read(path)
    x, y = (np.asarray(table[name], np.float64) for name in ("x", "y"))
    ra, dec = products.wcs.all_pix2world(x, y, 0) if len(x) else (x, y)
    errors = (np.asarray(table[f"{axis}_error_arcsec"], np.float64) for axis in ("ra", "dec"))
    positions = Positions(np.asarray(ra), np.asarray(dec), *errors)
    return _Detections(x, y, np.asarray(table["peak_jy_beam"], np.float64), positions)


def _constant(products: ImageProducts, group: str, n: int) -> dict[str, NDArray[Any]]:
    """Columns that are the same throughout a group."""
    return {
        "group": np.full(n, group),
        "mjd": np.full(n, products.mjd),
        "frequency_mhz": np.full(n, products.frequency_hz / 1e6),
    }


def _position(
    products: ImageProducts, found: Places, at: Points, fits: Fits
) -> dict[str, NDArray[np.float64]]:
    """Columns of positions and offsets."""
    ra, dec = products.wcs.all_pix2world(at.x + fits.dx, at.y + fits.dy, 0) if len(at) else (at.x, at.y)
    east = (ra - found.ra_deg + 180) % 360 - 180
    return {
        "ra_deg": found.ra_deg,
        "dec_deg": found.dec_deg,
        "east_arcsec": 3600 * east * np.cos(np.deg2rad(found.dec_deg)),
        "north_arcsec": 3600 * (dec - found.dec_deg),
        "east_error_arcsec": fits.dx_error * products.cell_arcsec,
        "north_error_arcsec": fits.dy_error * products.cell_arcsec,
    }


def _numbers(
    columns: dict[str, NDArray[Any]], alone_error: NDArray[np.float64], chi2_error: float
) -> dict[str, Any]:
    """What a group's measurements are worth."""
    # The median of a reduced χ² of so few degrees of freedom is below 1 (Wilson & Hilferty 1931).
    usual = (1 - chi2_error**2 / 9) ** 3
    flags, kind = columns["flags"], columns["kind"]
    measured = np.isfinite(columns["apparent_jy"])
    numbers: dict[str, Any] = {
        "n_measured": int(measured.sum()),
        "n_not_measured": int((~measured).sum()),
        "n_survey": int((kind == "survey").sum()),
        "n_watched": int((kind == "watched").sum()),
        "n_limits": int((measured & (flags & Flag.LIMIT != 0)).sum()),
        "n_flagged": int((flags & ~int(Flag.LIMIT) != 0).sum()),
    }
    good = measured & (flags & int(_NOT_COMPARED) == 0)
    if good.any():
        numbers["chi_squared_median"] = float(np.median(columns["chi_squared"][good])) / usual
        numbers["error_over_noise"] = float(np.median((alone_error / columns["noise_jy_beam"])[good]))
    bright = good & (columns["free_apparent_jy"] > _COMPARED_SIGMA * columns["free_apparent_error_jy"])
    bright &= columns["survey_jy"] > 0
    numbers["n_compared"] = int(bright.sum())
    if bright.sum() >= _LEAST_COMPARED:
        ratio = (columns["free_apparent_jy"] / columns["beam"] / columns["survey_jy"])[bright]
        numbers["flux_ratio"] = float(np.median(ratio))
        numbers["flux_ratio_deviation"] = abs(numbers["flux_ratio"] - 1)
        numbers["flux_ratio_scatter"] = mad_sigma(ratio)
    return numbers


def _match_numbers(measured: _Measured) -> dict[str, Any]:
    """How detections and known sources go together."""
    matches = measured.matches
    return {
        "n_detections": len(matches.index),
        "n_matched": int((matches.index >= 0).sum()),
        "n_unmatched": int((matches.index < 0).sum()),
        "expected_false_matches": matches.expected_false,
        "missed_fraction": matches.missed_fraction,
    }
