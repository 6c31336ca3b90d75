"""A calibrator's neighbours, found in an image of its own scan.

Belongs here: solving, imaging what was solved, and solving once more with the
sources that the image shows.  Does not belong here: fields known beforehand
(``sky_catalogue``), which go to ``solve.py`` as they are.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from contimg_assets.radio.calibration.apply import apply
from contimg_assets.radio.calibration.solve import solve
from contimg_assets.radio.imaging.image import ImagingChoices, make_image
from contimg_assets.radio.quality.sources import find_sources, read_plane
from contimg_assets.radio.sky import REFERENCE_HZ, TYPICAL_SPECTRAL_INDEX, Source

#: Sources of the image count from this signal-to-noise ratio, …
_LEAST_SIGMA = 10.0
#: … where the beam is at least this: below, its model is less sure than the source is bright.
_LEAST_POWER = 0.1
#: χ² must fall by this part of it, or the first solution stays.
_LEAST_GAIN = 0.005
#: What lies this near to the calibrator is the calibrator, in full widths of the restoring beam.
_OF_CALIBRATOR = 2.0


@dataclass(frozen=True)
class FieldImaging:
    """How the field is imaged."""

    choices: ImagingChoices
    threads: int


def solve_with_field(
    ms: Path, flags_folder: Path, out: Path, work: Path, imaging: FieldImaging, **options: Any
) -> dict[str, Any]:
    """Solve, image the scan with that, and solve again with what else is in the field.

    The second solution is kept only if χ² falls: the sidecar's ``field_model``
    says which it was, and both numbers.

    Parameters
    ----------
    ms, flags_folder, out, work : Path
        As for :func:`solve.solve`.
    imaging : FieldImaging
    **options
        Of :func:`solve.solve`, without ``field_sources``.

    Returns
    -------
    dict
        The sidecar of the set.
    """
    first = solve(ms, flags_folder, out, work, **options)
    sources = _sources_around(ms, flags_folder, out, work, options["calibrator"], imaging)
    before = first["quality"]["chi_squared"]
    model = {"origin": "image of the scan", "n_found": len(sources), "chi_squared_without": before}
    chosen, after = first, before
    if sources:
        again = work / "again"
        again.mkdir()
        second = solve(ms, flags_folder, work / "second", again, field_sources=sources, **options)
        after = second["quality"]["chi_squared"]
        if after < (1 - _LEAST_GAIN) * before:
            shutil.rmtree(out)
            shutil.copytree(work / "second", out)
            chosen = second
    chosen["field_model"] = {**model, "chi_squared_with": after, "kept": chosen is not first}
    (out / "solutions.json").write_text(json.dumps(chosen, indent=1))
    return chosen


def _sources_around(
    ms: Path, flags_folder: Path, set_folder: Path, work: Path, calibrator: Source, imaging: FieldImaging
) -> list[Source]:
    corrected, folder, scratch = work / "field.ms", work / "field", work / "field.work"
    scratch.mkdir()
    apply(ms, flags_folder, set_folder, corrected)
    make_image(
        corrected,
        folder,
        scratch,
        imaging.choices,
        name="field",
        provenance=None,
        threads=imaging.threads,
    )
    plane = read_plane(folder / "field.image.fits")
    power, noise = (read_plane(folder / f"field.{kind}.fits").pixels for kind in ("pb", "noise"))
    found = find_sources(plane, power, noise, _LEAST_SIGMA, least_power=_LEAST_POWER, sizes=False)
    cell_arcsec = 3600 * float(np.abs(plane.wcs.wcs.cdelt[1]))
    place = SkyCoord(calibrator.ra_deg, calibrator.dec_deg, unit="deg")
    at_reference = (REFERENCE_HZ / plane.frequency_hz) ** TYPICAL_SPECTRAL_INDEX
    sources = []
    for source in found:
        position = SkyCoord(source.point.ra_deg, source.point.dec_deg, unit="deg")
        if position.separation(place) > _OF_CALIBRATOR * plane.major_pixels * cell_arcsec * u.arcsec:
            sources.append(
                Source(
                    f"F{len(sources)}",
                    source.point.ra_deg,
                    source.point.dec_deg,
                    source.flux_jy * at_reference,
                    TYPICAL_SPECTRAL_INDEX,
                )
            )
    return sources
