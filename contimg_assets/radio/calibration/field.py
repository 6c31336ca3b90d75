"""A calibrator's neighbours, found in an image of its own scan.

Belongs here: solving, imaging what was solved, and solving again with the
sources that the image shows, and once more with what the visibilities have of
them then.  Does not belong here: fields known beforehand (``sky_catalogue``),
which go to ``solve.py`` as they are.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.calibration.solve import KnownDelays, solve
from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.errors import CalibrationError, ImagingError
from contimg_assets.radio.images.local_noise import local_noise
from contimg_assets.radio.images.source_finding import ImagePlane, find_sources
from contimg_assets.radio.imaging.image import make_planes
from contimg_assets.radio.imaging.known_points import measured_ratios
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.prepared import Prepared, prepare
from contimg_assets.radio.model_visibilities import visible_sources
from contimg_assets.radio.sky import REFERENCE_HZ, TYPICAL_SPECTRAL_INDEX, Source

#: Sources of the image count from this signal-to-noise ratio, …
_LEAST_SIGMA = 10.0
#: … where the beam is at least this: below, what it does within a scan and over the band is anybody's guess.
_LEAST_POWER = 0.03
#: Width of the image of the field, deg: as far as the beam is that at the middle of the band.
_FIELD_DEG = 5.2
#: After the second, all that is left is less than what a model of the sky takes (``model_visibilities.py``);
#: after the first, if the image starts from a catalogue, which is as good as a cycle.
_MAJOR_CYCLES, _CYCLES_FROM_START = 2, 1
#: Sources that are fainter than this part of what a model takes are not looked after: none takes them.
_MARGIN = 0.7
#: The image lacks what its solution, made without these sources, took from them: 2 % with 94 antennas, 12 %
#: at the calibrator's declination, where baselines of the N–S arm do not tell the two apart.  So after the
#: second solution their flux densities are measured again, in the visibilities.
_ROUNDS = 2
#: Gains take less than this part of a source (0.5 was seen with 24 antennas); more is something else.
_MOST_TAKEN = 0.7
#: What lies this near to the calibrator is the calibrator, in full widths of the restoring beam; and in a
#: catalogue, arcsec.
_OF_CALIBRATOR, _CALIBRATOR_ARCSEC = 2.0, 60.0


@dataclass(frozen=True)
class FieldImaging:
    """How the field is imaged."""

    choices: ImagingOptions
    threads: int
    sky: Sequence[Source] = ()
    """Sources that a catalogue has there: CLEAN starts from them, and measures what the visibilities show."""


def solve_with_field(
    ms: Path,
    flags_folder: Path,
    out: Path,
    work: Path,
    imaging: FieldImaging,
    options: CalibrationOptions,
    *,
    group: str,
    calibrator: Source,
    beam: Beam = ASSUMED,
) -> dict[str, Any]:
    """Solve, image the scan with that, and solve again with what else is in the field, twice.

    A later solution is kept only if χ² falls.  If it cannot be had (nothing to
    image, too few solutions), the one before stays: the sidecar's
    ``field_model`` says why it ended, which it was, the sources, and the misfit
    of each over that of the first.

    Parameters
    ----------
    ms, flags_folder, out, work : Path
        As for :func:`solve.solve`.
    imaging : FieldImaging
    options, group, calibrator, beam
        As for :func:`solve.solve`; from the second solution on, the model is seen through the beam
        that the first one's transit tells.

    Returns
    -------
    dict
        The sidecar of the set.
    """
    named: dict[str, Any] = {"group": group, "calibrator": calibrator}
    own = work / "moving"
    kept = solve(ms, flags_folder, out, options, beam=beam, moving=own, **named)
    misfit = [_misfit(kept)]
    ended, used, rounds_kept = f"after {_ROUNDS} rounds", list[Source](), 0
    found: list[Source] = []
    for number in range(1, _ROUNDS + 1):
        folder = work / f"round{number}"
        folder.mkdir()
        try:
            calibration = Calibration(flags=flags_folder, tables=own if own.exists() else out)
            if number == 1:
                found = _imaged(ms, calibration, folder, calibrator, imaging)
            else:
                found = _measured(ms, calibration, folder, calibrator, found, imaging)
            if not found:
                ended = "no other source in the image"
                break
            again = solve(
                *(ms, flags_folder, folder / "set", options),
                field_sources=found,
                beam=Beam.from_json(kept["beam"]["used"]),
                delays=KnownDelays(out, kept["delays"]),
                moving=folder / "moving",
                **named,
            )
        except (CalibrationError, ImagingError) as error:
            ended = f"{type(error).__name__}: {error}"
            break
        misfit.append(_misfit(again))
        # By however little: noise is most of χ² (10⁸ samples), and what is wrong with a field is 10⁻⁴ of it.
        if not misfit[-1] < misfit[-2]:
            ended = "χ² fell no more"
            break
        shutil.rmtree(out)
        shutil.copytree(folder / "set", out)
        kept, used, rounds_kept, own = again, found, number, folder / "moving"
    kept["field_model"] = {
        "origin": "image of the scan",
        "rounds_kept": rounds_kept,
        "ended": ended,
        "misfit": [value / misfit[0] for value in misfit],
        "sources": [
            {
                "ra_deg": s.ra_deg,
                "dec_deg": s.dec_deg,
                "flux_jy": s.flux_jy,
                "spectral_index": s.spectral_index,
            }
            for s in used
        ],
    }
    (out / SIDECAR).write_text(json.dumps(kept, indent=1))
    return kept


def _misfit(sidecar: dict[str, Any]) -> float:
    """χ² in the correlator's units: in janskys it is less for gains that are too large."""
    quality = sidecar["quality"]
    return float(quality["chi_squared"] * quality["gain_power"] ** 2)


def _imaged(
    ms: Path, calibration: Calibration, work: Path, calibrator: Source, imaging: FieldImaging
) -> list[Source]:
    """What an image shows, less what lies near the calibrator, as bright as the visibilities have it.

    Of these a later round measures what gains take, in the same way.
    """
    prepared = _prepared(ms, calibration, work, calibrator, _beside(imaging.sky, calibrator), imaging)
    sources = visible_sources(prepared.shape, _sources_of(make_planes(prepared), calibrator), _MARGIN)
    ratios = measured_ratios(prepared, sources)
    return [
        replace(s, flux_jy=s.flux_jy * float(ratio)) if ratio > 0 else s
        for s, ratio in zip(sources, ratios, strict=True)
    ]


def _prepared(
    ms: Path,
    calibration: Calibration,
    work: Path,
    calibrator: Source,
    sky: Sequence[Source],
    imaging: FieldImaging,
) -> Prepared:
    """The scan without its calibrator."""
    choices, threads = (
        _choices(imaging.choices, _CYCLES_FROM_START if sky else _MAJOR_CYCLES),
        imaging.threads,
    )
    return prepare(ms, work, choices, None, threads, calibration, sky, less=[calibrator])


def _beside(sky: Sequence[Source], calibrator: Source) -> list[Source]:
    """Sources of a catalogue that are not the calibrator, which it has too."""
    place = SkyCoord(calibrator.ra_deg, calibrator.dec_deg, unit="deg")
    positions = SkyCoord([s.ra_deg for s in sky], [s.dec_deg for s in sky], unit="deg")
    apart = positions.separation(place).arcsec
    return [source for source, a in zip(sky, apart, strict=True) if a > _CALIBRATOR_ARCSEC]


def _measured(
    ms: Path,
    calibration: Calibration,
    work: Path,
    calibrator: Source,
    before: Sequence[Source],
    imaging: FieldImaging,
) -> list[Source]:
    """The same sources as the next solution's visibilities have them, taken to where the rounds go."""
    prepared = _prepared(ms, calibration, work, calibrator, before, imaging)
    ratios = measured_ratios(prepared, before)
    return [
        replace(s, flux_jy=_limit(s.flux_jy, s.flux_jy * float(ratio))) if np.isfinite(ratio) else s
        for s, ratio in zip(before, ratios, strict=True)
    ]


def _choices(asked: ImagingOptions, major_cycles: int) -> ImagingOptions:
    """No more of an image than tells the sources that count."""
    return asked.replaced(
        {
            "engine": "wgridder",
            "field_deg": min(asked.field_deg, _FIELD_DEG),
            "major_cycles": min(asked.major_cycles, major_cycles),
            "seed_sigma": 2 * _LEAST_SIGMA,
            "outside_sigma": None,
            "spectra_sigma": None,
            "inject": False,
        }
    )


def _sources_of(planes: Mapping[str, ImagePlane], calibrator: Source) -> list[Source]:
    """Sources of the field's image but the calibrator, at their flux densities through the beam's inverse."""
    plane, power = planes["image"], planes["pb"].pixels
    noise = local_noise(plane, planes["residual"].pixels, planes["psf"].pixels, power)
    found = find_sources(plane, power, noise, _LEAST_SIGMA, least_power=_LEAST_POWER, sizes=False)
    place = SkyCoord(calibrator.ra_deg, calibrator.dec_deg, unit="deg")
    at_reference = (REFERENCE_HZ / plane.frequency_hz) ** TYPICAL_SPECTRAL_INDEX
    cell_arcsec = 3600 * float(np.abs(plane.wcs.wcs.cdelt[1]))
    nearest = _OF_CALIBRATOR * plane.major_pixels * cell_arcsec * u.arcsec
    sources = []
    for source in found:
        ra_deg, dec_deg = source.point.ra_deg, source.point.dec_deg
        if SkyCoord(ra_deg, dec_deg, unit="deg").separation(place) <= nearest:
            continue
        flux = source.flux_jy * at_reference
        sources.append(Source(f"F{len(sources)}", ra_deg, dec_deg, flux, TYPICAL_SPECTRAL_INDEX))
    return sources


def _limit(first_jy: float, second_jy: float) -> float:
    """Where the rounds take a source.

    Gains take a part *a* of what the model lacks of a source of flux density S, and the calibrated scan
    has the rest: S(1 − a) in the first round, S(1 − a²) in the second.  Two are enough to know both.
    """
    taken = second_jy / first_jy - 1
    return first_jy / (1 - taken) if 0 < taken < _MOST_TAKEN else second_jy
