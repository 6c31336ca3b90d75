"""Parts of the sky as multi-order coverage maps (IVOA MOC 2.0), and maps of probability.

Belongs here: reading and writing of files, the field that a group covers, what lies
inside.  Does not belong here: which groups count, or which sources (``station/``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ducc0
import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.beam import ASSUMED
from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.healpix import TILE_ORDER, tile_key

if TYPE_CHECKING:
    from astropy.table import Table
    from mocpy import MOC

#: Order of coverage: cells of 14′, of which a field is some twenty wide.
COVERAGE_ORDER = 8
#: Column of a map of probability with cells of several orders, and of one with all pixels of one order.
_CELLS, _DENSITY, _PIXELS = "UNIQ", "PROBDENSITY", "PROB"
#: A map's probability is one to this: a part of a map would have its levels wrong.
_WHOLE = 0.01
#: Moments of a group at which the drifting beam is taken, and steps of the radius, deg.
_MOMENTS, _STEP_DEG = 25, 0.01
_FARTHEST_DEG = 5.0


@dataclass(frozen=True)
class Region:
    """A part of the sky."""

    moc: "MOC"
    level: float | None = None
    """Probability within it; None: it is no map of probability's."""
    probability: "Table | None" = None
    """The map: cells (``UNIQ``) and probability a steradian (``PROBDENSITY``)."""

    @property
    def area_deg2(self) -> float:
        """Its size."""
        return float(self.moc.sky_fraction) * 4 * np.pi * np.rad2deg(1) ** 2

    def tiles(self) -> list[str]:
        """Keys of the tiles that it touches."""
        coarse = self.moc.to_order(TILE_ORDER)
        return [tile_key(int(tile)) for tile in np.sort(coarse.flatten())]

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Which ICRS positions lie inside."""
        from astropy import units as u

        ra, dec = np.asarray(ra_deg, np.float64), np.asarray(dec_deg, np.float64)
        if not len(ra):
            return np.zeros(0, np.bool_)
        return np.asarray(self.moc.contains_lonlat(ra * u.deg, dec * u.deg), np.bool_)

    def probability_within(self, covered: "MOC") -> float | None:
        """Probability of the whole map within a coverage; None if it is no map of probability's."""
        if self.probability is None:
            return None
        return float(covered.probability_in_multiordermap(self.probability))


def field_radius_deg(declination_deg: float, least_beam: float) -> float:
    """How far north and south of a group's middle the beam, averaged over the drift, is at least so much.

    East and west it reaches a little farther, as the sky passes.
    """
    frequency = np.array([float(telescope.band_frequencies().mean())])
    declination = np.deg2rad(declination_deg)
    half_turn = np.deg2rad(telescope.GROUP_S / 2 * 360 / 86164.1)
    hour_angle = np.linspace(-half_turn, half_turn, _MOMENTS)
    away = np.arange(0.0, _FARTHEST_DEG, _STEP_DEG)
    dec = declination + np.deg2rad(away)[:, None]
    east = np.cos(dec) * np.sin(hour_angle)
    towards = np.stack([np.cos(dec) * np.cos(hour_angle), east, np.sin(dec) + 0 * east], axis=-1)
    power = ASSUMED.drifting_power(towards, declination, frequency)[..., 0].mean(axis=1)
    inside = power >= least_beam
    return float(away[int(np.argmin(inside)) - 1]) if inside[0] else 0.0


def mean_places(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], mjd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS positions of places of date, deg, by precession alone: to half an arcminute, for maps."""
    from astropy import units as u
    from astropy.coordinates import FK5, SkyCoord
    from astropy.time import Time

    of_date = FK5(equinox=Time(mjd, format="mjd"))
    icrs = SkyCoord(ra_deg * u.deg, dec_deg * u.deg, frame=of_date).icrs
    return np.asarray(icrs.ra.deg), np.asarray(icrs.dec.deg)


def discs(ra_deg: ArrayLike, dec_deg: ArrayLike, radius_deg: ArrayLike) -> "MOC":
    """The union of discs, to cells of ``COVERAGE_ORDER``; all that a disc touches is in."""
    from astropy import units as u
    from mocpy import MOC

    ra, dec, radius = (np.asarray(values, np.float64) for values in (ra_deg, dec_deg, radius_deg))
    if not len(ra):
        return MOC.new_empty(COVERAGE_ORDER)
    return MOC.from_cones(
        lon=ra * u.deg,
        lat=dec * u.deg,
        radius=radius * u.deg,
        max_depth=COVERAGE_ORDER,
        union_strategy="large_cones",
        n_threads=1,
    )


def write_moc(moc: "MOC", path: Path, keywords: dict[str, Any]) -> None:
    """Write a MOC as FITS (``.fits``), or in IVOA's ASCII or JSON by the file's suffix.

    Raises
    ------
    SettingsError
        If the name ends with none of these.
    """
    forms = {".fits": "fits", ".txt": "ascii", ".json": "json"}
    form = forms.get(path.suffix)
    if form is None:
        raise SettingsError(f"{path}: expected a name that ends with one of {', '.join(forms)}")
    moc.save(path, form, overwrite=True, fits_keywords=keywords if form == "fits" else None)


def region_of(text: str) -> Region:
    """A MOC in IVOA's ASCII, such as ``5/23 24-26 6/7``.

    Raises
    ------
    SettingsError
        If it is none.
    """
    from mocpy import MOC

    try:
        return Region(MOC.from_string(text))
    except (ValueError, SyntaxError, OSError) as error:
        raise SettingsError(
            f"found {text[:40]!r}; expected a MOC, such as 5/23 24-26 6/7: {error}"
        ) from error


def read_region(path: Path, level: float = 0.9) -> Region:
    """Read a MOC (FITS, ASCII, JSON), or the smallest part of a map that has so much of its probability.

    Maps are those of gravitational waves, gamma-ray bursts and neutrinos: cells of several orders
    (``UNIQ``, ``PROBDENSITY``), or all pixels of one (``PROB``, ring or nested).

    Parameters
    ----------
    path : Path
    level : float
        Probability, above 0 and at most 1.

    Raises
    ------
    MissingInputError
        If the file is not there, or is neither.
    SettingsError
        If the level is none.
    """
    from mocpy import MOC

    if not 0 < level <= 1:
        raise SettingsError(f"level: found {level:g}; expected a probability above 0 and at most 1")
    if not path.is_file():
        raise MissingInputError(f"{path}: found no file; expected a MOC or a map of probability")
    try:
        if path.suffix in (".txt", ".json"):
            return Region(MOC.load(path, "ascii" if path.suffix == ".txt" else "json"))
        names, table = _table(path)
        if table is None:
            return Region(MOC.from_fits(str(path)))
    except (OSError, ValueError, SyntaxError, IndexError) as error:
        raise MissingInputError(f"{path}: cannot be read as a MOC or a map: {error}") from error
    return _credible(path, _map_of(path, names, table), level)


def _table(path: Path) -> "tuple[list[str], Table | None]":
    """Columns of the file's table, and the table itself if it is a map of probability's."""
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(path) as content:
        names = [str(name) for name in content[1].columns.names]
    return names, Table.read(path, hdu=1) if {_DENSITY, _PIXELS} & set(names) else None


def _map_of(path: Path, names: Sequence[str], table: "Table") -> "Table":
    """A map with cells of several orders, whatever it was."""
    from astropy.table import Table

    if _CELLS in names:
        return Table({name: np.asarray(table[name]) for name in (_CELLS, _DENSITY)})
    values = np.asarray(table[_PIXELS], np.float64).ravel()
    n_side = int(np.sqrt(len(values) / 12))
    if 12 * n_side**2 != len(values) or n_side & (n_side - 1):
        raise MissingInputError(f"{path}: found {len(values)} pixels; expected those of a HEALPix map")
    pixels = np.arange(len(values))
    if str(table.meta.get("ORDERING", "")).upper().startswith("RING"):
        pixels = ducc0.healpix.Healpix_Base(n_side, "RING").ring2nest(pixels)
    cells = (4 * n_side**2 + pixels).astype(np.uint64)
    return Table({_CELLS: cells, _DENSITY: values * len(values) / (4 * np.pi)})


def _credible(path: Path, table: "Table", level: float) -> Region:
    """The cells with the largest density that have the probability together."""
    from mocpy import MOC

    cells = np.asarray(table[_CELLS]).astype(np.uint64)
    density = np.asarray(table[_DENSITY], np.float64)
    order = (np.log2(cells.astype(np.float64) / 4) // 2).astype(np.int64)
    values = density * (np.pi / 3) / 4.0**order
    total = values.sum()
    if not (np.isfinite(total) and (values >= 0).all() and abs(total - 1) < _WHOLE):
        raise MissingInputError(f"{path}: found a probability of {total:g} in all; expected 1")
    # Cells down to the one with which the level is reached are in, so that no less than it is inside.
    at = np.argsort(-density, kind="stable")
    last = int(np.searchsorted(np.cumsum(values[at]), level * total)) + 1
    chosen = cells[at[:last]]
    depth = order[at[:last]]
    moc = MOC.from_healpix_cells(
        (chosen - 4 * np.uint64(4) ** depth.astype(np.uint64)), depth.astype(np.uint8), int(depth.max())
    )
    return Region(moc, level, table)
