"""The source list in the forms that other tools take: VOTable, and regions for DS9 and CARTA.

Belongs here: how rows of ``source_table.py`` are written.  Does not belong here:
what the rows are, or how sources are found (``source_finding.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import CooSys, Info, VOTableFile
from astropy.table import Table

from contimg_assets.radio.images.fits import RestoringBeam

#: What follows the stem of an image's products in the names of the list's files.
VOTABLE, DS9_REGIONS, CARTA_REGIONS = "sources.vot", "sources.reg", "sources.crtf"
_BAND = "em.radio.750-1500MHz"
#: What each column is, in the IVOA's words (UCD1+).
UCDS = {
    "name": "meta.id;meta.main",
    "ra_deg": "pos.eq.ra;meta.main",
    "dec_deg": "pos.eq.dec;meta.main",
    "ra_error_arcsec": "stat.error;pos.eq.ra",
    "dec_error_arcsec": "stat.error;pos.eq.dec",
    "flux_jy": f"phot.flux.density;{_BAND}",
    "flux_error_jy": f"stat.error;phot.flux.density;{_BAND}",
    "peak_jy_beam": f"phot.flux.density;{_BAND};stat.max",
    "noise_jy_beam": f"stat.stdev;phot.flux.density;{_BAND}",
    "signal_to_noise": "stat.snr",
    "beam_power": "instr.sensitivity",
    "resolved": "meta.code;phys.angSize",
    "major_arcsec": "phys.angSize.smajAxis",
    "minor_arcsec": "phys.angSize.sminAxis",
    "position_angle_deg": "pos.posAng",
    "spectral_index": "spect.index",
    "spectral_index_error": "stat.error;spect.index",
    "x": "pos.cartesian.x;instr.det",
    "y": "pos.cartesian.y;instr.det",
}
_COLOUR = "green"


def write_source_files(table: Table, folder: Path, name: str, beam: RestoringBeam) -> None:
    """Write a source list as VOTable, DS9 regions and CARTA (CRTF) regions.

    Parameters
    ----------
    table : Table
        From :func:`contimg_assets.radio.images.source_table.source_table`.
    folder : Path
    name : str
        Stem of the files' names.
    beam : RestoringBeam
        Drawn for sources whose size was not fitted.
    """
    writeto(_votable(table), str(folder / f"{name}.{VOTABLE}"))
    ellipses = _ellipses(table, beam)
    (folder / f"{name}.{DS9_REGIONS}").write_text(_ds9(ellipses), encoding="utf-8")
    (folder / f"{name}.{CARTA_REGIONS}").write_text(_crtf(ellipses), encoding="utf-8")


@dataclass(frozen=True)
class _Ellipse:
    """The half-power ellipse of a source, deg."""

    name: str
    ra: float
    dec: float
    half_major: float
    half_minor: float
    angle: float
    """Of the major axis, from north through east."""


def _ellipses(table: Table, beam: RestoringBeam) -> list[_Ellipse]:
    """The sources' as fitted, or the restoring beam's."""
    fitted = np.isfinite(np.asarray(table["major_arcsec"], float))
    shapes = zip(
        np.where(fitted, table["major_arcsec"], beam.major_arcsec) / 7200,
        np.where(fitted, table["minor_arcsec"], beam.minor_arcsec) / 7200,
        np.where(fitted, table["position_angle_deg"], beam.position_angle_deg),
        strict=True,
    )
    return [
        _Ellipse(str(row["name"]), float(row["ra_deg"]), float(row["dec_deg"]), *map(float, shape))
        for row, shape in zip(table, shapes, strict=True)
    ]


def _ds9(ellipses: Iterable[_Ellipse]) -> str:
    """Regions for DS9, whose angle is that of the second axis from north through east."""
    lines = ["# Region file format: DS9 version 4.1", f"global color={_COLOUR}", "icrs"]
    lines += [
        f"ellipse({e.ra:.8f},{e.dec:.8f},{e.half_minor:.8f},{e.half_major:.8f},{e.angle:.8f}) "
        f"# text={{{e.name}}}"
        for e in ellipses
    ]
    return "\n".join(lines) + "\n"


def _crtf(ellipses: Iterable[_Ellipse]) -> str:
    """Regions for CARTA and CASA: the axis of the angle first."""
    lines = ["#CRTFv0", "global coord=ICRS"]
    lines += [
        f"ellipse[[{e.ra:.6f}deg, {e.dec:.6f}deg], [{e.half_major:.6f}deg, {e.half_minor:.6f}deg], "
        f"{e.angle:.6f}deg], label='{e.name}', color={_COLOUR}"
        for e in ellipses
    ]
    return "\n".join(lines) + "\n"


def _votable(table: Table) -> VOTableFile:
    """The list with UCDs, its reference frame, and what is said of the whole."""
    plain = table.copy()
    plain.meta.clear()
    made = from_table(plain, table_id="sources")
    resource = made.resources[0]
    own = resource.tables[0]
    own.description = "Sources found in a continuum image of the DSA-110"
    frame = CooSys(ID="icrs", system="ICRS", epoch="J2000")
    resource.coordinate_systems.append(frame)
    for field in own.fields:
        field.ucd = UCDS[field.name]
        if field.ucd.startswith("pos.eq"):
            field.ref = frame.ID
    for key, value in table.meta.items():
        resource.infos.append(Info(name=str(key), value=str(value)))
    return made
