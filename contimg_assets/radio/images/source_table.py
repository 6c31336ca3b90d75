"""The source list as a table that astronomers' tools open."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.source_finding import Found, Measured

#: What follows the stem of an image's products in the name of its list.
SOURCES = "sources.fits"
_UNITS: dict[str, tuple[Any, str]] = {
    "name": (None, "IAU form, from the position, truncated"),
    "ra_deg": (u.deg, "ICRS right ascension"),
    "dec_deg": (u.deg, "ICRS declination"),
    "ra_error_arcsec": (u.arcsec, "standard error of right ascension times cos dec"),
    "dec_error_arcsec": (u.arcsec, "standard error of declination"),
    "flux_jy": (u.Jy, "flux density, corrected for the beam; integrated where resolved"),
    "flux_error_jy": (u.Jy, "standard error of the flux density"),
    "peak_jy_beam": (u.Jy / u.beam, "fitted peak, not corrected for the beam"),
    "noise_jy_beam": (u.Jy / u.beam, "local noise, not corrected for the beam"),
    "signal_to_noise": (None, "peak over local noise"),
    "beam_power": (None, "of the primary beam, averaged over the drift"),
    "resolved": (None, "integrated flux density exceeds the peak by three standard errors and a twentieth"),
    "major_arcsec": (u.arcsec, "fitted full width, with the restoring beam in it; NaN: not fitted"),
    "minor_arcsec": (u.arcsec, "fitted full width; NaN: not fitted"),
    "position_angle_deg": (u.deg, "north through east"),
    "spectral_index": (None, "within the band, with the beam divided out; NaN: too faint to be measured"),
    "spectral_index_error": (None, "thermal standard error"),
    "x": (u.pix, "zero-based"),
    "y": (u.pix, "zero-based"),
}


def source_name(ra_deg: float, dec_deg: float) -> str:
    """``JHHMMSS.s+DDMMSS``: from the position, truncated, as the IAU asks."""
    tenths, arcsec = int(ra_deg % 360 * 2400 + 1e-5), int(abs(dec_deg) * 3600 + 1e-5)
    seconds = tenths // 10
    sign = "-" if dec_deg < 0 else "+"
    return (
        f"J{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{tenths % 10}"
        f"{sign}{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}"
    )


def source_table(
    sources: list[Found], cell_arcsec: float, summary: dict[str, Any], meta: dict[str, Any]
) -> Table:
    """A row a source, with units and descriptions.

    Parameters
    ----------
    sources : list of Found
    cell_arcsec : float
    summary : dict
        Of the image: ``spectra`` and ``beam_major_arcsec``.
    meta : dict
        Of the table.
    """
    index, index_error = _spectra(sources, summary.get("spectra", []), summary["beam_major_arcsec"])
    values: dict[str, Any] = {
        "name": np.array([source_name(s.point.ra_deg, s.point.dec_deg) for s in sources], "U16"),
        "ra_deg": [s.point.ra_deg for s in sources],
        "dec_deg": [s.point.dec_deg for s in sources],
        "ra_error_arcsec": [s.ra_error_arcsec for s in sources],
        "dec_error_arcsec": [s.dec_error_arcsec for s in sources],
        "flux_jy": [s.flux_jy for s in sources],
        "flux_error_jy": [s.flux_error_jy for s in sources],
        "peak_jy_beam": [s.point.flux_jy for s in sources],
        "noise_jy_beam": [s.noise_jy for s in sources],
        "signal_to_noise": [s.signal_to_noise for s in sources],
        "beam_power": [s.power for s in sources],
        "resolved": np.array([s.resolved for s in sources], bool),
        "major_arcsec": [s.major_pixels * cell_arcsec for s in sources],
        "minor_arcsec": [s.minor_pixels * cell_arcsec for s in sources],
        "position_angle_deg": [float(np.rad2deg(s.angle_rad) + 90) % 180 - 90 for s in sources],
        "spectral_index": index,
        "spectral_index_error": index_error,
        "x": [s.point.x for s in sources],
        "y": [s.point.y for s in sources],
    }
    table = Table(meta=meta)
    for name, (unit, description) in _UNITS.items():
        column = np.asarray(values[name])
        kept = column if column.dtype.kind in "Ub" else column.astype(float)
        table[name] = Column(kept, unit=unit, description=description)
    return table


def read_source_table(folder: Path, name: str) -> Table:
    """The list that was published with an image.

    Parameters
    ----------
    folder : Path
        Products of the image.
    name : str
        Stem of their names.

    Raises
    ------
    MissingInputError
        If it is not there.
    """
    path = folder / f"{name}.{SOURCES}"
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; image the group again")
    # Numbers that were not measured are NaN, and stay so.
    return Table.read(path, mask_invalid=False)


def listed_sources(table: Table, cell_arcsec: float) -> list[Found]:
    """The rows of a list as they were when it was made.

    Parameters
    ----------
    table : Table
        From :func:`read_source_table`.
    cell_arcsec : float
        Width of a pixel of its image.
    """
    columns = {name: table[name].tolist() for name in table.colnames}
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        Found(
            Measured(row["x"], row["y"], row["ra_deg"], row["dec_deg"], row["peak_jy_beam"]),
            row["noise_jy_beam"],
            row["beam_power"],
            row["flux_error_jy"] / row["flux_jy"],
            row["ra_error_arcsec"],
            row["dec_error_arcsec"],
            row["flux_jy"] * row["beam_power"],
            row["major_arcsec"] / cell_arcsec,
            row["minor_arcsec"] / cell_arcsec,
            float(np.deg2rad(row["position_angle_deg"])),
            row["resolved"],
        )
        for row in rows
    ]


def _spectra(
    sources: list[Found], spectra: list[dict[str, float]], reach_arcsec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spectral index and its error of each source, NaN where none was measured; shapes (n_sources,)."""
    result = np.full((2, len(sources)), np.nan)
    places = np.array([[s.point.ra_deg, s.point.dec_deg] for s in sources]).reshape(-1, 2)
    for one in spectra if sources else []:
        east = (places[:, 0] - one["ra_deg"] + 180) % 360 - 180
        north = places[:, 1] - one["dec_deg"]
        away = np.hypot(east * np.cos(np.deg2rad(one["dec_deg"])), north)
        nearest = int(np.argmin(away))
        if away[nearest] * 3600 <= reach_arcsec:
            result[:, nearest] = one["spectral_index"], one["spectral_index_error"]
    return result[0], result[1]
