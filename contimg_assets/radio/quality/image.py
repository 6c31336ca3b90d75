"""Numbers about an image, its sources, and a report that a person reads in ten seconds."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.plots.image import plot_image
from contimg_assets.radio.quality.noise import robust_rms
from contimg_assets.radio.quality.report import write_report
from contimg_assets.radio.quality.sources import find_points, read_plane

#: Sources are listed above this many times the noise.
SOURCE_SIGMA = 6.0


def image_numbers(folder: Path, out: Path) -> dict[str, Any]:
    """Look an image's products over.

    Parameters
    ----------
    folder : Path
        Products of one image.
    out : Path
        Folder for ``sources.csv``, ``thumbnail.png`` and ``report.html``.

    Returns
    -------
    dict
        Numbers with units in their names.

    Raises
    ------
    MissingInputError
        If a product is not there.
    """
    found = sorted(folder.glob("*.image.fits"))
    if len(found) != 1:
        raise MissingInputError(f"{folder}: found {len(found)} files *.image.fits; expected one image")
    stem = found[0].name.removesuffix(".image.fits")
    flat = read_plane(found[0])
    corrected = read_plane(folder / f"{stem}.pbcor.fits")
    residual = read_plane(folder / f"{stem}.residual.fits")
    summary = json.loads((folder / "summary.json").read_text())
    rms = robust_rms(residual.pixels.astype(np.float32))
    peak = float(np.nanmax(flat.pixels))
    deepest = float(np.nanmin(flat.pixels))
    sources = find_points(flat, corrected, rms, SOURCE_SIGMA)
    with (out / "sources.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["ra_deg", "dec_deg", "flux_jy", "x", "y"])
        for s in sources:
            writer.writerow(
                [f"{s.ra_deg:.7f}", f"{s.dec_deg:.7f}", f"{s.flux_jy:.6g}", f"{s.x:.2f}", f"{s.y:.2f}"]
            )
    plot_image(out / "thumbnail.png", found[0], rms)
    numbers = {
        "rms_mjy_beam": 1e3 * rms,
        "expected_rms_mjy_beam": summary["expected_rms_mjy_beam"],
        "rms_ratio": 1e3 * rms / summary["expected_rms_mjy_beam"],
        "peak_jy_beam": peak,
        "dynamic_range": peak / rms,
        "negative_peak_sigma": -deepest / rms,
        "flag_fraction": summary["flag_fraction"],
        "beam_major_arcsec": summary["beam_major_arcsec"],
        "beam_minor_arcsec": summary["beam_minor_arcsec"],
        "n_sources": len(sources),
        "brightest_source_jy": sources[0].flux_jy if sources else 0.0,
    }
    write_report(out / "report.html", out / "thumbnail.png", numbers, summary, sources)
    return numbers
