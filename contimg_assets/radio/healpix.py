"""HEALPix numbers of positions, nested, at the order in which HATS sorts rows.

Belongs here: from a position to a pixel, after Górski et al. 2005 (ApJ 622, 759).
Does not belong here: maps, neighbours, coverage.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The finest order whose numbers fit 64 bits with a sign: pixels of 0.4 mas.
FINEST = 29
#: Beyond this |sin δ| pixels lie in the polar caps.
_CAP = 2.0 / 3.0


def nested(ra_deg: ArrayLike, dec_deg: ArrayLike, order: int = FINEST) -> NDArray[np.int64]:
    """Nested HEALPix pixel of ICRS positions.

    Parameters
    ----------
    ra_deg, dec_deg : array_like
    order : int
        0 to 29; the number at a coarser order is that at a finer one, divided by 4 for each step.
    """
    dec = np.deg2rad(np.atleast_1d(np.asarray(dec_deg, dtype=np.float64)))
    turns = np.mod(np.atleast_1d(np.asarray(ra_deg, dtype=np.float64)), 360.0) / 90.0
    turns = np.where(turns >= 4.0, 0.0, turns)
    z, n_side = np.sin(dec), 1 << order
    cap = np.abs(z) > _CAP
    face = np.zeros(z.shape, np.int64)
    x, y = np.zeros_like(face), np.zeros_like(face)
    face[~cap], x[~cap], y[~cap] = _belt(z[~cap], turns[~cap], order, n_side)
    face[cap], x[cap], y[cap] = _caps(dec[cap], z[cap], turns[cap], n_side)
    return (face << (2 * order)) | _spread(x) | (_spread(y) << 1)


_Pixels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _belt(z: NDArray[np.float64], turns: NDArray[np.float64], order: int, n_side: int) -> _Pixels:
    """Face and place on it, of positions between the polar caps."""
    across, along = n_side * (0.5 + turns), n_side * 0.75 * z
    up, down = np.floor(across - along).astype(np.int64), np.floor(across + along).astype(np.int64)
    face_up, face_down = up >> order, down >> order
    above, below = face_up & 3, (face_down & 3) + 8
    face = np.where(face_up == face_down, (face_up & 3) | 4, np.where(face_up < face_down, above, below))
    return face, down & (n_side - 1), n_side - (up & (n_side - 1)) - 1


def _caps(
    dec: NDArray[np.float64], z: NDArray[np.float64], turns: NDArray[np.float64], n_side: int
) -> _Pixels:
    """Face and place on it, of positions in the polar caps."""
    quarter = np.minimum(turns.astype(np.int64), 3)
    part = turns - quarter
    # sqrt(3 (1 − |z|)), without the loss of digits near the pole.
    distance = n_side * np.cos(dec) * np.sqrt(3.0 / (1.0 + np.abs(z)))
    up = np.minimum((part * distance).astype(np.int64), n_side - 1)
    down = np.minimum(((1.0 - part) * distance).astype(np.int64), n_side - 1)
    north = z > 0
    face = np.where(north, quarter, quarter + 8)
    return face, np.where(north, n_side - down - 1, up), np.where(north, n_side - up - 1, down)


def _spread(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every bit moved to twice its place."""
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        bits = (bits | (bits << shift)) & np.int64(mask)
    return bits
