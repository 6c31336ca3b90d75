"""The source list in the forms that other tools take: VOTable, and regions for DS9 and CARTA.

Belongs here: how rows of ``source_table.py`` are written.  Does not belong here:
what the rows are, or how sources are found (``source_finding.py``).
"""

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import CooSys, Info, VOTableFile
from astropy.table import Table
from regions import EllipseSkyRegion, RegionMeta, Regions, RegionVisual

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
    regions = source_regions(table, beam)
    regions.write(folder / f"{name}.{DS9_REGIONS}", format="ds9", overwrite=True)
    regions.write(folder / f"{name}.{CARTA_REGIONS}", format="crtf", coordsys="icrs", overwrite=True)


def source_regions(table: Table, beam: RestoringBeam) -> Regions:
    """The half-power ellipse of each source, with its name: as fitted, or the restoring beam."""
    fitted = np.isfinite(np.asarray(table["major_arcsec"], float))
    shapes = zip(
        np.where(fitted, table["major_arcsec"], beam.major_arcsec),
        np.where(fitted, table["minor_arcsec"], beam.minor_arcsec),
        np.where(fitted, table["position_angle_deg"], beam.position_angle_deg),
        strict=True,
    )
    regions = []
    for row, (major, minor, angle) in zip(table, shapes, strict=True):
        regions.append(
            EllipseSkyRegion(
                SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg"),
                # The height is along the position angle, which counts from north through east.
                width=minor * u.arcsec,
                height=major * u.arcsec,
                angle=angle * u.deg,
                meta=RegionMeta({"text": str(row["name"]), "label": str(row["name"])}),
                visual=RegionVisual({"color": _COLOUR}),
            )
        )
    return Regions(regions)


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
