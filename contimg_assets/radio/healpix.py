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
