"""HEALPix numbers against what is known of the tessellation."""

import numpy as np

from contimg_assets.radio.healpix import nested

#: Middles of the twelve base pixels (Górski et al. 2005, figure 4): right ascension and declination, deg.
MIDDLES = [
    *[(45.0 + 90 * k, 41.8103149) for k in range(4)],
    *[(90.0 * k, 0.0) for k in range(4)],
    *[(45.0 + 90 * k, -41.8103149) for k in range(4)],
]


def positions(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))


def test_base_pixels_are_where_the_paper_has_them() -> None:
    assert nested(*np.array(MIDDLES).T, order=0).tolist() == list(range(12))
    # The four corners of a base pixel's middle: south, east, west, north.
    around = [(0.0, -1.0), (1.0, 0.0), (359.0, 0.0), (0.0, 1.0)]
    assert nested(*np.array(around).T, order=1).tolist() == [16, 17, 18, 19]


def test_pixels_nest_and_have_equal_areas() -> None:
    ra, dec = positions(200_000)
    fine = nested(ra, dec)
    assert fine.min() >= 0
    assert fine.max() < 12 * 4**29
    for order in (0, 3, 8):
        assert (nested(ra, dec, order) == fine >> 2 * (29 - order)).all()
    # 768 pixels with 260 positions each: their scatter is Poisson's.
    counts = np.bincount(nested(ra, dec, 3), minlength=768)
    assert abs((counts.var() / counts.mean()) - 1) < 0.2


def test_the_poles_and_the_wrap_have_pixels() -> None:
    ra, dec = np.array([0.0, 360.0, -1e-14, 10.0, 10.0]), np.array([0.0, 0.0, 0.0, 90.0, -90.0])
    pixels = nested(ra, dec)
    assert pixels[0] == pixels[1]
    assert (pixels[3] >> 58, pixels[4] >> 58) == (0, 8)


def test_neighbours_on_the_sky_share_the_leading_digits() -> None:
    """Rows in this order are in order of the sky: 1″ apart is one pixel of 3.4′ nearly always."""
    ra, dec = positions(20_000)
    same = nested(ra, dec) >> 2 * 19 == nested(ra, np.clip(dec + 1 / 3600, -90, 90)) >> 2 * 19
    assert same.mean() > 0.98
