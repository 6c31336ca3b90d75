"""Resolved sources keep their flux density, whatever CLEAN made of them; points and doubles stay."""

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_assets.radio.images.gaussian_fits import Beam, Cut, Ellipse, Source, gaussian
from contimg_assets.radio.images.resolved_sources import Cleaned
from contimg_assets.radio.images.source_finding import Found, ImagePlane, find_sources

N = 240
BEAM = Ellipse(8.0, 4.0, float(np.deg2rad(70.0)))


def plane_of(pixels: NDArray[np.float64]) -> ImagePlane:
    wcs, n = WCS(naxis=2), len(pixels)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---SIN", "DEC--SIN"], [350.0, 16.0], [n // 2 + 1] * 2
    wcs.wcs.cdelt = [-4.0 / 3600, 4.0 / 3600]
    return ImagePlane(pixels, wcs, BEAM.major, BEAM.minor, BEAM.angle, 1.4e9)


def listed(pixels: NDArray[np.float64], noise: float = 1.0, cleaned: Cleaned | None = None) -> list[Found]:
    one, level = np.ones(pixels.shape, np.float32), np.full(pixels.shape, noise, np.float32)
    return find_sources(plane_of(pixels), one, level, 5.0, least_power=0.1, cleaned=cleaned)


def restored(x: float, y: float, flux: float, width: float, n: int = N) -> NDArray[np.float64]:
    """A round Gaussian of a full width at half maximum through the restoring beam."""
    yy, xx = np.mgrid[:n, :n].astype(float)
    own = width**2 / (8 * np.log(2))
    seen = Source(flux, x, y, (own, own, 0.0)).seen(BEAM)
    assert seen is not None
    return flux * BEAM.area / seen.area * seen.profile(xx - x, yy - y)


def noise_of(n: int, seed: int) -> NDArray[np.float64]:
    """Noise whose autocorrelation is the beam, rms 1."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:n, :n].astype(float) - n // 2
    transfer = np.abs(np.fft.rfft2(np.fft.ifftshift(BEAM.profile(xx, yy)))) ** 0.5
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, n))) * transfer, s=(n, n))
    return noise / noise.std()


@pytest.mark.parametrize(("width", "snr"), [(3.0, 40.0), (6.0, 40.0), (12.0, 20.0), (18.0, 12.0)])
def test_a_wide_source_is_one_and_keeps_its_flux_density(width: float, snr: float) -> None:
    """To four and a half beams, in noise: one row, resolved, flux density and place within four errors.

    Its peaks, of which the widest has several, are one source; a fit of the pixels within a beam of the
    highest saw 0.6 of it.
    """
    peak = restored(120.0, 120.0, 1.0, width).max()
    for seed in range(3):
        found = listed(restored(120.3, 119.6, snr / peak, width) + noise_of(N, seed))
        near = [s for s in found if np.hypot(s.point.x - 120.3, s.point.y - 119.6) < 14]
        assert len(near) == 1
        assert near[0].resolved
        assert near[0].flux_jy == pytest.approx(snr / peak, abs=4 * near[0].flux_error_jy)
        assert near[0].flux_error_jy < 0.25 * near[0].flux_jy
        cell_errors = np.hypot(near[0].ra_error_arcsec, near[0].dec_error_arcsec) / 4.0
        assert np.hypot(near[0].point.x - 120.3, near[0].point.y - 119.6) < 4 * cell_errors


def test_what_clean_took_and_what_it_left_add_up() -> None:
    """Two thirds taken in stripes of points, the rest left in a dirty beam with a plateau: 1 % without noise.

    In the restored image the same source is several, and too bright by the plateau.
    """
    yy, xx = np.mgrid[:N, :N].astype(float) - N // 2
    psf = 0.75 * BEAM.profile(xx, yy) + 0.25 * gaussian(xx, yy, 24.0, 14.0, BEAM.angle)
    width, flux, own = 12.0, 500.0, 12.0**2 / (8 * np.log(2))
    model = np.zeros((N, N))
    sky = np.exp(-0.5 * (xx**2 + yy**2) / own)
    model[::5, :] = sky[::5, :]
    model *= 2 / 3 * flux / model.sum()
    whole = Cut(np.zeros((N, N)), xx + N // 2, yy + N // 2, (slice(0, N), slice(0, N)))
    dirty = Beam(psf, BEAM)
    residual = dirty.seen(whole, [Source(flux, N // 2, N // 2, (own, own, 0.0))]) - dirty.convolved(
        whole, model
    )
    image = Beam(BEAM.profile(xx, yy), BEAM).convolved(whole, model) + residual
    (found,) = listed(image, 0.2, Cleaned(residual, model, psf))
    assert found.resolved
    assert found.flux_jy == pytest.approx(flux, rel=0.01)
    assert found.major_pixels == pytest.approx(np.hypot(width, BEAM.major), rel=0.02)
    without = listed(image, 0.2)
    assert len(without) > 1 or abs(without[0].flux_jy / flux - 1) > 0.05


def test_points_are_not_resolved_and_not_biased() -> None:
    """Of 225 points of 5 to 60σ none, or one, is called resolved; flux densities are right to 0.1σ.

    The rate that three standard errors leave is 0.1 %; the mean of 225 is known to 0.07σ.
    """
    n = 1000
    rng = np.random.default_rng(3)
    pixels, truth = noise_of(n, 7), []
    yy, xx = np.mgrid[-20:21, -20:21].astype(float)
    for gy in range(40, n - 40, 62):
        for gx in range(40, n - 40, 62):
            x, y, snr = (
                gx + rng.uniform(-1, 1),
                gy + rng.uniform(-1, 1),
                float(np.exp(rng.uniform(*np.log([8, 60])))),
            )
            pixels[gy - 20 : gy + 21, gx - 20 : gx + 21] += snr * BEAM.profile(xx - (x - gx), yy - (y - gy))
            truth.append((x, y, snr))
    found = listed(pixels)
    at = np.array([[s.point.x, s.point.y] for s in found])
    pairs = [(found[int(np.argmin(np.hypot(*(at - t[:2]).T)))], t[2]) for t in truth]
    assert sum(s.resolved for s, _ in pairs) <= 1
    assert np.mean([s.flux_jy - snr for s, snr in pairs]) == pytest.approx(0.0, abs=0.25)


@pytest.mark.parametrize("beams", [1.2, 2.0, 3.0])
def test_doubles_stay_two(beams: float) -> None:
    """Two points 1.2 to 3 beams apart, 12 and 60σ, in either direction: two rows, not a wide source."""
    for snr in (12.0, 60.0):
        for along in (True, False):
            width = BEAM.major if along else BEAM.minor
            turn = BEAM.angle + (0.0 if along else np.pi / 2)
            dx, dy = -np.sin(turn) * beams * width / 2, np.cos(turn) * beams * width / 2
            pixels = restored(120 + dx, 120 + dy, snr, 0.0) + restored(120 - dx, 120 - dy, 0.8 * snr, 0.0)
            found = listed(pixels + 0.3 * noise_of(N, 5))
            near = [s for s in found if np.hypot(s.point.x - 120, s.point.y - 120) < 20]
            assert len(near) == 2
            assert sum(s.flux_jy for s in near) == pytest.approx(1.8 * snr, rel=0.12)
