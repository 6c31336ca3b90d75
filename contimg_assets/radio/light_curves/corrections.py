"""Measurements on the flux scale: what is known of their groups and of the beam, applied as rows are read.

Rows never change, so a new flux scale costs nothing.  Belongs here: from apparent to
true flux densities.  Does not belong here: where corrections come from
(``radio/flux_scale``).
"""

from typing import TYPE_CHECKING

import numpy as np

from contimg_assets.radio.flux_scale.beam_terms import log_beam, offsets
from contimg_assets.radio.flux_scale.table import BEAM_COLUMNS
from contimg_assets.radio.photometry.flags import LIMIT_SIGMA, Flag

if TYPE_CHECKING:
    import pandas

#: Measurements with any of these flags are in no statistic.
SPOILT = int(Flag.EDGE | Flag.BLANK | Flag.LOW_BEAM | Flag.BLENDED | Flag.MERGED | Flag.ARTEFACTS)


def on_flux_scale(rows: "pandas.DataFrame", scales: "pandas.DataFrame") -> "pandas.DataFrame":
    """Add flux densities on the sky.

    Parameters
    ----------
    rows : pandas.DataFrame
        Measurements, with the columns of ``photometry/table.py`` that are needed.
    scales : pandas.DataFrame
        Corrections of the groups that have one (``frame_of`` of ``flux_scale/table.py``).

    Returns
    -------
    pandas.DataFrame
        With ``flux_jy``, ``flux_error_jy`` (noise, and the error of the group's scale), ``upper_limit_jy``
        (NaN where it is none), ``correction`` (what the measured flux density was divided by), and
        ``calibrated``: False where no scale is known, or not so far from the axis: the correction is 1 then.
    """
    import pandas

    # By group and not by row: a day has hundreds of groups and a million rows.
    codes, groups = pandas.factorize(rows["group"])
    at = scales.index.get_indexer(groups.astype(str))[codes]
    correction, scale_error = np.ones(len(rows)), np.zeros(len(rows))
    known = at >= 0
    if known.any():
        used, which = np.unique(at[known], return_inverse=True)
        own, here = scales.iloc[used], rows[known]
        axis_ra, axis_dec, reach, log_scale, log_error = (
            own[name].to_numpy(np.float64)[which]
            for name in ("axis_ra_deg", "axis_dec_deg", "reach_deg", "log_scale", "log_scale_error")
        )
        east, north = offsets(
            here["ra_deg"].to_numpy(np.float64),
            here["dec_deg"].to_numpy(np.float64),
            axis_ra,
            axis_dec,
        )
        log = log_scale + log_beam(east, north, own[list(BEAM_COLUMNS)].to_numpy(np.float64), which)
        log[np.hypot(east, north) > reach] = np.nan
        known[np.flatnonzero(known)[~np.isfinite(log)]] = False
        correction[known] = np.exp(log[np.isfinite(log)])
        scale_error[known] = log_error[np.isfinite(log)]
    divisor = rows["beam"].to_numpy(np.float64) * correction
    flux = rows["apparent_jy"].to_numpy(np.float64) / divisor
    noise = rows["apparent_error_jy"].to_numpy(np.float64) / divisor
    error = np.hypot(noise, scale_error * flux)
    limit = np.where(rows["flags"] & int(Flag.LIMIT) != 0, np.maximum(flux, 0) + LIMIT_SIGMA * noise, np.nan)
    return rows.assign(
        flux_jy=flux,
        flux_error_jy=error,
        upper_limit_jy=limit,
        correction=correction,
        calibrated=known,
    )


def counting(rows: "pandas.DataFrame", *, uncalibrated: bool = False) -> "pandas.DataFrame":
    """Rows that statistics are of: without spoiling flags; calibrated if any are, or all where told."""
    good = rows[(rows["flags"] & SPOILT) == 0]
    good = good[np.isfinite(good["flux_jy"]) & (good["flux_error_jy"] > 0)]
    return good[good["calibrated"]] if good["calibrated"].any() and not uncalibrated else good
