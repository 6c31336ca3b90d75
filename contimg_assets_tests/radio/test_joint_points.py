"""What CLEAN has left of one source is not another, and does not make another brighter."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.images.gaussian_fits import gaussian
from contimg_assets.radio.images.joint_points import joint_fluxes
from contimg_assets.radio.images.resolved_sources import Cleaned, Peak
from contimg_assets_tests.radio.test_resolved_sources import BEAM, listed

N = 200
YY, XX = np.mgrid[:N, :N].astype(float)


def _dirty(x: float, y: float) -> NDArray[np.float64]:
    """The dirty beam at a place: a core like the restoring beam on a plateau, as two dense arms have it."""
    return 0.7 * BEAM.profile(XX - x, YY - y) + 0.3 * gaussian(XX - x, YY - y, 40.0, 24.0, BEAM.angle)


#: Its core is a little wider than the 0.7: what a fit sees of it is 1 to a part in a hundred all the same.
PSF = _dirty(N // 2, N // 2)


def _beside(beams: float) -> tuple[float, float]:
    """A place so far from the middle along the beam's minor axis."""
    away = beams * BEAM.minor
    return 100.0 + away * np.cos(BEAM.angle), 100.0 + away * np.sin(BEAM.angle)


def test_noise_on_the_plateau_of_what_is_left_is_no_source() -> None:
    """A source of 6σ that CLEAN did not touch, and 4σ of noise 3 beams away: two peaks over 5σ, one row."""
    x, y = _beside(3.0)
    residual = 6.0 * _dirty(100.0, 100.0) + 4.0 * BEAM.profile(XX - x, YY - y)
    assert len(listed(residual)) == 2
    (found,) = listed(residual, cleaned=Cleaned(residual, np.zeros((N, N)), PSF))
    assert np.hypot(found.point.x - 100, found.point.y - 100) < 0.5
    assert found.flux_jy == pytest.approx(6.0, rel=0.1)


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_two_sources_keep_their_flux_densities_whatever_clean_took(part: float) -> None:
    """7 and 8σ, 3 beams apart; CLEAN took none, half or all of them, on pixels beside their places: to 2 %.

    Where it took nothing, the plateau of either makes the other a quarter too bright.
    """
    x, y = _beside(3.0)
    model = np.zeros((N, N))
    model[100, 100] = model[101, 100] = part * 4.0
    model[round(y), round(x)] = part * 7.0
    rows, columns = np.nonzero(model)
    taken = [(v, float(cx), float(cy)) for v, cx, cy in zip(model[rows, columns], columns, rows, strict=True)]
    residual = 8.0 * _dirty(100.0, 100.5) + 7.0 * _dirty(x, y) - sum(v * _dirty(a, b) for v, a, b in taken)
    image = residual + sum(v * BEAM.profile(XX - a, YY - b) for v, a, b in taken)
    found = listed(image, cleaned=Cleaned(residual, model, PSF))
    assert [s.flux_jy for s in found] == pytest.approx([8.0, 7.0], rel=0.02)
    if part == 0.0:
        assert max(s.flux_jy for s in listed(image)) > 9.0


def test_a_bright_source_stays_as_it_was_taken() -> None:
    """Of 500σ nothing is put back, so that an error of the dirty beam of 1 % is not in what is beside it."""
    x, y = _beside(4.0)
    model = np.zeros((N, N))
    model[100, 100] = 500.0
    residual = 8.0 * _dirty(x, y)
    image = residual + 500.0 * BEAM.profile(XX - 100, YY - 100)
    wrong = PSF + 0.01 * gaussian(XX - 100, YY - 100, 60.0, 40.0, 0.0) * (PSF < 0.5)
    bright, faint = listed(image, cleaned=Cleaned(residual, model, wrong))
    assert bright.flux_jy == pytest.approx(500.0, abs=0.5)
    assert faint.flux_jy == pytest.approx(8.0, abs=0.2)


def test_no_peaks_are_no_sources() -> None:
    """An image without a peak, and one whose peaks are all below the least."""
    residual = 4.8 * _dirty(100.0, 100.0)
    cleaned = Cleaned(residual, np.zeros((N, N)), PSF)
    assert joint_fluxes([], BEAM, cleaned, 5.0).shape == (0,)
    assert np.isnan(joint_fluxes([Peak(100.0, 100.0, 4.8, 1.0)], BEAM, cleaned, 5.0)).all()
    assert listed(residual, cleaned=cleaned) == []


def test_a_peak_at_the_rim_beside_blank_pixels_is_measured() -> None:
    """A place may lie nearer to the rim, or to blanks, than the pixels that it was found on."""
    blank = 6.0 * _dirty(8.3, 100.0) + 6.0 * _dirty(100.0, 100.0)
    blank[:, 105:] = np.nan
    peaks = [Peak(7.6, 100.0, 6.0, 1.0), Peak(100.0, 100.0, 6.0, 1.0)]
    for shift in (0.0, 5.0):
        moved = [Peak(p.x - shift, p.y, p.flux_jy, p.noise_jy) for p in peaks]
        found = joint_fluxes(moved, BEAM, Cleaned(blank, np.zeros((N, N)), PSF), 1.0)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("pixels", [18.0, 24.0])
def test_points_on_one_plateau_stay_two(pixels: float) -> None:
    """30σ each, taken whole, along the major axis, farther apart than the first cut about either reaches.

    Their plateaus join them, and a cut does not tell what a source leaves of a peak that it does not hold.
    One of two like these was lost from the list.
    """
    x, y = 100 - pixels * np.sin(BEAM.angle), 100 + pixels * np.cos(BEAM.angle)
    model = np.zeros((N, N))
    model[100, 100] = model[round(y), round(x)] = 30.0
    image = 30.0 * (BEAM.profile(XX - 100, YY - 100) + BEAM.profile(XX - round(x), YY - round(y)))
    found = listed(image, cleaned=Cleaned(np.zeros((N, N)), model, PSF))
    assert [s.flux_jy for s in found] == pytest.approx([30.0, 30.0], rel=0.02)
