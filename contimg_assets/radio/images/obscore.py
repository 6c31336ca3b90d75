"""Metadata of images in the terms of the Virtual Observatory (IVOA ObsCore 1.1).

Belongs here: what is said of one image, and the table of several.  Does not belong
here: which images there are (``station/export.py``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.votable import from_table, writeto
from astropy.table import Table
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.planes import plane_header

#: The file with an image's metadata, beside it.
OBSCORE = "obscore.json"
#: Unit and UCD of each column, as ObsCore 1.1 has them (its table 1, and s_pixel_scale and obs_title).
_COLUMNS: dict[str, tuple[str | None, str]] = {
    "dataproduct_type": (None, "meta.code.class"),
    "calib_level": (None, "meta.code;obs.calib"),
    "obs_collection": (None, "meta.id"),
    "obs_id": (None, "meta.id"),
    "obs_publisher_did": (None, "meta.ref.ivoid"),
    "obs_title": (None, "meta.title;obs"),
    "target_name": (None, "meta.id;src"),
    "s_ra": ("deg", "pos.eq.ra"),
    "s_dec": ("deg", "pos.eq.dec"),
    "s_fov": ("deg", "phys.angSize;instr.fov"),
    "s_region": (None, "pos.outline;obs.field"),
    "s_resolution": ("arcsec", "pos.angResolution"),
    "s_pixel_scale": ("arcsec", "phys.angSize;instr.pixel"),
    "s_xel1": (None, "meta.number"),
    "s_xel2": (None, "meta.number"),
    "t_min": ("d", "time.start;obs.exposure"),
    "t_max": ("d", "time.end;obs.exposure"),
    "t_exptime": ("s", "time.duration;obs.exposure"),
    "t_resolution": ("s", "time.resolution"),
    "t_xel": (None, "meta.number"),
    "em_min": ("m", "em.wl;stat.min"),
    "em_max": ("m", "em.wl;stat.max"),
    "em_res_power": (None, "spect.resolution"),
    "em_xel": (None, "meta.number"),
    "o_ucd": (None, "meta.ucd"),
    "pol_states": (None, "meta.code;phys.polarization"),
    "pol_xel": (None, "meta.number"),
    "facility_name": (None, "meta.id;instr.tel"),
    "instrument_name": (None, "meta.id;instr"),
    "access_url": (None, "meta.ref.url"),
    "access_format": (None, "meta.code.mime"),
    "access_estsize": ("kbyte", "phys.size;meta.file"),
}


def obscore(image: Path, identifier: str, archive: ArchiveOptions) -> dict[str, Any]:
    """Metadata of an image in the IVOA's ObsCore 1.1 terms.

    Parameters
    ----------
    image : Path
        The science product.
    identifier : str
        Of the observation.
    archive : ArchiveOptions
        How the image is named and found.
    """
    header = plane_header(image)
    wcs = celestial_wcs(header)
    nx, ny = int(header["NAXIS1"]), int(header["NAXIS2"])
    corners = wcs.all_pix2world([[0, 0], [nx - 1, 0], [nx - 1, ny - 1], [0, ny - 1]], 0)
    middle, width = float(header["CRVAL3"]), float(header["CDELT3"])
    cell = abs(float(header["CDELT2"]))
    return {
        "dataproduct_type": "image",
        "calib_level": 3,
        "obs_collection": "DSA-110 continuum",
        "obs_id": identifier,
        "obs_publisher_did": f"ivo://{archive.authority}/contimg?{image.name.partition('.fits')[0]}",
        "obs_title": f"DSA-110 continuum image {header['OBJECT']}, {header['DATE-OBS']}",
        "target_name": header["OBJECT"],
        "s_ra": float(header["CRVAL1"]),
        "s_dec": float(header["CRVAL2"]),
        "s_fov": max(nx, ny) * cell,
        "s_region": "POLYGON ICRS " + " ".join(f"{value:.6f}" for value in corners.ravel()),
        "s_resolution": float(np.sqrt(header["BMAJ"] * header["BMIN"])) * 3600,
        "s_pixel_scale": cell * 3600,
        "s_xel1": nx,
        "s_xel2": ny,
        "t_min": float(header["MJD-OBS"]),
        "t_max": float(header["MJD-END"]),
        "t_exptime": float(header["EXPTIME"]),
        "t_resolution": float(header["EXPTIME"]),
        "t_xel": 1,
        "em_min": SPEED_OF_LIGHT / (middle + width / 2),
        "em_max": SPEED_OF_LIGHT / (middle - width / 2),
        "em_res_power": middle / width,
        "em_xel": 1,
        "o_ucd": "phot.flux.density;em.radio.750-1500MHz",
        "pol_states": "/I/",
        "pol_xel": 1,
        "facility_name": header["TELESCOP"],
        "instrument_name": header["TELESCOP"],
        "access_url": (archive.access_url or "{file}").format(name=identifier, file=image.name),
        "access_format": "image/fits",
        "access_estsize": image.stat().st_size // 1024,
    }


def write_obscore(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write metadata of images, from :func:`obscore`, as a VOTable with a row an image."""
    table = Table({name: [row[name] for row in rows] for name in _COLUMNS})
    for name, (unit, _) in _COLUMNS.items():
        table[name].unit = unit
    votable = from_table(table, table_id="obscore")
    for field in votable.get_first_table().fields:
        field.ucd = _COLUMNS[field.name][1]
        field.utype = None
    writeto(votable, str(path))
