"""The grid of an image against its own FITS coordinates, and there and back."""

import numpy as np
import pytest
from astropy.wcs import WCS

from contimg_assets.radio.images.components import components, offsets_from_centre, points_image
from contimg_assets.radio.images.grid import ImageGrid

GRID = ImageGrid(600, 20.0)


def test_pixels_are_those_of_a_fits_image_in_sine_projection() -> None:
    """Direction cosines of astropy's directions, to a millionth of a pixel: l to the east, m to the north."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN"], [40.0, 54.57]
    wcs.wcs.crpix, wcs.wcs.cdelt = [301, 301], [-20 / 3600, 20 / 3600]
    x, y = np.random.default_rng(1).uniform(0, 599, (2, 50))
    ra, dec = np.deg2rad(wcs.all_pix2world(x, y, 0))
    ra0, dec0 = np.deg2rad(wcs.wcs.crval)
    east = np.cos(dec) * np.sin(ra - ra0)
    north = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)
    l, m = GRID.directions(x, y)
    assert np.abs(l - east).max() < 1e-6 * GRID.cell_rad
    assert np.abs(m - north).max() < 1e-6 * GRID.cell_rad
    assert GRID.directions(GRID.centre, GRID.centre) == (0.0, 0.0)


def test_directions_become_the_pixels_that_they_came_from() -> None:
    """There and back to rounding; the axes are the directions of whole pixels."""
    x, y = np.random.default_rng(2).uniform(0, 599, (2, 50))
    back = GRID.pixels(*GRID.directions(x, y))
    np.testing.assert_allclose(back, (x, y), rtol=0, atol=1e-9)
    l_columns, m_rows = GRID.axes()
    assert (l_columns[7], m_rows[9]) == GRID.directions(7, 9)
    assert np.all(np.diff(l_columns) < 0)
    assert np.all(np.diff(m_rows) > 0)


def test_what_the_grid_contains_can_be_spread_over_pixels() -> None:
    """A point on either edge keeps its flux density in the model image; one beyond is not contained."""
    edge = np.array([GRID.edge_rad, -GRID.edge_rad])
    assert GRID.contains(edge, edge).all()
    assert not GRID.contains(edge * 1.001, edge).any()
    image = points_image((edge, edge, np.array([1.0, 2.0], np.float32)), GRID)
    assert image.sum() == pytest.approx(3.0, rel=1e-5)
    l, m, flux = components(image, GRID)
    assert np.average(m, weights=flux) == pytest.approx(-GRID.edge_rad / 3, rel=1e-3)
    offsets = offsets_from_centre(l, m)
    np.testing.assert_allclose(np.sum((offsets + np.array([0, 0, 1])) ** 2, axis=1), 1.0)
