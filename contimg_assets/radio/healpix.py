"""HEALPix numbers of positions, nested, at the order in which HATS sorts rows.

Belongs here: from a position to a pixel (Górski et al. 2005, ApJ 622, 759), by ducc0.
Does not belong here: maps, neighbours, coverage.
"""

import ducc0
import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The finest order whose numbers fit 64 bits with a sign: pixels of 0.4 mas.
FINEST = 29


def nested(ra_deg: ArrayLike, dec_deg: ArrayLike, order: int = FINEST) -> NDArray[np.int64]:
    """Nested HEALPix pixel of ICRS positions.

    Parameters
    ----------
    ra_deg, dec_deg : array_like
    order : int
        0 to 29; the number at a coarser order is that at a finer one, divided by 4 for each step.
    """
    ra, dec = (np.atleast_1d(np.asarray(angle, dtype=np.float64)) for angle in (ra_deg, dec_deg))
    angles = np.deg2rad(np.stack([90.0 - dec, np.mod(ra, 360.0)], axis=-1))
    return ducc0.healpix.Healpix_Base(1 << order, "NEST").ang2pix(angles)


#: Order of the tiles in which the sky is kept: 3.7°, 13.4 square degrees.
TILE_ORDER = 4
#: Tiles of the whole sky.
N_TILES = 12 * 4**TILE_ORDER
#: Steps of order between a row's number and its tile's.
_TO_TILE = 2 * (FINEST - TILE_ORDER)
_TILE_KEY = "hp4-"
#: Discs are covered by pixels this many orders finer than their size, …
_FINER = 5
#: … and none finer than this (0.2″).
_FINEST_DISC = 20


def tiles_of(pixels: ArrayLike) -> NDArray[np.int64]:
    """Tiles of pixels of order 29."""
    return np.asarray(pixels, np.int64) >> _TO_TILE


def tile_key(tile: int) -> str:
    """Key of a tile, such as ``hp4-0123``."""
    return f"{_TILE_KEY}{tile:04d}"


def tile_number(key: str) -> int:
    """Tile of a key.

    Raises
    ------
    ValueError
        If it is no tile's.
    """
    digits = key.removeprefix(_TILE_KEY)
    if key.startswith(_TILE_KEY) and digits.isdecimal() and len(digits) == 4 and int(digits) < N_TILES:
        return int(digits)
    raise ValueError(f"found {key!r}; expected a tile of the sky, such as {tile_key(0)}")


def disc(ra_deg: float, dec_deg: float, radius_deg: float) -> NDArray[np.int64]:
    """Pixels of order 29 that cover a disc, and a little around it.

    Returns
    -------
    ndarray, shape (n, 2)
        Ranges in order, each from the first number on and before the second.
    """
    size = np.rad2deg(np.sqrt(np.pi / 3))
    wanted = int(np.ceil(np.log2(size / max(radius_deg, 1e-9)))) + _FINER
    order = min(max(wanted, TILE_ORDER), _FINEST_DISC)
    base = ducc0.healpix.Healpix_Base(1 << order, "NEST")
    # The disc is asked for in rings; half a pixel's diagonal more and all that touch it are in.
    at = np.deg2rad([90.0 - dec_deg, ra_deg % 360.0])
    radius = min(np.deg2rad(radius_deg) + base.max_pixrad(), np.pi)
    ring = ducc0.healpix.Healpix_Base(1 << order, "RING")
    found = ring.query_disc(at, radius)
    pixels = np.concatenate([np.arange(a, b) for a, b in found]) if len(found) else np.zeros(0, np.int64)
    nest = np.sort(np.asarray(ring.ring2nest(pixels), np.int64))
    breaks = np.flatnonzero(np.diff(nest) > 1)
    first = nest[np.concatenate([[0], breaks + 1])] if len(nest) else nest
    last = nest[np.concatenate([breaks, [len(nest) - 1]])] if len(nest) else nest
    shift = 2 * (FINEST - order)
    return np.stack([first << shift, (last + 1) << shift], axis=-1)
