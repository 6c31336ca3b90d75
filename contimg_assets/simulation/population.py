"""A random radio sky with realistic source counts.

Counts follow dN/dS ∝ S^-1.8 between 10 mJy and 3 Jy, scaled to the density of
NVSS above 10 mJy (≈ 17 per square degree; Condon et al. 1998, AJ 115, 1693);
spectral indices are normal with mean −0.75 and scatter 0.2.
"""

import numpy as np

from contimg_assets.radio.sky import Source

#: Sources per square degree above ``FAINTEST_JY``.
DENSITY_PER_DEG2 = 17.0
FAINTEST_JY = 0.010
BRIGHTEST_JY = 3.0
SLOPE = 1.8


def random_sky(
    ra_deg: float,
    dec_deg: float,
    radius_deg: float,
    seed: int,
    brighter_than_jy: float = FAINTEST_JY,
    minimum_separation_arcsec: float = 0.0,
) -> list[Source]:
    """Point sources in a disc on the sky.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg : float
        The disc, ICRS.
    seed : int
        Same seed, same sky.
    brighter_than_jy : float
        Fainter ones are drawn but left out, so that the rest do not change.
    minimum_separation_arcsec : float
        Sources nearer than this to a brighter one are left out, so that a
        test can tell every source from its neighbours.

    Returns
    -------
    list of Source
        Brightest first.
    """
    rng = np.random.default_rng(seed)
    n = rng.poisson(DENSITY_PER_DEG2 * np.pi * radius_deg**2)
    low, high = FAINTEST_JY ** (1 - SLOPE), BRIGHTEST_JY ** (1 - SLOPE)
    flux = (low + (high - low) * rng.random(n)) ** (1 / (1 - SLOPE))
    radius = radius_deg * np.sqrt(rng.random(n))
    angle = 2 * np.pi * rng.random(n)
    alpha = rng.normal(-0.75, 0.2, n)
    # Offsets laid out on the sphere, so that high declinations are right too.
    dec0, r = np.deg2rad(dec_deg), np.deg2rad(radius)
    sin_dec = np.sin(dec0) * np.cos(r) + np.cos(dec0) * np.sin(r) * np.cos(angle)
    dec = np.arcsin(sin_dec)
    dra = np.arctan2(np.sin(angle) * np.sin(r) * np.cos(dec0), np.cos(r) - np.sin(dec0) * sin_dec)
    ra = np.mod(ra_deg + np.rad2deg(dra), 360.0)
    order = np.argsort(-flux)
    unit = np.stack([np.cos(dec) * np.cos(np.deg2rad(ra)), np.cos(dec) * np.sin(np.deg2rad(ra)), sin_dec], 1)
    limit = np.deg2rad(minimum_separation_arcsec / 3600.0)
    kept: list[int] = []
    for i in order[flux[order] >= brighter_than_jy]:
        if not kept or np.min(np.linalg.norm(unit[kept] - unit[i], axis=1)) >= limit:
            kept.append(int(i))
    return [
        Source(f"S{k:04d}", float(ra[i]), float(np.rad2deg(dec[i])), float(flux[i]), float(alpha[i]))
        for k, i in enumerate(kept)
    ]
