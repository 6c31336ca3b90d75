"""uvw by casacore's measures: an implementation that shares nothing with ``phasing``."""

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope


def measures_uvw(
    times_s: NDArray[np.float64], baselines_ecef: NDArray[np.float64], ra_rad: float, dec_rad: float
) -> NDArray[np.float64]:
    """uvw about an ICRS centre.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,)
        MJD seconds, UTC.
    baselines_ecef : ndarray, shape (n_baselines, 3)
        ITRF, m.
    ra_rad, dec_rad : float

    Returns
    -------
    ndarray, shape (n_times, n_baselines, 3)
        m.
    """
    from casacore.measures import measures

    tool = measures()
    x, y, z = telescope.site_ecef()
    tool.do_frame(tool.position("itrf", f"{x}m", f"{y}m", f"{z}m"))
    tool.do_frame(tool.direction("icrs", f"{ra_rad!r}rad", f"{dec_rad!r}rad"))
    out = np.empty((len(times_s), len(baselines_ecef), 3))
    for t, seconds in enumerate(times_s):
        tool.do_frame(tool.epoch("utc", f"{float(seconds)!r}s"))
        for b, (bx, by, bz) in enumerate(baselines_ecef.tolist()):
            baseline = tool.baseline("itrf", f"{bx!r}m", f"{by!r}m", f"{bz!r}m")
            uvw = tool.to_uvw(tool.measure(baseline, "j2000"))["xyz"]
            out[t, b] = uvw.get_value("m") if hasattr(uvw, "get_value") else np.asarray(uvw)
    return out
