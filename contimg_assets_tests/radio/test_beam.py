"""The primary beam: its shape, its drift, and its image, against diffraction theory and brute force."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import HADec, SkyCoord
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import j0

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.beam_image import drift_beam, image_frequency_hz, typical_response
from contimg_assets.radio.imaging.drift import response
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX
from contimg_assets_tests.radio.independent import LIGHT, airy

HZ = 1.4e9
LAMBDA_OVER_D = LIGHT / HZ / 4.65


def shape_of(declination_deg: float, n_times: int, frequencies_hz: NDArray[np.float64]) -> GroupShape:
    """Axes of a group, without a Measurement Set: antennas play no part in the beam."""
    times = 2460857.87 + np.arange(n_times, dtype=np.float64) * (telescope.INTEGRATION_S / 86400.0)
    declination = float(np.deg2rad(declination_deg))
    return GroupShape(
        path=Path("none.ms"),
        times_jd=times,
        integration_s=telescope.INTEGRATION_S,
        antenna_1=np.zeros(1, np.int32),
        antenna_2=np.ones(1, np.int32),
        antenna_names=("1", "2"),
        antenna_positions=np.zeros((2, 3)),
        frequencies_hz=frequencies_hz,
        channel_width_hz=float(frequencies_hz[1] - frequencies_hz[0]),
        n_polarisations=2,
        centre=phasing.meridian_centre(float(times.mean()), declination),
        declination_rad=declination,
    )


def test_the_beam_is_exactly_one_on_axis_and_smooth_there() -> None:
    """One at zero (published code had zero), and no step where the series takes over from J1.

    1e-12 is rounding of 2 J1(x)/x at x = 1e-4.
    """
    assert beam.airy_power(0.0, HZ) == 1.0
    edge = 1e-4 * LIGHT / (np.pi * 4.65 * HZ)
    below, above = beam.airy_power([edge * 0.999, edge * 1.001], HZ)
    assert below == pytest.approx(above, abs=1e-11)
    assert above < below < 1.0


def test_width_and_null_are_those_of_a_uniform_dish() -> None:
    """FWHM 1.029 λ/D (2.715° at 1.4 GHz), first null 1.220 λ/D; to the digits that are quoted."""
    half = brentq(lambda s: float(beam.airy_power(s, HZ)) - 0.5, 0.2 * LAMBDA_OVER_D, LAMBDA_OVER_D)
    assert 2 * half / LAMBDA_OVER_D == pytest.approx(1.029, abs=5e-4)
    assert 2 * np.rad2deg(np.arcsin(half)) == pytest.approx(2.715, abs=5e-3)
    null = brentq(
        lambda s: np.sqrt(float(beam.airy_power(s, HZ))) * np.sign(1.22 * LAMBDA_OVER_D - s), 0.03, 0.08
    )
    assert null / LAMBDA_OVER_D == pytest.approx(1.2197, abs=5e-3)
    assert beam.airy_power(1.21967 * LAMBDA_OVER_D, HZ) < 1e-10


def test_the_beam_is_the_transform_of_a_disc() -> None:
    """Power equals |∫ J0 over the aperture|² by quadrature, which does not know of J1.

    1e-9: the quadrature's own error.
    """
    for sine in (0.003, 0.02, 0.05, 0.1):
        k = 2 * np.pi * HZ / LIGHT * sine
        field, _ = quad(lambda r, k=k: j0(k * r) * r, 0, 4.65 / 2, epsabs=1e-12)
        assert beam.airy_power(sine, HZ) == pytest.approx((field / (4.65**2 / 8)) ** 2, abs=1e-9)


def test_a_transit_is_symmetrical_and_peaks_on_the_meridian() -> None:
    """A source at the pointing's declination: the same power before and after transit, one in transit."""
    hour_angle = np.deg2rad(np.linspace(-3, 3, 61))
    declination = np.deg2rad(54.57)
    track = np.stack(
        [
            np.cos(declination) * np.cos(hour_angle),
            -np.cos(declination) * np.sin(hour_angle),
            np.full_like(hour_angle, np.sin(declination)),
        ],
        axis=-1,
    )
    power = beam.drifting_power(track, declination, np.array([1.3e9, 1.5e9]))
    # 1e-12: rounding of a cross product.
    assert np.abs(power - power[::-1]).max() < 1e-12
    assert power[30] == pytest.approx(1.0, abs=1e-12)
    assert np.all(np.diff(power[30:], axis=0) < 0)
    # The higher frequency has the narrower beam.
    assert np.all(power[:30, 1] < power[:30, 0])


def test_nothing_is_seen_behind_the_dish() -> None:
    """sin θ alone cannot tell front from back; the direction opposite to the pointing has no response."""
    pointing = phasing.pointing_vector(0.4)
    assert beam.drifting_power(pointing, 0.4, np.array([HZ]))[0] == 1.0
    assert beam.drifting_power(-pointing, 0.4, np.array([HZ]))[0] == 0.0


@pytest.mark.parametrize("dec_deg", [16.27, 54.57, 71.6])
def test_the_beam_image_is_what_each_pixel_sees_while_it_drifts(dec_deg: float) -> None:
    """Pixel by pixel: ICRS position by WCS, hour angle by astropy, J1 by scipy, every channel, every time.

    With uneven weights, as flags make them.  1e-4 of the peak, and so at most 0.1 % where the
    beam-corrected image is not blank; the spline's and the band bins' error is below that.
    """
    rng = np.random.default_rng(3)
    shape = shape_of(dec_deg, 24, telescope.band_frequencies(8))
    weights = rng.uniform(0.2, 1.0, (24, 128))
    weights[:, 40:60] = 0.0
    weights[5] = 0.0
    grid = ImageGrid(400, 3600 * 3.5 / 400)
    image = drift_beam(shape, shape.frequencies_hz, weights, grid)

    scale = phasing.aberration_scale(float(shape.times_jd.mean()), *shape.centre)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = np.rad2deg(shape.centre)
    wcs.wcs.crpix = [201, 201]
    wcs.wcs.cdelt = 3.5 / 400 / scale * np.array([-1.0, 1.0])
    x, y = np.append(rng.integers(0, 400, (40, 2)), [[200, 200], [0, 0], [399, 0]], axis=0).T
    ra, dec = wcs.all_pix2world(x, y, 0)
    frame = HADec(obstime=Time(shape.times_jd, format="jd")[:, None], location=telescope.site())
    seen = SkyCoord(ra, dec, unit="deg", frame="icrs")[None].transform_to(frame)
    pointing = SkyCoord(0 * u.deg, dec_deg * u.deg, frame=frame[:, 0])
    theta = pointing[:, None].separation(seen).rad
    power = airy(theta[..., None], shape.frequencies_hz)
    expected = np.einsum("tpf,tf->p", power, weights) / weights.sum()
    assert np.abs(image[y, x] - expected).max() < 1e-4
    # The rim is a different number altogether: the test covers the whole fall of the beam.
    assert expected.min() < 0.12 < 0.9 < expected.max()


def test_an_image_over_its_beam_has_the_flux_densities_of_its_frequency() -> None:
    """Sources of the typical spectrum, from the axis to a tenth of the beam, with uneven weights.

    Every channel and every integration by itself.  2e-4: bins of the band.  Without the spectrum in
    the beam it would be 0.5 % at the rim.
    """
    rng = np.random.default_rng(4)
    shape = shape_of(16.27, 24, telescope.band_frequencies(8))
    by_time = rng.uniform(0.2, 1.0, (24, 128))
    by_time[:, 40:60] = 0.0
    nothing = np.zeros(0, np.float32)
    weights = Weights(nothing, 1.0, 1.0, by_time, shape.frequencies_hz, 0, 1.0)
    grid = ImageGrid(400, 3600 * 6.0 / 400)
    over = typical_response(shape, weights, grid)
    rows, columns = np.full(30, 200), np.arange(200, 380, 6)  # to 2.6°
    l, m = grid.directions(columns, rows)
    index = np.full(30, TYPICAL_SPECTRAL_INDEX)
    seen = response(shape, l, m, shape.frequencies_hz, image_frequency_hz(weights), index)
    image = np.einsum("stf,tf->s", seen, by_time) / by_time.sum()
    assert image.min() < 0.1 < 0.95 < image.max()
    assert np.abs(image / over[rows, columns] - 1).max() < 2e-4
    flat = np.einsum("stf,tf->s", response(shape, l, m, shape.frequencies_hz, 1.4e9, 0 * index), by_time)
    assert (image / flat * by_time.sum())[-1] > 1.004
