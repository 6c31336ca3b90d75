"""All numbers about an image, its sources against a survey, and the report."""

import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from contimg_assets.radio import beam
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import Catalogue, cone
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.crossmatch import Comparison, compare_with_survey
from contimg_assets.radio.images.injection import Recovery, inject_and_recover
from contimg_assets.radio.images.planes import image_name, plane_file, plane_header
from contimg_assets.radio.images.sidelobes import negative_peaks
from contimg_assets.radio.images.source_finding import (
    LEAST_POWER,
    SOURCE_SIGMA,
    Found,
    ImagePlane,
    read_planes,
)
from contimg_assets.radio.images.source_table import listed_sources, read_source_table
from contimg_assets.radio.quality.artefacts import (
    around_bright,
    beam_shape,
    short_spacing_excess,
    stripe_fraction,
    white_cells,
)
from contimg_assets.radio.quality.causes import STRONG
from contimg_assets.radio.quality.confusion import confusion_numbers
from contimg_assets.radio.quality.products import THUMBNAIL, basic_numbers
from contimg_assets.radio.quality.report.image_part import Pictured
from contimg_assets.radio.quality.report.page import Report, write_report
from contimg_assets.radio.quality.surroundings import Surroundings
from contimg_assets.radio.quality.visibility_sample import VisibilitySample, sample_visibilities
from contimg_assets.radio.robust import mad_sigma

#: Power of the beam between which noise is stated, by name.
_RINGS = {"centre": (0.8, 1.01), "half_power": (0.4, 0.6), "edge": (0.02, 0.1)}
#: The resolved fraction is that of sources above this signal-to-noise ratio, if there are enough.
_RESOLVED_SIGMA, _RESOLVED_LEAST = 20.0, 10
#: A fraction of detections that are false is stated if there are this many.
_NEGATIVES_LEAST = 10


def image_numbers(
    folder: Path,
    out: Path,
    catalogues: Path,
    choices: CatalogueOptions,
    around: Surroundings | None = None,
) -> dict[str, Any]:
    """Look an image's products over.

    Parameters
    ----------
    folder : Path
        Products of one image.
    out : Path
        Folder for ``sources.fits``, the picture and ``report.html``.
    catalogues : Path
        Folder of the installed catalogues.
    choices : CatalogueOptions
    around : Surroundings, optional
        The group's other products and earlier groups, for the report.

    Returns
    -------
    dict
        Numbers with units in their names.  What a catalogue or enough sources would have to tell is
        left out where they are not there; what an image cannot be without is NaN.

    Raises
    ------
    MissingInputError
        If a product is not there.
    """
    with ThreadPoolExecutor(1) as reader:
        # Read beside the work on the image.
        sample = reader.submit(_sample, around or Surroundings())
        return _numbers(folder, out, catalogues, choices, around or Surroundings(), sample)


def _numbers(
    folder: Path,
    out: Path,
    catalogues: Path,
    choices: CatalogueOptions,
    around: Surroundings,
    sample: Future[VisibilitySample | None],
) -> dict[str, Any]:
    """The same, with the sample of visibilities on its way."""
    stem = image_name(folder)
    planes = read_planes(folder, stem, ("image", "pb", "residual", "psf", "noise"))
    if planes["psf"].pixels.shape != planes["image"].pixels.shape:
        raise MissingInputError(
            f"{folder}: the planes were compressed, and of the dirty beam only the middle was kept; "
            "make the image again to judge it again"
        )
    plane, residual = planes["image"], planes["residual"].pixels
    power, noise = planes["pb"].pixels, planes["noise"].pixels
    summary = json.loads((folder / "summary.json").read_text())
    header = plane_header(plane_file(folder, stem, "image"))
    numbers: dict[str, Any] = basic_numbers(plane.pixels, residual, summary)
    # None where no catalogue is installed.
    if summary.get("outside_sources") is not None:
        # CLEAN has looked for some, and taken away what it saw of them.
        left = [s["apparent_jy"] for s in summary["outside_sources"] if "taken_jy" not in s]
        brightest = max(left, default=0.0)
        numbers["outside_source_sigma"] = 1e3 * brightest / summary["expected_rms_mjy_beam"]
    numbers |= _known_numbers(summary)
    # Where sources were put into the visibilities too.
    numbers |= {key: value for key, value in summary.items() if key.startswith("cleaned_")}
    # Of the planes as they were before any was compressed.
    table = read_source_table(folder, stem)
    recovery, comparison = None, None
    # A blank or constant image has nothing more to tell.
    holds_something = numbers["finite_fraction"] == 1 and numbers["rms_mjy_beam"] > 0
    table = table if holds_something else table[:0]
    sources = listed_sources(table, 3600 * abs(header["CDELT2"]))
    if holds_something:
        numbers |= _noise_numbers(residual, power, numbers)
        threshold = float(summary["settings"]["threshold_sigma"])
        numbers |= confusion_numbers(planes["psf"], power, numbers, threshold, _RINGS)
        recovery = _recovery(planes, sources, threshold)
        n_negative = len(negative_peaks(plane, noise, power, SOURCE_SIGMA, LEAST_POWER))
        numbers |= _source_numbers(sources, recovery, n_negative)
        numbers |= _artefact_numbers(planes, sources, np.deg2rad(abs(header["CDELT2"])))
        comparison = _comparison(planes, sources, header, catalogues, choices)
        numbers |= comparison.numbers if comparison else {}
    numbers |= {"n_sources": len(sources), "brightest_source_jy": sources[0].flux_jy if sources else 0.0}
    table.meta = {"OBJECT": header["OBJECT"], "FREQ": header["CRVAL3"]}
    _write_sources(out / "sources.fits", table, comparison, choices)
    shutil.copyfile(folder / THUMBNAIL, out / THUMBNAIL)
    found = summary, header, sources, recovery, comparison
    _report(folder, out, numbers, planes, found, around, sample.result())
    # Databases know no NaN; a number that is None is judged as bad.
    return {name: value if np.isfinite(value) else None for name, value in numbers.items()}


def _known_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """What imaging was told, or found, of antennas and of the sky beyond the image."""
    numbers: dict[str, float] = {}
    told = (summary.get("calibration") or {}).get("flags") or {}
    if told.get("bad_antenna_fraction") is not None:
        numbers["bad_antenna_fraction"] = float(told["bad_antenna_fraction"])
    # None of a calibration of before they were looked for.
    if told.get("wrong_subbands") is not None:
        numbers["n_wrong_subbands"] = float(len(told["wrong_subbands"]))
    walked = (summary.get("calibration") or {}).get("gain_walk") or {}
    # Where autocorrelations of the calibrator's scan are known.
    if "gain_common_change" in walked:
        numbers["gain_walk_scatter"] = float(walked["gain_walk_scatter"])
        numbers["gain_common_change"] = abs(float(walked["gain_common_change"]))
    # None where the data do not tell.
    if summary.get("system_noise_ratio") is not None:
        numbers["system_noise_ratio"] = float(summary["system_noise_ratio"])
        numbers["n_noisy_antennas"] = float(len(summary["noisy_antennas"]))
    model = (summary.get("calibration") or {}).get("flux_model") or {}
    if "may_vary" in model:
        numbers["calibrator_may_vary"] = float(model["may_vary"])
    for one in summary.get("strong_sources") or ():
        numbers[f"{STRONG}{one['name'].lower()}_jy"] = float(one["apparent_jy"])
    return numbers


def _report(
    folder: Path,
    out: Path,
    numbers: dict[str, Any],
    planes: dict[str, ImagePlane],
    found: tuple[dict[str, Any], fits.Header, list[Found], Recovery | None, Comparison | None],
    around: Surroundings,
    sample: VisibilitySample | None,
) -> None:
    """Write the page about all that was found."""
    summary, header, sources, recovery, comparison = found
    drawn = None
    # Of a blank image there is nothing to draw.
    if recovery:
        psf, residual, noise = (planes[name].pixels for name in ("psf", "residual", "noise"))
        expected = float(numbers["expected_rms_mjy_beam"]) / 1e3
        drawn = Pictured(planes["image"], psf, residual, noise, expected)
    files = _files(folder, around.files or os.path.relpath(folder.absolute(), out.absolute()))
    write_report(
        out / "report.html",
        Report(
            numbers,
            summary,
            dict(header),
            sources,
            out / THUMBNAIL,
            files,
            drawn,
            recovery,
            comparison,
            sample,
            around,
        ),
    )


def _sample(around: Surroundings) -> VisibilitySample | None:
    """Of what was imaged; retention may have removed it."""
    if around.measurement_set is None or not around.measurement_set.is_dir():
        return None
    return sample_visibilities(around.measurement_set, around.calibration)


def _files(folder: Path, address: str) -> dict[str, str]:
    """The files of an image that the report leads to."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return {name: f"{address}/{name}" for name in names}


def _noise_numbers(residual: np.ndarray, power: np.ndarray, numbers: dict[str, Any]) -> dict[str, float]:
    """Noise against the expected at several radii; how normal the residual is."""
    expected = numbers["expected_rms_mjy_beam"] / 1e3
    stated = {}
    coarse, beams = (np.ascontiguousarray(pixels[::2, ::2]) for pixels in (residual, power))
    for name, (low, high) in _RINGS.items():
        ring = coarse[(beams >= low) & (beams < high)]
        if ring.size:
            stated[f"rms_ratio_{name}"] = mad_sigma(ring) / expected
    inside = coarse[beams >= LEAST_POWER]
    if inside.size:
        sigma = mad_sigma(inside)
        stated["residual_tail_fraction"] = float((np.abs(inside) > 4 * sigma).mean())
        stated["negative_peak_sigma"] = float(-inside.min() / sigma)
    return stated


def _recovery(planes: dict[str, ImagePlane], sources: list[Found], left_sigma: float) -> Recovery:
    """What becomes of sources that are put into the image as CLEAN would have left them."""
    return inject_and_recover(
        planes["image"],
        planes["pb"].pixels,
        planes["noise"].pixels,
        sources,
        SOURCE_SIGMA,
        2 * LEAST_POWER,
        planes["psf"].pixels,
        left_sigma,
    )


def _source_numbers(sources: list[Found], recovery: Recovery, n_negative: int) -> dict[str, float]:
    """Completeness by injection, false detections by the negative image, resolved sources."""
    numbers: dict[str, float] = {}
    if recovery.n_injected:
        by_level = dict(zip(recovery.levels, recovery.completeness, strict=True))
        numbers["injected_completeness_7sigma"] = by_level[7.0]
        numbers["injected_completeness_10sigma"] = by_level[10.0]
        numbers["injected_flux_ratio"] = recovery.flux_ratio
        numbers["injected_flux_bias_sigma"] = recovery.flux_bias_sigma
        numbers["injected_flux_error_sigma"] = abs(recovery.flux_bias_sigma)
    numbers["n_negative_detections"] = n_negative
    if len(sources) >= _NEGATIVES_LEAST:
        numbers["false_fraction"] = min(1.0, n_negative / len(sources))
    bright = [s for s in sources if s.signal_to_noise >= _RESOLVED_SIGMA]
    if len(bright) >= _RESOLVED_LEAST:
        numbers["resolved_fraction"] = float(np.mean([s.resolved for s in bright]))
    return numbers


def _artefact_numbers(
    planes: dict[str, ImagePlane], sources: list[Found], cell_rad: float
) -> dict[str, float]:
    residual, psf, plane = planes["residual"].pixels, planes["psf"].pixels, planes["image"]
    shape, cells = beam_shape(psf, plane), white_cells(residual, psf)
    numbers = {
        "stripe_fraction": stripe_fraction(cells),
        "beam_axis_ratio": plane.major_pixels / plane.minor_pixels,
        "beam_misfit": shape.misfit,
        "beam_flux_error": shape.flux_error,
        "beam_sidelobe": shape.sidelobe,
    }
    short = short_spacing_excess(cells, cell_rad)
    if short is not None:
        numbers["short_spacing_excess"] = short
    around = around_bright(residual, plane, sources)
    if around:
        numbers["bowl_sigma"] = around.bowl_sigma
        numbers["ring_sigma"] = around.ring_sigma
        numbers["local_dynamic_range"] = around.local_dynamic_range
    return numbers


def _comparison(
    planes: dict[str, ImagePlane],
    sources: list[Found],
    header: fits.Header,
    catalogues: Path,
    choices: CatalogueOptions,
) -> Comparison | None:
    """Against the chosen survey, if it is installed."""
    if not (catalogues / f"{choices.comparison}.json").is_file():
        return None
    field = abs(header["CDELT2"]) * max(header["NAXIS1"], header["NAXIS2"])
    rows = cone(
        catalogues, header["CRVAL1"], header["CRVAL2"], field * np.sqrt(0.5), survey=choices.comparison
    )
    frequency = planes["image"].frequency_hz
    return compare_with_survey(
        sources,
        planes["image"],
        planes["pb"].pixels,
        planes["noise"].pixels,
        rows,
        Catalogue(catalogues, choices.comparison).survey,
        frequency_hz=frequency,
        typical_index=choices.typical_spectral_index,
        least_power=2 * LEAST_POWER,
        half_power_deg=float(np.rad2deg(beam.half_power_radius(frequency))),
    )


def _write_sources(
    path: Path, table: Table, comparison: Comparison | None, choices: CatalogueOptions
) -> None:
    """The list with its counterparts, and with the measured corrections if they are asked for."""
    corrected = False
    if comparison is not None:
        names = [comparison.names.get(i, ("", float("nan"))) for i in range(len(table))]
        table["survey_name"] = np.array([n for n, _ in names], "U24")
        table["survey_flux_jy"] = [f for _, f in names]
        table.meta["SURVEY"] = comparison.survey
        n = comparison.numbers
        if choices.apply_corrections and "astrometric_offset_arcsec" in n:
            table["dec_deg"] -= n["offset_north_arcsec"] / 3600
            table["ra_deg"] -= n["offset_east_arcsec"] / 3600 / np.cos(np.deg2rad(table["dec_deg"]))
            if "flux_ratio" in n:
                table["flux_jy"] /= n["flux_ratio"]
                table["flux_error_jy"] /= n["flux_ratio"]
            corrected = True
    table.meta["CORRECTD"] = corrected
    table.write(path, overwrite=True)
