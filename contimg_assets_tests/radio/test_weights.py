"""The noise that weights promise, against theory, WSClean's images, and our own."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.plan import image_size
from contimg_assets.radio.imaging.visibilities import channels_to_average, read_stokes_i
from contimg_assets.radio.imaging.weights import Weights, imaging_weights
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, TINY, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
N_PIXELS, CELL_ARCSEC = 1000, 5.0
FIELD_RAD = np.deg2rad(N_PIXELS * CELL_ARCSEC / 3600)
DIVISORS = [n for n in range(1, 769) if 768 % n == 0]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Measurement Set of thermal noise: its one source has 1 µJy."""
    folder = tmp_path_factory.mktemp("noise")
    simulate(observe(around(START, DEC_DEG, [(0.0, 0.0, 1e-6)]), DEC_DEG, UNCORRUPTED), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "noise.ms")
    return folder / "noise.ms"


def weights_of(shape: GroupShape, weighting: str, robust: float = 0.0, factor: int = 1) -> Weights:
    factors = np.full(int(shape.cross.sum()), factor)
    return imaging_weights(shape, read_stokes_i(shape, "DATA", factors), weighting, robust, FIELD_RAD)


def test_natural_weighting_has_the_noise_of_the_radiometer_equation(noise: Path) -> None:
    """SEFD / √(n_pol · N(N−1) · Δν · t), exactly, unflagged; averaging channels changes nothing."""
    shape = read_shape(noise)
    n = len(TINY.stations)
    seconds = TINY.n_integrations * telescope.INTEGRATION_S
    bandwidth = telescope.N_SUBBANDS * telescope.SUBBAND_BANDWIDTH_HZ
    expected = telescope.SEFD_JY / np.sqrt(2 * n * (n - 1) * bandwidth * seconds)
    for factor in (1, 2, 8):
        found = weights_of(shape, "natural", factor=factor)
        assert found.nominal_noise_jy == pytest.approx(expected, rel=1e-3)
        # What the data tell of their own noise.
        assert found.expected_noise_jy == pytest.approx(expected, rel=0.01)
        assert found.n_visibilities == n * (n - 1) // 2 * TINY.n_integrations * shape.n_channels * 2


def test_a_full_group_has_a_fifth_of_a_millijansky() -> None:
    """Likewise for 96 antennas, 309 s, 187.5 MHz: 0.20 mJy/beam, as the telescope's description has it."""
    n, seconds = telescope.N_ACTIVE_ANTENNAS, telescope.GROUP_S
    bandwidth = telescope.N_SUBBANDS * telescope.SUBBAND_BANDWIDTH_HZ
    sigma = telescope.visibility_sigma_jy(bandwidth, seconds) / np.sqrt(2 * n * (n - 1) / 2)
    assert sigma == pytest.approx(telescope.SEFD_JY / np.sqrt(2 * n * (n - 1) * bandwidth * seconds))
    assert 1e3 * sigma == pytest.approx(0.20, abs=0.005)


def test_other_weightings_cost_sensitivity_and_narrow_the_beam(noise: Path) -> None:
    """From natural through Briggs 0.5 and 0 to uniform the noise grows and the beam's narrow side shrinks."""
    shape = read_shape(noise)
    found = [
        weights_of(shape, "natural"),
        weights_of(shape, "briggs", 0.5),
        weights_of(shape, "briggs", 0.0),
        weights_of(shape, "uniform"),
    ]
    assert np.all(np.diff([w.expected_noise_jy for w in found]) > 0)
    assert np.all(np.diff([w.narrowest_beam_rad for w in found]) < 0)
    # Briggs at its ends is natural and uniform (2 % and 5 %: the limits are reached at ±∞).
    assert weights_of(shape, "briggs", 2.0).expected_noise_jy == pytest.approx(
        found[0].expected_noise_jy, rel=0.02
    )
    assert weights_of(shape, "briggs", -2.0).expected_noise_jy == pytest.approx(
        found[-1].expected_noise_jy, rel=0.05
    )


@pytest.mark.parametrize("robust", [0.5, 0.0])
def test_wsclean_s_noise_is_the_promised_one(noise: Path, tmp_path: Path, robust: float) -> None:
    """A WSClean image of pure noise has the rms that the weights promise, to 4 %.

    The same weighting over the same field, and none of our code.  A field of 1.4° has some
    4 000 beams, so its rms is known to 1.1 %; WSClean's uv cells lie half a cell from ours.
    """
    subprocess.run(
        [
            *(
                "wsclean",
                "-quiet",
                "-j",
                "2",
                "-use-wgridder",
                "-niter",
                "0",
                "-weight",
                "briggs",
                str(robust),
            ),
            *("-size", str(N_PIXELS), str(N_PIXELS), "-scale", f"{CELL_ARCSEC}asec"),
            *("-data-column", "DATA", "-no-update-model-required", "-name", str(tmp_path / "noise")),
            str(noise),
        ],
        check=True,
        cwd=tmp_path,
    )
    rms = float(np.std(fits.getdata(tmp_path / "noise-dirty.fits")))
    expected = weights_of(read_shape(noise), "briggs", robust).expected_noise_jy
    assert rms == pytest.approx(expected, rel=0.04)


def test_our_image_of_noise_has_the_noise_that_its_header_promises(noise: Path, tmp_path: Path) -> None:
    """rms over expected rms, the number that quality control judges, is 1 for pure noise, to 4 %."""
    choices = replace_settings(field_deg=1.4)
    (tmp_path / "work").mkdir()
    made = make_image(
        noise, tmp_path / "out", tmp_path / "work", choices, name="noise", provenance=None, threads=2
    )
    summary = made.numbers
    assert summary["rms_mjy_beam"] == pytest.approx(summary["expected_rms_mjy_beam"], rel=0.04)
    header = fits.getheader(tmp_path / "out" / "noise.image.fits")
    assert 1e3 * header["NOISEEXP"] == pytest.approx(summary["expected_rms_mjy_beam"])
    assert header["CALSET"] == "none"
    # The receivers are nominal, and the Sun has risen.
    assert summary["system_noise_ratio"] == pytest.approx(1.0, abs=0.02)
    assert summary["nominal_rms_mjy_beam"] == pytest.approx(summary["expected_rms_mjy_beam"], rel=0.02)
    assert "Sun" in {one["name"] for one in summary["strong_sources"]}
    assert "Sun" in header["STRONG"]


def replace_settings(**changes: float) -> ImagingOptions:
    """Default imaging settings but for some."""
    return ImagingOptions().model_copy(update=changes)


def test_channels_are_averaged_as_far_as_smearing_allows() -> None:
    """Each baseline averages the most channels that divide the band and lose under 1 % at half power.

    The loss is 1 − sinc(π b θ Δν/c): the longest baseline (2.6 km) keeps its channels of
    244 kHz, the short ones of an arm as many as a sixteenth of the band.
    """
    stations = telescope.stations()
    active = stations.active
    one, two = np.triu_indices(len(active), 1)
    shape = GroupShape(
        path=Path("none.ms"),
        times_jd=np.array([2460827.5]),
        integration_s=telescope.INTEGRATION_S,
        antenna_1=active[one].astype(np.int32),
        antenna_2=active[two].astype(np.int32),
        antenna_names=stations.names,
        antenna_positions=stations.positions,
        frequencies_hz=telescope.band_frequencies(),
        channel_width_hz=telescope.SUBBAND_BANDWIDTH_HZ / telescope.SUBBAND_CHANNELS,
        n_polarisations=2,
        centre=(0.0, 0.5),
        declination_rad=0.5,
    )
    radius = np.deg2rad(2.715 / 2)
    factors = channels_to_average(shape, radius)
    lengths = np.linalg.norm(stations.positions[active][two] - stations.positions[active][one], axis=1)

    def loss(n_channels: NDArray[np.int64]) -> NDArray[np.float64]:
        return 1 - np.sinc(lengths * radius * n_channels * shape.channel_width_hz / 299792458.0)

    assert np.all(shape.n_channels % factors == 0)
    # The rule takes the first term of the loss, 0.5 % of it too much here.
    assert np.all(loss(factors) < 0.01)
    longer = np.array([min(n for n in (*DIVISORS, 10**6) if n > factor) for factor in factors])
    assert np.all((loss(longer) > 0.0099) | (factors == shape.n_channels // 16))
    assert factors[np.argmax(lengths)] == 1
    assert factors.max() == shape.n_channels // 16
    assert np.all(channels_to_average(replace(shape, channel_width_hz=3e7), radius) <= factors)


def test_image_sizes_suit_transforms_and_casas_w_kernels() -> None:
    """The field is covered, with no more than 13 % to spare, by factors 2, 3 and 5, and CASA's padding by 1.2
    is again a number of such factors (it would otherwise scale w)."""
    for field_deg in (1.0, 3.0, 3.5, 6.0):
        for cell in (2.1, 3.3, 4.4):
            n = image_size(field_deg, cell)
            assert n % 10 == 0
            assert 1.0 <= n * cell / 3600 / field_deg < 1.13
            for factor in (2, 3, 5):
                while n % factor == 0:
                    n //= factor
            assert n == 1
